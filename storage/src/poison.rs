//! The first failure of an opening, which ends it: after it nothing is written any more (invariant: fail-stop).
//! Shared by the workers of one store.

use std::sync::OnceLock;

use crate::{ErrorKind, StoreError};

/// Empty as long as nothing failed.
#[derive(Debug, Default)]
pub(crate) struct Poison(OnceLock<StoreError>);

impl Poison {
    /// Refuses when something failed before.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            // A reopening would not help, so nobody is told to try one.
            Some(error @ (StoreError::CorruptStore { .. } | StoreError::CorruptLog { .. })) => {
                Err(error.clone())
            }
            Some(error) => Err(StoreError::Poisoned { reason: error.cause() }),
        }
    }

    /// Remembers an error after which the state of the medium is unknown. The caller's mistakes are not such.
    pub(crate) fn note(&self, error: &StoreError) {
        if error.kind() == ErrorKind::Reopen && !matches!(error, StoreError::Poisoned { .. }) {
            self.set(error);
        }
    }

    /// Remembers any error; the first one stays.
    pub(crate) fn set(&self, error: &StoreError) {
        if self.0.set(error.clone()).is_ok() {
            tracing::error!(reason = error.cause(), "the store takes nothing more until it is reopened");
        }
    }
}
