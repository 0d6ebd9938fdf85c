//! The first failure of an opening, which ends it: after it nothing is written any more (invariant: fail-stop).
//! Shared by the workers of one store.

use std::sync::OnceLock;

use crate::{ErrorKind, StoreError};

/// Empty as long as nothing failed.
#[derive(Debug, Default)]
pub(super) struct Poison(OnceLock<String>);

impl Poison {
    /// Refuses when something failed before.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
        }
    }

    /// Remembers an error after which the state of the medium is unknown. The caller's mistakes are not such.
    pub(super) fn note(&self, error: &StoreError) {
        if error.kind() == ErrorKind::Reopen && !matches!(error, StoreError::Poisoned { .. }) {
            self.set(error);
        }
    }

    /// Remembers any error; the first one stays.
    pub(super) fn set(&self, error: &StoreError) {
        if self.0.set(error.to_string()).is_ok() {
            tracing::error!(%error, "the store takes nothing more until it is reopened");
        }
    }
}
