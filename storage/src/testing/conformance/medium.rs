//! The interface of a backend to the contract.

use crate::contract::checkpoint_store::Store;

/// The storage of a backend, which outlives one opening.
pub trait Medium {
    /// Opens it. The caller has dropped the opening before.
    ///
    /// # Panics
    /// When it can't be opened.
    fn open(&mut self) -> Box<dyn Store>;
}
