//! Fault classes 2, 3 and 4: workers that are killed at random moments and at every boundary, and that the supervisor
//! itself notices what is wrong. The long run is
//! `cargo run --release -p relive-faults -- kill --cycles 10000 --seed 1 --tier power-loss`.

use std::path::Path;
use std::process::Command;

use relive_faults::kept::Kept;
use relive_faults::kill::fault;
use relive_faults::kill::table::Table;
use relive_faults::kill::{self, KillArguments};
use relive_faults::ledger;
use relive_faults::process::Process;
use relive_faults::worker::{Sabotage, Tier};
use relive_faults::workload::{Line, Plan, Violation, Witness, judge};

const PROGRAM: &str = env!("CARGO_BIN_EXE_relive-faults");

fn arguments(seed: u64) -> KillArguments {
    KillArguments {
        medium: Kept::Sled,
        cycles: 24,
        seed,
        tier: Tier::ProcessCrash,
        cycles_per_store: 12,
        each_boundary: false,
        tries: 1000,
        first_store: 0,
        directory: None,
        no_strace: false,
        sabotage: None,
    }
}

fn run(arguments: &KillArguments) -> Table {
    kill::run(arguments, Path::new(PROGRAM)).unwrap()
}

fn nothing_is_broken(medium: Kept, tier: Tier, seed: u64) {
    let table = run(&KillArguments { medium, tier, ..arguments(seed) });
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.killed() >= 18 && table.judged >= 10 && table.acknowledged > 200, "{table}");
    println!("{table}");
}

#[test]
fn nothing_is_broken_by_kills_process_crash() {
    nothing_is_broken(Kept::Sled, Tier::ProcessCrash, 1);
}

#[test]
fn nothing_is_broken_by_kills_on_segment_files() {
    nothing_is_broken(Kept::SegmentFiles, Tier::ProcessCrash, 11);
    nothing_is_broken(Kept::SegmentFiles, Tier::PowerLoss, 12);
}

#[test]
fn nothing_is_broken_by_kills_power_loss() {
    nothing_is_broken(Kept::Sled, Tier::PowerLoss, 2);
}

/// Every boundary is where it is said to be, and a kill at each breaks nothing: classes 3 and 4.
#[test]
fn nothing_is_broken_by_a_kill_at_each_boundary() {
    for medium in [Kept::Sled, Kept::SegmentFiles] {
        let cycles = fault::each(medium).len() as u64;
        let tier = Tier::PowerLoss;
        let table = run(&KillArguments { medium, tier, each_boundary: true, cycles, ..arguments(4) });
        assert!(table.violations.is_empty(), "{table}");
        assert_eq!(table.killed(), cycles, "{table}");
    }
}

/// What was broken on purpose is found, and kept to be looked at.
fn is_noticed(sabotage: Sabotage, promise: &str) {
    let sabotaged = KillArguments { cycles: 12, no_strace: true, sabotage: Some(sabotage), ..arguments(3) };
    let table = run(&sabotaged);
    let found = table.violations.first().unwrap_or_else(|| panic!("{sabotage} was not noticed: {table}"));
    assert!(found.what.contains(promise), "{}", found.what);
    assert!(
        found.repeat.contains("--seed 3") && found.repeat.contains(&sabotage.to_string()),
        "{}",
        found.repeat
    );
    std::fs::remove_dir_all(found.kept.parent().unwrap()).unwrap();
}

/// Teeth: acknowledge-after-sync. A worker that tells of an acknowledgement before the message is in the log.
#[test]
fn an_early_acknowledgement_is_noticed() {
    is_noticed(Sabotage::AckEarly, "were acknowledged");
}

/// Teeth: effects once. A worker whose effects differ from process to process under the same key.
#[test]
fn effects_that_differ_under_one_key_are_noticed() {
    is_noticed(Sabotage::UnkeyedEffect, "effects once");
}

/// Teeth: effects once. An effect that was done and not logged is done again after the kill; when that is another one,
/// the ledger has both payloads.
#[test]
fn an_effect_that_is_another_the_second_time_is_noticed() {
    for (sabotage, twice) in [(Some("unkeyed-effect"), true), (None, false)] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut effects = Command::new(PROGRAM);
        let effects = effects.arg("effects").arg("--socket").arg(at("socket")).arg("--file").arg(at("file"));
        let effects = Process::start(effects).unwrap();
        assert_eq!(effects.line("starting").unwrap().unwrap(), "listening");
        let mut witness = Witness::default();
        let mut judged = None;
        for kill_at in ["effect.performed:3", "effect.performed:1000000"] {
            let mut worker = Command::new(PROGRAM);
            let worker = worker.args(["worker", "--limit", "60", "--kill-at", kill_at]);
            let worker = worker.arg("--store").arg(at("store")).arg("--effects").arg(at("socket"));
            let worker =
                Process::start(worker.args(sabotage.iter().flat_map(|s| ["--sabotage", s]))).unwrap();
            while let Some(line) = worker.line("the next line").unwrap() {
                let line = line.parse().unwrap();
                witness.hear(&line).unwrap();
                if let Line::Survey(survey) = line {
                    witness.effects = Some(ledger::read(&at("file")).unwrap());
                    judged = Some(judge(&Plan::new(1), &witness, &survey));
                }
            }
            worker.end().unwrap();
        }
        let again = witness.effects.unwrap().values().any(|effect| effect.times > 1);
        assert!(again, "one was done again");
        let judged = judged.unwrap();
        assert_eq!(matches!(judged, Err(Violation::EffectTwice { .. })), twice, "{judged:?}");
        assert_eq!(judged.is_err(), twice, "{judged:?}");
    }
}
