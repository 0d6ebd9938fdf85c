//! A pause of an actor whose handler waits: its turn appends nothing until the pause is over, so
//! that its frames can be carried to the end of the log. Also what the turn knows that no frame
//! says. Knows no cell and no log.

use std::sync::{Mutex as StdMutex, PoisonError};
use std::task::Waker;

use relive_replay::{Outgoing, Tape};
use relive_storage::record::EffectDigest;
use relive_storage::{Lsn, Rsn};
use tokio::sync::oneshot;

use crate::sync::atomic::{AtomicBool, Ordering};

/// What a turn knows of an actor whose handler waits.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// The delivery of the handler. Those before it are handled.
    pub(crate) rsn: Rsn,
    /// The digests that no frame has, of the deliveries after `since`.
    pub(crate) since: Rsn,
    pub(crate) digests: Vec<EffectDigest>,
    /// As [`Tape::settled`].
    pub(crate) settled: Rsn,
    /// What the delivery has released.
    pub(crate) sent: Vec<Outgoing>,
}

/// Where a handler that waits leaves its evidence, when its turn is to pause.
pub(crate) struct Offer {
    rsn: Rsn,
    wanted: AtomicBool,
    /// Boxed: each delivery makes an offer, and few leave anything.
    evidence: StdMutex<Option<Box<Evidence>>>,
}

impl Offer {
    /// The offer of the handler of a delivery.
    pub(crate) fn new(rsn: Rsn) -> Self {
        Self { rsn, wanted: AtomicBool::new(false), evidence: StdMutex::new(None) }
    }

    /// Ahead of a poll of the handler: whether it is to leave its evidence. What it left before is
    /// old after the poll.
    pub(crate) fn ask(&self, wanted: bool) {
        // As a rule nobody wants it, and nothing is there.
        if self.wanted.swap(wanted, Ordering::Relaxed) {
            self.take();
        }
    }

    /// The handler waits, and logs nothing in this poll.
    pub(crate) fn waits(&self, tape: &Tape, sent: &[Outgoing]) {
        if self.wanted.load(Ordering::Relaxed) {
            let handled = self.rsn.prev();
            let (since, digests) = (tape.covered().min(handled), tape.pending().to_vec());
            let (rsn, settled, sent) = (self.rsn, tape.settled(), sent.to_vec());
            *self.evidence() = Some(Box::new(Evidence { rsn, since, digests, settled, sent }));
        }
    }

    /// Takes what the handler left in its last poll.
    pub(crate) fn take(&self) -> Option<Evidence> {
        self.evidence().take().map(|evidence| *evidence)
    }

    fn evidence(&self) -> std::sync::MutexGuard<'_, Option<Box<Evidence>>> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pause that somebody has asked for. The turn goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Pause {
    /// Comes when the turn pauses; nothing comes when the handler goes on before.
    pub(crate) evidence: oneshot::Receiver<Evidence>,
    _resume: oneshot::Sender<()>,
}

impl Pause {
    /// A pause, and its other end.
    pub(super) fn new() -> (Self, PauseRequest) {
        let ((evidence, offered), (resume, resumed)) = (oneshot::channel(), oneshot::channel());
        (Self { evidence: offered, _resume: resume }, PauseRequest { evidence, resumed })
    }
}

/// The other end of a pause, for the turn.
pub(crate) struct PauseRequest {
    pub(crate) evidence: oneshot::Sender<Evidence>,
    /// Ends when the turn may go on.
    pub(crate) resumed: oneshot::Receiver<()>,
}

/// What a cell has of pauses while the handler waits.
#[derive(Default)]
pub(super) struct Pausing {
    pub(super) request: Option<PauseRequest>,
    /// The turn, to be woken for a request.
    pub(super) turn: Option<Waker>,
    /// What the actor needs of the log is too large to be carried while it begins here.
    pub(super) too_large: Option<Lsn>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a handler left in an earlier poll says nothing: it may have logged since.
    #[test]
    fn evidence_is_of_the_last_poll() {
        let (offer, tape) = (Offer::new(Rsn::new(4)), Tape::after(Rsn::new(3)));
        offer.ask(false);
        offer.waits(&tape, &[]);
        assert!(offer.take().is_none(), "nobody wants it");
        offer.ask(true);
        offer.waits(&tape, &[]);
        offer.ask(true);
        assert!(offer.take().is_none(), "it is old");
        offer.waits(&tape, &[]);
        let evidence = offer.take().unwrap();
        assert_eq!((evidence.rsn, evidence.since), (Rsn::new(4), Rsn::new(3)));
    }
}
