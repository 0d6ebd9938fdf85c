//! Fault class 27: workers that each have another version of the handlers; and a check that the
//! supervisor notices broken promises. The long run is
//! `cargo run --release -p relive-faults -- versions --cycles 1000 --seed 1 --tier power-loss`.

use std::path::Path;

use relive_faults::campaigns::kill::StoreArguments;
use relive_faults::campaigns::versions::table::Table;
use relive_faults::campaigns::versions::{self, Pretence, VersionsArguments};
use relive_faults::harness::campaign::CommonArguments;
use relive_faults::harness::medium::StoreMedium;
use relive_faults::harness::worker::Tier;

const PROGRAM: &str = env!("CARGO_BIN_EXE_relive-faults");

fn run(cycles: u64, seed: u64, tier: Tier, pretence: Option<Pretence>) -> Table {
    let common = CommonArguments { seed, medium: StoreMedium::Sled };
    let arguments = VersionsArguments {
        cycles,
        stores: StoreArguments { common, tier, first_store: 0, directory: None, no_strace: true },
        cycles_per_store: 15,
        pretence,
    };
    versions::run(&arguments, Path::new(PROGRAM)).unwrap()
}

fn nothing_is_changed(seed: u64, tier: Tier) {
    let table = run(30, seed, tier, None);
    assert!(table.kills.violations.is_empty(), "{table}");
    let counts = &table.counts;
    assert!(table.kills.killed() >= 12 && table.kills.acknowledged > 200, "{table}");
    assert!(counts.parts >= 5 && counts.lives.len() >= 6 && counts.shut_down >= 3, "{table}");
    assert!(!counts.stopped.is_empty() && counts.trials.left_out > 0, "{table}");
    println!("{table}");
}

/// No version of the handlers changes anything that was acknowledged.
#[test]
fn nothing_is_changed_by_any_version_process_crash() {
    nothing_is_changed(3, Tier::ProcessCrash);
}

/// The same, with every commit synced.
#[test]
fn nothing_is_changed_by_any_version_power_loss() {
    nothing_is_changed(4, Tier::PowerLoss);
}

/// The supervisor finds what the campaign pretended, and keeps the evidence.
fn is_noticed(pretence: Pretence, promises: &[&str]) {
    let table = run(90, 5, Tier::ProcessCrash, Some(pretence));
    let found =
        table.kills.violations.first().unwrap_or_else(|| panic!("{pretence} was not noticed: {table}"));
    assert!(promises.iter().any(|promise| found.what.contains(promise)), "{}", found.what);
    assert!(found.repeat.contains(&pretence.to_string()), "{}", found.repeat);
    std::fs::remove_dir_all(found.kept.as_ref().unwrap().parent().unwrap()).unwrap();
}

/// Negative test: an actor stops in a life with the good version.
#[test]
fn an_actor_that_stops_under_good_code_is_noticed() {
    is_noticed(Pretence::AllAreGood, &["has stopped in a life with the version good"]);
}

/// Negative test: state. Code that differs on new messages changes their outcome.
#[test]
fn code_that_differs_on_new_messages_is_noticed() {
    is_noticed(Pretence::DiffersOnNew, &["state:", "has stopped", "has failed"]);
}
