//! What an opening found an actor to have ahead, in any of which the process before may have ended. Carried by the
//! actor's turns; watched by `settling`.

use std::time::Instant;

use relive_replay::{Halt, Instance};
use relive_storage::{ActorId, Rsn, Ssn};
use tokio::sync::{oneshot, watch};

use crate::limits::{TRY_RUNS_MAX, TRY_WAITS_MAX};
use crate::timer::within;

/// How the deliveries that an opening found are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// All actors at once.
    None,
    /// One actor at a time; its first delivery is noted in the log.
    Actor,
    /// One actor at a time; each delivery is noted in the log.
    Delivery,
}

/// What an opening found an actor to have ahead. The actor's turns keep it until they are through.
#[derive(Debug)]
pub(crate) struct Suspects {
    until: Rsn,
    care: Care,
    noted: bool,
    /// What receivers have of the actor beyond what it knows to have sent: a delivery that is ahead sent it before the
    /// process ended, and with it all before that one were through.
    heard: Vec<(ActorId, Ssn)>,
    go: Option<oneshot::Receiver<()>>,
    /// What the handler does. Gone when all is handled.
    does: watch::Sender<Does>,
}

/// What a handler does, as far as it tells whether it may end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Its code runs.
    Run,
    /// It waits for something, so that it is not its code that runs.
    Wait,
    /// It is left alone because it has ended the process before.
    Nothing,
}

/// The other end of an actor's [`Suspects`].
pub(crate) struct Watched {
    pub(crate) care: Care,
    go: Option<oneshot::Sender<()>>,
    does: watch::Receiver<Does>,
}

impl Suspects {
    /// The deliveries of an actor up to `until`.
    pub(crate) fn new(until: Rsn, care: Care, heard: Vec<(ActorId, Ssn)>) -> (Self, Watched) {
        let (permit, go) = oneshot::channel();
        let (does, watching) = watch::channel(Does::Run);
        let suspects = Self { until, care, noted: false, heard, go: Some(go), does };
        let watched = Watched { care, go: Some(permit), does: watching };
        (suspects, watched)
    }

    /// Waits for the actor's turn.
    pub(crate) async fn permitted(&mut self) {
        if let Some(go) = self.go.take()
            && self.care != Care::None
        {
            // Whoever gives permits is gone with the runtime only.
            let _ = go.await;
        }
    }

    /// Whether the log is to be told before this delivery is tried.
    pub(crate) fn calls_for_note(&mut self, rsn: Rsn) -> bool {
        let first = !std::mem::replace(&mut self.noted, true);
        rsn <= self.until && (self.care == Care::Delivery || (self.care == Care::Actor && first))
    }

    /// Whether the tries of this delivery, as the log tells, count against it.
    pub(crate) fn blames(&self, rsn: Rsn) -> bool {
        rsn <= self.until && self.care == Care::Delivery
    }

    /// Whether the next delivery was through once, as its receivers tell. It must not be left out: what it sent can't
    /// be taken back.
    pub(crate) fn was_through(&self, instance: &Instance) -> bool {
        self.unsent(instance).is_some()
    }

    /// A receiver that has more than the actor knows to have sent, with the last number that it has.
    pub(crate) fn unsent(&self, instance: &Instance) -> Option<(&ActorId, Ssn)> {
        let mut heard = self.heard.iter().map(|(receiver, ssn)| (receiver, *ssn));
        heard.find(|(receiver, ssn)| instance.sent_to(receiver) < *ssn)
    }

    /// Whether the delivery on which the actor halted may have been handled in a life before, with consequences that
    /// can't be taken back by leaving it out.
    pub(crate) fn may_have_handled(&self, rsn: Rsn, halt: &Halt) -> bool {
        match halt {
            Halt::ProcessEnded { may_be_known, .. } => *may_be_known,
            _ => rsn <= self.until,
        }
    }

    /// The actor has failed with these deliveries ahead.
    pub(crate) fn have_failed(&self, halt: &Halt) {
        if matches!(halt, Halt::ProcessEnded { .. }) {
            self.does.send_replace(Does::Nothing);
        }
    }

    /// Whether there is nothing left.
    pub(crate) fn are_over(&self, handled: Rsn) -> bool {
        handled >= self.until
    }

    /// Says whether the handler waits for something.
    pub(crate) fn waits(&self, waits: bool) {
        let now = if waits { Does::Wait } else { Does::Run };
        self.does.send_if_modified(|before| std::mem::replace(before, now) != now);
    }
}

impl Watched {
    /// Waits until the actor has handled what was found, or waits itself for something outside for so long that its
    /// code can't be what ends the process. `false` when its code still runs after a long time, or is left alone because it
    /// has ended the process before.
    pub(crate) async fn survives(&mut self) -> bool {
        let began = Instant::now();
        loop {
            let left = TRY_RUNS_MAX.saturating_sub(began.elapsed());
            match within(left, self.does.wait_for(|does| *does != Does::Run)).await {
                None => return false,
                Some(Err(_)) => return true,
                Some(Ok(does)) if *does == Does::Nothing => return false,
                Some(Ok(_)) => {}
            }
            match within(TRY_WAITS_MAX, self.does.wait_for(|does| *does != Does::Wait)).await {
                None => return true,
                Some(Err(_)) => return true,
                Some(Ok(_)) => {}
            }
        }
    }

    /// It is the actor's turn.
    pub(crate) fn permit(&mut self) {
        if let Some(go) = self.go.take() {
            let _ = go.send(());
        }
    }
}
