//! Lends an actor at rest to a query, and lets queries wait for an actor that does not rest. Knows
//! no type of query, and no turn.

use crate::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::Waker;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::actor::activation::Activation;
use crate::actor::cell::{ActorCell, Inner, Start, Wake};
use crate::actor::phase::Phase;
use crate::actor::queries::{AnyQuery, WaitingQuery};
use crate::error::{Ended, Unavailable};

/// What a lent actor does after a query.
pub(crate) enum TakenBack {
    /// Nothing: it rests.
    Rests,
    /// It has something to do: start a turn.
    Works(Start),
    /// It answers the next query that waits; it is still lent.
    Asked(Box<Activation>, WaitingQuery),
}

/// What waits for an actor beside its mail.
pub(crate) struct Asked {
    pub(crate) queries: usize,
    /// The maintenance wants to know whether a checkpoint is due.
    pub(crate) look: bool,
}

impl ActorCell {
    /// Lends an actor at rest to a query, until [`ActorCell::take_back`]. `None` when it does not
    /// rest, is not in memory, or may not answer yet. `is_open` says whether the runtime takes
    /// queries.
    pub(crate) fn lend(
        &self,
        now: u64,
        is_open: impl FnOnce() -> Result<(), Ended>,
    ) -> Result<Option<Box<Activation>>, Unavailable> {
        let mut inner = self.inner();
        // Under the lock: a shutdown that has closed the runtime and then looks at the cell finds
        // each query that was let in.
        is_open()?;
        match std::mem::replace(&mut inner.phase, Phase::Lent) {
            Phase::Idle(active) if active.may_answer() => {
                inner.last_active = now;
                Ok(Some(active))
            }
            other => {
                let failure = other.failure();
                inner.phase = other;
                failure.map_or(Ok(None), |failure| Err(Unavailable::Actor(failure)))
            }
        }
    }

    /// Takes a lent actor back after a query. `is_due` says whether it is to take a checkpoint.
    ///
    /// # Panics
    /// When it is not lent.
    pub(crate) fn take_back(
        self: &Arc<Self>,
        active: Box<Activation>,
        is_due: impl FnOnce(&Activation) -> bool,
    ) -> TakenBack {
        let mut inner = self.inner();
        inner.assert_lent();
        if inner.queries.as_mut().is_some_and(|queries| queries.take_look()) && is_due(&active) {
            inner.checkpoint.get_or_insert_default();
        }
        // Before the queries: a turn answers them too, and they must not keep messages waiting.
        if inner.has_work() {
            inner.phase = Phase::Running;
            return TakenBack::Works(Start::new(self, active));
        }
        match self.pop(&mut inner) {
            Some(query) => TakenBack::Asked(active, query),
            None => {
                inner.phase = Phase::Idle(active);
                TakenBack::Rests
            }
        }
    }

    /// Hands a lent actor to a turn, which answers the queries that wait.
    pub(crate) fn hand_over(self: &Arc<Self>, active: Box<Activation>) -> Start {
        let mut inner = self.inner();
        inner.assert_lent();
        inner.phase = Phase::Running;
        Start::new(self, active)
    }

    /// The places for queries that wait.
    pub(crate) fn query_places(&self) -> Arc<Semaphore> {
        self.inner().queries.get_or_insert_default().places()
    }

    /// Lets a query wait for its turn.
    pub(crate) fn ask(
        self: &Arc<Self>,
        query: Box<dyn AnyQuery>,
        place: OwnedSemaphorePermit,
        now: u64,
        is_open: impl FnOnce() -> Result<(), Ended>,
    ) -> Result<Wake, Unavailable> {
        let mut inner = self.inner();
        is_open()?;
        // Under the lock, as for a message: `fail` refuses what it finds here.
        if let Some(failure) = inner.phase.failure() {
            return Err(Unavailable::Actor(failure));
        }
        inner.last_active = now;
        let turn = inner.queries.get_or_insert_default().push(query, place);
        self.queried.store(true, Ordering::Relaxed);
        let wake = inner.wake(self);
        drop(inner);
        // Without the lock: a waker runs foreign code.
        if let Some(turn) = turn {
            turn.wake();
        }
        Ok(wake)
    }

    /// Whether anything waits that [`ActorCell::asked`] counts. Each delivery looks here, so it is
    /// one load.
    pub(crate) fn is_queried(&self) -> bool {
        // `Relaxed`: a turn that misses it looks again, under the lock, before it rests.
        self.queried.load(Ordering::Relaxed)
    }

    /// What waits now, for a turn between two deliveries.
    pub(crate) fn asked(&self) -> Asked {
        let mut inner = self.inner();
        let asked = inner.queries.as_mut().map(|queries| (queries.len(), queries.take_look()));
        let (queries, look) = asked.unwrap_or_default();
        self.queried.store(queries > 0, Ordering::Relaxed);
        Asked { queries, look }
    }

    /// Takes the query that has waited longest.
    pub(crate) fn next_query(&self) -> Option<WaitingQuery> {
        self.pop(&mut self.inner())
    }

    /// As [`ActorCell::next_query`]; when there is none, the next one wakes the turn.
    pub(crate) fn next_query_or_wake(&self, turn: &Waker) -> Option<WaitingQuery> {
        let mut inner = self.inner();
        let next = self.pop(&mut inner);
        if next.is_none() {
            let before = inner.queries.get_or_insert_default().wake_next(turn);
            drop(inner);
            drop(before);
        }
        next
    }

    /// Whether a query waits; when there is none, the next one wakes the turn.
    pub(crate) fn waits_or_wakes(&self, turn: &Waker) -> bool {
        let mut inner = self.inner();
        let queries = inner.queries.get_or_insert_default();
        let waits = queries.len() > 0;
        let before = if waits { None } else { queries.wake_next(turn) };
        drop(inner);
        drop(before);
        waits
    }

    /// Has an actor that is busy with queries look whether a checkpoint is due. Others look when
    /// they are idle.
    pub(crate) fn look_later(&self) {
        let mut inner = self.inner();
        let is_lent = matches!(inner.phase, Phase::Lent);
        if is_lent || (matches!(inner.phase, Phase::Running) && inner.queries.is_some()) {
            inner.queries.get_or_insert_default().look_later();
            self.queried.store(true, Ordering::Relaxed);
        }
    }

    /// Refuses the queries that wait for a lent actor, because the runtime takes none any more.
    pub(crate) fn refuse_queries(&self, reason: &Unavailable) {
        while let Some(waiting) = self.next_query() {
            waiting.query.refuse(reason.clone());
        }
    }

    fn pop(&self, inner: &mut Inner) -> Option<WaitingQuery> {
        let queries = inner.queries.as_mut()?;
        let next = queries.pop();
        if !queries.has_any() {
            self.queried.store(false, Ordering::Relaxed);
        }
        next
    }
}
