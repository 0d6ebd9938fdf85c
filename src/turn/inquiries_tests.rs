//! When a query of a handler is asked, what comes of it, and who hears of it when.

use std::task::Waker;

use relive_replay::payload::encode;
use relive_replay::{Actor, Query};

use super::*;
use crate::error::Ended;
use crate::limits::QUERIES_WAITING_MAX;
use crate::shared::testing::{Cents, Deposit, Desk, Till, account, desk, till};
use crate::turn::tests::{arrives, begin, memory_core};

/// The wait of a handler for the cents of an actor.
fn wait(index: u32, kind: &str, key: &str) -> Wait {
    let (from, payload) = (ActorId::new(kind, key).unwrap(), encode(&Cents).unwrap().into());
    let what = WaitFor::Answer { from, query: TypeId::of::<Cents>(), payload };
    Wait { index, what, name: Name::from_static(Cents::NAME) }
}

/// What has come, as text, with the index of the wait.
fn came(inquiries: &mut Inquiries, core: &Arc<Core>, waits: &[Wait]) -> Option<(u32, String)> {
    let (asker, mut task) = (account(core, "asker"), Context::from_waker(Waker::noop()));
    let happened = inquiries.poll((core, &asker.id), waits, &mut task)?;
    assert_eq!(happened.kind, EventKind::Answer);
    let text = match relive_replay::payload::decode(&happened.outcome).unwrap() {
        Answered::Answer(answer) => relive_replay::payload::decode::<i64>(&answer).unwrap().to_string(),
        Answered::Failure(failure) => failure.to_string(),
    };
    Some((happened.index, text))
}

/// Makes an actor rest in memory.
async fn rests(core: &Arc<Core>, cell: &Arc<ActorCell>) {
    let turn = begin(core, cell).await;
    assert!(cell.rest(turn.active).is_none());
}

/// All begin at once, each is told alone, and what nobody waits for any more is dropped.
#[tokio::test]
async fn each_query_comes_to_its_end_once() {
    let core = memory_core();
    for key in ["bob", "eve"] {
        rests(&core, &desk(&core, key)).await;
    }
    let waits = [wait(0, Desk::KIND, "bob"), wait(2, Desk::KIND, "eve"), wait(3, "nobody", "n")];
    let mut inquiries = Inquiries::default();
    assert_eq!(came(&mut inquiries, &core, &waits), Some((0, "0".to_owned())));
    let (index, failure) = came(&mut inquiries, &core, &waits[2..]).unwrap();
    assert!(index == 3 && failure.contains("\"nobody\" is not registered"), "{failure}");
    assert!(inquiries.0.is_empty(), "nobody waits for eve any more");
    let unanswered = came(&mut inquiries, &core, &[wait(4, "account", "a")]).unwrap().1;
    assert!(unanswered.contains("no answer is registered"), "{unanswered}");
}

/// A query that waits takes a place and gives it back, also when its handler has given it up. The
/// answer is news for who looks for a deadlock.
#[tokio::test]
async fn a_query_waits_for_a_turn() {
    let core = memory_core();
    let cell = desk(&core, "bob");
    let mut turn = begin(&core, &cell).await;
    let (mut kept, mut dropped) = (Inquiries::default(), Inquiries::default());
    let waits = [wait(0, Desk::KIND, "bob")];
    for inquiries in [&mut kept, &mut dropped] {
        assert_eq!(came(inquiries, &core, &waits), None);
    }
    assert_eq!(cell.query_places().available_permits(), QUERIES_WAITING_MAX - 2);
    assert_eq!(came(&mut dropped, &core, &[]), None);
    assert!(dropped.0.is_empty() && !kept.have_news());
    let asker = account(&core, "asker");
    let graph = core.actors.wait_graph();
    let registers = |news: bool| {
        let on = vec![cell.id.clone()];
        graph.waits(&asker.id, on, crate::actor::wait_graph::Others::Nothing, Waker::noop(), || news)
    };
    assert_eq!(registers(false), None);
    turn.answer_queries().await.ok().unwrap();
    assert!(kept.have_news());
    let on = vec![asker.id.clone()];
    let others = crate::actor::wait_graph::Others::Nothing;
    assert_eq!(graph.waits(&cell.id, on, others, Waker::noop(), || false), None, "the asker goes on");
    assert_eq!(came(&mut kept, &core, &waits), Some((0, "0".to_owned())));
    assert_eq!(cell.query_places().available_permits(), QUERIES_WAITING_MAX);
}

/// A runtime that closes refuses the queries of callers outside. A handler's query is asked again,
/// until the runtime has ended: that is no answer.
#[tokio::test]
async fn a_query_that_was_refused_is_asked_again() {
    let core = memory_core();
    let cell = desk(&core, "bob");
    let turn = begin(&core, &cell).await;
    let (waits, mut inquiries) = ([wait(0, Desk::KIND, "bob")], Inquiries::default());
    assert_eq!(came(&mut inquiries, &core, &waits), None);
    core.lifecycle.close();
    cell.refuse_queries(&Ended::Stopped.into());
    assert!(inquiries.have_news());
    assert_eq!(came(&mut inquiries, &core, &waits), None, "it waits anew");
    assert_eq!(cell.asked().queries, 1);
    cell.refuse_queries(&Ended::Stopped.into());
    assert!(cell.rest(turn.active).is_none());
    assert_eq!(came(&mut inquiries, &core, &waits), Some((0, "0".to_owned())));
    core.lifecycle.stop(Ended::Stopped);
    for _ in 0..2 {
        assert_eq!(came(&mut inquiries, &core, &waits), None);
    }
    assert!(!inquiries.have_news());
}

/// Invariant: no-orphan. The record of the answer stands behind all that its state depends on, so
/// it waits for no commit. An answer without a record does, though it comes first.
#[tokio::test]
async fn a_recorded_answer_does_not_wait_for_the_log() {
    struct Outside(Arc<ExpectedAnswer>);
    impl AnyQuery for Outside {
        fn name(&self) -> Name {
            "outside".into()
        }
        fn answer(self: Box<Self>, _: &Process) {
            drop(self.0.bring(Came::Refused));
        }
        fn refuse(self: Box<Self>, _: Unavailable) {}
    }
    let core = memory_core();
    let cell = till(&core, "bob");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Deposit(5));
    assert!(turn.round().await.is_ok_and(|more| more));
    let is_stable = |turn: &crate::turn::Turn<'_>| turn.active.appended <= core.services.committer.durable();
    assert!(!is_stable(&turn), "nobody wants it yet");
    let (waits, mut inquiries) = ([wait(0, Till::KIND, "bob")], Inquiries::default());
    assert_eq!(came(&mut inquiries, &core, &waits), None);
    turn.answer_queries().await.ok().unwrap();
    assert!(!is_stable(&turn), "the answer has the log commit nothing");
    assert_eq!(came(&mut inquiries, &core, &waits), Some((0, "5".to_owned())));
    let outside = Arc::new(ExpectedAnswer::new());
    let place = cell.query_places().try_acquire_owned().unwrap();
    drop(cell.ask(Box::new(Outside(Arc::clone(&outside))), place, 0, || Ok(())));
    turn.answer_queries().await.ok().unwrap();
    assert!(outside.has_come() && is_stable(&turn));
}
