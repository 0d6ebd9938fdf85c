//! Fault class 1: the power goes at every call that a small run makes of its store. The tests do
//! all runs of up to three operations over two actors. Each loses power at every call that its last
//! operation makes: before, in the middle of and after the call, with all, none and some of the
//! unsynced writes; and again at every call of the recovery. Only the part of the unsynced writes
//! that a crash leaves is random, drawn from a seed that depends on the case alone.
//!
//! A crash during an earlier operation equals the crash of a shorter run, which is among them: the
//! calls are a function of the operations, as a test checks. `medium` does the same at the calls of
//! a medium. The words in which actors ask, race and set timers are a set of their own, of ten
//! operations (`words::waiting_words`); their time is that of a clock which only the test moves.
//! The first actor that a run names is `a`: runs that differ only by names are left out.
//! `words::points` says which ways of losing the power are left out, because the device can't tell
//! them from others.
//!
//! ```sh
//! cargo test --test relive crash_points -- --nocapture
//! RELIVE_CRASH_POINT="tell:a,checkpoint:b,cut/17/torn/drawn" cargo test --test relive crash_points::one -- --nocapture
//! # A second loss of power at every call of the recovery, for all runs of up to two operations:
//! cargo test --test relive crash_points::recoveries_of_two -- --ignored --nocapture
//! ```

mod cases;
mod device;
mod expected;
mod medium;
mod outside;
mod run;
mod teeth;
mod words;

use std::time::Instant;

use cases::{
    Counted, all_waiting_words, all_words, cases_of, cases_of_recoveries, dry_run, one_thread, run_all,
    run_all_before_output, run_all_with_relapses, run_case,
};
use words::{Case, words};

/// Invariants: log-before-handle, no-orphan, prefix, one-step, exactly-once inside,
/// checkpoint-covers-log. The counts change with the calls that the runtime makes, and with nothing
/// else.
#[test]
fn every_call_of_every_small_run() {
    let began = Instant::now();
    let (cases, counted) = cases_of(&all_words(3));
    println!("{counted:?}");
    assert_eq!(counted, Counted { words: 1485, calls: 8669, cases: 28811 });
    run_all(&cases);
    println!("done in {:?}", began.elapsed());
}

/// Invariants: no-orphan, prefix, exactly-once inside, checkpoint-covers-log. The same runs of up
/// to two operations with actors that wait for their outputs alone.
#[test]
fn every_call_of_every_run_of_two_before_output() {
    let (cases, counted) = cases_of(&all_words(2));
    println!("{counted:?}");
    assert!(counted.cases > 1_000);
    run_all_before_output(&cases);
}

/// Invariants: one-step, exactly-once inside, prefix, no-orphan. All words of up to two operations
/// of asks in both directions, races of an ask against a sleep that either wins, a timer that is
/// set, replaced, taken away or due, a checkpoint, a cut and a reopening; and all words of three of
/// a race that the sleep wins, the timer's operations and a reopening.
#[test]
fn every_call_of_every_run_that_waits() {
    let began = Instant::now();
    let (cases, counted) = cases_of(&all_waiting_words(3));
    println!("{counted:?}");
    run_all(&cases);
    println!("done in {:?}", began.elapsed());
    assert_eq!(counted, Counted { words: 236, calls: 1423, cases: 4938 });
}

/// The same for actors that wait for their outputs alone, of up to two operations.
#[test]
fn every_call_of_every_run_of_two_that_waits_before_output() {
    let (cases, counted) = cases_of(&all_waiting_words(2));
    println!("{counted:?}");
    assert!(counted.cases > 1_000);
    run_all_before_output(&cases);
}

/// Class 27: after each crash of the runs of up to two operations code that can handle nothing
/// opens the store, twice, before the code that can: nothing that was acknowledged has changed, no
/// effect has another key, nothing is left out.
#[test]
fn class_27_code_that_can_do_nothing_in_between_changes_nothing() {
    let (cases, counted) = cases_of(&all_words(2));
    println!("{counted:?}");
    assert!(counted.cases > 1_000);
    run_all_with_relapses(&cases);
}

/// The recovery from each crash of the runs of up to one operation loses power too, at each of its
/// calls.
#[test]
fn recoveries_of_one() {
    recoveries(1, Counted { words: 148, calls: 3555, cases: 6657 });
}

/// The same for the runs of up to two operations, which takes minutes.
#[test]
#[ignore = "takes minutes"]
fn recoveries_of_two() {
    recoveries(2, Counted { words: 2001, calls: 60673, cases: 153752 });
}

/// Counts first losses of power as words.
fn recoveries(length_max: usize, expected: Counted) {
    let began = Instant::now();
    let (cases, _) = cases_of(&all_words(length_max));
    let (cases, counted) = cases_of_recoveries(&cases, length_max > 1);
    println!("{counted:?}");
    assert_eq!(counted, expected);
    run_all(&cases);
    println!("done in {:?}", began.elapsed());
}

/// One case by its text.
#[test]
fn one() {
    let Ok(text) = std::env::var("RELIVE_CRASH_POINT") else { return };
    let case: Case = text.parse().unwrap();
    for step in run_case(&one_thread(), &case).trace {
        println!("{step}");
    }
}

/// The same seed gives the same calls with the same outcomes, over the crash and the recovery too.
#[test]
fn the_same_case_makes_the_same_calls() {
    let tokio = one_thread();
    for word in words(2) {
        assert_eq!(dry_run(&tokio, &word), dry_run(&tokio, &word), "{word:?}");
    }
    let (cases, _) = cases_of(&all_words(2));
    for case in cases.iter().step_by(11) {
        assert_eq!(run_case(&tokio, case).trace, run_case(&tokio, case).trace, "{case}");
    }
}

#[test]
fn a_case_is_its_text() {
    let (cases, _) = cases_of(&all_words(1));
    let (longer, _) = cases_of_recoveries(&cases[..20], true);
    for case in cases.iter().chain(&longer) {
        assert_eq!(case.to_string().parse().as_ref(), Ok(case));
    }
}
