//! When queries are answered in a turn, what they wait for, and who goes on when an actor comes
//! back from a query.

use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use relive_replay::{Instance, Owed, Restored, Tape};
use relive_storage::simulated_store::{Call, Fault, SimulatedDisk};
use relive_storage::{Name, Rsn};

use super::*;
use crate::actor::envelope::Waiter;
use crate::actor::probation::{Probation, ProbeMode};
use crate::limits::QUERIES_WAITING_MAX;
use crate::shared::testing::{Deposit, Desk, Fail, Till, core, desk, till};
use crate::turn::tests::{arrives, begin, memory_core, push};

/// Notes what the actor has handled and holds. Then asks as often again.
struct Noting {
    noted: Arc<Mutex<Vec<(u64, i64)>>>,
    again: Option<(Arc<ActorCell>, usize)>,
}

impl AnyQuery for Noting {
    fn name(&self) -> Name {
        "noting".into()
    }

    fn answer(self: Box<Self>, process: &Process) {
        let desk = process.state::<Desk>().map(|desk| desk.cents);
        let cents = desk.or_else(|| process.state::<Till>().map(|till| till.cents)).unwrap();
        self.noted.lock().unwrap().push((process.handled().get(), cents));
        if let Some((cell, times)) = self.again {
            drop(queue(&cell, &self.noted, times - 1));
        }
    }

    fn refuse(self: Box<Self>, _: Unavailable) {
        self.noted.lock().unwrap().push((0, i64::MIN));
    }
}

/// Lets a query wait that asks `again` times more when it is answered.
fn queue(cell: &Arc<ActorCell>, noted: &Arc<Mutex<Vec<(u64, i64)>>>, again: usize) -> Wake {
    let noted = Arc::clone(noted);
    let again = (again > 0).then(|| (Arc::clone(cell), again));
    let place = cell.query_places().try_acquire_owned().unwrap();
    cell.ask(Box::new(Noting { noted, again }), place, 0, || Ok(())).unwrap()
}

/// Takes in what is in the mailbox, and waits until it is durable.
async fn take_in(turn: &mut Turn<'_>) {
    drop(turn.cell.take_mail(&mut turn.mail, 0));
    let received = turn.receive().await.ok().unwrap();
    turn.wait_durable(received).await.ok().unwrap();
}

/// Before each delivery those queries are answered that wait. One that comes meanwhile waits for
/// the next delivery, so both make progress.
#[tokio::test]
async fn queries_and_deliveries_take_turns() {
    let core = memory_core();
    let cell = desk(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    (0..3).for_each(|_| arrives(&turn, &Deposit(5)));
    take_in(&mut turn).await;
    let noted = Arc::default();
    for _ in 0..2 {
        assert!(matches!(queue(&cell, &noted, 9), Wake::Running));
    }
    turn.handle_backlog(3).await.ok().unwrap();
    assert_eq!(*noted.lock().unwrap(), [(0, 0), (0, 0), (1, 5), (1, 5), (2, 10), (2, 10)]);
    // A turn does not rest while a query waits.
    let active = cell.rest(turn.active).expect("a query waits");
    let mut turn = Turn::new(&core, &cell, active);
    turn.answer_queries().await.ok().unwrap();
    assert_eq!(noted.lock().unwrap().len(), 8);
}

/// The parts of a turn beside its activation.
fn begin_again<'a>(core: &'a Arc<Core>, cell: &'a Arc<ActorCell>) -> Turn<'a> {
    let instance = Instance::create(Arc::clone(&cell.kind), cell.id.clone(), core.services.store.id());
    let (owed, released) = (Owed::default(), Vec::new());
    let restored = Restored { instance, owed, released, replayed: 0, unfinished: None };
    let active = Activation::new(restored, Tape::after(Rsn::NONE)).unwrap();
    Turn::new(core, cell, Box::new(active))
}

/// What an opening found may have been answered in an earlier life, so it comes before any answer.
#[tokio::test]
async fn nothing_is_shown_before_what_an_opening_found_is_handled() {
    let core = memory_core();
    let cell = desk(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    (0..2).for_each(|_| arrives(&turn, &Deposit(5)));
    take_in(&mut turn).await;
    turn.active.probation = Some(Probation::new(Rsn::new(2), ProbeMode::None).0);
    let noted = Arc::default();
    drop(queue(&cell, &noted, 0));
    {
        let mut never = pin!(std::future::pending::<()>());
        let mut waits = pin!(answering(Shown::of(&core, &cell, &mut turn.active), never.as_mut()));
        assert!(poll_fn(|task| Poll::Ready(waits.as_mut().poll(task).is_pending())).await);
    }
    turn.handle_backlog(2).await.ok().unwrap();
    turn.answer_queries().await.ok().unwrap();
    assert_eq!(*noted.lock().unwrap(), [(2, 10)]);
    // The same of an actor whose turn has not begun.
    let again = desk(&core, "bob");
    let mut found = begin_again(&core, &again).active;
    found.probation = Some(Probation::new(Rsn::new(1), ProbeMode::None).0);
    again.install(found);
    assert!(lend(&core, &again, Asker::Outside).ok().unwrap().is_none());
}

/// Invariant: no-orphan. An actor that waits for its outputs alone shows nothing that the log may
/// lose.
#[tokio::test]
async fn an_answer_waits_for_what_its_state_depends_on() {
    let core = memory_core();
    let cell = till(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Deposit(5));
    assert!(turn.round().await.is_ok_and(|more| more));
    assert_eq!(turn.active.instance.handled(), Rsn::new(1));
    assert!(core.services.committer.durable() < turn.active.appended, "nobody wants it yet");
    let noted = Arc::default();
    drop(queue(&cell, &noted, 0));
    {
        let shown = Shown::of(&core, &cell, &mut turn.active);
        let mut never = pin!(std::future::pending::<()>());
        let mut waits = pin!(answering(shown, never.as_mut()));
        assert!(poll_fn(|task| Poll::Ready(waits.as_mut().poll(task).is_pending())).await);
    }
    assert_eq!(*noted.lock().unwrap(), []);
    turn.answer_queries().await.ok().unwrap();
    assert_eq!(*noted.lock().unwrap(), [(1, 5)]);
    assert!(turn.active.appended <= core.services.committer.durable());
}

/// A query has the log commit what its answer depends on, though no output is wanted. After that
/// the actor rests, and answers at once.
#[tokio::test]
async fn a_turn_that_waits_for_the_log_hears_of_queries() {
    let core = memory_core();
    let cell = till(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Deposit(5));
    assert!(turn.round().await.is_ok_and(|more| more));
    let noted = Arc::default();
    {
        let mut round = pin!(turn.round());
        assert!(poll_fn(|task| Poll::Ready(round.as_mut().poll(task).is_pending())).await);
        drop(queue(&cell, &noted, 0));
        let next = poll_fn(|task| Poll::Ready(round.as_mut().poll(task))).await;
        assert!(matches!(next, Poll::Ready(Ok(true))));
    }
    while turn.round().await.ok().unwrap() {}
    assert_eq!(*noted.lock().unwrap(), [(1, 5)]);
    assert!(cell.rest(turn.active).is_none());
    let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
    assert_eq!(lent.answer("cents", |process| process.state::<Till>().map(|till| till.cents)), Some(5));
}

/// A handler that halts leaves a state in the middle of its delivery. The round ends without a wait
/// for the disk, in which queries would be answered from that state.
#[tokio::test]
async fn nothing_is_shown_of_a_delivery_that_halts() {
    let disk = SimulatedDisk::new(1);
    let core = core(Arc::new(disk.open()));
    let cell = desk(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Fail);
    take_in(&mut turn).await;
    arrives(&turn, &Deposit(5));
    let noted = Arc::default();
    drop(queue(&cell, &noted, 2));
    disk.plan_next(Fault::Hang, Call::Sync);
    let round = pin!(turn.round()).poll(&mut Context::from_waker(Waker::noop()));
    disk.release();
    let shown = noted.lock().unwrap().clone();
    assert!(matches!(round, Poll::Ready(Err(TurnError::Halted(_)))));
    assert_eq!(shown, [(0, 0), (0, 0)], "the third waits for the restart");
}

/// Makes the actor rest in memory.
async fn rests(core: &Arc<Core>, cell: &Arc<ActorCell>) {
    let turn = begin(core, cell).await;
    assert!(cell.rest(turn.active).is_none());
}

/// An actor that comes back from a query answers those that came meanwhile, and rests. With a
/// message it is handed to a turn first of all.
#[tokio::test]
async fn an_actor_goes_on_with_what_came_during_a_query() {
    let core = memory_core();
    let cell = desk(&core, "alice");
    rests(&core, &cell).await;
    let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
    assert!(lend(&core, &cell, Asker::Outside).ok().unwrap().is_none(), "one query has it at a time");
    let noted = Arc::default();
    for _ in 0..3 {
        assert!(matches!(queue(&cell, &noted, 0), Wake::Running));
    }
    drop(lent);
    assert_eq!(*noted.lock().unwrap(), [(0, 0); 3]);
    assert!(cell.with_idle(|_, _| ()).is_some(), "no turn was needed");

    let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
    assert!(matches!(push(&cell, &Deposit(5), Waiter::Nobody), Wake::Running));
    drop(queue(&cell, &noted, 0));
    drop(lent);
    assert_eq!(noted.lock().unwrap().len(), 3, "messages come first");
    assert!(cell.is_running());
    core.lifecycle.quiet().await;
    assert_eq!(noted.lock().unwrap().len(), 4);
    assert_eq!(cell.with_idle(|active, _| active.instance.handled()), Some(Rsn::new(1)));
}

/// A caller does not answer for others without end: a turn takes over, unless the runtime closes.
#[tokio::test]
async fn many_queries_are_answered_by_a_turn() {
    let core = memory_core();
    let cell = desk(&core, "alice");
    for closes in [false, true] {
        rests(&core, &cell).await;
        let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
        let noted = Arc::default();
        (0..QUERIES_WAITING_MAX).for_each(|_| drop(queue(&cell, &noted, 0)));
        assert!(cell.query_places().try_acquire_owned().is_err());
        if closes {
            core.lifecycle.close();
        }
        drop(lent);
        let answered = noted.lock().unwrap().clone();
        if closes {
            assert_eq!(answered[..QUERIES_LENT_MAX], [(0, 0); QUERIES_LENT_MAX]);
            assert_eq!(answered[QUERIES_LENT_MAX..], [(0, i64::MIN); QUERIES_WAITING_MAX - QUERIES_LENT_MAX]);
            assert!(cell.with_idle(|_, _| ()).is_some(), "a shutdown has not waited for a turn");
            assert!(lend(&core, &cell, Asker::Outside).is_err(), "and nothing is let in");
        } else {
            assert_eq!(answered, [(0, 0); QUERIES_LENT_MAX]);
            core.lifecycle.quiet().await;
            assert_eq!(*noted.lock().unwrap(), [(0, 0); QUERIES_WAITING_MAX]);
        }
        assert_eq!(cell.query_places().available_permits(), QUERIES_WAITING_MAX, "all places are back");
    }
}

/// An actor leaves memory without the queries' part of its cell, and not while a query has it.
#[tokio::test]
async fn a_lent_actor_stays_in_memory() {
    let core = memory_core();
    let cell = desk(&core, "alice");
    rests(&core, &cell).await;
    let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
    assert!(cell.is_in_memory() && !cell.is_running());
    assert!(!cell.passivate(|_| true));
    cell.look_later();
    drop(lent);
    assert!(cell.passivate(|_| true));
    assert!(lend(&core, &cell, Asker::Outside).ok().unwrap().is_none(), "it is passive");
}

/// A checkpoint that is asked for while a query has the actor is taken after the query.
#[tokio::test]
async fn a_lent_actor_takes_its_checkpoint_afterwards() {
    let core = memory_core();
    let cell = desk(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    arrives(&turn, &Deposit(5));
    take_in(&mut turn).await;
    turn.handle_backlog(1).await.ok().unwrap();
    assert!(cell.rest(turn.active).is_none());
    let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
    let (waiter, outcome) = tokio::sync::oneshot::channel();
    assert!(matches!(cell.request_checkpoint(Some(waiter)), Some(Wake::Running)));
    drop(lent);
    assert_eq!(outcome.await.unwrap().unwrap(), Rsn::new(1));
}

/// A query that is answered badly, or a caller that can't be told, harms no actor.
#[tokio::test]
async fn a_panic_beside_the_answer_stays_out_of_the_turn() {
    struct Unwinds;
    impl AnyQuery for Unwinds {
        fn name(&self) -> Name {
            "unwinds".into()
        }
        fn answer(self: Box<Self>, _: &Process) {
            panic!("told to");
        }
        fn refuse(self: Box<Self>, _: Unavailable) {}
    }
    let core = memory_core();
    let cell = desk(&core, "alice");
    let mut turn = begin(&core, &cell).await;
    let ask = |cell: &Arc<ActorCell>| {
        let place = cell.query_places().try_acquire_owned().unwrap();
        drop(cell.ask(Box::new(Unwinds), place, 0, || Ok(())));
    };
    ask(&cell);
    turn.answer_queries().await.ok().unwrap();
    assert!(cell.rest(turn.active).is_none());
    let lent = lend(&core, &cell, Asker::Outside).ok().unwrap().expect("it rests");
    ask(&cell);
    drop(lent);
    assert!(cell.with_idle(|_, _| ()).is_some());
    assert_eq!(cell.query_places().available_permits(), QUERIES_WAITING_MAX);
}
