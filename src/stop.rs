//! Whether everything has ended, and why. Asked on the way of each message, so asking takes one load.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::Refused;

/// The end of everything; the first reason counts.
pub(crate) struct Stop {
    /// Set together with the reason, before anybody who waits for it is told.
    is_set: AtomicBool,
    reason: watch::Sender<Option<Refused>>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self { is_set: AtomicBool::new(false), reason: watch::Sender::new(None) }
    }

    /// Ends everything.
    pub(crate) fn set(&self, reason: Refused) {
        self.reason.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(reason);
            self.is_set.store(true, Ordering::Release);
            first
        });
    }

    pub(crate) fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Why everything has ended, if it has.
    pub(crate) fn reason(&self) -> Option<Refused> {
        if self.is_set() { self.reason.borrow().clone() } else { None }
    }

    /// Waits until everything has ended.
    pub(crate) async fn wait(&self) -> Refused {
        let mut reason = self.reason.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Refused::Stopped),
            Err(_) => Refused::Stopped,
        }
    }
}
