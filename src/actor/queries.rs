//! The queries that wait for one actor. Knows no type of query, no cell and no turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use relive_replay::Process;
use relive_storage::Name;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ActorFailure, Unavailable};
use crate::limits::QUERIES_WAITING_MAX;

/// A query of any type, with the caller that waits for its answer.
pub(crate) trait AnyQuery: Send {
    /// The name of the query type.
    fn name(&self) -> Name;

    /// Whether the answer goes into the log, behind all that the state depends on. Others wait
    /// until the log has that on stable storage.
    fn is_recorded(&self) -> bool {
        false
    }

    /// Answers it from this state, unless nobody waits any more.
    fn answer(self: Box<Self>, process: &Process);

    /// Tells the caller why no answer comes.
    fn refuse(self: Box<Self>, reason: Unavailable);
}

/// A query that waits, with its place among the waiting ones.
pub(crate) struct WaitingQuery {
    pub(crate) query: Box<dyn AnyQuery>,
    /// Its drop wakes another caller, so never under the lock of the cell.
    pub(crate) place: OwnedSemaphorePermit,
}

/// The queries that wait for one actor. Most actors have none, so their cells have no such part.
#[derive(Default)]
pub(super) struct Queries {
    waiting: VecDeque<WaitingQuery>,
    places: Option<Arc<Semaphore>>,
    /// The turn of the actor, while it waits for something that is no part of a delivery.
    turn: Option<Waker>,
    /// The maintenance found the actor busy with queries, and wants to know whether a checkpoint is
    /// due.
    look: bool,
}

impl Queries {
    /// Whether a turn has anything to do here.
    pub(super) fn has_any(&self) -> bool {
        !self.waiting.is_empty() || self.look
    }

    /// Whether a caller has a place, or waits for one.
    pub(super) fn is_awaited(&self) -> bool {
        self.places.as_ref().is_some_and(|places| Arc::strong_count(places) > 1)
    }

    /// The places for queries that wait.
    pub(super) fn places(&mut self) -> Arc<Semaphore> {
        Arc::clone(self.places.get_or_insert_with(|| Arc::new(Semaphore::new(QUERIES_WAITING_MAX))))
    }

    /// Adds a query behind the others. Returns the turn that waits for it, for the caller to wake
    /// without the lock of the cell: a waker runs foreign code.
    ///
    /// # Panics
    /// When more wait than there are places.
    pub(super) fn push(&mut self, query: Box<dyn AnyQuery>, place: OwnedSemaphorePermit) -> Option<Waker> {
        self.waiting.push_back(WaitingQuery { query, place });
        assert!(self.waiting.len() <= QUERIES_WAITING_MAX, "each query that waits has a place");
        self.turn.take()
    }

    /// Takes the query that has waited longest.
    pub(super) fn pop(&mut self) -> Option<WaitingQuery> {
        self.waiting.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Has the next query wake this turn. Returns a waker that is not needed any more, to be
    /// dropped without the lock of the cell.
    pub(super) fn wake_next(&mut self, turn: &Waker) -> Option<Waker> {
        if self.turn.as_ref().is_some_and(|before| before.will_wake(turn)) {
            return None;
        }
        self.turn.replace(turn.clone())
    }

    /// The maintenance wants a look.
    pub(super) fn look_later(&mut self) {
        self.look = true;
    }

    /// Whether the maintenance wanted a look.
    pub(super) fn take_look(&mut self) -> bool {
        std::mem::take(&mut self.look)
    }

    /// Tells the callers of all that wait that their actor has failed.
    pub(super) fn refuse(&mut self, failure: &Arc<ActorFailure>) {
        for waiting in std::mem::take(&mut self.waiting) {
            waiting.query.refuse(Unavailable::Actor(Arc::clone(failure)));
        }
    }
}
