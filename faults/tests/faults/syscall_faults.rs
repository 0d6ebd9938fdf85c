//! Invariant: fail-stop; fault classes 9 and 10. A short run of failing calls on the real path:
//! `relive-faults syscall-faults --cases 5000` runs the same for longer.

use std::path::Path;

use relive_faults::campaigns::syscall_faults::{SyscallFaultsArguments, run};
use relive_faults::harness::campaign::CommonArguments;
use relive_faults::harness::medium::StoreMedium;

#[test]
fn class_09_10_a_failed_call_acknowledges_nothing_and_loses_nothing() {
    fails(StoreMedium::Sled);
}

#[test]
fn class_09_10_a_failed_call_acknowledges_nothing_and_loses_nothing_on_segment_files() {
    fails(StoreMedium::SegmentFiles);
}

fn fails(medium: StoreMedium) {
    let common = CommonArguments { seed: 3, medium };
    let arguments = SyscallFaultsArguments { cases: 60, first: 0, common, jobs: 2 };
    let table = run(&arguments, Path::new(env!("CARGO_BIN_EXE_relive-faults"))).unwrap();
    println!("{table}");
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.refused() > 20 && table.acknowledged > 500, "{table}");
}
