//! The life of a runtime: whether it accepts messages from outside, how many turns are under way,
//! how many maintenance intervals have passed, and the end. Knows no actor, no log and no store.

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use relive_storage::Lsn;

use crate::error::{Ended, RuntimeFailure};
use crate::limits::{MAINTENANCE_INTERVAL, TURNS_LOOK_INTERVAL};
use crate::stop_signal::StopSignal;
use crate::sync::Notify;
use crate::timer::{sleep, within};

/// The state of a runtime's life.
pub(crate) struct Lifecycle {
    closing: AtomicBool,
    keeps_sends: AtomicBool,
    stop: Arc<StopSignal>,
    turns: AtomicUsize,
    /// How many of these turns wait for room in their outboxes.
    indebted: AtomicUsize,
    turns_over: Notify,
    tick: AtomicU64,
}

impl Lifecycle {
    pub(crate) fn new(stop: Arc<StopSignal>) -> Self {
        Self {
            closing: AtomicBool::new(false),
            keeps_sends: AtomicBool::new(false),
            stop,
            turns: AtomicUsize::new(0),
            indebted: AtomicUsize::new(0),
            turns_over: Notify::new(),
            tick: AtomicU64::new(0),
        }
    }

    /// Refuses messages from outside from now on.
    pub(crate) fn close(&self) {
        // `SeqCst`, as the three operations that refer to it: see `TurnGuard::begin`.
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Whether the runtime accepts messages from outside; if not, why.
    pub(crate) fn intake(&self) -> Result<(), Ended> {
        match self.stop_reason() {
            Some(reason) => Err(reason),
            None if self.closing.load(Ordering::SeqCst) => Err(Ended::Stopped),
            None => Ok(()),
        }
    }

    /// Keeps what actors send in their outboxes from now on. It goes out after the next opening. So
    /// actors that keep each other busy come to an end.
    pub(crate) fn keep_sends(&self) {
        self.keeps_sends.store(true, Ordering::Release);
    }

    pub(crate) fn keeps_sends(&self) -> bool {
        self.keeps_sends.load(Ordering::Acquire)
    }

    /// Ends everything at once, and gives up what is not on stable storage.
    pub(crate) fn stop(&self, reason: Ended) {
        self.close();
        // Nobody who hears of the end finds the runtime open.
        self.stop.set(reason);
    }

    /// The tokio runtime has dropped a task without which this one is not whole. Only a tokio
    /// runtime that ends does that.
    pub(crate) fn host_is_gone(&self) {
        self.stop(RuntimeFailure::HostGone.into());
    }

    /// Why everything has ended, if it has.
    pub(crate) fn stop_reason(&self) -> Option<Ended> {
        self.stop.reason()
    }

    /// Waits until everything has ended.
    pub(crate) async fn stopped(&self) -> Ended {
        self.stop.wait().await
    }

    /// Waits for `future`, but not past the end of everything.
    ///
    /// # Cancel safety
    /// As `future`.
    pub(crate) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Ended> {
        // `biased` looks at `future` first: a value that is ready counts, even after the end.
        tokio::select! {
            biased;
            value = future => Ok(value),
            reason = self.stopped() => Err(reason),
        }
    }

    /// Waits until no turn is under way.
    pub(crate) async fn quiet(&self) {
        loop {
            // Made before the count is read: from its making on, it hears every `notify_waiters`.
            let over = self.turns_over.notified();
            if self.turns() == 0 {
                return;
            }
            over.await;
        }
    }

    /// How many turns are under way.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }

    /// Waits until no more turns are under way than `stay`: those that end only with the runtime.
    pub(crate) async fn quiet_except(&self, stay: usize) {
        while self.turns() > stay {
            // Only the end of the last turn is told, since each turn would pay for more.
            let _ = within(TURNS_LOOK_INTERVAL, self.quiet()).await;
        }
    }

    /// Waits until no turn is under way, except those that can't go on: their outboxes are full of
    /// messages to actors that accept nothing, and by `end_of_log` the log has not grown for a
    /// whole interval.
    pub(crate) async fn drained(&self, end_of_log: impl Fn() -> Lsn) {
        let mut before = None;
        loop {
            tokio::select! {
                biased;
                () = self.quiet() => return,
                () = sleep(MAINTENANCE_INTERVAL) => {}
            }
            let (turns, indebted) = (self.turns(), self.indebted.load(Ordering::Acquire));
            // The log grows as long as some actor takes something in, which may make room.
            let now = (turns, indebted, end_of_log());
            if turns == indebted && before == Some(now) {
                tracing::warn!(
                    turns,
                    "actors whose outboxes are full of messages to failed ones are left with what they have to do"
                );
                return;
            }
            before = Some(now);
        }
    }

    /// Waits for `news`, and meanwhile counts the turn as one whose outbox is too full to go on.
    pub(crate) async fn while_outbox_is_full(&self, news: impl Future<Output = ()>) -> Result<(), Ended> {
        self.indebted.fetch_add(1, Ordering::AcqRel);
        let outcome = self.unless_stopped(news).await;
        let before = self.indebted.fetch_sub(1, Ordering::AcqRel);
        assert!(before > 0, "a turn went on that was not counted as one that can't");
        outcome
    }

    /// The time in maintenance intervals, by which the runtime finds idle actors.
    pub(crate) fn now(&self) -> u64 {
        // `Relaxed`: the time orders nothing but itself.
        self.tick.load(Ordering::Relaxed)
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn turn_ends(&self) {
        let before = self.turns.fetch_sub(1, Ordering::AcqRel);
        // Only in debug builds: this runs in a drop, where a panic may end the process.
        debug_assert!(before > 0, "a turn ended that was not counted");
        if before == 1 {
            self.turns_over.notify_waiters();
        }
    }
}

/// Something with a life, in which turns run.
pub(crate) trait Lives {
    fn lifecycle(&self) -> &Lifecycle;
}

/// Counts a turn while the turn lasts, and keeps alive what it runs in.
pub(crate) struct TurnGuard<L: Lives>(Arc<L>);

impl<L: Lives> TurnGuard<L> {
    /// A turn begins. Who counts it first and then finds the runtime open has a turn that a
    /// shutdown waits for: the shutdown closes the runtime first and then looks at the count.
    pub(crate) fn begin(within: &Arc<L>) -> Self {
        within.lifecycle().turns.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(within))
    }

    /// What the turn runs in.
    pub(crate) fn within(&self) -> &Arc<L> {
        &self.0
    }
}

impl<L: Lives> Drop for TurnGuard<L> {
    fn drop(&mut self) {
        self.0.lifecycle().turn_ends();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    impl Lives for Lifecycle {
        fn lifecycle(&self) -> &Lifecycle {
            self
        }
    }

    fn lifecycle() -> Arc<Lifecycle> {
        Arc::new(Lifecycle::new(Arc::new(StopSignal::new())))
    }

    #[test]
    fn one_that_closes_takes_nothing_from_outside() {
        let lifecycle = lifecycle();
        assert!(lifecycle.intake().is_ok());
        lifecycle.close();
        assert!(matches!(lifecycle.intake(), Err(Ended::Stopped)));
        assert!(lifecycle.stop_reason().is_none(), "what was accepted is still handled");
    }

    #[test]
    fn the_first_reason_of_the_end_counts() {
        let lifecycle = lifecycle();
        lifecycle.host_is_gone();
        lifecycle.stop(Ended::Stopped);
        assert!(matches!(lifecycle.intake(), Err(Ended::Failed(RuntimeFailure::HostGone))));
        assert!(matches!(lifecycle.stop_reason(), Some(Ended::Failed(RuntimeFailure::HostGone))));
    }

    #[tokio::test]
    async fn nobody_waits_past_the_end() {
        let lifecycle = lifecycle();
        assert!(matches!(lifecycle.unless_stopped(async { 5 }).await, Ok(5)));
        lifecycle.stop(Ended::Stopped);
        assert!(lifecycle.unless_stopped(std::future::pending::<()>()).await.is_err());
        assert!(matches!(lifecycle.unless_stopped(async { 5 }).await, Ok(5)), "what is ready counts");
    }

    #[test]
    fn it_is_quiet_when_the_last_turn_has_ended() {
        let lifecycle = lifecycle();
        let (first, second) = (TurnGuard::begin(&lifecycle), TurnGuard::begin(&lifecycle));
        let mut quiet = pin!(lifecycle.quiet());
        let mut task = Context::from_waker(Waker::noop());
        assert!(quiet.as_mut().poll(&mut task).is_pending());
        drop(first);
        assert!(quiet.as_mut().poll(&mut task).is_pending());
        drop(second);
        assert!(quiet.as_mut().poll(&mut task).is_ready());
    }

    /// A turn that ends only with the runtime holds nobody up who waits for the others.
    #[tokio::test]
    async fn it_is_quiet_except_for_those_that_stay() {
        let lifecycle = lifecycle();
        let (stays, ends) = (TurnGuard::begin(&lifecycle), TurnGuard::begin(&lifecycle));
        {
            let mut quiet = pin!(lifecycle.quiet_except(1));
            assert!(quiet.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(ends);
            quiet.await;
        }
        drop(stays);
        lifecycle.quiet_except(0).await;
    }

    #[tokio::test]
    async fn drained_ends_with_the_last_turn() {
        let lifecycle = lifecycle();
        let turn = TurnGuard::begin(&lifecycle);
        let ending = tokio::spawn(async move { drop(turn) });
        lifecycle.drained(|| Lsn::FIRST).await;
        ending.await.unwrap();
    }

    /// Actors that send to failed actors never have room in their outboxes again.
    #[tokio::test]
    async fn drained_does_not_wait_for_turns_that_cant_go_on() {
        let lifecycle = lifecycle();
        let turn = TurnGuard::begin(&lifecycle);
        let stuck =
            tokio::spawn(async move { turn.within().while_outbox_is_full(std::future::pending()).await });
        lifecycle.drained(|| Lsn::FIRST).await;
        assert!(!stuck.is_finished());
        lifecycle.stop(Ended::Stopped);
        assert!(stuck.await.unwrap().is_err());
        lifecycle.quiet().await;
    }
}
