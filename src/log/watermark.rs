//! How far the log is on stable storage, and the tasks that wait for that. Knows positions, no
//! blocks and no store.
//!
//! All tasks read one number and wait in one list. Each turn waits once, so the cost of a wait
//! counts.

use crate::sync::atomic::{AtomicU64, Ordering};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use relive_storage::{Lsn, StoreError};

use crate::sync::{Mutex, MutexGuard, Rank};

/// The position below which everything is on stable storage.
pub(crate) struct Watermark {
    durable: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The wakers of the waiting tasks, each with the position below which everything must be on
    /// stable storage.
    wakers: Vec<(Lsn, Waker)>,
    /// Why the watermark does not rise any more.
    over: Option<Arc<StoreError>>,
}

impl Watermark {
    pub(crate) fn new(durable: Lsn) -> Self {
        Self {
            durable: AtomicU64::new(durable.get()),
            waiting: Mutex::new(Rank::Watermark, Waiting::default()),
        }
    }

    pub(crate) fn get(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// Everything below `durable` is on stable storage now.
    pub(crate) fn rise(&self, durable: Lsn) {
        assert!(self.get() <= durable, "the watermark never falls, and {durable} is below {}", self.get());
        // Before the list is locked: a task that looks under the lock either sees this value, or is
        // in the list by now.
        self.durable.store(durable.get(), Ordering::Release);
        let reached: Vec<_> = self.waiting().wakers.extract_if(.., |(end, _)| *end <= durable).collect();
        // Wakes without the lock, because a waker runs foreign code.
        reached.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Nothing more reaches stable storage. The first reason counts.
    pub(crate) fn end(&self, reason: &Arc<StoreError>) {
        let wakers = {
            let mut waiting = self.waiting();
            // Nobody would wake a task that joined the list after the end.
            let is_first = waiting.over.is_none();
            assert!(is_first || waiting.wakers.is_empty(), "nobody waits for commits after their end");
            waiting.over.get_or_insert_with(|| Arc::clone(reason));
            std::mem::take(&mut waiting.wakers)
        };
        // Without the lock here too: a waker may poll its task at once, and that takes the lock.
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Waits until everything below `end` is on stable storage.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn reached(&self, end: Lsn) -> Result<(), Arc<StoreError>> {
        let mut known: Option<Waker> = None;
        poll_fn(|task| {
            if self.get() >= end {
                return Poll::Ready(Ok(()));
            }
            let mut waiting = self.waiting();
            // It may have risen until the list was locked, and then nobody tells.
            if self.get() >= end {
                return Poll::Ready(Ok(()));
            }
            // Only after the look at the position: what was reached before the end counts.
            if let Some(reason) = &waiting.over {
                return Poll::Ready(Err(Arc::clone(reason)));
            }
            // A task that is polled for other reasons would stand in the list once for each poll.
            if !known.as_ref().is_some_and(|known| known.will_wake(task.waker())) {
                waiting.wakers.push((end, task.waker().clone()));
                known = Some(task.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake};

    use super::*;

    fn poisoned() -> Arc<StoreError> {
        Arc::new(StoreError::Poisoned { reason: "of a test".to_owned() })
    }

    /// Counts its wakes.
    #[derive(Default)]
    struct Told(AtomicU64);

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_told_when_it_is_reached_and_not_before() {
        let watermark = Watermark::new(Lsn::new(5));
        let told: [Arc<Told>; 2] = Default::default();
        let wakers = told.clone().map(Waker::from);
        let [mut near_task, mut far_task] = wakers.each_ref().map(Context::from_waker);
        let mut near = pin!(watermark.reached(Lsn::new(8)));
        let mut far = pin!(watermark.reached(Lsn::new(9)));
        let count = || told.each_ref().map(|told| told.0.load(Ordering::Relaxed));
        assert!(near.as_mut().poll(&mut near_task).is_pending());
        assert!(far.as_mut().poll(&mut far_task).is_pending());
        watermark.rise(Lsn::new(7));
        assert_eq!(count(), [0, 0]);
        watermark.rise(Lsn::new(8));
        assert_eq!(count(), [1, 0]);
        assert!(matches!(near.poll(&mut near_task), Poll::Ready(Ok(()))));
        assert!(far.as_mut().poll(&mut far_task).is_pending());
        watermark.end(&poisoned());
        assert!(count()[1] > 0);
        assert!(matches!(far.poll(&mut far_task), Poll::Ready(Err(_))));
    }

    /// Invariant: log-before-handle. The end of the commits takes back nothing that was on stable
    /// storage before.
    #[test]
    fn what_was_reached_stays_reached_when_all_is_over() {
        let watermark = Watermark::new(Lsn::new(5));
        watermark.end(&poisoned());
        let mut task = Context::from_waker(Waker::noop());
        assert!(matches!(pin!(watermark.reached(Lsn::new(5))).poll(&mut task), Poll::Ready(Ok(()))));
        assert!(matches!(pin!(watermark.reached(Lsn::new(6))).poll(&mut task), Poll::Ready(Err(_))));
    }
}
