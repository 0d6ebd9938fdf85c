//! The one function that applies a delivery to an actor. Live and replay call it; they differ only
//! in where events come from and where effects go.
//!
//! # Source
//! A replay in the recorded order, with recorded determinants, reproduces the state of a piecewise
//! deterministic process: Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery
//! Protocols in Message-Passing Systems*, ACM Computing Surveys 34(3), 2002, section 4.

use std::future::poll_fn;
use std::task::{Context as Task, Poll};

use bytes::Bytes;
use relive_storage::record::{Delivery, Event, EventKind, Sender};

use crate::ask::Answered;
use crate::context::Checks;
use crate::determinants::{Happened, NoOutcome};
use crate::effects::EffectsBuilder;
use crate::guard::{GuardedFuture, guarded};
use crate::halt::does_not_survive;
use crate::instance::Process;
use crate::kind::Reply;
use crate::payload::CodecError;
use crate::probe::Probe;
use crate::recipient::SENDS_PER_DELIVERY_MAX;
use crate::timers::{Fired, Firing, Found, Timer, TimerChanges};
use crate::waits::{Look, Wait, WaitFor, Waits};
use crate::{Context, Determinants, Effects, Halt, HaltReason, Outgoing, OutgoingReply, Recorded};

/// Why `step` did not apply a delivery to its end. The actor's state may be half changed, so the
/// caller must throw it away.
#[derive(Debug)]
pub enum StepError {
    /// The actor stopped in the middle. None of its effects was released but what it had sent up
    /// to its last request.
    Halted(Box<Halt>),
    /// The handler waits for what is not on record: the original run ended here, or the log accepts
    /// nothing more. This says nothing about the actor.
    NoOutcome {
        /// What the delivery had sent up to its last request. It may have left the actor.
        released: Vec<Outgoing>,
    },
}

impl From<Halt> for StepError {
    fn from(halt: Halt) -> Self {
        Self::Halted(Box::new(halt))
    }
}

/// Applies the next delivery to an actor. Afterwards `effects` has what its handler asked for, and
/// the caller releases that. While the handler waits, [`Determinants::release`] releases what it
/// has sent up to its last request.
///
/// The firing of a timer changes the timer too. No handler runs on one whose timer is gone, or
/// whose message goes to another actor.
///
/// # Errors
/// [`StepError::Halted`]: the actor stopped in the middle. [`StepError::NoOutcome`]: the handler
/// waits for an event that has no outcome. Throw the instance away, since its state may be half
/// changed, and `effects` too.
///
/// # Panics
/// When the delivery is not the actor's next: callers apply deliveries in order. When `effects` has
/// any already.
///
/// # Cancel safety
/// Not cancel safe: a dropped step leaves a half changed instance. Throw it away.
pub async fn step(
    process: &mut Process,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
    effects: &mut Effects,
) -> Result<(), StepError> {
    assert_eq!(delivery.rsn, process.handled.next(), "deliveries of {} are applied in order", process.id);
    assert!(effects.is_empty(), "{} of {} has effects of its own", delivery.rsn, process.id);
    let fired = match process.timers.find(delivery) {
        Found::NoFiring => None,
        Found::Gone => return finish(process, delivery, determinants, effects),
        Found::Timer(fired) if fired.timer.to.is_some() => {
            pass_on(process, *fired, effects);
            return finish(process, delivery, determinants, effects);
        }
        Found::Timer(fired) => Some(fired),
    };
    // Taken, not lent: the handler's futures share them.
    let mut timers = TimerChanges::new(std::mem::take(&mut process.timers));
    let firing = fired.map(|fired| {
        let Fired { name, timer, missed, left } = *fired;
        let firing = Firing { name: name.to_string(), due: timer.due, missed };
        timers.fire(name, left);
        firing
    });
    // The block may have been begun just before the timer was due. Its handler sees no time before
    // that.
    let now = firing.as_ref().map_or(delivery.clock, |firing| firing.due.max(delivery.clock));
    let outbound = std::mem::take(&mut process.outbound);
    let waits = Waits::new(&delivery.message, now, outbound, timers);
    let ended = run(process, delivery, determinants, &waits, firing.as_ref()).await;
    let replied = match ended {
        Ok(replied) => replied,
        Err(stop) => {
            let (released, outbound, timers) = waits.abandon();
            (process.outbound, process.timers) = (outbound, timers);
            return Err(match stop {
                Stop::NoOutcome => StepError::NoOutcome { released },
                Stop::Halted(reason) => Halt::new(process.id.clone(), delivery.rsn, *reason).into(),
            });
        }
    };
    (process.outbound, process.timers) = waits.into_parts(effects);
    match &delivery.sender {
        Sender::Actor { id, ssn } if delivery.asked => {
            let outcome = replied.map(|reply| Answered::reply(&process.id, &reply));
            let outcome = outcome.expect("an actor that asks gets a reply");
            effects.answer = Some(Box::new(OutgoingReply { to: id.clone(), ssn: *ssn, outcome }));
        }
        _ => effects.reply = replied,
    }
    finish(process, delivery, determinants, effects)
}

/// The message of a timer goes to the actor for which it was set. No handler runs.
fn pass_on(process: &mut Process, fired: Fired, effects: &mut Effects) {
    let Fired { name, timer: Timer { to, message, payload, .. }, left, .. } = fired;
    let to = to.expect("only the message of a timer for another actor is passed on");
    let ssn = process.outbound.next_ssn(&to);
    let mut asked = EffectsBuilder::default();
    asked.send(Outgoing { to, ssn, message, payload, asked: false });
    asked.complete(effects);
    process.timers.change(name, left);
}

/// Ends a delivery: its effects are complete.
fn finish(
    process: &mut Process,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
    effects: &Effects,
) -> Result<(), StepError> {
    // After the handler and before anybody sees an effect: a divergence releases nothing.
    let finished = determinants.finish(delivery.rsn, effects.digest());
    finished.map_err(|divergence| Halt::new(process.id.clone(), delivery.rsn, divergence.into()))?;
    let sends = effects.sends.len();
    assert!(sends <= SENDS_PER_DELIVERY_MAX, "one delivery of {} sent {sends} messages", process.id);
    process.now_handled(delivery.rsn);
    Ok(())
}

/// Why a handler does not go on.
enum Stop {
    /// For a reason of its own.
    Halted(Box<HaltReason>),
    /// Nothing more is on record.
    NoOutcome,
}

impl<R: Into<HaltReason>> From<R> for Stop {
    fn from(reason: R) -> Self {
        Self::Halted(Box::new(reason.into()))
    }
}

/// Runs the handler. Returns its encoded reply, when somebody waits for it.
async fn run(
    process: &mut Process,
    delivery: &Delivery,
    determinants: &mut dyn Determinants,
    waits: &Waits<'_>,
    firing: Option<&Firing>,
) -> Result<Option<Bytes>, Stop> {
    let origin = process.origin(delivery.rsn);
    let Process { id, store, kind, state, .. } = process;
    let checks = if determinants.checks() { Checks::All } else { Checks::None };
    // The record of an ask stays one, but after an opening nobody outside waits for its answer. An
    // actor that asked does, and a request with a key may come again.
    let is_awaited = match delivery.sender {
        Sender::Keyed { .. } => true,
        Sender::Actor { .. } => delivery.asked,
        _ => delivery.asked && determinants.wants_reply(),
    };
    let reply = if is_awaited { Reply::Encoded } else { Reply::Dropped };
    let (actor, store, peers, dependencies) = (&*id, *store, kind.peers(), kind.dependencies());
    let mut cx = Context { actor, store, delivery, origin, peers, dependencies, waits, firing, checks };
    // Decoding runs users' code too, and the call itself may panic before its first poll.
    let handling = match guarded(|| state.handle(&delivery.message, &delivery.payload, reply, &mut cx)) {
        Ok(Some(Ok(handling))) => GuardedFuture::new("a handler", handling),
        Ok(Some(Err(error))) => return Err(codec(delivery, &error).into()),
        Ok(None) => return Err(HaltReason::Unhandled { message: delivery.message.to_string() }.into()),
        Err(panic) => return Err(panicked(delivery, panic).into()),
    };
    let mut handler = Handler { future: handling, delivery, waits, checks, probe: None };
    let encoded = handler.run(determinants).await?;
    assert_eq!(encoded.is_some(), is_awaited, "who waits for a reply gets one, and nobody else");
    Ok(encoded)
}

type EncodedReply = Result<Option<Bytes>, CodecError>;

/// A handler under way.
struct Handler<'h> {
    future: GuardedFuture<'h, EncodedReply>,
    delivery: &'h Delivery,
    waits: &'h Waits<'h>,
    checks: Checks,
    /// Finds out whether it awaits anything foreign, from its first wait on.
    probe: Option<Probe>,
}

impl Handler<'_> {
    /// Runs it to its end. Whenever it waits, it learns the next event: from the records, or from
    /// what happens.
    async fn run(&mut self, determinants: &mut dyn Determinants) -> Result<Option<Bytes>, Stop> {
        loop {
            if let Poll::Ready(end) = poll_fn(|task| Poll::Ready(self.poll(task))).await {
                return end.map_err(Stop::Halted);
            }
            // The rare path is boxed, so that turns stay small.
            Box::pin(self.learn(determinants)).await?;
        }
    }

    /// The handler waits, and learns the next event.
    async fn learn(&mut self, determinants: &mut dyn Determinants) -> Result<(), Stop> {
        let (open, _) = self.waits.open();
        // Live looks too: a crash may have come after the event and before the delivery was done.
        let event = match determinants.recorded(self.delivery.rsn, &open)? {
            Recorded::Event(event) => event,
            Recorded::End => return Err(Stop::NoOutcome),
            Recorded::Nothing => self.happen(determinants, &open).await?,
        };
        self.waits.learn(event)?;
        Ok(())
    }

    /// Waits for what happens next, and logs it.
    async fn happen(&mut self, determinants: &mut dyn Determinants, open: &[Wait]) -> Result<Event, Stop> {
        determinants.release(&self.waits.released());
        let begun = self.waits.open().1;
        let acts = open.iter().any(|wait| wait.what == WaitFor::SideEffect);
        let happened = poll_fn(|task| {
            // Output commit: nothing is done outside before all that it may depend on is stable.
            let may_act = !acts
                || match determinants.poll_stable(task) {
                    Poll::Ready(Ok(())) => true,
                    Poll::Ready(Err(NoOutcome)) => return Poll::Ready(Err(Stop::NoOutcome)),
                    Poll::Pending => false,
                };
            if may_act {
                self.waits.happen(task.waker());
            }
            // Its side effects go on while it is polled. It learns nothing, so it does nothing
            // else.
            let polled = self.poll(task);
            if let Poll::Ready(Err(reason)) = polled {
                return Poll::Ready(Err(Stop::Halted(reason)));
            }
            if polled.is_ready() || self.waits.open().1 != begun {
                return Poll::Ready(Err(self.foreign().into()));
            }
            if let Some((index, outcome)) = self.waits.next_ended() {
                let kind = EventKind::SideEffect;
                let happened = outcome.map(|outcome| Happened { index, kind, outcome });
                return Poll::Ready(happened.map_err(Stop::from));
            }
            determinants.poll_happened(open, task).map(Ok)
        });
        let Happened { index, kind, outcome } = happened.await?;
        // Until the handler has learned this, nothing goes on.
        self.waits.pause();
        let name = open.iter().find(|wait| wait.index == index).map(|wait| wait.name.clone());
        let name = name.expect("only what the handler waits for happens");
        let mut event = Event { rsn: self.delivery.rsn, index, kind, name, outcome, clock: None };
        let logged = determinants.log(event.clone()).await;
        event.clock = Some(logged.map_err(|NoOutcome| Stop::NoOutcome)?);
        Ok(event)
    }

    /// Polls it once. Ready when it has ended: with its encoded reply, or with a reason to stop.
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<Option<Bytes>, Box<HaltReason>>> {
        // A handler that waits once will be polled again, by a waker that shows who keeps it.
        let polled = match &self.probe {
            Some(probe) => self.future.poll(&mut Task::from_waker(probe.waker())),
            None => self.future.poll(task),
        };
        match polled {
            // As a rule: it has come to its end, and waits for nothing.
            Ok(Poll::Ready(Ok(encoded))) if self.waits.is_done() => Poll::Ready(Ok(encoded)),
            other => self.look_at(other).map_err(Box::new),
        }
    }

    /// What a poll means, by what the handler has begun and left.
    fn look_at(
        &mut self,
        polled: Result<Poll<EncodedReply>, String>,
    ) -> Poll<Result<Option<Bytes>, HaltReason>> {
        Poll::Ready(match (polled, self.waits.look()) {
            // It unwinds, since it has nothing to go on with, and has left the reason.
            (Err(_), Look::Halted(reason @ HaltReason::MissingDependency { .. })) => Err(reason),
            (Err(panic), _) => Err(panicked(self.delivery, panic)),
            // Ahead of the end: a halted handler's effects must not be released, even when the
            // handler has also returned.
            (Ok(_), Look::Halted(reason)) => Err(reason),
            (Ok(Poll::Ready(encoded)), Look::Free) => encoded.map_err(|error| codec(self.delivery, &error)),
            // It has returned while something that it began is still under way.
            (Ok(Poll::Ready(_)), Look::Waits) => Err(self.waits.left_open()),
            (Ok(Poll::Pending), Look::Free) => Err(self.foreign()),
            // A replay repeats what went well, so it looks for nothing.
            (Ok(Poll::Pending), Look::Waits)
                if self.checks == Checks::All && self.probe.get_or_insert_default().is_kept() =>
            {
                Err(self.foreign())
            }
            (Ok(Poll::Pending), Look::Waits) => return Poll::Pending,
        })
    }

    fn foreign(&self) -> HaltReason {
        let beside = self.waits.open().0.last().map(Wait::describe);
        HaltReason::ForeignAwait { message: self.delivery.message.to_string(), beside }
    }
}

fn codec(delivery: &Delivery, error: &CodecError) -> HaltReason {
    does_not_survive(format!("the message {:?}, or its reply", &*delivery.message), error)
}

fn panicked(delivery: &Delivery, panic: String) -> HaltReason {
    HaltReason::Panicked { message: delivery.message.to_string(), panic }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    /// The result of one poll; `None` when the handler waits.
    pub(crate) fn step_once(
        process: &mut Process,
        delivery: &Delivery,
        determinants: &mut dyn Determinants,
    ) -> Option<Result<Effects, StepError>> {
        let mut effects = Effects::default();
        let polled = {
            let stepping = pin!(step(process, delivery, determinants, &mut effects));
            stepping.poll(&mut Task::from_waker(Waker::noop()))
        };
        match polled {
            Poll::Ready(stepped) => Some(stepped.map(|()| effects)),
            Poll::Pending => None,
        }
    }
}
