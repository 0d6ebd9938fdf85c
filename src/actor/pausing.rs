//! A cell whose handler waits, and whose turn is to pause meanwhile. Knows no log.

use std::task::Waker;

use relive_storage::Lsn;
use relive_storage::record::Delivery;

use crate::actor::cell::ActorCell;
use crate::actor::pause::{Pause, PauseRequest, Pausing};
use crate::actor::phase::{HandlerWait, WaitingHandler};
use crate::sync::atomic::Ordering;

impl ActorCell {
    /// The handler of a delivery begins to wait for something outside. It waits until the caller
    /// drops the result.
    pub(crate) fn begin_wait(&self, delivery: &Delivery) -> impl Drop + '_ {
        struct Waits<'s>(&'s ActorCell);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.waits.fetch_add(1, Ordering::Relaxed);
                let waiting = self.0.inner().waiting.take();
                // Without the lock: it holds wakers.
                drop(waiting);
            }
        }
        let before = self.waits.fetch_add(1, Ordering::Relaxed);
        assert!(before.is_multiple_of(2), "the one handler of {} begins to wait twice", self.id);
        let (wait, pausing) = (HandlerWait::in_delivery(delivery), Pausing::default());
        self.inner().waiting = Some(Box::new(WaitingHandler { wait, pausing }));
        Waits(self)
    }

    /// The delivery in which the handler waits, if it does, and how many messages wait meanwhile in
    /// the mailbox.
    pub(crate) fn handler_wait(&self) -> Option<(HandlerWait, usize)> {
        let inner = self.inner();
        inner.waiting.as_ref().map(|waiting| (waiting.wait.clone(), inner.mail.len()))
    }

    /// Asks the turn to pause; `None` when no handler waits.
    pub(crate) fn request_pause(&self) -> Option<Pause> {
        let (pause, request) = Pause::new();
        let turn = {
            let mut inner = self.inner();
            let pausing = &mut inner.waiting.as_mut()?.pausing;
            pausing.request = Some(request);
            pausing.turn.take()
        };
        // Without the lock, because a waker runs foreign code.
        if let Some(turn) = turn {
            turn.wake();
        }
        Some(pause)
    }

    /// Whether somebody wants the turn to pause. Wakes it by `turn` when somebody does later.
    pub(crate) fn wants_pause(&self, turn: &Waker) -> bool {
        let mut inner = self.inner();
        let Some(WaitingHandler { pausing, .. }) = inner.waiting.as_deref_mut() else { return false };
        if !pausing.turn.as_ref().is_some_and(|known| known.will_wake(turn)) {
            pausing.turn = Some(turn.clone());
        }
        pausing.request.is_some()
    }

    /// Takes the request: the turn pauses now.
    pub(crate) fn take_pause(&self) -> Option<PauseRequest> {
        self.inner().waiting.as_mut().and_then(|waiting| waiting.pausing.request.take())
    }

    /// Whether a handler waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.inner().waiting.is_some()
    }

    /// Whether a handler waits, and what the actor needs of the log is not known as too large.
    pub(crate) fn may_be_carried(&self, needed: Lsn) -> bool {
        self.inner().waiting.as_ref().is_some_and(|waiting| waiting.pausing.too_large != Some(needed))
    }

    /// What the actor needs of the log from here on is too large to be carried. Returns whether
    /// that is new.
    pub(crate) fn is_too_large(&self, needed: Lsn) -> bool {
        let mut inner = self.inner();
        let is_new =
            |waiting: &mut Box<WaitingHandler>| waiting.pausing.too_large.replace(needed) != Some(needed);
        inner.waiting.as_mut().is_some_and(is_new)
    }
}
