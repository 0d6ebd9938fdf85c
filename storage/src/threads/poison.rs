//! The first failure of an opening ends that opening: nothing writes to the store after it
//! (invariant: fail-stop). The workers of one store share one [`Poison`].
//!
//! A failed sync leaves the medium in an unknown state. The operating system may have dropped the
//! pages that it could not write, and a second sync may succeed without them. So no call is tried
//! again; only a new opening, which reads what is stored, goes on.
//!
//! # Source
//! Fail-stop: Schlichting and Schneider, "Fail-Stop Processors: An Approach to Designing
//! Fault-Tolerant Computing Systems", ACM TOCS 1(3), 1983. Failed syncs: Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020.

use std::sync::OnceLock;

use crate::contract::error::{ErrorKind, StoreError};

/// The first failure of an opening; empty until a call fails.
#[derive(Debug, Default)]
pub struct Poison(OnceLock<StoreError>);

impl Poison {
    /// Refuses a call when an earlier one has failed.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] with the first failure; that failure itself when it is
    /// [`StoreError::CorruptStore`] or [`StoreError::CorruptLog`]. The store takes nothing more in
    /// this opening.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            // A reopening would find the same damage, so the error does not advise one.
            Some(error @ (StoreError::CorruptStore { .. } | StoreError::CorruptLog { .. })) => {
                Err(error.clone())
            }
            Some(error) => Err(StoreError::Poisoned { reason: error.cause() }),
        }
    }

    /// Remembers an error that leaves the medium in an unknown state. A mistake of the caller does
    /// not.
    pub fn note(&self, error: &StoreError) {
        // A refusal because of an earlier failure is not a failure of its own.
        if error.kind() == ErrorKind::Reopen && !matches!(error, StoreError::Poisoned { .. }) {
            self.set(error);
        }
    }

    /// Remembers any error; the first one stays.
    pub fn set(&self, error: &StoreError) {
        if self.0.set(error.clone()).is_ok() {
            tracing::error!(reason = error.cause(), "the store takes nothing more until it is reopened");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: &str) -> StoreError {
        StoreError::Backend { action: "sync", reason: reason.to_owned() }
    }

    /// Invariant: fail-stop.
    #[test]
    fn the_first_failure_stays() {
        let poison = Poison::default();
        poison.check().unwrap();
        poison.note(&failed("first"));
        poison.note(&failed("second"));
        let refused = poison.check().unwrap_err();
        assert!(matches!(&refused, StoreError::Poisoned { reason } if reason.contains("first")), "{refused}");
    }

    #[test]
    fn the_mistakes_of_a_caller_are_no_failure() {
        let poison = Poison::default();
        poison.note(&StoreError::Misuse { what: "a gap".to_owned() });
        poison.note(&StoreError::Poisoned { reason: "of another opening".to_owned() });
        poison.check().unwrap();
    }

    /// A reopening would find the same damage.
    #[test]
    fn damage_is_told_as_damage() {
        let poison = Poison::default();
        poison.set(&StoreError::CorruptStore { what: "a page".to_owned() });
        assert!(poison.check().unwrap_err().is_corrupt());
    }
}
