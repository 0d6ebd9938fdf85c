//! Invariant: fail-stop; fault classes 9 and 10. Calls that fail on the real path, in small: `relive-faults calls --cases 5000`
//! is the same, for longer.

use std::path::Path;

use relive_faults::calls::{CallsArguments, run};
use relive_faults::kept::Kept;

#[test]
fn class_09_10_a_failed_call_acknowledges_nothing_and_loses_nothing() {
    fails(Kept::Sled);
}

#[test]
fn class_09_10_a_failed_call_acknowledges_nothing_and_loses_nothing_on_segment_files() {
    fails(Kept::SegmentFiles);
}

fn fails(medium: Kept) {
    let arguments = CallsArguments { cases: 60, first: 0, seed: 3, medium, jobs: 2 };
    let table = run(&arguments, Path::new(env!("CARGO_BIN_EXE_relive-faults"))).unwrap();
    println!("{table}");
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.refused() > 20 && table.acknowledged > 500, "{table}");
}
