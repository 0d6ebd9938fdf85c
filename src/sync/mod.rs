//! The locks of the runtime, and the order in which a thread may take them. Debug builds check the
//! order at each lock; release builds contain no trace of it. Knows the names of locks, not what
//! they guard.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

#[cfg(all(test, feature = "__schedules"))]
use explored as primitives;
pub(crate) use primitives::{Condvar, Notify, atomic};

#[cfg(not(all(test, feature = "__schedules")))]
mod primitives {
    pub(crate) use std::sync::{Condvar, atomic};
    pub(super) use std::sync::{Mutex, MutexGuard};

    pub(crate) use tokio::sync::Notify;
}

/// The primitives of a test that explores schedules: at each operation another thread may go on.
#[cfg(all(test, feature = "__schedules"))]
mod explored;

/// The locks that a thread may hold together, in the order in which it takes them. While a thread
/// holds one lock it takes only later ones, so it never holds two of one rank. A thread takes a
/// lock that the table does not list only while it holds no other, and takes no other while it
/// holds that lock.
///
/// | while it is held | there are taken |
/// | --- | --- |
/// | `WaitGraph` | `Cell`, `ExpectedAnswer` (has anything come?) |
/// | `Table` | `Cell` (is it forgettable, in memory?), `PinIndex` (a cell is made) |
/// | `Cell` | `Outbox`, `Pins` (may the actor leave memory?), `Quarantine` (a restored actor) |
/// | `CommitBuffer` | `Pins` (a frame is placed), and with them `PinIndex` |
/// | `Pins` | `PinIndex` (the two agree) |
/// | `Tracked` | `Harness` (the task moves) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Which actors wait for which. A look for news of an actor happens under this lock.
    WaitGraph,
    /// A shard of the table of actors, which has a lock of its own: see [`Rank::enter`].
    Table,
    /// An actor's mailbox and phase.
    Cell,
    /// The frames that wait for the next commit.
    CommitBuffer,
    /// The messages that an actor sent and that no receiver has acknowledged.
    Outbox,
    /// Which part of the log an actor needs.
    Pins,
    /// Which actors need which part of the log.
    PinIndex,
    /// The deliveries in quarantine.
    Quarantine,
    /// The tasks that wait until the log is on stable storage.
    Watermark,
    /// How much of the log the store keeps.
    LogBudget,
    /// Which actors have checkpoints.
    Checkpointed,
    /// When the timers of actors are due. Taking an actor out of memory changes them.
    Timers,
    /// The answer to a query of a handler.
    ExpectedAnswer,
    /// Whether a task moves that a test kit tracks. A wake takes it.
    #[cfg(feature = "test-support")]
    Tracked,
    /// What moves in a runtime of a test kit.
    #[cfg(feature = "test-support")]
    Harness,
}

impl Rank {
    /// Checks the order for a lock that is no [`Mutex`], and counts the lock as held until the
    /// caller drops the result.
    pub(crate) fn enter(self) -> Held {
        Held::new(self)
    }
}

/// A mutex with a place in the order. A thread that panics while it holds the mutex does not poison
/// it for others.
pub(crate) struct Mutex<T> {
    #[cfg(all(debug_assertions, not(feature = "__schedules")))]
    rank: Rank,
    inner: primitives::Mutex<T>,
}

/// A locked [`Mutex`].
pub(crate) struct MutexGuard<'m, T> {
    // Fields drop in this order: the thread unlocks the mutex, then forgets its rank.
    inner: primitives::MutexGuard<'m, T>,
    held: Held,
}

impl<T> Mutex<T> {
    #[cfg_attr(
        any(not(debug_assertions), feature = "__schedules"),
        expect(unused_variables, reason = "only debug builds check it")
    )]
    pub(crate) fn new(rank: Rank, value: T) -> Self {
        Self {
            #[cfg(all(debug_assertions, not(feature = "__schedules")))]
            rank,
            inner: primitives::Mutex::new(value),
        }
    }

    /// Locks it.
    ///
    /// # Panics
    /// In debug builds, when the thread holds a lock that comes later in the order, or this one.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Checks before it waits for the lock, so that a wrong order panics instead of deadlocking.
        #[cfg(all(debug_assertions, not(feature = "__schedules")))]
        let held = Held::new(self.rank);
        #[cfg(any(not(debug_assertions), feature = "__schedules"))]
        let held = Held {};
        MutexGuard { inner: self.inner.lock().unwrap_or_else(PoisonError::into_inner), held }
    }
}

impl<T> MutexGuard<'_, T> {
    /// Unlocks the mutex, waits for `condvar`, and locks the mutex again.
    pub(crate) fn wait(self, condvar: &Condvar) -> Self {
        let Self { inner, held } = self;
        Self { inner: condvar.wait(inner).unwrap_or_else(PoisonError::into_inner), held }
    }

    /// The same, for so long at most.
    pub(crate) fn wait_for(self, condvar: &Condvar, time: Duration) -> Self {
        let Self { inner, held } = self;
        let (inner, _) = condvar.wait_timeout(inner, time).unwrap_or_else(PoisonError::into_inner);
        Self { inner, held }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// The rank of a lock that this thread holds.
#[must_use = "the lock is held to the order as long as this is there"]
pub(crate) struct Held {
    #[cfg(all(debug_assertions, not(feature = "__schedules")))]
    rank: Rank,
}

#[cfg(any(not(debug_assertions), feature = "__schedules"))]
impl Held {
    fn new(_: Rank) -> Self {
        Self {}
    }
}

#[cfg(all(debug_assertions, not(feature = "__schedules")))]
mod held {
    use std::cell::Cell;

    use super::{Held, Rank};

    thread_local! {
        /// The ranks of the locks that the thread holds, one bit each.
        static HELD: Cell<u32> = const { Cell::new(0) };
    }

    impl Held {
        pub(super) fn new(rank: Rank) -> Self {
            let held = HELD.get();
            assert!(held >> rank as u32 == 0, "{rank:?} is locked out of order, after {held:#b}");
            HELD.set(held | 1 << rank as u32);
            Self { rank }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.set(HELD.get() & !(1 << self.rank as u32));
        }
    }
}

#[cfg(all(test, not(feature = "__schedules")))]
mod tests {
    use super::*;

    #[test]
    fn locks_in_order_are_taken_and_may_be_left_in_any_order() {
        let (cell, pins) = (Mutex::new(Rank::Cell, 1), Mutex::new(Rank::Pins, 2));
        for _ in 0..2 {
            let first = cell.lock();
            let second = pins.lock();
            drop(first);
            assert_eq!(*second, 2);
            drop(second);
            *pins.lock() = 2;
            *cell.lock() += 1;
        }
        assert_eq!(*cell.lock(), 3);
    }

    #[test]
    #[cfg(all(debug_assertions, not(feature = "__schedules")))]
    #[should_panic = "Cell is locked out of order"]
    fn a_wrong_order_panics() {
        let (cell, pins) = (Mutex::new(Rank::Cell, ()), Mutex::new(Rank::Pins, ()));
        let _pins = pins.lock();
        drop(cell.lock());
    }

    #[test]
    #[cfg(all(debug_assertions, not(feature = "__schedules")))]
    #[should_panic = "Cell is locked out of order"]
    fn two_of_the_same_panic() {
        let (one, other) = (Mutex::new(Rank::Cell, ()), Mutex::new(Rank::Cell, ()));
        let _one = one.lock();
        drop(other.lock());
    }

    #[test]
    #[cfg(all(debug_assertions, not(feature = "__schedules")))]
    #[should_panic = "Table is locked out of order"]
    fn a_lock_of_another_kind_has_its_place_too() {
        let pins = Mutex::new(Rank::Pins, ());
        let _pins = pins.lock();
        drop(Rank::Table.enter());
    }

    #[test]
    fn a_panic_under_a_lock_leaves_it_to_others() {
        let cell = Mutex::new(Rank::Cell, 5);
        let panicked = std::thread::scope(|scope| {
            let panics = || {
                let _cell = cell.lock();
                panic!("told to");
            };
            scope.spawn(panics).join().is_err()
        });
        assert!(panicked);
        assert_eq!(*cell.lock(), 5);
    }
}
