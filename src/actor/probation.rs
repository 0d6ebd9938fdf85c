//! The deliveries that an opening found an actor to have ahead. The previous process may have ended
//! in any of them. The actor's turns carry it; `recovery::probation` watches it.

use std::time::Instant;

use relive_replay::HaltReason;
use relive_storage::Rsn;
use tokio::sync::{oneshot, watch};

use crate::harness::Harness;
use crate::limits::{TRY_RUNS_MAX, TRY_WAITS_MAX};
use crate::timer::{unless, within};

/// How an opening tries the deliveries that it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeMode {
    /// All actors at once.
    None,
    /// One actor at a time, with a note in the log ahead of its first delivery.
    Actor,
    /// One actor at a time, with a note in the log ahead of each delivery.
    Delivery,
}

/// The deliveries that an opening found an actor to have ahead. The actor's turns keep it until
/// these are handled.
#[derive(Debug)]
pub(crate) struct Probation {
    until: Rsn,
    mode: ProbeMode,
    noted: bool,
    go: Option<oneshot::Receiver<()>>,
    /// What the handler does. Dropped when all is handled, which tells the watcher.
    does: watch::Sender<Does>,
}

/// What a handler does, to judge whether its code may end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Its code runs.
    Run,
    /// It waits, so its code does not run.
    Wait,
    /// This opening leaves it alone, because it has ended the process before.
    Nothing,
}

/// The other end of an actor's [`Probation`].
pub(crate) struct Watched {
    pub(crate) mode: ProbeMode,
    go: Option<oneshot::Sender<()>>,
    does: watch::Receiver<Does>,
}

impl Probation {
    /// The deliveries of an actor up to `until`.
    pub(crate) fn new(until: Rsn, mode: ProbeMode) -> (Self, Watched) {
        assert!(until > Rsn::NONE, "an actor in probation has a delivery ahead");
        let (permit, go) = oneshot::channel();
        let (does, watching) = watch::channel(Does::Run);
        let probation = Self { until, mode, noted: false, go: Some(go), does };
        let watched = Watched { mode, go: Some(permit), does: watching };
        (probation, watched)
    }

    /// Waits for the actor's turn.
    pub(crate) async fn permitted(&mut self) {
        if let Some(go) = self.go.take()
            && self.mode != ProbeMode::None
        {
            // The other end is dropped only when the runtime ends.
            let _ = go.await;
        }
    }

    /// Whether the log needs a note ahead of the try of this delivery.
    pub(crate) fn must_log_attempt(&mut self, rsn: Rsn) -> bool {
        // The first note of an actor stands for all that follow: its deliveries come in order.
        let first = !std::mem::replace(&mut self.noted, true);
        rsn <= self.until && (self.mode == ProbeMode::Delivery || (self.mode == ProbeMode::Actor && first))
    }

    /// Whether the log has a note of a try of this delivery, which stays open until its end.
    pub(crate) fn is_noted(&self, rsn: Rsn) -> bool {
        self.noted && self.mode != ProbeMode::None && rsn <= self.until
    }

    /// Whether the tries of this delivery in the log count against it.
    pub(crate) fn counts_attempts(&self, rsn: Rsn) -> bool {
        rsn <= self.until && self.mode == ProbeMode::Delivery
    }

    /// Whether an earlier life may have handled the delivery on which the actor halted, so that
    /// leaving it out could not take its consequences back.
    pub(crate) fn may_have_handled(&self, rsn: Rsn, reason: &HaltReason) -> bool {
        match reason {
            HaltReason::ProcessEnded { may_be_known, .. } => *may_be_known,
            _ => rsn <= self.until,
        }
    }

    /// The actor has failed with these deliveries ahead.
    pub(crate) fn actor_failed(&self, reason: &HaltReason) {
        if matches!(reason, HaltReason::ProcessEnded { .. }) {
            self.does.send_replace(Does::Nothing);
        }
    }

    /// Whether there is nothing left.
    pub(crate) fn is_over(&self, handled: Rsn) -> bool {
        handled >= self.until
    }

    /// Says what the handler does from now on.
    pub(crate) fn handler(&self, now: Does) {
        // Each poll of a handler comes here; the watcher wakes for changes only.
        self.does.send_if_modified(|before| std::mem::replace(before, now) != now);
    }
}

impl Watched {
    /// Waits until the actor has handled what the opening found, or until its handler has waited
    /// for something outside for so long that its code can't be what ends the process. `false` when
    /// the code still runs after a long time, or when this opening leaves the actor alone.
    pub(crate) async fn survives(&mut self, harness: &Harness) -> bool {
        let began = Instant::now();
        loop {
            let left = TRY_RUNS_MAX.saturating_sub(began.elapsed());
            match within(left, self.does.wait_for(|does| *does != Does::Run)).await {
                None => return false,
                // The other end is dropped when all is handled.
                Some(Err(_)) => return true,
                Some(Ok(does)) if *does == Does::Nothing => return false,
                Some(Ok(_)) => {}
            }
            // A short wait proves nothing: the code behind it may be what ends the process.
            let long = harness.pause(TRY_WAITS_MAX);
            match unless(long, self.does.wait_for(|does| *does != Does::Wait)).await {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn probation(mode: ProbeMode) -> (Probation, Watched) {
        Probation::new(Rsn::new(3), mode)
    }

    /// Which deliveries of five need a note ahead of their try.
    fn noted(mode: ProbeMode) -> Vec<u64> {
        let (mut probation, _watched) = probation(mode);
        (1..=5).filter(|rsn| probation.must_log_attempt(Rsn::new(*rsn))).collect()
    }

    /// One note blames an actor, notes of each delivery blame one of them. What came in this life
    /// needs none.
    #[test]
    fn notes_are_as_fine_as_the_blame() {
        assert_eq!(noted(ProbeMode::None), [0; 0]);
        assert_eq!(noted(ProbeMode::Actor), [1]);
        assert_eq!(noted(ProbeMode::Delivery), [1, 2, 3]);
    }

    /// Tries count against a delivery only when it was noted alone.
    #[test]
    fn only_notes_of_each_delivery_count_against_it() {
        for mode in [ProbeMode::None, ProbeMode::Actor, ProbeMode::Delivery] {
            let (probation, _watched) = probation(mode);
            assert_eq!(probation.counts_attempts(Rsn::new(3)), mode == ProbeMode::Delivery);
            assert!(!probation.counts_attempts(Rsn::new(4)), "it came in this life");
        }
    }

    /// A try that was noted is open until its end is noted too.
    #[test]
    fn a_noted_try_is_open() {
        for mode in [ProbeMode::None, ProbeMode::Actor, ProbeMode::Delivery] {
            let (mut probation, _watched) = probation(mode);
            assert!(!probation.is_noted(Rsn::new(1)));
            probation.must_log_attempt(Rsn::new(1));
            assert_eq!(probation.is_noted(Rsn::new(2)), mode != ProbeMode::None);
            assert!(!probation.is_noted(Rsn::new(4)), "it came in this life");
        }
    }

    /// What an opening found may have been handled before, unless what is known of its tries says
    /// otherwise. It is over with the last of them.
    #[test]
    fn what_was_found_may_have_been_handled() {
        let (probation, _watched) = probation(ProbeMode::Delivery);
        let panicked = HaltReason::Panicked { message: "m".into(), panic: "p".into() };
        assert!(probation.may_have_handled(Rsn::new(3), &panicked));
        assert!(!probation.may_have_handled(Rsn::new(4), &panicked));
        for may_be_known in [true, false] {
            let ended = HaltReason::ProcessEnded { message: "m".into(), tries: 3, may_be_known };
            assert_eq!(probation.may_have_handled(Rsn::new(3), &ended), may_be_known);
        }
        assert!(!probation.is_over(Rsn::new(2)));
        assert!(probation.is_over(Rsn::new(3)));
    }

    /// One actor at a time is tried: the next waits for its permit, unless all are tried at once.
    #[tokio::test]
    async fn an_actor_waits_for_its_turn() {
        let (mut all_at_once, _watched) = probation(ProbeMode::None);
        all_at_once.permitted().await;
        let (mut probation, mut watched) = probation(ProbeMode::Actor);
        {
            let mut permitted = pin!(probation.permitted());
            assert!(permitted.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            watched.permit();
            permitted.await;
        }
        probation.permitted().await;
    }

    /// An actor survives when it has handled all, and not when this opening leaves it alone. Other
    /// failures say nothing of the process.
    #[tokio::test]
    async fn an_actor_survives_when_nothing_is_left() {
        let (handles, mut watched) = probation(ProbeMode::Actor);
        handles.handler(Does::Wait);
        drop(handles);
        assert!(watched.survives(&Harness::default()).await);
        let (ends, mut watched) = probation(ProbeMode::Delivery);
        ends.actor_failed(&HaltReason::Panicked { message: "m".into(), panic: "p".into() });
        assert_eq!(*watched.does.borrow_and_update(), Does::Run);
        ends.actor_failed(&HaltReason::ProcessEnded { message: "m".into(), tries: 3, may_be_known: true });
        assert!(!watched.survives(&Harness::default()).await);
    }
}
