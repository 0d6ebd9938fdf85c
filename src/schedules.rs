//! Explores schedules of the hand-made synchronization. The tests run the unchanged sources on the
//! locks and atomics of shuttle, which may switch threads at each of their operations and reports a
//! deadlock when every thread waits. Tests only; `CONTRIBUTING.md` has the command.
//!
//! # Source
//! Randomized exploration of schedules: `check_random` chooses each thread at random; `check_pct`
//! is the PCT scheduler of Burckhardt, Kothari, Musuvathi and Nagarakatte, *A Randomized Scheduler
//! with Probabilistic Guarantees of Finding Bugs*, ASPLOS 2010.

mod queries;

use std::sync::Arc;

use relive_replay::{Actor, Halt, HaltReason, Kind, KindBuilder, Tape, restore};
use relive_storage::record::Sender;
use relive_storage::{ActorId, Lsn, Name, Rsn, StoreError, StoreId};
use serde::{Deserialize, Serialize};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use crate::actor::activation::Activation;
use crate::actor::cell::{ActorCell, Wake};
use crate::actor::envelope::Waiter;
use crate::actor::mailbox::{Batch, Mail};
use crate::backpressure::{Backpressure, Unlogged};
use crate::error::FailureCause;
use crate::lifecycle::{Lifecycle, TurnGuard};
use crate::limits::MAILBOX_PLACES_MAX;
use crate::log::budget::{LogBudget, RetainedRange};
use crate::log::watermark::Watermark;
use crate::retention::passive_pins::PassivePins;
use crate::retention::pin_index::PinIndex;
use crate::stop_signal::StopSignal;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many schedules of each test each of the two schedulers explores.
const SCHEDULES: usize = 2_000;

/// The depth of the bugs that the second scheduler looks for: it lowers the priority of the running
/// thread at up to `CHANGES - 1` points of a schedule.
const CHANGES: usize = 3;

fn explore(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    shuttle::check_random(move || test(), SCHEDULES);
    shuttle::check_pct(move || again(), SCHEDULES, CHANGES);
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    // Starts all threads before it waits for the first.
    let threads: Vec<_> = threads.into_iter().collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[derive(Serialize, Deserialize)]
struct Account;

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_: &str) -> Self {
        Self
    }
}

fn kind() -> Arc<dyn Kind> {
    KindBuilder::<Account>::new().build().unwrap()
}

fn cell(kind: &Arc<dyn Kind>) -> Arc<ActorCell> {
    let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
    let backpressure = Backpressure::none();
    let id = ActorId::new("account", "alice").unwrap();
    Arc::new(ActorCell::new(id, Arc::clone(kind), pin_index, backpressure))
}

fn push(cell: &Arc<ActorCell>) -> (u64, Wake) {
    let (sender, message, waiter) = (Sender::Outside, Name::from_static("credit"), Waiter::Nobody);
    let taken = cell.places.try_take(1);
    cell.push(Mail { sender, message, payload: b"5", waiter, taken }, 0).unwrap()
}

/// Has a message begin a turn of a cell at rest, and returns the cell for the thread that runs it.
fn begun(cell: &Arc<ActorCell>) -> Arc<ActorCell> {
    let (_, Wake::Start(start)) = push(cell) else { panic!("nobody runs it") };
    start.take().0
}

/// A turn that only counts the messages that it takes.
fn turn(cell: &ActorCell, active: Option<Box<Activation>>, runs: &AtomicBool, handled: &AtomicUsize) {
    let mut active = active.unwrap_or_else(|| {
        let mut tape = Tape::after(Rsn::NONE);
        let restored = restore(&cell.kind, &cell.id, StoreId::new(1), None, &mut tape, None).unwrap();
        Box::new(Activation::new(restored, tape).unwrap())
    });
    loop {
        assert!(!runs.swap(true, Ordering::SeqCst), "two turns run one actor");
        queries::answer_waiting(cell, active.instance.view());
        handled.fetch_add(take(cell), Ordering::SeqCst);
        runs.store(false, Ordering::SeqCst);
        match cell.rest(active) {
            Some(has_work) => active = has_work,
            None => return,
        }
    }
}

fn fail(cell: &ActorCell) {
    let reason = HaltReason::Unwound { panic: String::new() };
    drop(cell.fail(FailureCause::Unwound, Halt::new(cell.id.clone(), Rsn::NONE, reason), 1));
}

fn take(cell: &ActorCell) -> usize {
    let mut mail = Batch::default();
    drop(cell.take_mail(&mut mail, 0));
    let taken = mail.len();
    cell.logged(taken as u64);
    taken
}

#[test]
fn no_message_is_lost_and_no_two_turns_run_one_actor() {
    let kind = kind();
    explore(move || {
        let cell = cell(&kind);
        let (runs, handled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let sender = || {
            let (cell, runs, handled) = (Arc::clone(&cell), Arc::clone(&runs), Arc::clone(&handled));
            thread::spawn(move || {
                for _ in 0..2 {
                    if let (_, Wake::Start(start)) = push(&cell) {
                        let (cell, active) = start.take();
                        turn(&cell, active, &runs, &handled);
                    }
                }
            })
        };
        join([sender(), sender(), sender()]);
        assert_eq!((handled.load(Ordering::SeqCst), cell.waiting()), (6, 0));
        assert_eq!(cell.places.free(), MAILBOX_PLACES_MAX);
        assert!(cell.with_idle(|_, _| ()).is_some());
    });
}

#[test]
fn a_turn_that_waits_for_news_hears_of_them() {
    let kind = kind();
    explore(move || {
        let cell = cell(&kind);
        let running = begun(&cell);
        let waits = thread::spawn(move || {
            let mut handled = 0;
            while handled < 3 {
                block_on(running.news());
                handled += take(&running);
            }
        });
        for _ in 0..2 {
            assert!(matches!(push(&cell).1, Wake::Running));
        }
        join([waits]);
    });
}

#[test]
fn who_waits_for_a_message_to_be_logged_hears_of_it_or_of_the_failure() {
    let kind = kind();
    explore(move || {
        let cell = cell(&kind);
        let wait = |number| {
            let cell = Arc::clone(&cell);
            thread::spawn(move || block_on(cell.wait_logged(number)).is_ok())
        };
        let (first, second) = (wait(1), wait(2));
        let turn = Arc::clone(&cell);
        let turn = thread::spawn(move || {
            turn.logged(1);
            fail(&turn);
        });
        block_on(cell.wait_failure());
        assert!(first.join().unwrap());
        assert!(!second.join().unwrap());
        join([turn]);
    });
}

#[test]
fn who_waits_for_the_log_to_be_stable_is_told() {
    explore(|| {
        let watermark = Arc::new(Watermark::new(Lsn::new(1)));
        let wait = |end| {
            let watermark = Arc::clone(&watermark);
            thread::spawn(move || block_on(watermark.reached(Lsn::new(end))).is_ok())
        };
        let waiting = [wait(2), wait(3), wait(4)];
        watermark.rise(Lsn::new(2));
        watermark.rise(Lsn::new(3));
        watermark.end(&Arc::new(StoreError::Poisoned { reason: "of a test".to_owned() }));
        assert_eq!(join(waiting), [true, true, false]);
    });
}

fn log_over_budget() -> Arc<LogBudget> {
    let (start, next) = (Lsn::new(1), Lsn::new(1));
    let (steps, total, step_bytes, budget, may_grow) = (Default::default(), 0, 10, 10, false);
    let log_budget =
        LogBudget::new(RetainedRange { start, next, steps, total, step_bytes, budget, may_grow });
    log_budget.keep(Lsn::new(2), 20);
    log_budget.keep(Lsn::new(3), 1);
    Arc::new(log_budget)
}

#[test]
fn no_sender_waits_for_a_log_that_is_within_its_budget() {
    explore(|| {
        let log_budget = log_over_budget();
        let wait = || {
            let log_budget = Arc::clone(&log_budget);
            thread::spawn(move || block_on(log_budget.backpressure().not_held_back()))
        };
        let waiting = [wait(), wait()];
        log_budget.was_cut(Lsn::new(2));
        join(waiting);
    });
}

#[test]
fn no_sender_waits_for_a_log_that_may_grow() {
    explore(|| {
        let log_budget = log_over_budget();
        let wait = || {
            let log_budget = Arc::clone(&log_budget);
            thread::spawn(move || block_on(log_budget.backpressure().not_held_back()))
        };
        let waiting = [wait(), wait()];
        // The log is cut, grows over its budget again, and then may go on growing.
        log_budget.was_cut(Lsn::new(2));
        log_budget.keep(Lsn::new(4), 20);
        log_budget.let_grow();
        join(waiting);
    });
}

#[test]
fn no_sender_waits_for_messages_that_are_in_the_log() {
    explore(|| {
        let backpressure = Arc::new(Backpressure::new(10));
        let accepted = [6, 6].map(|bytes| {
            let mut unlogged = Unlogged::default();
            unlogged.add(&backpressure, bytes);
            unlogged
        });
        let wait = || {
            let backpressure = Arc::clone(&backpressure);
            thread::spawn(move || block_on(backpressure.not_held_back()))
        };
        let waiting = [wait(), wait()];
        let logged = accepted.map(|unlogged| thread::spawn(move || drop(unlogged)));
        let more = Arc::clone(&backpressure);
        let more = thread::spawn(move || {
            let mut unlogged = Unlogged::default();
            unlogged.add(&more, 9);
        });
        join(waiting);
        join(logged);
        join([more]);
    });
}

#[test]
fn who_cuts_the_log_hears_that_it_has_grown() {
    explore(|| {
        let log_budget = log_over_budget();
        block_on(log_budget.grown());
        let grows = Arc::clone(&log_budget);
        let grows = thread::spawn(move || grows.loosened());
        block_on(log_budget.grown());
        join([grows]);
    });
}

#[test]
fn who_waits_for_quiet_hears_of_the_end_of_the_last_turn() {
    explore(|| {
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(StopSignal::new())));
        let turns = [TurnGuard::begin(&lifecycle), TurnGuard::begin(&lifecycle)];
        let wait = || {
            let lifecycle = Arc::clone(&lifecycle);
            thread::spawn(move || block_on(lifecycle.quiet()))
        };
        let waiting = [wait(), wait()];
        let turns = turns.map(|turn| {
            thread::spawn(move || {
                // A turn that sends a message starts another turn.
                let next = TurnGuard::begin(turn.within());
                drop(turn);
                drop(next);
            })
        });
        join(turns);
        join(waiting);
    });
}
