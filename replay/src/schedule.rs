//! What a handler may do with durable timers: set them, cancel them, and see which one has fired.
//! Knows names, times and messages; not what fires a timer.

use std::marker::PhantomData;
use std::time::Duration;

use relive_storage::{ActorId, Name, NameError, Timestamp, check_name};

use crate::context::Context;
use crate::recipient::{Recipient, SendError};
use crate::timers::{Firing, Full, TIMER_BYTES_PER_ACTOR_MAX, TIMER_PERIOD_MIN, TIMERS_PER_ACTOR_MAX, Timer};
use crate::{Actor, Handle, Message};

/// Why a handler could not set a timer. Nothing has changed: a timer of that name that was set
/// before is still there. The handler decides what follows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimerError {
    /// The timer's name breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The actor has as many timers as it may have.
    #[error(
        "an actor may have at most {limit} timers, nothing was set: cancel one, or keep a list in the state"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The messages of the actor's timers have as many bytes as they may have.
    #[error("the messages of an actor's timers may have at most {limit} bytes together, nothing was set")]
    TooManyBytes {
        /// The limit in bytes.
        limit: usize,
    },
    /// The period is too short.
    #[error("a timer can't fire every {found:?}, at least {limit:?} are needed: nothing was set")]
    Period {
        /// The period.
        found: Duration,
        /// The shortest one.
        limit: Duration,
    },
    /// [`TimerSetting::to_self`] was given the type of another actor.
    #[error(
        "the timer was to be for this actor, but {kind:?} is not its kind, nothing was set: use `to_self::<Self>()`"
    )]
    NotSelf {
        /// The kind of the given type.
        kind: &'static str,
    },
    /// The message can't be sent to that actor.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl<'t> Context<'t> {
    /// Begins to set the durable timer of this name, in place of the one that has it:
    /// `cx.timer("payment").after(time).to_self::<Self>().send(Remind {})`.
    ///
    /// A timer sends a message when its time has come: to this actor or to another one. The actor
    /// handles other messages meanwhile, and need not stay in memory.
    ///
    /// # Guarantee
    /// A timer is an effect: it is set when the delivery is done. A timer fires exactly once, a
    /// periodic one once for each period, whatever crashes when. It never fires early by the clock
    /// of the runtime; when the process was down, it fires after the next opening, a periodic one
    /// once with the [count](Firing::missed) of what was missed. A clock that goes back fires
    /// nothing twice. An actor's timers that are due together fire in order of due time.
    ///
    /// A firing is a delivery like any other: it waits for the deliveries ahead of it. When one of
    /// these cancels or replaces the timer, the firing is passed over.
    ///
    /// # Limits
    /// The name has 1 to 64 bytes. An actor may have [`TIMERS_PER_ACTOR_MAX`] timers, and their
    /// messages [`TIMER_BYTES_PER_ACTOR_MAX`] bytes together. A period is at least 1 ms. A shutdown
    /// does not wait for timers, and fires none.
    ///
    /// # Source
    /// Timers as recorded events of the process: Elnozahy, Alvisi, Wang and Johnson, *A Survey of
    /// Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing Surveys 34(3), 2002,
    /// section 4.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// # #[derive(Serialize, Deserialize)] struct Order { paid: bool, reminders: u32 }
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false, reminders: 0 } } }
    /// # #[derive(Serialize, Deserialize)] struct Place;
    /// # impl Message for Place { const NAME: &'static str = "place"; type Reply = (); }
    /// # #[derive(Serialize, Deserialize)] struct Remind;
    /// # impl Message for Remind { const NAME: &'static str = "remind"; type Reply = (); }
    /// # #[derive(Serialize, Deserialize)] struct Pay;
    /// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = (); }
    /// impl Handle<Place> for Order {
    ///     async fn handle(&mut self, _: Place, cx: &mut Context<'_>) {
    ///         let in_a_week = cx.timer("payment").after(Duration::from_secs(7 * 86_400));
    ///         in_a_week.to_self::<Self>().send(Remind).expect("one small timer");
    ///     }
    /// }
    ///
    /// impl Handle<Remind> for Order {
    ///     async fn handle(&mut self, _: Remind, _: &mut Context<'_>) {
    ///         self.reminders += 1; // also when the process was down in that week
    ///     }
    /// }
    ///
    /// impl Handle<Pay> for Order {
    ///     async fn handle(&mut self, _: Pay, cx: &mut Context<'_>) {
    ///         self.paid = true;
    ///         cx.cancel_timer("payment");
    ///     }
    /// }
    /// ```
    #[must_use = "nothing is set yet"]
    pub fn timer(&self, name: &str) -> NewTimer<'_, 't> {
        let name = check_name("timer name", name).map(|()| Name::from(name));
        NewTimer { cx: self, name }
    }

    /// Takes a timer of this actor away, when the delivery is done. Returns whether it was set.
    ///
    /// Its firing may be on stable storage already, behind this delivery; then the actor passes it
    /// over. A message that it has sent to another actor before arrives.
    ///
    /// # Examples
    /// [`Context::timer`] has one.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn cancel_timer(&self, name: &str) -> bool {
        // There is no timer with a name that can't be set.
        check_name("timer name", name).is_ok() && self.waits.cancel_timer(Name::from(name))
    }

    /// The timer that has fired, when this delivery is a firing; `None` when it is another message.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Meter { minutes: u64 }
    /// # impl Actor for Meter { const KIND: &'static str = "meter"; fn create(_: &str) -> Self { Meter { minutes: 0 } } }
    /// # #[derive(Serialize, Deserialize)] struct Tick;
    /// # impl Message for Tick { const NAME: &'static str = "tick"; type Reply = (); }
    /// impl Handle<Tick> for Meter {
    ///     async fn handle(&mut self, _: Tick, cx: &mut Context<'_>) {
    ///         let missed = cx.timer_firing().map_or(0, |firing| firing.missed);
    ///         self.minutes += 1 + missed; // what passed while the process was down counts too
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn timer_firing(&self) -> Option<&Firing> {
        self.firing
    }
}

/// A timer that has a name and no time yet; [`Context::timer`] returns it.
#[must_use = "nothing is set yet"]
pub struct NewTimer<'c, 't> {
    cx: &'c Context<'t>,
    name: Result<Name, NameError>,
}

impl<'c, 't> NewTimer<'c, 't> {
    /// It is due so long after [`Context::now`], in whole microseconds.
    pub fn after(self, time: Duration) -> TimerSetting<'c, 't> {
        let due = self.cx.waits.clock().plus(time);
        self.at(due)
    }

    /// It is due at this moment of the wall clock. One in the past is due at once.
    pub fn at(self, due: Timestamp) -> TimerSetting<'c, 't> {
        TimerSetting { cx: self.cx, name: self.name, due, every: None }
    }

    /// It is due after each period, the first time one period after [`Context::now`], until it is
    /// cancelled or replaced.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// # #[derive(Serialize, Deserialize)] struct Shelf;
    /// # impl Actor for Shelf { const KIND: &'static str = "shelf"; fn create(_: &str) -> Self { Shelf } }
    /// # #[derive(Serialize, Deserialize)] struct Stock;
    /// # impl Actor for Stock { const KIND: &'static str = "stock"; fn create(_: &str) -> Self { Stock } }
    /// # #[derive(Serialize, Deserialize)] struct Install;
    /// # impl Message for Install { const NAME: &'static str = "install"; type Reply = (); }
    /// # #[derive(Serialize, Deserialize)] struct Refill;
    /// # impl Message for Refill { const NAME: &'static str = "refill"; type Reply = (); }
    /// # impl Handle<Refill> for Stock { async fn handle(&mut self, _: Refill, _: &mut Context<'_>) {} }
    /// impl Handle<Install> for Shelf {
    ///     async fn handle(&mut self, _: Install, cx: &mut Context<'_>) {
    ///         let daily = cx.timer("refill").every(Duration::from_secs(86_400));
    ///         daily.to::<Stock>("chair").send(Refill).expect("stocks take refills");
    ///     }
    /// }
    /// ```
    pub fn every(self, period: Duration) -> TimerSetting<'c, 't> {
        self.after(period).every(period)
    }
}

/// A timer that has a name and a time, and no message yet.
#[must_use = "nothing is set yet"]
pub struct TimerSetting<'c, 't> {
    cx: &'c Context<'t>,
    name: Result<Name, NameError>,
    due: Timestamp,
    every: Option<Duration>,
}

impl<'c, 't> TimerSetting<'c, 't> {
    /// From its first due time on it is due after each period, in whole microseconds.
    pub fn every(self, period: Duration) -> Self {
        Self { every: Some(period), ..self }
    }

    /// This actor gets its message, and [`Context::timer_firing`] names the timer then.
    pub fn to_self<A: Actor>(self) -> TimerRecipient<'c, 't, A> {
        TimerRecipient { setting: self, to: To::Owner, kind: PhantomData }
    }

    /// The actor of this key gets its message, as one that this actor sends. None of this actor's
    /// handlers runs.
    pub fn to<A: Actor>(self, key: &str) -> TimerRecipient<'c, 't, A> {
        let to = To::Other(ActorId::new(A::KIND, key));
        TimerRecipient { setting: self, to, kind: PhantomData }
    }
}

enum To {
    Owner,
    Other(Result<ActorId, NameError>),
}

/// A timer of which only the message is missing.
#[must_use = "nothing is set yet"]
pub struct TimerRecipient<'c, 't, A> {
    setting: TimerSetting<'c, 't>,
    to: To,
    kind: PhantomData<fn(A)>,
}

impl<A: Actor> TimerRecipient<'_, '_, A> {
    /// Sets the timer, with the message that it sends when it fires.
    ///
    /// # Errors
    /// [`TimerError`]: nothing was set, and a timer that had the name is still there. The handler
    /// continues. One exception: when the message encodes but does not come back as the same value,
    /// the handler also stops with [`HaltReason::Codec`](crate::HaltReason::Codec).
    ///
    /// # Limits
    /// As [`Context::timer`]; a message has at most 1 MiB.
    pub fn send<M: Message>(self, message: M) -> Result<(), TimerError>
    where
        A: Handle<M>,
    {
        let Self { setting: TimerSetting { cx, name, due, every }, to, .. } = self;
        let name = name?;
        let every = every.map(|period| Duration::from_micros(micros(period)));
        if let Some(found) = every.filter(|period| *period < TIMER_PERIOD_MIN) {
            return Err(TimerError::Period { found, limit: TIMER_PERIOD_MIN });
        }
        let (receiver, to) = match to {
            To::Owner if A::KIND != cx.actor.kind() => return Err(TimerError::NotSelf { kind: A::KIND }),
            To::Owner => (Ok(cx.actor.clone()), None),
            To::Other(to) => (to.clone(), Some(to.map_err(SendError::from)?)),
        };
        let (_, payload) = Recipient::<A>::new(cx, receiver).encode(message)?;
        let timer = Timer { due, every, to, message: Name::from_static(M::NAME), payload };
        cx.waits.set_timer(&name, &timer).map_err(|full| match full {
            Full::Number => TimerError::TooMany { limit: TIMERS_PER_ACTOR_MAX },
            Full::Bytes => TimerError::TooManyBytes { limit: TIMER_BYTES_PER_ACTOR_MAX },
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;
    use relive_storage::record::{Delivery, Sender};
    use relive_storage::{Rsn, Ssn, StoreId};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::payload::encode;
    use crate::step::testing::step_once;
    use crate::timers::PASSED_ON;
    use crate::{Effects, Instance, KindBuilder, StepError, Tape, TapeOnly};

    /// Notes what rings: the mark, what was missed, and the time.
    #[derive(Serialize, Deserialize)]
    struct Bell {
        rung: Vec<(u64, u64, u64)>,
    }

    impl Actor for Bell {
        const KIND: &'static str = "bell";

        fn create(_: &str) -> Self {
            Self { rung: Vec::new() }
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Set {
        every: Option<Duration>,
        to: Option<String>,
        panics: bool,
    }

    impl Message for Set {
        const NAME: &'static str = "set";
        type Reply = ();
    }

    impl Handle<Set> for Bell {
        async fn handle(&mut self, Set { every, to, panics }: Set, cx: &mut Context<'_>) {
            assert_eq!(cx.timer_firing(), None);
            let timer = cx.timer("tea").after(Duration::from_micros(100));
            let timer = if let Some(every) = every { timer.every(every) } else { timer };
            match to {
                Some(key) => timer.to::<Self>(&key).send(Ring { mark: 1 }).unwrap(),
                None => timer.to_self::<Self>().send(Ring { mark: 1 }).unwrap(),
            }
            assert!(!panics, "told to");
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Ring {
        mark: u64,
    }

    impl Message for Ring {
        const NAME: &'static str = "ring";
        type Reply = ();
    }

    impl Handle<Ring> for Bell {
        async fn handle(&mut self, Ring { mark }: Ring, cx: &mut Context<'_>) {
            let missed = cx.timer_firing().map_or(0, |firing| firing.missed);
            self.rung.push((mark, missed, cx.now().as_micros()));
        }
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn bell() -> Instance {
        let kind = KindBuilder::<Bell>::new().handles::<Set>().handles::<Ring>().build().unwrap();
        Instance::create(kind, ActorId::new("bell", "a").unwrap(), StoreId::new(1))
    }

    fn deliver(
        bell: &mut Instance,
        (sender, message, payload): (Sender, Name, Bytes),
        clock: u64,
    ) -> Result<Effects, StepError> {
        bell.admit(&sender);
        let (rsn, clock) = (bell.handled().next(), at(clock));
        let delivery = Delivery { rsn, sender, asked: false, message, payload, clock, seed: 0 };
        let mut tape = Tape::after(Rsn::NONE);
        let stepped = step_once(bell.process(), &delivery, &mut TapeOnly(&mut tape));
        stepped.expect("it waits for nothing")
    }

    fn set(bell: &mut Instance, set: &Set, clock: u64) -> Result<Effects, StepError> {
        deliver(bell, (Sender::Outside, "set".into(), encode(set).unwrap().into()), clock)
    }

    /// The firings that are due at `now`, as they are logged.
    fn due(bell: &Instance, now: u64) -> Vec<(Sender, Name, Bytes)> {
        let due = bell.due_timers(at(now)).into_iter();
        due.map(|timer| (Sender::Timer { name: timer.name, due: timer.due }, timer.message, timer.payload))
            .collect()
    }

    const ONCE: Set = Set { every: None, to: None, panics: false };

    /// Invariant: exactly-once inside. A firing that is logged twice runs a handler once.
    #[test]
    fn a_firing_counts_once() {
        let mut bell = bell();
        set(&mut bell, &ONCE, 1_000).unwrap();
        assert_eq!((bell.next_timer(), due(&bell, 1_099).len()), (Some(at(1_100)), 0));
        let firing = due(&bell, 1_100).remove(0);
        deliver(&mut bell, firing.clone(), 1_105).unwrap();
        let second = deliver(&mut bell, firing, 1_110).unwrap();
        assert_eq!((second.digest(), bell.next_timer()), (None, None));
        assert_eq!(bell.state::<Bell>().unwrap().rung, [(1, 0, 1_105)]);
        assert_eq!(bell.handled(), Rsn::new(3));
    }

    /// The block of a firing may have been begun before the timer was due: its handler does not see
    /// that.
    #[test]
    fn a_firing_never_sees_a_time_before_it_was_due() {
        let mut bell = bell();
        set(&mut bell, &Set { every: Some(Duration::from_secs(1)), ..ONCE }, 1_000).unwrap();
        let firing = due(&bell, 1_100).remove(0);
        deliver(&mut bell, firing, 1_090).unwrap();
        assert_eq!(bell.state::<Bell>().unwrap().rung, [(1, 0, 1_100)]);
        assert_eq!(bell.next_timer(), Some(at(1_001_100)));
    }

    /// The message for another actor goes through the channel to it. No handler runs, and the
    /// record of the firing has no message.
    #[test]
    fn a_firing_for_another_actor_is_a_message_to_it() {
        let mut bell = bell();
        let every = Some(Duration::from_micros(1_000));
        set(&mut bell, &Set { every, to: Some("b".to_owned()), panics: false }, 1_000).unwrap();
        for (ssn, clock, next) in [(1, 1_100, 2_100), (2, 5_000, 5_100)] {
            let firing = due(&bell, clock).remove(0);
            assert_eq!((&firing.1, firing.2.len()), (&PASSED_ON, 0));
            let sends = deliver(&mut bell, firing, clock).unwrap().sends;
            let [sent] = &sends[..] else { panic!("{sends:?}") };
            assert_eq!((sent.to.key(), sent.ssn, &*sent.message), ("b", Ssn::new(ssn), "ring"));
            assert_eq!(bell.next_timer(), Some(at(next)));
        }
        assert_eq!(bell.state::<Bell>().unwrap().rung, []);
    }

    #[test]
    fn a_handler_that_panics_sets_nothing() {
        let mut bell = bell();
        assert!(set(&mut bell, &Set { panics: true, ..ONCE }, 1_000).is_err());
        assert_eq!(bell.next_timer(), None);
    }
}
