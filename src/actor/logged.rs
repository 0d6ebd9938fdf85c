//! How many messages of an actor's mailbox are on stable storage, and who waits for that or for the
//! actor's failure. Knows no log.

use crate::sync::atomic::Ordering;
use std::sync::Arc;

use crate::actor::cell::ActorCell;
use crate::error::{ActorFailure, Unavailable};

impl ActorCell {
    /// This many more messages from the mailbox are on stable storage.
    pub(crate) fn logged(&self, messages: u64) {
        self.logged.fetch_add(messages, Ordering::Release);
        self.logged_news.notify_waiters();
    }

    /// Somebody waits until the message with that number is on stable storage. Returns whether it
    /// is not.
    pub(crate) fn awaits(&self, number: u64) -> bool {
        // Before the look: a turn that appends from now on sees who waits.
        self.awaited.fetch_max(number, Ordering::SeqCst);
        self.logged.load(Ordering::Acquire) < number
    }

    /// Whether somebody waits for a message that is not on stable storage.
    pub(crate) fn has_awaited(&self) -> bool {
        self.awaited.load(Ordering::SeqCst) > self.logged.load(Ordering::Acquire)
    }

    /// Waits until the actor has failed.
    pub(crate) async fn wait_failure(&self) -> Arc<ActorFailure> {
        loop {
            // `fail` notifies `logged_news` too. Made before the look: from its making on, it hears
            // every `notify_waiters`.
            let news = self.logged_news.notified();
            if let Some(failure) = self.failure() {
                return failure;
            }
            news.await;
        }
    }

    /// Waits until the message with that number is on stable storage, or the actor has failed.
    pub(crate) async fn wait_logged(&self, number: u64) -> Result<(), Unavailable> {
        loop {
            // Made before the looks, as in `wait_failure`.
            let news = self.logged_news.notified();
            if self.logged.load(Ordering::Acquire) >= number {
                return Ok(());
            }
            if let Some(failure) = self.failure() {
                // The message may have been logged since the first look. Then that counts.
                if self.logged.load(Ordering::Acquire) >= number {
                    return Ok(());
                }
                return Err(Unavailable::Actor(failure));
            }
            news.await;
        }
    }
}
