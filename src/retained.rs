//! Which part of the log is kept, how much that is, and whether senders outside have to wait until it is less. Knows no
//! store and no actor.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use relive_storage::Lsn;
use tokio::sync::Notify;

/// The part of the log that is kept.
pub(crate) struct Retained {
    kept: Mutex<Kept>,
    /// The log is over its budget, and waiting may help. Changed with `kept` locked.
    held_back: AtomicBool,
    /// Wakes senders outside.
    let_in: Notify,
    /// Wakes whoever cuts the log, when it has grown.
    grown: Notify,
}

/// It is known in steps: where each began, and how much had been logged by then.
pub(crate) struct Kept {
    /// Where the log begins.
    pub(crate) start: Lsn,
    /// Some of the positions in it, with how many bytes stand before each.
    pub(crate) steps: VecDeque<(Lsn, u64)>,
    /// How many bytes it holds at first, and how many were ever logged later on.
    pub(crate) total: u64,
    /// In steps of how many bytes it is known what a cut would free.
    pub(crate) step_bytes: u64,
    /// How many bytes are to be kept at most.
    pub(crate) budget: u64,
    /// Waiting does not help.
    pub(crate) may_grow: bool,
}

impl Kept {
    fn bytes(&self) -> u64 {
        self.total - self.before()
    }

    fn is_over(&self) -> bool {
        self.bytes() > self.budget
    }

    fn before(&self) -> u64 {
        self.steps.front().map_or(0, |(_, total)| *total)
    }
}

impl Retained {
    pub(crate) fn new(mut kept: Kept) -> Self {
        if kept.steps.is_empty() {
            kept.steps.push_back((kept.start, 0));
        }
        let held_back = AtomicBool::new(false);
        let retained =
            Self { kept: Mutex::new(kept), held_back, let_in: Notify::new(), grown: Notify::new() };
        retained.judge(&retained.kept());
        retained
    }

    /// A block is on stable storage.
    pub(crate) fn keep(&self, first: Lsn, bytes: u64) {
        let mut kept = self.kept();
        let last = kept.steps.back().map_or(0, |(_, total)| *total);
        let total = kept.total;
        if total - last >= kept.step_bytes {
            kept.steps.push_back((first, total));
            self.grown.notify_one();
        }
        kept.total += bytes;
        self.judge(&kept);
    }

    /// The log begins here now.
    pub(crate) fn was_cut(&self, start: Lsn) {
        let mut kept = self.kept();
        kept.start = start;
        while kept.steps.len() > 1 && kept.steps[1].0 <= start {
            kept.steps.pop_front();
        }
        self.judge(&kept);
    }

    /// Whether the log may go over its budget, since waiting does not help. Says whether that is new.
    pub(crate) fn let_grow(&self, may_grow: bool) -> bool {
        let mut kept = self.kept();
        let before = std::mem::replace(&mut kept.may_grow, may_grow);
        self.judge(&kept);
        before != may_grow
    }

    /// Whether the log is over its budget, also when that holds nobody back.
    pub(crate) fn is_over(&self) -> bool {
        self.kept().is_over()
    }

    /// Holds senders back, or lets them in.
    fn judge(&self, kept: &Kept) {
        let hold = kept.is_over() && !kept.may_grow;
        if self.held_back.swap(hold, Ordering::AcqRel) && !hold {
            self.let_in.notify_waiters();
        }
    }

    /// Whether senders outside have to wait for the log to shrink.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::Acquire)
    }

    /// Waits until senders outside need not wait for the log to shrink.
    pub(crate) async fn not_held_back(&self) {
        while self.is_held_back() {
            let news = self.let_in.notified();
            if self.is_held_back() {
                news.await;
            }
        }
    }

    /// How many bytes of the log are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept().bytes()
    }

    /// How many bytes a cut below `position` would free, as near as is known.
    pub(crate) fn bytes_below(&self, position: Lsn) -> u64 {
        let kept = self.kept();
        let last = kept.steps.iter().take_while(|(lsn, _)| *lsn <= position).last();
        last.map_or(0, |(_, total)| total - kept.before())
    }

    /// Where to cut so that at most `bytes` are kept, as near as is known.
    pub(crate) fn position_keeping(&self, bytes: u64) -> Lsn {
        let kept = self.kept();
        let floor = kept.total.saturating_sub(bytes);
        let first_kept = kept.steps.iter().find(|(_, total)| *total >= floor);
        first_kept.or(kept.steps.back()).map_or(Lsn::FIRST, |(lsn, _)| *lsn)
    }

    /// More of the log may be cut than before.
    pub(crate) fn loosened(&self) {
        self.grown.notify_one();
    }

    /// Waits until the log has grown by a step, or more of it may be cut.
    pub(crate) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Wakes everybody who waits for it to grow: it does not any more.
    pub(crate) fn end(&self) {
        self.grown.notify_waiters();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retained(budget: u64) -> Retained {
        let start = Lsn::new(1);
        let (steps, total, step_bytes, may_grow) = (VecDeque::new(), 0, 10, false);
        Retained::new(Kept { start, steps, total, step_bytes, budget, may_grow })
    }

    /// Invariant: bounded. Senders wait from the commit on that brings the log over its budget until a cut brings it back.
    #[test]
    fn senders_wait_while_the_log_is_over_its_budget() {
        let retained = retained(30);
        for first in 1..=3 {
            retained.keep(Lsn::new(first), 10);
            assert!(!retained.is_held_back());
        }
        retained.keep(Lsn::new(4), 10);
        assert!(retained.is_held_back());
        assert_eq!((retained.bytes(), retained.bytes_below(Lsn::new(3))), (40, 20));
        retained.was_cut(Lsn::new(3));
        assert_eq!((retained.bytes(), retained.kept().start), (20, Lsn::new(3)));
        assert!(!retained.is_held_back());
    }

    #[test]
    fn a_log_that_may_grow_holds_nobody_back() {
        let retained = retained(5);
        retained.keep(Lsn::new(1), 10);
        assert!(retained.is_held_back());
        retained.let_grow(true);
        retained.keep(Lsn::new(2), 10);
        assert!(!retained.is_held_back());
        retained.let_grow(false);
        assert!(retained.is_held_back());
    }
}
