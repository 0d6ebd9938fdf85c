//! Class 5: losses of power on the real path of the store, in small; and that the images would show a sync left out.

use std::path::Path;

use relive_faults::power::table::Table;
use relive_faults::power::{Lie, PowerLossArguments, run};

fn images(images: u64, lie: Option<Lie>) -> Table {
    let arguments = PowerLossArguments { images, first: 0, seed: 5, jobs: 2, lie, recording: None };
    let table = run(&arguments, Path::new(env!("CARGO_BIN_EXE_relive-faults"))).unwrap();
    println!("{table}");
    table
}

#[test]
fn class_05_nothing_acknowledged_is_lost_with_the_power() {
    let table = images(100, None);
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.total() >= 100 && table.lacking > 30 && table.of_recoveries > 8, "{table}");
    assert!(table.acknowledged > 500 && table.recovered >= table.acknowledged, "{table}");
}

/// The test of the test: without our syncs what was acknowledged is lost, and that is seen.
#[test]
fn class_05_a_sync_left_out_is_noticed() {
    for lie in [Lie::All, Lie::Db] {
        let table = images(24, Some(lie));
        // Said by the judge, by the store, and by an empty store in place of one that had acknowledged.
        let told =
            ["were acknowledged,", "was acknowledged: acknowledged records are lost", "the epoch 1 follows"];
        let lost =
            |found: &relive_faults::power::table::Found| told.iter().any(|told| found.what.contains(told));
        assert!(table.violations.iter().any(lost), "{lie:?}: {table}");
    }
}
