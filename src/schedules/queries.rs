//! Queries against everything else that an actor may meet: messages, other queries, the end of its
//! turn, its failure, and the end of the runtime.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use relive_replay::{Instance, Process};
use relive_storage::Name;
use tokio::sync::oneshot;

use super::*;
use crate::actor::expected::{Came, ExpectedAnswer};
use crate::actor::lending::TakenBack;
use crate::actor::queries::{AnyQuery, WaitingQuery};
use crate::actor::wait_graph::{Others, WaitGraph};
use crate::error::Unavailable;

/// A query that tells its caller whether it was answered.
struct Question(oneshot::Sender<bool>);

impl AnyQuery for Question {
    fn name(&self) -> Name {
        "question".into()
    }

    fn answer(self: Box<Self>, _: &Process) {
        let _ = self.0.send(true);
    }

    fn refuse(self: Box<Self>, _: Unavailable) {
        let _ = self.0.send(false);
    }
}

pub(super) fn answer_waiting(cell: &ActorCell, process: &Process) {
    for _ in 0..cell.asked().queries {
        if let Some(WaitingQuery { query, place }) = cell.next_query() {
            query.answer(process);
            drop(place);
        }
    }
}

/// Lets a query wait, and returns what its caller waits for; `None` when it is refused at once.
fn ask(cell: &Arc<ActorCell>) -> Option<(oneshot::Receiver<bool>, Wake)> {
    let place = block_on(cell.query_places().acquire_owned()).unwrap();
    let (back, answered) = oneshot::channel();
    let wake = cell.ask(Box::new(Question(back)), place, 0, || Ok(())).ok()?;
    Some((answered, wake))
}

/// A query as its caller makes it: answers it on this thread when the actor rests, and the queries
/// that came meanwhile, then begins a turn when there is work. Returns whether it was answered.
fn query(cell: &Arc<ActorCell>, runs: &AtomicBool, handled: &AtomicUsize) -> bool {
    let Ok(lent) = cell.lend(0, || Ok(())) else { return false };
    let Some(mut active) = lent else {
        let Some((answered, wake)) = ask(cell) else { return false };
        if let Wake::Start(start) = wake {
            let (cell, active) = start.take();
            turn(&cell, active, runs, handled);
        }
        return block_on(answered).unwrap();
    };
    assert!(!runs.swap(true, Ordering::SeqCst), "a query has an actor that a turn runs");
    runs.store(false, Ordering::SeqCst);
    loop {
        match cell.take_back(active, |_| false) {
            TakenBack::Rests => return true,
            TakenBack::Works(start) => {
                let (cell, active) = start.take();
                turn(&cell, active, runs, handled);
                return true;
            }
            TakenBack::Asked(again, WaitingQuery { query, place }) => {
                query.answer(again.instance.view());
                drop(place);
                active = again;
            }
        }
    }
}

#[test]
fn every_query_is_answered_whatever_the_actor_does() {
    let kind = kind();
    explore(move || {
        let cell = cell(&kind);
        let (runs, handled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let sender = {
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
        let caller = || {
            let (cell, runs, handled) = (Arc::clone(&cell), Arc::clone(&runs), Arc::clone(&handled));
            thread::spawn(move || (0..2).all(|_| query(&cell, &runs, &handled)))
        };
        let callers = [caller(), caller()];
        let leaves = Arc::clone(&cell);
        let leaves = thread::spawn(move || {
            for _ in 0..2 {
                leaves.look_later();
                leaves.passivate(|_| true);
            }
        });
        assert_eq!(join(callers), [true, true]);
        join([sender, leaves]);
        assert_eq!((handled.load(Ordering::SeqCst), cell.waiting()), (2, 0));
        assert!(!cell.is_running());
        assert!(!cell.is_in_memory() || cell.with_idle(|_, _| ()).is_some(), "it was given back");
    });
}

#[test]
fn a_query_is_answered_or_hears_of_the_failure() {
    let kind = kind();
    explore(move || {
        let cell = cell(&kind);
        let running = begun(&cell);
        let caller = || {
            let cell = Arc::clone(&cell);
            thread::spawn(move || match cell.lend(0, || Ok(())) {
                Ok(Some(_)) => panic!("a turn runs it"),
                Ok(None) => ask(&cell).is_some_and(|(answered, _)| block_on(answered).unwrap()),
                Err(_) => false,
            })
        };
        let callers = [caller(), caller()];
        let turn = thread::spawn(move || {
            let instance = Instance::create(Arc::clone(&running.kind), running.id.clone(), StoreId::new(1));
            answer_waiting(&running, instance.view());
            fail(&running);
        });
        join(callers);
        join([turn]);
        assert!(cell.lend(0, || Ok(())).is_err());
    });
}

#[test]
fn a_turn_that_waits_for_the_disk_hears_of_queries() {
    let kind = kind();
    explore(move || {
        let cell = cell(&kind);
        let running = begun(&cell);
        let caller = || {
            let cell = Arc::clone(&cell);
            thread::spawn(move || ask(&cell).is_some_and(|(answered, _)| block_on(answered).unwrap()))
        };
        let callers = [caller(), caller()];
        let instance = Instance::create(Arc::clone(&running.kind), running.id.clone(), StoreId::new(1));
        for _ in 0..2 {
            let next = poll_fn(|task| match running.next_query_or_wake(task.waker()) {
                Some(waiting) => Poll::Ready(waiting),
                None => Poll::Pending,
            });
            block_on(next).query.answer(instance.view());
        }
        assert_eq!(join(callers), [true, true]);
    });
}

#[test]
fn who_has_closed_and_found_quiet_finds_no_turn_of_a_query() {
    explore(|| {
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(StopSignal::new())));
        let runs = Arc::new(AtomicUsize::new(0));
        let queries = [(); 2].map(|()| {
            let (lifecycle, runs) = (Arc::clone(&lifecycle), Arc::clone(&runs));
            thread::spawn(move || {
                let _turn = TurnGuard::begin(&lifecycle);
                if lifecycle.intake().is_ok() {
                    runs.fetch_add(1, Ordering::SeqCst);
                    runs.fetch_sub(1, Ordering::SeqCst);
                }
            })
        });
        lifecycle.close();
        block_on(lifecycle.quiet());
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        join(queries);
    });
}

/// Invariant: no handler waits for ever in a cycle. An answer that comes ends the wait for it, and
/// no later one: who closes the cycle of the later ones finds it, and nobody finds another.
#[test]
fn an_answer_ends_the_wait_for_it_alone() {
    explore(|| {
        let (graph, expected) = (Arc::new(WaitGraph::new()), Arc::new(ExpectedAnswer::new()));
        let waits = |graph: &WaitGraph, actor: &str, on: &str, waker: &Waker, news: &ExpectedAnswer| {
            let (actor, on) = (ActorId::new("account", actor).unwrap(), ActorId::new("account", on).unwrap());
            graph.waits(&actor, vec![on], Others::Nothing, waker, || news.has_come()).is_some()
        };
        let asks = {
            let (graph, expected) = (Arc::clone(&graph), Arc::clone(&expected));
            thread::spawn(move || {
                let mut found = false;
                let answered = poll_fn(|task| match expected.take_or_wake(task.waker()) {
                    Some(_) => Poll::Ready(()),
                    None => {
                        found |= waits(&graph, "a", "b", task.waker(), &expected);
                        Poll::Pending
                    }
                });
                block_on(answered);
                found.then(|| panic!("nobody waits for a"));
                // The next wait of the handler.
                waits(&graph, "a", "c", Waker::noop(), &ExpectedAnswer::new())
            })
        };
        let answers = {
            let (graph, asker) = (Arc::clone(&graph), ActorId::new("account", "a").unwrap());
            thread::spawn(move || {
                let handler = graph.news_for(&asker, || expected.bring(Came::Refused));
                handler.into_iter().for_each(Waker::wake);
                waits(&graph, "b", "a", Waker::noop(), &ExpectedAnswer::new())
            })
        };
        let closes = thread::spawn(move || waits(&graph, "c", "a", Waker::noop(), &ExpectedAnswer::new()));
        let found = join([asks, answers, closes]);
        assert!(!found[1] && found[0] != found[2], "one of a and c finds the cycle: {found:?}");
    });
}
