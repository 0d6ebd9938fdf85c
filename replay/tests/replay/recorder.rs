//! Runs an actor live, by the same step, and keeps what it logs: the records that the tests replay.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use relive_replay::determinants::{Happened, Logging};
use relive_replay::halt::CorruptRecords;
use relive_replay::{
    Admission, Determinants, Divergence, Effects, Halt, Instance, Outgoing, Owed, Recorded, StepError, Tape,
    Wait, payload, step,
};
use relive_storage::record::{Delivery, EffectDigest, Event, Positioned, Record, Sender};
use relive_storage::{ActorId, Frame, Lsn, Rsn, Ssn, StoreId, Timestamp};
use serde::Serialize;

use crate::till::{AS_RECORDED, Till, kind};

pub(crate) fn id() -> ActorId {
    ActorId::new("till", "one").unwrap()
}

pub(crate) const STORE: StoreId = StoreId::new(7);

/// A live actor whose log is a list of frames.
pub(crate) struct Recorder {
    pub(crate) instance: Instance,
    pub(crate) frames: Vec<Frame>,
    pub(crate) sends: Vec<Outgoing>,
    pending: Vec<EffectDigest>,
    since: Rsn,
    ssn: Ssn,
}

struct Log<'a> {
    frames: &'a mut Vec<Frame>,
    pending: &'a mut Vec<EffectDigest>,
    since: &'a mut Rsn,
    /// Events after these are not logged any more: the process has ended.
    events_left: u64,
}

impl Log<'_> {
    fn frame(&mut self, handled: Rsn, record: Record) {
        let digests = std::mem::take(self.pending);
        let since = std::mem::replace(self.since, handled);
        let records = vec![Positioned { lsn: Lsn::new(self.frames.len() as u64), record }];
        self.frames.push(Frame {
            actor: Some(id()),
            handled,
            since,
            digests,
            digests_with_replies: false,
            carried: None,
            records,
        });
    }
}

impl Determinants for Log<'_> {
    fn recorded(&mut self, _: Rsn, _: &[Wait]) -> Result<Recorded, Divergence> {
        if self.events_left == 0 {
            return Ok(Recorded::End);
        }
        self.events_left -= 1;
        Ok(Recorded::Nothing)
    }

    fn release(&mut self, _: &[Outgoing]) {}

    fn poll_happened(&mut self, _: &[Wait], _: &mut Context<'_>) -> Poll<Happened> {
        Poll::Pending
    }

    fn log(&mut self, mut event: Event) -> Logging<'_> {
        let clock = Timestamp::from_micros(2_000 + event.rsn.get());
        event.clock = Some(clock);
        self.frame(Rsn::new(event.rsn.get() - 1), Record::Event(event));
        Box::pin(ready(Ok(clock)))
    }

    fn finish(&mut self, rsn: Rsn, digest: Option<u64>) -> Result<(), Divergence> {
        self.pending.extend(digest.map(|digest| EffectDigest { rsn, digest }));
        Ok(())
    }
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let instance = Instance::create(kind::<AS_RECORDED>(), id(), STORE);
        let (frames, sends, pending) = Default::default();
        Self { instance, frames, sends, pending, since: Rsn::NONE, ssn: Ssn::NONE }
    }

    /// Delivers a message and handles it to its end.
    pub(crate) fn deliver<M: relive_replay::Message + Serialize>(&mut self, message: &M) {
        self.deliver_until(message, u64::MAX).unwrap();
    }

    /// Delivers a message; the process ends after so many events.
    pub(crate) fn deliver_until<M>(&mut self, message: &M, events: u64) -> Result<(), StepError>
    where
        M: relive_replay::Message + Serialize,
    {
        self.ssn = self.ssn.next();
        let sender = Sender::Producer { name: "test".into(), ssn: self.ssn };
        let Admission::Fresh(rsn) = self.instance.admit(&sender) else { panic!("it is new") };
        let delivery = Delivery {
            rsn,
            sender,
            asked: rsn.get() % 3 == 0,
            message: M::NAME.into(),
            payload: payload::encode(message).unwrap().into(),
            clock: Timestamp::from_micros(1_000 + rsn.get()),
            seed: rsn.get() * 31,
        };
        let Self { frames, pending, since, .. } = self;
        let mut log = Log { frames, pending, since, events_left: events };
        log.frame(Rsn::new(rsn.get() - 1), Record::Delivery(delivery.clone()));
        let mut effects = Effects::default();
        {
            let stepping = pin!(step(self.instance.process(), &delivery, &mut log, &mut effects));
            match stepping.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => panic!("nothing here waits"),
            }
        }
        self.sends.extend(effects.sends);
        Ok(())
    }

    /// All that it has sent: nothing is acknowledged.
    pub(crate) fn owed(&self) -> Owed {
        Owed { messages: self.sends.clone(), replies: Vec::new() }
    }

    pub(crate) fn state(&self) -> Till<AS_RECORDED> {
        self.instance.state::<Till<AS_RECORDED>>().unwrap().clone()
    }

    /// The tape after a checkpoint at `after`.
    pub(crate) fn tape(&self, after: Rsn) -> Tape {
        tape_of(&self.frames, after).unwrap()
    }
}

pub(crate) fn tape_of(frames: &[Frame], after: Rsn) -> Result<Tape, CorruptRecords> {
    let mut tape = Tape::after(after);
    for frame in frames {
        tape.push(frame.clone())?;
    }
    Ok(tape)
}

/// Replays a tape from nothing with an actor of some behaviour.
pub(crate) fn replay<const B: u8>(tape: &mut Tape) -> Result<Till<B>, Halt> {
    let restored = relive_replay::restore(&kind::<B>(), &id(), STORE, None, tape, None)?;
    Ok(restored.instance.state::<Till<B>>().unwrap().clone())
}

pub(crate) fn kind_as_recorded() -> Arc<dyn relive_replay::Kind> {
    kind::<AS_RECORDED>()
}
