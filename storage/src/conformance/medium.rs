//! What the contract needs of a backend.

use crate::Store;

/// What a backend stores on, beyond the life of one opening.
pub trait Medium {
    /// Opens it; an opening before this one has been dropped.
    ///
    /// # Panics
    /// When it can't be opened.
    fn open(&mut self) -> Box<dyn Store>;
}
