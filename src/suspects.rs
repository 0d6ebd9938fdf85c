//! What an opening found an actor to have ahead, in any of which the process before may have ended. Carried by the
//! actor's turns; watched by `settling`.

use relive_replay::Instance;
use relive_storage::{ActorId, Rsn, Ssn};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::limits::{TRY_RUNS_MAX, TRY_WAITS_MAX};

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
    /// Whether the handler waits for something, so that it is not its code that runs. Gone when all is handled.
    waits: watch::Sender<bool>,
}

/// The other end of an actor's [`Suspects`].
pub(crate) struct Watched {
    pub(crate) care: Care,
    go: Option<oneshot::Sender<()>>,
    waits: watch::Receiver<bool>,
}

impl Suspects {
    /// The deliveries of an actor up to `until`.
    pub(crate) fn new(until: Rsn, care: Care, heard: Vec<(ActorId, Ssn)>) -> (Self, Watched) {
        let (permit, go) = oneshot::channel();
        let (waits, watching) = watch::channel(false);
        let suspects = Self { until, care, noted: false, heard, go: Some(go), waits };
        let watched = Watched { care, go: Some(permit), waits: watching };
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
        self.heard.iter().any(|(receiver, ssn)| instance.sent_to(receiver) < *ssn)
    }

    /// Whether there is nothing left.
    pub(crate) fn are_over(&self, handled: Rsn) -> bool {
        handled >= self.until
    }

    /// Says whether the handler waits for something.
    pub(crate) fn waits(&self, waits: bool) {
        self.waits.send_if_modified(|before| std::mem::replace(before, waits) != waits);
    }
}

impl Watched {
    /// Waits until the actor has handled what was found, or waits itself for something outside for so long that its
    /// code can't be what ends the process. `false` when its code still runs after a long time.
    pub(crate) async fn survives(&mut self) -> bool {
        let deadline = Instant::now() + TRY_RUNS_MAX;
        loop {
            match timeout_at(deadline, self.waits.wait_for(|waits| *waits)).await {
                Err(_) => return false,
                Ok(Err(_)) => return true,
                Ok(Ok(_)) => {}
            }
            let patience = Instant::now() + TRY_WAITS_MAX;
            match timeout_at(patience, self.waits.wait_for(|waits| !*waits)).await {
                Err(_) | Ok(Err(_)) => return true,
                Ok(Ok(_)) => {}
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
