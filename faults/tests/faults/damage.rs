//! Invariant: prefix; fault classes 6, 7 and 8. Whatever happens to the files of a store, what comes back is what was
//! stored, or an error that says what is wrong. `relive-faults damage --cases 100000` is the same, for longer.

use std::path::PathBuf;

use relive_faults::damage::{Sweep, sweep};
use relive_faults::kept::Kept;

const CASES: u64 = 1200;
const SEED: u64 = 1;

#[test]
fn class_6_7_8_damage_is_never_silent() {
    is_never_silent(Kept::Sled);
}

#[test]
fn class_6_7_8_damage_is_never_silent_on_segment_files() {
    is_never_silent(Kept::SegmentFiles);
}

fn is_never_silent(medium: Kept) {
    let memory = std::path::Path::new("/dev/shm");
    let directory = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
    let plan = Sweep {
        program: PathBuf::from(env!("CARGO_BIN_EXE_relive-faults")),
        medium,
        seed: SEED,
        first: 0,
        cases: CASES,
        processes: 2,
        directory: directory.path().to_owned(),
    };
    let histogram = sweep(&plan, &|_| {}).unwrap();
    println!("{histogram}");
    assert_eq!(histogram.cases(), CASES);
    assert!(
        histogram.bad().is_empty(),
        "cargo run -p relive-faults -- damage --medium {medium} {:#?}",
        histogram.bad()
    );
}
