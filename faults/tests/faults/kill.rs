//! Fault classes 2, 3 and 4: kills workers at random moments and at every boundary, and shows that
//! the supervisor notices broken promises. The long run is
//! `cargo run --release -p relive-faults -- kill --cycles 10000 --seed 1 --tier power-loss`.

use std::path::Path;
use std::process::Command;

use relive_faults::campaigns::kill::fault;
use relive_faults::campaigns::kill::table::Table;
use relive_faults::campaigns::kill::{self, KillArguments, StoreArguments};
use relive_faults::harness::campaign::CommonArguments;
use relive_faults::harness::effect_ledger;
use relive_faults::harness::medium::StoreMedium;
use relive_faults::harness::process::Process;
use relive_faults::harness::worker::{Sabotage, Tier};
use relive_faults::workload::{ClientView, Line, Plan, Violation, judge};

const PROGRAM: &str = env!("CARGO_BIN_EXE_relive-faults");

fn arguments(medium: StoreMedium, tier: Tier, seed: u64) -> KillArguments {
    let common = CommonArguments { seed, medium };
    KillArguments {
        cycles: 24,
        stores: StoreArguments { common, tier, first_store: 0, directory: None, no_strace: false },
        cycles_per_store: 12,
        each_boundary: false,
        tries: 1000,
        sabotage: None,
    }
}

fn run(arguments: &KillArguments) -> Table {
    kill::run(arguments, Path::new(PROGRAM)).unwrap()
}

fn nothing_is_broken(medium: StoreMedium, tier: Tier, seed: u64) {
    let table = run(&arguments(medium, tier, seed));
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.killed() >= 18 && table.judged >= 10 && table.acknowledged > 200, "{table}");
    println!("{table}");
}

#[test]
fn nothing_is_broken_by_kills_process_crash() {
    nothing_is_broken(StoreMedium::Sled, Tier::ProcessCrash, 1);
}

#[test]
fn nothing_is_broken_by_kills_on_segment_files() {
    nothing_is_broken(StoreMedium::SegmentFiles, Tier::ProcessCrash, 11);
    nothing_is_broken(StoreMedium::SegmentFiles, Tier::PowerLoss, 12);
}

#[test]
fn nothing_is_broken_by_kills_power_loss() {
    nothing_is_broken(StoreMedium::Sled, Tier::PowerLoss, 2);
}

/// Every boundary is where its name says, and a kill at each breaks nothing: classes 3 and 4.
#[test]
fn nothing_is_broken_by_a_kill_at_each_boundary() {
    for medium in [StoreMedium::Sled, StoreMedium::SegmentFiles] {
        let cycles = fault::each(medium).len() as u64;
        let arguments = arguments(medium, Tier::PowerLoss, 4);
        let table = run(&KillArguments { each_boundary: true, cycles, ..arguments });
        assert!(table.violations.is_empty(), "{table}");
        assert_eq!(table.killed(), cycles, "{table}");
    }
}

/// The supervisor finds what was broken on purpose, and keeps the evidence.
fn is_noticed(sabotage: Sabotage, promise: &str) {
    let mut sabotaged = arguments(StoreMedium::Sled, Tier::ProcessCrash, 3);
    sabotaged.stores.no_strace = true;
    let table = run(&KillArguments { cycles: 12, sabotage: Some(sabotage), ..sabotaged });
    let found = table.violations.first().unwrap_or_else(|| panic!("{sabotage} was not noticed: {table}"));
    assert!(found.what.contains(promise), "{}", found.what);
    assert!(
        found.repeat.contains("--seed 3") && found.repeat.contains(&sabotage.to_string()),
        "{}",
        found.repeat
    );
    std::fs::remove_dir_all(found.kept.as_ref().unwrap().parent().unwrap()).unwrap();
}

/// Negative test: acknowledge-after-sync. A worker reports an acknowledgement before the message is
/// in the log.
#[test]
fn an_early_acknowledgement_is_noticed() {
    is_noticed(Sabotage::AckEarly, "were acknowledged");
}

/// Negative test: effects once. A worker's effects differ from process to process under the same
/// key.
#[test]
fn effects_that_differ_under_one_key_are_noticed() {
    is_noticed(Sabotage::UnkeyedEffect, "effects once");
}

/// Negative test: effects once. An effect that happened and is not in the log happens again after
/// the kill. If the second effect differs, the ledger has both payloads.
#[test]
fn an_effect_that_is_another_the_second_time_is_noticed() {
    for (sabotage, twice) in [(Some("unkeyed-effect"), true), (None, false)] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut effects = Command::new(PROGRAM);
        let effects = effects.arg("effects").arg("--socket").arg(at("socket")).arg("--file").arg(at("file"));
        let effects = Process::start(effects).unwrap();
        assert_eq!(effects.line("starting").unwrap().unwrap(), "listening");
        let mut view = ClientView::default();
        let mut judged = None;
        for kill_at in ["effect.performed:3", "effect.performed:1000000"] {
            let mut worker = Command::new(PROGRAM);
            let worker = worker.args(["worker", "--limit", "60", "--kill-at", kill_at]);
            let worker = worker.arg("--store").arg(at("store")).arg("--effects").arg(at("socket"));
            let worker =
                Process::start(worker.args(sabotage.iter().flat_map(|s| ["--sabotage", s]))).unwrap();
            while let Some(line) = worker.line("the next line").unwrap() {
                let line = line.parse().unwrap();
                view.hear(&line).unwrap();
                if let Line::Readback(readback) = line {
                    view.effects = Some(effect_ledger::read(&at("file")).unwrap());
                    judged = Some(judge(&Plan::new(1), &view, &readback));
                }
            }
            worker.end().unwrap();
        }
        let again = view.effects.unwrap().values().any(|effect| effect.times > 1);
        assert!(again, "one was done again");
        let judged = judged.unwrap();
        assert_eq!(matches!(judged, Err(Violation::EffectTwice { .. })), twice, "{judged:?}");
        assert_eq!(judged.is_err(), twice, "{judged:?}");
    }
}
