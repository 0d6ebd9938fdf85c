//! Whether senders outside wait: what the log keeps and what mailboxes have accepted for it,
//! against the log's budget. Knows byte counts, no messages and no log.
//!
//! What a mailbox has accepted goes into the log whatever happens, so it counts from the moment of
//! acceptance. Otherwise a burst to many actors, or a disk that stands still for a second, would
//! carry the log over its budget before anybody saw it grow.

use std::sync::Arc;

use crate::limits::{STUCK_INTERVALS_MAX, count_step_bytes};
use crate::sync::Notify;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Holds senders outside back while log and accepted messages are over the budget.
pub(crate) struct Backpressure {
    /// How many bytes of log the store keeps.
    kept: AtomicU64,
    /// How many bytes are accepted, and not in the log yet.
    unlogged: OnItsOwn<AtomicU64>,
    /// How many of these wait for a turn that does not move, and hold nobody back.
    stuck: AtomicU64,
    /// Senders wait while there are more bytes; the greatest number while the log may grow.
    limit: AtomicU64,
    /// Some sender may wait.
    awaited: AtomicBool,
    let_in: Notify,
    /// For how many looks in a row accepted messages alone have held senders back.
    looks: AtomicU32,
    /// By how many bytes a mailbox counts ahead.
    step: u64,
}

/// A value on cache lines of its own, so that writing it does not slow down who reads its
/// neighbours. Two lines, since processors fetch them in pairs.
#[repr(align(128))]
struct OnItsOwn<T>(T);

/// Bytes that are accepted, and not in the log yet. Dropping them says that they are in the log, or
/// that nobody will log them.
#[derive(Default)]
#[must_use = "bytes that are dropped count as logged"]
pub(crate) struct Unlogged {
    /// Who counts them; `Some` exactly when there are bytes.
    of: Option<Arc<Backpressure>>,
    bytes: u64,
}

impl Backpressure {
    /// Nobody waits while kept and accepted bytes together are at most `limit`.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            kept: AtomicU64::new(0),
            unlogged: OnItsOwn(AtomicU64::new(0)),
            stuck: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            awaited: AtomicBool::new(false),
            let_in: Notify::new(),
            looks: AtomicU32::new(0),
            step: count_step_bytes(limit),
        }
    }

    /// Holds nobody back.
    #[cfg(test)]
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self::new(u64::MAX))
    }

    /// The store keeps `kept` bytes of log now, and senders wait above `limit`.
    pub(crate) fn set(&self, kept: u64, limit: u64) {
        self.kept.store(kept, Ordering::SeqCst);
        self.limit.store(limit, Ordering::SeqCst);
        self.let_in();
    }

    /// By how many bytes a mailbox counts ahead, so that it writes to memory that all senders share
    /// for few of its messages.
    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// Whether senders outside have to wait.
    pub(crate) fn is_held_back(&self) -> bool {
        let unlogged = self.unlogged.0.load(Ordering::SeqCst);
        let moving = unlogged.saturating_sub(self.stuck.load(Ordering::Relaxed));
        self.kept.load(Ordering::SeqCst).saturating_add(moving) > self.limit.load(Ordering::SeqCst)
    }

    /// Waits until senders outside may send again.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn not_held_back(&self) {
        while self.is_held_back() {
            // Made before the second look: from its making on, it hears every `notify_waiters`.
            let news = self.let_in.notified();
            // Before the second look, too: a thread that changes a count after it finds this set.
            self.awaited.store(true, Ordering::SeqCst);
            if self.is_held_back() {
                news.await;
            }
        }
    }

    /// Ends an interval. Accepted messages that hold senders back for many intervals belong to
    /// turns that do not move, and must not stop the senders to all other actors.
    pub(crate) fn look(&self) {
        let (kept, limit) = (self.kept.load(Ordering::SeqCst), self.limit.load(Ordering::SeqCst));
        let unlogged = self.unlogged.0.load(Ordering::SeqCst);
        if kept <= limit && self.is_held_back() {
            let looks = self.looks.fetch_add(1, Ordering::Relaxed);
            // Turns that are known to be stuck have received more.
            if looks >= STUCK_INTERVALS_MAX || self.stuck.load(Ordering::Relaxed) > 0 {
                self.stuck.store(unlogged, Ordering::SeqCst);
                self.let_in();
            }
        } else {
            self.looks.store(0, Ordering::Relaxed);
            self.stuck.fetch_min(unlogged, Ordering::SeqCst);
        }
    }

    fn give_back(&self, bytes: u64) {
        let before = self.unlogged.0.fetch_sub(bytes, Ordering::SeqCst);
        assert!(before >= bytes, "{bytes} bytes are given back of {before} that are accepted");
        self.let_in();
    }

    /// Lets waiting senders in, if they may send.
    fn let_in(&self) {
        if self.awaited.load(Ordering::SeqCst)
            && !self.is_held_back()
            && self.awaited.swap(false, Ordering::SeqCst)
        {
            self.let_in.notify_waiters();
        }
    }
}

impl Unlogged {
    /// Counts more bytes.
    pub(crate) fn add(&mut self, of: &Arc<Backpressure>, bytes: u64) {
        if bytes == 0 {
            return;
        }
        of.unlogged.0.fetch_add(bytes, Ordering::SeqCst);
        self.bytes += bytes;
        self.of.get_or_insert_with(|| Arc::clone(of));
    }

    /// Takes over the bytes of another one.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
        self.of = self.of.take().or_else(|| other.of.take());
        // What is left in `other` counts nothing.
        other.of = None;
    }

    /// Moves up to `bytes` bytes to a new one.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let of = if self.bytes == 0 { self.of.take() } else { self.of.clone() };
        Self { of: of.filter(|_| bytes > 0), bytes }
    }

    /// How many bytes are counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Unlogged {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            of.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(of: &Arc<Backpressure>, bytes: u64) -> Unlogged {
        let mut unlogged = Unlogged::default();
        unlogged.add(of, bytes);
        unlogged
    }

    /// Invariant: bounded. What is accepted counts as what is in the log does.
    #[test]
    fn senders_wait_for_the_log_and_for_what_is_accepted_for_it() {
        let backpressure = Arc::new(Backpressure::new(30));
        let accepted = counted(&backpressure, 20);
        backpressure.set(10, 30);
        assert!(!backpressure.is_held_back());
        let more = counted(&backpressure, 1);
        assert!(backpressure.is_held_back());
        drop(more);
        assert!(!backpressure.is_held_back());
        backpressure.set(31, 30);
        drop(accepted);
        assert!(backpressure.is_held_back(), "the log alone is over its budget");
        backpressure.set(31, u64::MAX);
        assert!(!backpressure.is_held_back(), "it may grow");
    }

    #[test]
    fn bytes_count_once_wherever_they_go() {
        let backpressure = Arc::new(Backpressure::new(0));
        let mut one = counted(&backpressure, 10);
        one.add(&backpressure, 5);
        let mut two = one.split(6);
        assert_eq!((one.bytes(), two.bytes()), (9, 6));
        two.merge(one);
        two.merge(Unlogged::default());
        let all = two.split(u64::MAX);
        assert_eq!((two.bytes(), all.bytes()), (0, 15));
        drop(two);
        assert!(backpressure.is_held_back());
        drop(all);
        assert!(!backpressure.is_held_back());
    }

    /// What is counted ahead stays a small part of the budget for thousands of mailboxes.
    #[test]
    fn a_small_part_of_the_budget_is_counted_ahead() {
        for budget in [0, 1 << 20, 256 << 20, u64::MAX] {
            let step = Backpressure::new(budget).step();
            assert!(step <= 4096 && step * 65_536 <= budget, "{step} of {budget}");
        }
        assert_eq!(Backpressure::new(256 << 20).step(), 4096);
    }

    /// What waits for a turn that does not move holds senders to others back for a while only, and
    /// counts again when it is less.
    #[test]
    fn stuck_messages_do_not_stop_the_others_for_ever() {
        let backpressure = Arc::new(Backpressure::new(10));
        let stuck = counted(&backpressure, 100);
        for _ in 0..STUCK_INTERVALS_MAX {
            backpressure.look();
            assert!(backpressure.is_held_back());
        }
        backpressure.look();
        assert!(!backpressure.is_held_back());
        let more = counted(&backpressure, 11);
        assert!(backpressure.is_held_back(), "only what was stuck does not count");
        drop(more);
        drop(stuck);
        backpressure.look();
        let _later = counted(&backpressure, 11);
        assert!(backpressure.is_held_back());
    }
}
