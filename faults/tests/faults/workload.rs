//! The workload and its oracle, without any fault: the oracle accepts a whole readback, and notices
//! each kind of falsehood.

use std::path::Path;
use std::process::Command;

use relive_faults::harness::process::Process;
use relive_faults::workload::oracle::ledger;
use relive_faults::workload::{
    ClientView, Effect, EffectKey, Effects, Line, Outcome, Plan, Readback, Violation, judge,
};

const SEED: u64 = 5;
const MESSAGES: u64 = 400;

/// Runs the program with a store to its end, and returns its lines.
fn run(store: &Path, arguments: &[&str]) -> Vec<Line> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relive-faults"));
    let process = Process::start(command.args(arguments).arg("--store").arg(store)).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = process.line("the next line").unwrap() {
        lines.push(line.parse().unwrap());
    }
    let (status, errors) = process.end().unwrap();
    assert!(status.success(), "{status}: {errors}");
    lines
}

/// A store after some openings and messages, as its client knows it and as it came back.
pub(crate) fn whole() -> (ClientView, Readback) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut view = ClientView::default();
    for from in [1, MESSAGES / 2 - 20] {
        // The second worker repeats some answered requests.
        let requests = view.requests.next().saturating_sub(10).max(1).to_string();
        let (from, seed, limit) = (from.to_string(), SEED.to_string(), (MESSAGES / 2).to_string());
        let arguments = ["--seed", &seed, "--from", &from, "--limit", &limit, "--requests-from", &requests];
        for line in run(&store, &[&["worker"], &arguments[..]].concat()) {
            view.hear(&line).unwrap();
            if let Line::Readback(readback) = line {
                view.remember(&readback);
            }
        }
    }
    let mut readback = None;
    for line in run(&store, &["verify"]) {
        let Line::Readback(found) = line else { panic!("{line}") };
        readback = Some(*found);
    }
    (view, readback.unwrap())
}

pub(crate) fn judged(view: &ClientView, readback: &Readback) -> Result<Outcome, Violation> {
    judge(&Plan::new(SEED), view, readback)
}

#[test]
fn what_is_whole_is_found_whole_and_each_falsehood_is_noticed() {
    let (view, readback) = whole();
    let outcome = judged(&view, &readback).unwrap();
    assert_eq!(outcome.recovered, view.acknowledged);
    assert_eq!(outcome.unknown_came_back + outcome.unknown_did_not, 0, "{outcome:?}");
    assert!(outcome.seen_again > 100 && outcome.effects > 50, "{outcome:?}");

    let with = |change: &dyn Fn(&mut ClientView, &mut Readback)| {
        let (mut view, mut readback) = (view.clone(), readback.clone());
        change(&mut view, &mut readback);
        judged(&view, &readback).unwrap_err()
    };
    let lost = with(&|view, _| {
        view.issued += 1;
        view.acknowledged += 1;
    });
    assert!(matches!(lost, Violation::Lost { .. }), "{lost}");
    let invented = with(&|view, _| {
        view.issued -= 1;
        view.acknowledged -= 1;
    });
    assert!(matches!(invented, Violation::Invented { .. }), "{invented}");
    let epoch = with(&|view, readback| view.epoch = readback.epoch);
    assert!(matches!(epoch, Violation::Epoch { .. }), "{epoch}");
    let twice = with(&|_, readback| readback.accounts[1].posted.digest ^= 1);
    assert!(matches!(twice, Violation::State { .. }), "{twice}");
    let unpassed = with(&|_, readback| readback.summary.tallies.get_mut(&2).unwrap().count -= 1);
    assert!(matches!(unpassed, Violation::State { .. }), "{unpassed}");
    let drawn = with(&|_, readback| {
        let drawn = readback.accounts[3].journal.kept.iter_mut().find_map(|entry| entry.random.as_mut());
        *drawn.unwrap() ^= 1;
    });
    assert!(matches!(drawn, Violation::Life { .. }), "{drawn}");
    let changed = with(&|view, _| *view.seen.values_mut().next_back().unwrap() ^= 1);
    assert!(matches!(changed, Violation::Changed { .. }), "{changed}");
    let orphan = with(&|view, readback| {
        let rsn = readback.accounts[0].journal.rsn + 1;
        view.seen.insert(("account/0".to_owned(), rsn), 7);
    });
    assert!(matches!(orphan, Violation::Orphan { .. }), "{orphan}");
    let missing = with(&|view, _| view.effects = Some(Default::default()));
    assert!(matches!(missing, Violation::EffectMissing { .. }), "{missing}");
    let failed = with(&|_, readback| readback.failed.push("account/1 has failed".to_owned()));
    assert!(matches!(failed, Violation::Failed { .. }), "{failed}");
}

/// Negative test: effects once. The same effect of the same message under a second key, as if a
/// process had taken an old delivery for a new one.
#[test]
fn one_effect_under_two_keys_is_noticed() {
    let effects = |whats: [&str; 2]| {
        let effect = |(what, rsn): (&str, u64)| {
            let key = EffectKey::parse(&format!("ab/account/1/{rsn}/0")).unwrap();
            (key, Effect { what: what.to_owned(), times: 1, ..Effect::default() })
        };
        whats.into_iter().zip(7..).map(effect).collect::<Effects>()
    };
    ledger(&effects(["account/1#31.0", "account/1#36.0"]), "ab").unwrap();
    let twice = ledger(&effects(["account/1#31.0", "account/1#31.0"]), "ab").unwrap_err();
    assert!(matches!(twice, Violation::EffectUnderTwoKeys { .. }), "{twice}");
    assert!(twice.to_string().contains("account/1/7/0 and under ab/account/1/8/0"), "{twice}");
}
