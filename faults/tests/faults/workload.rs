//! The workload and its judge, without any fault: what is whole is found whole, and each kind of lie is noticed.

use std::path::Path;
use std::process::Command;

use relive_faults::process::Process;
use relive_faults::workload::judge::ledger;
use relive_faults::workload::{
    Effect, EffectKey, Effects, Line, Outcome, Plan, Survey, Violation, Witness, judge,
};

const SEED: u64 = 5;
const MESSAGES: u64 = 400;

/// Runs the program with a store to its end, and gives what it said.
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

/// A store after some openings and messages, as the outside knows it and as it came back.
fn whole() -> (Witness, Survey) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut witness = Witness::default();
    for from in [1, MESSAGES / 2 - 20] {
        let (from, seed, limit) = (from.to_string(), SEED.to_string(), (MESSAGES / 2).to_string());
        for line in run(&store, &["worker", "--seed", &seed, "--from", &from, "--limit", &limit]) {
            witness.hear(&line).unwrap();
            if let Line::Survey(survey) = line {
                witness.remember(&survey);
            }
        }
    }
    let mut survey = None;
    for line in run(&store, &["verify"]) {
        let Line::Survey(found) = line else { panic!("{line}") };
        survey = Some(*found);
    }
    (witness, survey.unwrap())
}

fn judged(witness: &Witness, survey: &Survey) -> Result<Outcome, Violation> {
    judge(&Plan::new(SEED), witness, survey)
}

#[test]
fn what_is_whole_is_found_whole_and_each_lie_is_noticed() {
    let (witness, survey) = whole();
    let outcome = judged(&witness, &survey).unwrap();
    assert_eq!(outcome.recovered, witness.acknowledged);
    assert_eq!(outcome.unknown_came_back + outcome.unknown_did_not, 0, "{outcome:?}");
    assert!(outcome.seen_again > 100 && outcome.effects > 50, "{outcome:?}");

    let with = |lie: &dyn Fn(&mut Witness, &mut Survey)| {
        let (mut witness, mut survey) = (witness.clone(), survey.clone());
        lie(&mut witness, &mut survey);
        judged(&witness, &survey).unwrap_err()
    };
    let lost = with(&|witness, _| {
        witness.issued += 1;
        witness.acknowledged += 1;
    });
    assert!(matches!(lost, Violation::Lost { .. }), "{lost}");
    let invented = with(&|witness, _| {
        witness.issued -= 1;
        witness.acknowledged -= 1;
    });
    assert!(matches!(invented, Violation::Invented { .. }), "{invented}");
    let epoch = with(&|witness, survey| witness.epoch = survey.epoch);
    assert!(matches!(epoch, Violation::Epoch { .. }), "{epoch}");
    let twice = with(&|_, survey| survey.accounts[1].posted.digest ^= 1);
    assert!(matches!(twice, Violation::State { .. }), "{twice}");
    let unpassed = with(&|_, survey| survey.summary.tallies.get_mut(&2).unwrap().count -= 1);
    assert!(matches!(unpassed, Violation::State { .. }), "{unpassed}");
    let drawn = with(&|_, survey| {
        let drawn = survey.accounts[3].journal.kept.iter_mut().find_map(|entry| entry.random.as_mut());
        *drawn.unwrap() ^= 1;
    });
    assert!(matches!(drawn, Violation::Life { .. }), "{drawn}");
    let changed = with(&|witness, _| *witness.seen.values_mut().next_back().unwrap() ^= 1);
    assert!(matches!(changed, Violation::Changed { .. }), "{changed}");
    let orphan = with(&|witness, survey| {
        let rsn = survey.accounts[0].journal.rsn + 1;
        witness.seen.insert(("account/0".to_owned(), rsn), 7);
    });
    assert!(matches!(orphan, Violation::Orphan { .. }), "{orphan}");
    let missing = with(&|witness, _| witness.effects = Some(Default::default()));
    assert!(matches!(missing, Violation::EffectMissing { .. }), "{missing}");
    let failed = with(&|_, survey| survey.failed.push("account/1 has failed".to_owned()));
    assert!(matches!(failed, Violation::Failed { .. }), "{failed}");
}

/// Teeth: effects once. The same effect of the same message under a second key, as after a delivery that was taken for a
/// new one.
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
