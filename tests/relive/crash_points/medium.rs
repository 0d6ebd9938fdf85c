//! The same runs on the store over a medium, which loses power at every call that writes to the
//! medium. A commit, a checkpoint, a cut or an opening makes several such calls. The power goes
//! before the call and after it, with all, none and some of the unsynced writes.
//!
//! ```sh
//! cargo test --test relive crash_points::medium -- --nocapture
//! RELIVE_CRASH_POINT="tell:a,cut/7/after/drawn" cargo test --test relive crash_points::medium::one -- --nocapture
//! # Of all runs of up to three operations:
//! cargo test --test relive crash_points::medium::every_call_of_every_run_of_three -- --ignored --nocapture
//! ```

use std::collections::HashMap;
use std::time::Instant;

use relive_storage::simulated_store::{Crash, Lie, Moment, Unsynced};

use super::cases::{CASE_MAX, Counted, Done, for_all, judge_run, one_thread};
use super::run::Run;
use super::words::{At, Case, Point, Word, words};

/// Invariants: those of the runs on a simulated store.
#[test]
fn every_call_of_every_run_of_two() {
    every_call(2, Counted { words: 109, calls: 715, cases: 3963 });
}

/// The same for runs of up to three operations, which takes minutes.
#[test]
#[ignore = "takes minutes"]
fn every_call_of_every_run_of_three() {
    every_call(3, Counted { words: 1485, calls: 10052, cases: 55857 });
}

/// The recovery from crashes of the runs of up to one operation loses power too, at each of its
/// calls.
#[test]
fn recoveries_of_one() {
    recoveries(1, |point| point.crash.unsynced == Unsynced::Drawn, 3694);
}

/// The same for all crashes, which takes minutes.
#[test]
#[ignore = "takes minutes"]
fn all_recoveries_of_one() {
    recoveries(1, |_| true, 33498);
}

fn recoveries(length_max: usize, which: impl Fn(&Point) -> bool, expected: usize) {
    let began = Instant::now();
    let (mut cases, _) = cases(length_max);
    cases.retain(|case| case.points.iter().all(&which));
    let done = for_all(&cases, run_case);
    let mut longer = Vec::new();
    for (case, Done { crashed, back, .. }) in cases.iter().zip(done) {
        let again = (crashed..back).flat_map(|at| points(at, back)).filter(&which);
        let again = again.map(|point| [&case.points[..], &[point]].concat());
        longer.extend(again.map(|points| Case { word: case.word.clone(), points }));
    }
    println!("{} cases", longer.len());
    for_all(&longer, |tokio, case| drop(run_case(tokio, case)));
    println!("done in {:?}", began.elapsed());
    assert_eq!(longer.len(), expected);
}

/// The oracle can fail: it finds a medium that reports syncs which it does not do.
#[test]
fn syncing_nothing_is_found_out() {
    let tokio = one_thread();
    let judge = |case: &Case| {
        let mut run = Run::on_medium(case);
        run.lie = Some(Lie::SyncsNothing);
        judge_run(&tokio, case, run).err()
    };
    let (cases, _) = cases(1);
    let found: Vec<_> = cases.iter().filter_map(judge).collect();
    println!("{} of {} cases found it out", found.len(), cases.len());
    assert!(found.len() > cases.len() / 4, "{} of {}", found.len(), cases.len());
}

/// One case by its text.
#[test]
fn one() {
    let Ok(text) = std::env::var("RELIVE_CRASH_POINT") else { return };
    run_case(&one_thread(), &text.parse().unwrap());
}

fn every_call(length_max: usize, expected: Counted) {
    let began = Instant::now();
    let (cases, counted) = cases(length_max);
    println!("{counted:?}");
    for_all(&cases, |tokio, case| drop(run_case(tokio, case)));
    println!("done in {:?}", began.elapsed());
    assert_eq!(counted, expected);
}

fn run_case(tokio: &tokio::runtime::Runtime, case: &Case) -> Done {
    judge_run(tokio, case, Run::on_medium(case)).unwrap_or_else(|what| {
        panic!(
            "{what}\nRELIVE_CRASH_POINT=\"{case}\" cargo test --test relive crash_points::medium::one -- --nocapture"
        )
    })
}

/// Every case of all words up to a length: at each call that its last operation makes, and at its
/// end.
fn cases(length_max: usize) -> (Vec<Case>, Counted) {
    let mut calls: HashMap<Word, usize> = HashMap::new();
    let (mut cases, mut counted) = (Vec::new(), Counted::default());
    for length in 0..=length_max {
        let words = words(length);
        let made = for_all(&words, dry_run);
        for (word, made) in words.into_iter().zip(made) {
            let before = word.split_last().map_or(0, |(_, shorter)| calls[shorter]);
            assert!(before <= made, "{word:?} makes fewer calls than without its last operation");
            calls.insert(word.clone(), made);
            for at in before..=made {
                let points = points(at, made).into_iter();
                cases.extend(points.map(|point| Case { word: word.clone(), points: vec![point] }));
            }
            counted.words += 1;
            counted.calls += made + 1 - before;
        }
    }
    counted.cases = cases.len();
    (cases, counted)
}

/// The number of calls of a word's run without faults.
fn dry_run(tokio: &tokio::runtime::Runtime, word: &Word) -> usize {
    let case = Case { word: word.clone(), points: Vec::new() };
    let mut run = Run::on_medium(&case);
    tokio.block_on(async {
        let done = tokio::time::timeout(CASE_MAX, run.all(word)).await;
        assert!(matches!(done, Ok(Ok(()))), "{case} without a crash: {done:?}");
        let calls = run.disk.calls();
        run.crash(Unsynced::Dropped).await;
        calls
    })
}

/// The ways in which the power can go at the call with index `at` of `calls`, or at the end.
fn points(at: usize, calls: usize) -> Vec<Point> {
    let (at, moments) = match at {
        at if at < calls => (At::Call(at as u64 + 1), &[Moment::Before, Moment::After][..]),
        _ => (At::End, &[Moment::Before][..]),
    };
    let crashes = moments.iter().flat_map(|moment| {
        let all = [Unsynced::Dropped, Unsynced::Kept, Unsynced::Drawn];
        all.map(|unsynced| Crash { moment: *moment, unsynced })
    });
    crashes.map(|crash| Point { at, crash }).collect()
}
