//! Lists the cases, and runs them on two threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use relive::Discipline;
use relive_storage::simulated_store::{Lie, Step, Unsynced};

use super::run::{End, Run};
use super::words::{At, Case, Point, Word, points, waiting_words, words};

/// Turns a hang into a failure.
pub(crate) const CASE_MAX: Duration = Duration::from_secs(30);
const THREADS: usize = 2;
/// The tests compare what comes back from longer runs, or for the second time, and do not go on
/// with it: these are most of the cases.
const GOES_ON_MAX: usize = 2;

/// Counts of the cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) words: usize,
    /// Calls, and the ends of runs.
    pub(crate) calls: usize,
    pub(crate) cases: usize,
}

/// A word, the calls of its run without faults, and how many of them come before its last
/// operation.
#[derive(Clone)]
pub(crate) struct Dry {
    word: Word,
    trace: Vec<Step>,
    before: usize,
}

/// What a case did.
pub(crate) struct Done {
    /// All calls.
    pub(crate) trace: Vec<Step>,
    /// How many calls the run had made at the first loss of power, and how many at the end of the
    /// recovery.
    pub(crate) crashed: usize,
    pub(crate) back: usize,
}

/// One tokio runtime with one thread.
pub(crate) fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Applies a function to each item, on threads of its own, and returns the results in the order of
/// the items.
pub(crate) fn for_all<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&tokio::runtime::Runtime, &T) -> R + Sync,
) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let tokio = one_thread();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let outcome = each(&tokio, item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The calls of a word's run without faults.
pub(crate) fn dry_run(tokio: &tokio::runtime::Runtime, word: &Word) -> Vec<Step> {
    let case = Case { word: word.clone(), points: Vec::new() };
    let mut run = Run::new(&case);
    tokio.block_on(async {
        let done = tokio::time::timeout(CASE_MAX, run.all(word)).await;
        assert!(matches!(done, Ok(Ok(()))), "{case} without a crash: {done:?}");
        let trace = run.disk.trace();
        run.crash(Unsynced::Dropped).await;
        trace
    })
}

/// All words up to a length.
pub(crate) fn all_words(length_max: usize) -> Vec<Dry> {
    dry_runs(length_max, words)
}

/// All words up to a length in which actors ask, race and set timers.
pub(crate) fn all_waiting_words(length_max: usize) -> Vec<Dry> {
    dry_runs(length_max, waiting_words)
}

fn dry_runs(length_max: usize, words: fn(usize) -> Vec<Word>) -> Vec<Dry> {
    let mut dry: Vec<Dry> = Vec::new();
    let mut calls: HashMap<Word, Vec<Step>> = HashMap::new();
    for length in 0..=length_max {
        let words = words(length);
        let traces = for_all(&words, dry_run);
        for (word, trace) in words.into_iter().zip(traces) {
            let before = word.split_last().map_or(0, |(_, shorter)| {
                let shorter = &calls[shorter];
                assert_eq!(
                    trace[..shorter.len()],
                    shorter[..],
                    "{word:?} begins otherwise than without its last operation"
                );
                shorter.len()
            });
            calls.insert(word.clone(), trace.clone());
            dry.push(Dry { word, trace, before });
        }
    }
    dry
}

/// Every case of some words.
pub(crate) fn cases_of(dry: &[Dry]) -> (Vec<Case>, Counted) {
    let mut counted = Counted { words: dry.len(), ..Counted::default() };
    let mut cases = Vec::new();
    for Dry { word, trace, before } in dry {
        for at in *before..=trace.len() {
            counted.calls += 1;
            let points = points(trace, at).into_iter();
            cases.extend(points.map(|point| Case { word: word.clone(), points: vec![point] }));
        }
    }
    counted.cases = cases.len();
    (cases, counted)
}

/// Every case that begins as one of these, and loses power again at a call of the recovery. Without
/// `at_all_reads` leaves out losses at a call that only reads and follows another such call: they
/// find the device as at the call before.
pub(crate) fn cases_of_recoveries(cases: &[Case], at_all_reads: bool) -> (Vec<Case>, Counted) {
    let done = for_all(cases, run_case);
    let mut counted = Counted { words: cases.len(), ..Counted::default() };
    let mut longer = Vec::new();
    for (case, Done { trace, crashed, back }) in cases.iter().zip(done) {
        // The loss of power itself leaves nothing unsynced.
        let mut trace = trace;
        if let Some(last) = crashed.checked_sub(1) {
            (trace[last].unsynced, trace[last].marks) = (0, 0);
        }
        for at in crashed..back {
            counted.calls += 1;
            let reads_on = at > crashed && !trace[at].call.writes() && !trace[at - 1].call.writes();
            if reads_on && !at_all_reads {
                continue;
            }
            let again = points(&trace, at).into_iter();
            let again = again.map(|point| [&case.points[..], &[point]].concat());
            longer.extend(again.map(|points| Case { word: case.word.clone(), points }));
        }
    }
    counted.cases = longer.len();
    (longer, counted)
}

/// Runs all cases.
///
/// # Panics
/// At the first case that breaks a promise, with the line that repeats it.
pub(crate) fn run_all(cases: &[Case]) {
    for_all(cases, |tokio, case| drop(run_case(tokio, case)));
}

/// Runs all cases, with openings in between by code that can handle nothing.
pub(crate) fn run_all_with_relapses(cases: &[Case]) {
    for_all(cases, |tokio, case| {
        let mut run = Run::new(case);
        run.relapses = true;
        if let Err(what) = judge_run(tokio, case, run) {
            panic!("{what}\n{case}, with relapses");
        }
    });
}

/// Runs all cases with actors that wait for their outputs alone.
pub(crate) fn run_all_before_output(cases: &[Case]) {
    for_all(cases, |tokio, case| {
        let mut run = Run::new(case);
        run.discipline = Discipline::BeforeOutput;
        if let Err(what) = judge_run(tokio, case, run) {
            panic!("{what}\n{case}, before output");
        }
    });
}

pub(crate) fn run_case(tokio: &tokio::runtime::Runtime, case: &Case) -> Done {
    match judge(tokio, case, None) {
        Ok(done) => done,
        Err(what) => panic!(
            "{what}\nRELIVE_CRASH_POINT=\"{case}\" cargo test --test relive crash_points::one -- --nocapture"
        ),
    }
}

/// Runs a case on a device that may lie, and names the broken promise, if any.
pub(crate) fn judge(tokio: &tokio::runtime::Runtime, case: &Case, lie: Option<Lie>) -> Result<Done, String> {
    let mut run = Run::new(case);
    run.lie = lie;
    judge_run(tokio, case, run)
}

pub(crate) fn judge_run(tokio: &tokio::runtime::Runtime, case: &Case, mut run: Run) -> Result<Done, String> {
    let outcome = tokio.block_on(async { tokio::time::timeout(CASE_MAX, go_through(&mut run, case)).await });
    let outcome = outcome.unwrap_or_else(|_| Err(format!("it took more than {CASE_MAX:?}")));
    let trace = run.disk.trace();
    match outcome {
        Ok(crashed) => Ok(Done { trace, crashed, back: run.back }),
        Err(what) => {
            let trace: Vec<_> = trace.iter().map(Step::to_string).collect();
            Err(format!("{what}\n{}", trace.join("\n")))
        }
    }
}

/// Runs the operations, loses power at the first point, recovers, and so on. Returns the number of
/// calls before the first loss.
async fn go_through(run: &mut Run, case: &Case) -> Result<usize, String> {
    let mut points = case.points.iter();
    let first = points.next();
    let ended = run.all(&case.word).await;
    // Under the other discipline the calls are others: the power goes at some call, or at the end.
    if run.discipline == Discipline::BeforeHandling || matches!(ended, Err(End::Broken(_))) {
        expect(ended, first.filter(|point| point.at != At::End))?;
    }
    run.crash(first.map_or(Unsynced::Dropped, |point| point.crash.unsynced)).await;
    let crashed = run.disk.calls();
    for point in points {
        expect(run.recover().await, Some(point))?;
        run.crash(Unsynced::Dropped).await;
    }
    if run.relapses {
        for _ in 0..2 {
            expect(run.relapse().await, None)?;
        }
    }
    expect(run.recover().await, None)?;
    if case.word.len() <= GOES_ON_MAX && case.points.len() == 1 {
        expect(run.go_on().await, None)?;
    }
    Ok(crashed)
}

/// Checks that the power goes at the planned point, and nowhere else.
fn expect(ended: Result<(), End>, point: Option<&Point>) -> Result<(), String> {
    match (ended, point) {
        (Err(End::Broken(what)), _) => Err(what),
        (Err(End::PowerLost), Some(_)) | (Ok(()), None) => Ok(()),
        (Ok(()), Some(point)) => Err(format!("the power did not go at {point:?}")),
        (Err(End::PowerLost), None) => Err("the power went where it was not planned".to_owned()),
    }
}
