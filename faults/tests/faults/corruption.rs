//! Invariant: prefix; fault classes 6, 7 and 8. Whatever happens to the files of a store, an
//! opening returns what the store held, or an error that says what is wrong.
//! `relive-faults corruption --cases 100000` runs the same for longer.

use std::path::PathBuf;

use relive_faults::campaigns::corruption::{CorruptionCases, run};
use relive_faults::harness::medium::StoreMedium;

const CASES: u64 = 1200;
const SEED: u64 = 1;

#[test]
fn class_6_7_8_damage_is_never_silent() {
    is_never_silent(StoreMedium::Sled);
}

#[test]
fn class_6_7_8_damage_is_never_silent_on_segment_files() {
    is_never_silent(StoreMedium::SegmentFiles);
}

fn is_never_silent(medium: StoreMedium) {
    let memory = std::path::Path::new("/dev/shm");
    let directory = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
    let plan = CorruptionCases {
        program: PathBuf::from(env!("CARGO_BIN_EXE_relive-faults")),
        medium,
        seed: SEED,
        first: 0,
        cases: CASES,
        processes: 2,
        directory: directory.path().to_owned(),
    };
    let histogram = run(&plan, &|_| {}).unwrap();
    println!("{histogram}");
    assert_eq!(histogram.cases(), CASES);
    assert!(
        histogram.bad().is_empty(),
        "cargo run -p relive-faults -- corruption --medium {medium} {:#?}",
        histogram.bad()
    );
}
