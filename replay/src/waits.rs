//! What a handler has begun and waits for, and what came of it; the effects that it asked for so
//! far. The one value that a handler's futures and the step share. Knows neither where outcomes
//! come from, nor a clock.
//!
//! A handler learns one event at a time, in the order of the log. So a replay takes the same way
//! through joins and races: at each poll one wait at most has come to its end, live and in a
//! replay.

use std::any::TypeId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use relive_storage::record::{Event, EventKind};
use relive_storage::{ActorId, Name, Ssn, Timestamp};

use crate::effects::{Draw, EffectsBuilder};
use crate::halt::given_up;
use crate::outbound::Outbound;
use crate::timers::{Full, Timer, TimerChanges, Timers};
use crate::{Divergence, Effects, HaltReason, Outgoing};

/// What a handler has begun and not seen the end of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// The outcome of a side effect.
    SideEffect,
    /// The reply to a request: who is to answer, and the number of the request in the channel to
    /// that actor.
    Reply {
        /// Who is to answer.
        from: ActorId,
        /// The number of the request in the channel to that actor.
        ssn: Ssn,
    },
    /// The answer to a query.
    Answer {
        /// Who is to answer.
        from: ActorId,
        /// The type of the query. Its receiver may know another one by the name.
        query: TypeId,
        /// The encoded query.
        payload: Bytes,
    },
    /// A moment of the wall clock.
    Time(Timestamp),
}

impl WaitFor {
    /// The actor that is to end it, if it is one.
    #[must_use]
    pub fn actor(&self) -> Option<&ActorId> {
        match self {
            Self::Reply { from, .. } | Self::Answer { from, .. } => Some(from),
            Self::SideEffect | Self::Time(_) => None,
        }
    }
}

/// One wait of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Its index among the events of the delivery.
    pub index: u32,
    /// What it is for.
    pub what: WaitFor,
    /// Its name: that of the side effect, of the message, or of the query.
    pub name: Name,
}

impl Wait {
    /// In words, for a divergence.
    pub(crate) fn describe(&self) -> String {
        let Self { index, name, what } = self;
        match what {
            WaitFor::SideEffect => format!("side effect {index} {:?}", &**name),
            WaitFor::Reply { from, .. } => format!("ask {index} of {from} for {:?}", &**name),
            WaitFor::Answer { from, .. } => format!("query {index} of {from} for {:?}", &**name),
            WaitFor::Time(_) => format!("sleep {index}"),
        }
    }

    /// Whether an event is what this wait is for.
    fn is_for(&self, event: &Event) -> bool {
        let is_kind = match (&self.what, &event.kind) {
            (WaitFor::SideEffect, EventKind::SideEffect)
            | (WaitFor::Reply { .. }, EventKind::AskFailed)
            | (WaitFor::Answer { .. }, EventKind::Answer)
            | (WaitFor::Time(_), EventKind::Elapsed) => true,
            (WaitFor::Reply { from, ssn }, EventKind::Reply { from: by, ssn: to }) => from == by && ssn == to,
            _ => false,
        };
        is_kind && self.name == event.name
    }
}

/// An event in words, for a divergence.
pub(crate) fn describe(event: &Event) -> String {
    let (index, name) = (event.index, &*event.name);
    match &event.kind {
        EventKind::SideEffect => format!("side effect {index} {name:?}"),
        EventKind::Reply { from, .. } => format!("ask {index} of {from} for {name:?}"),
        EventKind::AskFailed => format!("ask {index} for {name:?}, which failed"),
        EventKind::Elapsed => format!("sleep {index}"),
        EventKind::Answer => format!("query {index} {name:?}"),
    }
}

/// What the futures of a handler and its step share. One thread at a time runs the two.
#[derive(Debug)]
pub(crate) struct Waits<'d> {
    message: &'d Name,
    /// Whether the handler has begun a wait or has halted. As a rule it has not, and each look
    /// costs as much as the lock. `Relaxed`: the thread that looks has polled the handler.
    has_waited: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    outbound: Outbound,
    timers: TimerChanges,
    now: Timestamp,
    /// `None` until there is something. Many handlers only change their state, and each value here
    /// is made and thrown away with every delivery.
    asked: Option<Box<Asked>>,
}

/// What a handler has asked for, and what came of it.
#[derive(Debug, Default)]
struct Asked {
    effects: EffectsBuilder,
    randoms: u64,
    draws: u32,
    /// How many events it has begun.
    events: u32,
    /// How many of our own races are dropping what lost them.
    discarding: u32,
    /// What it has begun and not taken the end of.
    open: BTreeMap<u32, Open>,
    /// Side effects that have ended and are not on record yet.
    ended: VecDeque<(u32, Result<Bytes, HaltReason>)>,
    /// Nothing on record is left: what happens now wakes this.
    happens: Option<Waker>,
    halted: Option<HaltReason>,
}

/// What a step sees of its handler after a poll.
pub(crate) enum Look {
    /// It must never continue.
    Halted(HaltReason),
    /// It has begun something and not taken the end of it.
    Waits,
    /// It waits for nothing.
    Free,
}

#[derive(Debug)]
struct Open {
    wait: Wait,
    came: Option<Bytes>,
}

impl<'d> Waits<'d> {
    /// What a handler shares that begins at `now`.
    pub(crate) fn new(message: &'d Name, now: Timestamp, outbound: Outbound, timers: TimerChanges) -> Self {
        let inner = Mutex::new(Inner { outbound, timers, now, asked: None });
        Self { message, has_waited: AtomicBool::new(false), inner }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No users' code runs under this lock, so nothing is half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of the last determinant.
    pub(crate) fn now(&self) -> Timestamp {
        let mut inner = self.inner();
        inner.draw(Draw::Now);
        inner.now
    }

    /// The same for what is due some time after it. What comes of it is in the effects, so this is
    /// no draw.
    pub(crate) fn clock(&self) -> Timestamp {
        self.inner().now
    }

    /// How many random draws there are with this one.
    pub(crate) fn random(&self) -> u64 {
        let mut inner = self.inner();
        let asked = inner.draw(Draw::Random);
        asked.randoms += 1;
        asked.randoms
    }

    /// The index of the next event, for its idempotency key.
    pub(crate) fn next_event(&self) -> u32 {
        self.inner().draw(Draw::IdempotencyKey).events
    }

    /// How many messages the delivery has sent.
    pub(crate) fn sends(&self) -> usize {
        self.inner().asked.as_ref().map_or(0, |asked| asked.effects.sends.len())
    }

    /// Numbers a message and adds it to the effects.
    pub(crate) fn send(&self, to: ActorId, message: Name, payload: Bytes) {
        let mut inner = self.inner();
        let ssn = inner.outbound.next_ssn(&to);
        inner.asked().effects.send(Outgoing { to, ssn, message, payload, asked: false });
    }

    /// Sets a timer, in place of the one with this name, and adds that to the effects.
    pub(crate) fn set_timer(&self, name: &Name, timer: &Timer) -> Result<(), Full> {
        let mut inner = self.inner();
        inner.timers.set(name.clone(), timer.clone())?;
        inner.asked().effects.set_timer(name, timer);
        Ok(())
    }

    /// Takes a timer away, and adds that to the effects; `false` when there is none.
    pub(crate) fn cancel_timer(&self, name: Name) -> bool {
        let mut inner = self.inner();
        inner.asked().effects.cancel_timer(&name);
        inner.timers.cancel(name)
    }

    /// Begins to wait for a side effect. `None` when the handler must not begin anything more.
    pub(crate) fn begin_side_effect(&self, name: Name) -> Option<u32> {
        self.begin(name, |inner, index, name| {
            inner.asked().effects.side_effect(index, name);
            WaitFor::SideEffect
        })
    }

    /// Sends a request and begins to wait for the reply.
    pub(crate) fn begin_ask(&self, to: &ActorId, message: Name, payload: &Bytes) -> Option<u32> {
        self.begin(message, |inner, index, message| {
            let ssn = inner.outbound.next_ssn(to);
            let (to, message, payload) = (to.clone(), message.clone(), payload.clone());
            let from = to.clone();
            inner.asked().effects.ask(index, Outgoing { to, ssn, message, payload, asked: true });
            WaitFor::Reply { from, ssn }
        })
    }

    /// Begins to wait for the answer of an actor to a query of this name and type.
    pub(crate) fn begin_query(
        &self,
        to: &ActorId,
        (name, query): (Name, TypeId),
        payload: &Bytes,
    ) -> Option<u32> {
        self.begin(name, |inner, index, name| {
            inner.asked().effects.query(index, to, name, payload);
            WaitFor::Answer { from: to.clone(), query, payload: payload.clone() }
        })
    }

    /// Begins to wait for a moment that `until` computes from the clock of the last determinant.
    pub(crate) fn begin_sleep(&self, until: impl FnOnce(Timestamp) -> Timestamp) -> Option<u32> {
        self.begin(SLEEP, |inner, index, _| {
            let until = until(inner.now);
            inner.asked().effects.sleep(index, until);
            WaitFor::Time(until)
        })
    }

    fn begin(&self, name: Name, what: impl FnOnce(&mut Inner, u32, &Name) -> WaitFor) -> Option<u32> {
        let mut inner = self.inner();
        let asked = inner.asked();
        // A handler that has stopped must not do anything more outside.
        if asked.halted.is_some() {
            return None;
        }
        self.has_waited.store(true, Ordering::Relaxed);
        let index = asked.events;
        asked.events += 1;
        let what = what(&mut inner, index, &name);
        let wait = Wait { index, what, name };
        inner.asked().open.insert(index, Open { wait, came: None });
        Some(index)
    }

    /// Takes what came of a wait, when it has come to its end.
    pub(crate) fn take(&self, index: u32) -> Option<Bytes> {
        let mut inner = self.inner();
        let asked = inner.asked.as_mut()?;
        asked.open.get(&index)?.came.as_ref()?;
        asked.open.remove(&index).and_then(|open| open.came)
    }

    /// The waker for a side effect, when side effects happen now and this one has not ended.
    pub(crate) fn waker(&self, index: u32) -> Option<Waker> {
        let inner = self.inner();
        let asked = inner.asked.as_ref().filter(|asked| asked.halted.is_none())?;
        let has_ended = asked.ended.iter().any(|(ended, _)| *ended == index);
        if has_ended { None } else { asked.happens.clone() }
    }

    /// A side effect has ended.
    pub(crate) fn ended(&self, index: u32, outcome: Result<Bytes, HaltReason>) {
        self.inner().asked().ended.push_back((index, outcome));
    }

    /// A future of the handler that has begun a wait is dropped. That is permitted only when the
    /// wait is over, or has lost one of our own races.
    pub(crate) fn dropped(&self, index: u32) {
        let mut inner = self.inner();
        let Some(asked) = &mut inner.asked else { return };
        let Some(open) = asked.open.remove(&index) else { return };
        asked.ended.retain(|(ended, _)| *ended != index);
        if asked.discarding == 0 {
            asked.halt(given_up(self.message, &open.wait.describe()));
        }
    }

    /// Drops, in `losers`, what has lost a race of ours.
    pub(crate) fn discard(&self, losers: impl FnOnce()) {
        struct Discarding<'w>(&'w Waits<'w>);
        impl Drop for Discarding<'_> {
            fn drop(&mut self) {
                self.0.inner().asked().discarding -= 1;
            }
        }
        self.inner().asked().discarding += 1;
        // A guard: what is dropped are users' futures, and a drop may panic.
        let _discarding = Discarding(self);
        losers();
    }

    /// Stops the handler for good. The first reason counts.
    pub(crate) fn halt(&self, reason: HaltReason) {
        self.has_waited.store(true, Ordering::Relaxed);
        self.inner().asked().halt(reason);
    }

    /// Whether the handler may go on, and whether it waits.
    pub(crate) fn look(&self) -> Look {
        let inner = self.inner();
        let Some(asked) = &inner.asked else { return Look::Free };
        match &asked.halted {
            Some(reason) => Look::Halted(reason.clone()),
            None if asked.open.is_empty() => Look::Free,
            None => Look::Waits,
        }
    }

    /// Whether a handler that has returned has left nothing behind.
    pub(crate) fn is_done(&self) -> bool {
        !self.has_waited.load(Ordering::Relaxed) || self.inner().is_done()
    }

    /// What the handler waits for, and how many events it has begun.
    pub(crate) fn open(&self) -> (Vec<Wait>, u32) {
        let inner = self.inner();
        let open = inner.open().filter(|open| open.came.is_none());
        (open.map(|open| open.wait.clone()).collect(), inner.events())
    }

    /// Why a handler stops that has returned before what it began last.
    pub(crate) fn left_open(&self) -> HaltReason {
        let inner = self.inner();
        let last = inner.open().last().map(|open| open.wait.describe());
        given_up(self.message, &last.unwrap_or_default())
    }

    /// From now on side effects happen, and wake `waker`.
    pub(crate) fn happen(&self, waker: &Waker) {
        let mut inner = self.inner();
        let happens = &mut inner.asked().happens;
        if !happens.as_ref().is_some_and(|happens| happens.will_wake(waker)) {
            *happens = Some(waker.clone());
        }
    }

    /// No side effect goes on until [`Waits::happen`] is called again.
    pub(crate) fn pause(&self) {
        self.inner().asked().happens = None;
    }

    /// Takes the side effect that has ended first.
    pub(crate) fn next_ended(&self) -> Option<(u32, Result<Bytes, HaltReason>)> {
        self.inner().asked().ended.pop_front()
    }

    /// The messages that leave when the handler waits now: all up to its last request.
    pub(crate) fn released(&self) -> Vec<Outgoing> {
        self.inner().asked.as_ref().map_or_else(Vec::new, |asked| asked.effects.released().to_vec())
    }

    /// The handler learns an event.
    ///
    /// # Errors
    /// [`Divergence`] when it does not wait for it.
    pub(crate) fn learn(&self, event: Event) -> Result<(), Divergence> {
        let mut inner = self.inner();
        let asked = inner.asked();
        let waits = asked.open.get_mut(&event.index).filter(|open| open.came.is_none());
        let Some(open) = waits.filter(|open| open.wait.is_for(&event)) else {
            let expected = describe(&event);
            let found = asked.open.values().find(|open| open.wait.index >= event.index);
            let found = found.or_else(|| asked.open.values().next_back());
            let found = found.map_or_else(|| "nothing of that".to_owned(), |open| open.wait.describe());
            return Err(Divergence { expected, found });
        };
        open.came = Some(event.outcome);
        if let Some(clock) = event.clock {
            inner.now = clock;
        }
        Ok(())
    }

    /// Takes back what the handler has sent since its last request, and its timers.
    pub(crate) fn undo(&self) {
        let inner = &mut *self.inner();
        inner.timers.undo();
        if let Some(asked) = &mut inner.asked {
            inner.outbound.take_back(asked.effects.last_sends());
            asked.effects.take_back_last_sends();
        }
    }

    /// Ends the sharing for a handler that does not go on: what it had sent up to its last request,
    /// and the numbers and timers as they were before it.
    pub(crate) fn abandon(self) -> (Vec<Outgoing>, Outbound, Timers) {
        let released = self.released();
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Inner { asked, mut outbound, timers, .. } = inner;
        if let Some(asked) = asked {
            outbound.take_back(&asked.effects.sends);
        }
        (released, outbound, timers.abandon())
    }

    /// Ends the sharing: the numbers of what was sent, and the timers. What the handler has asked
    /// for goes to `effects`.
    pub(crate) fn into_parts(self, effects: &mut Effects) -> (Outbound, Timers) {
        let Inner { outbound, timers, asked, .. } =
            self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked {
            assert!(asked.is_done(), "a handler that is done waits for nothing");
            asked.effects.complete(effects);
        }
        (outbound, timers.done())
    }
}

/// The name of each sleep in the log.
pub(crate) const SLEEP: Name = Name::from_static("sleep");

impl Inner {
    fn asked(&mut self) -> &mut Asked {
        self.asked.get_or_insert_default()
    }

    /// Whether the handler waits for nothing and has not halted.
    fn is_done(&self) -> bool {
        self.asked.as_ref().is_none_or(|asked| asked.is_done())
    }

    /// What the handler has begun and not taken the end of, in that order.
    fn open(&self) -> impl Iterator<Item = &Open> {
        self.asked.iter().flat_map(|asked| asked.open.values())
    }

    fn events(&self) -> u32 {
        self.asked.as_ref().map_or(0, |asked| asked.events)
    }

    fn draw(&mut self, draw: Draw) -> &mut Asked {
        let asked = self.asked();
        asked.effects.draw(draw, asked.draws);
        asked.draws += 1;
        asked
    }
}

impl Asked {
    fn is_done(&self) -> bool {
        self.open.is_empty() && self.halted.is_none()
    }

    fn halt(&mut self, reason: HaltReason) {
        // What stopped a handler is what happened first, not what followed from that.
        self.halted.get_or_insert(reason);
    }
}

#[cfg(test)]
#[path = "waits_tests.rs"]
mod tests;
