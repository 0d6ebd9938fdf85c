//! Finds out whether a handler awaits something foreign beside what the context offers. Whatever a
//! future waits for keeps the waker that it was polled with, or wakes it at once. The waits of the
//! context do neither: the step knows when they come to their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// A waker that shows whether anybody keeps it or has woken it.
pub(crate) struct Probe {
    woken: Arc<Woken>,
    waker: Waker,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Probe {
    fn default() -> Self {
        let woken = Arc::<Woken>::default();
        Self { waker: Waker::from(Arc::clone(&woken)), woken }
    }
}

impl Probe {
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether somebody keeps the waker, or has woken it.
    pub(crate) fn is_kept(&self) -> bool {
        // One reference is the probe's own, one its waker's.
        Arc::strong_count(&self.woken) > 2 || self.woken.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_that_is_kept_or_woken_shows() {
        let probe = Probe::default();
        drop(probe.waker().clone());
        assert!(!probe.is_kept(), "nobody has kept it");
        let kept = probe.waker().clone();
        assert!(probe.is_kept());
        drop(kept);
        assert!(!probe.is_kept());
        probe.waker().wake_by_ref();
        assert!(probe.is_kept(), "it was woken");
    }
}
