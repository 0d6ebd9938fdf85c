//! The end of a runtime and its reason. Each message checks it, so a check is one load.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::Ended;

/// The end of the runtime; the first reason counts.
pub(crate) struct StopSignal {
    /// Set together with the reason, under its lock, before any waiter learns of it. A reader that
    /// sees it set (`Acquire`, after the `Release` in `set`) finds the reason too.
    is_set: AtomicBool,
    reason: watch::Sender<Option<Ended>>,
}

impl StopSignal {
    pub(crate) fn new() -> Self {
        Self { is_set: AtomicBool::new(false), reason: watch::Sender::new(None) }
    }

    /// Ends the runtime.
    pub(crate) fn set(&self, reason: Ended) {
        self.reason.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(reason);
            // Under the lock of the reason: `reason` waits for it, so the two are seen together.
            self.is_set.store(true, Ordering::Release);
            first
        });
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Why the runtime has ended, if it has.
    pub(crate) fn reason(&self) -> Option<Ended> {
        if !self.is_set() {
            return None;
        }
        let reason = self.reason.borrow().clone();
        assert!(reason.is_some(), "who sees the end finds its reason");
        reason
    }

    /// Waits until the runtime has ended.
    pub(crate) async fn wait(&self) -> Ended {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Ended::Stopped),
            Err(_) => Ended::Stopped,
        }
    }
}
