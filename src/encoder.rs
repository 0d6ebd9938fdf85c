//! Warm frame writers: a turn borrows one while it encodes and never while it waits for a commit, so a thread has few of
//! them and encoding allocates nothing.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use relive_storage::FrameWriter;

thread_local! {
    static SPARE: Cell<Option<Box<FrameWriter>>> = const { Cell::new(None) };
}

/// A frame writer on loan from its thread.
pub(crate) struct Encoder(Box<FrameWriter>);

impl Encoder {
    /// An empty one.
    pub(crate) fn borrow() -> Self {
        Self(SPARE.take().unwrap_or_default())
    }
}

impl Deref for Encoder {
    type Target = FrameWriter;

    fn deref(&self) -> &FrameWriter {
        &self.0
    }
}

impl DerefMut for Encoder {
    fn deref_mut(&mut self) -> &mut FrameWriter {
        &mut self.0
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // One with records in it was left in the middle of a frame.
        if self.0.count() == 0 {
            SPARE.set(Some(std::mem::take(&mut self.0)));
        }
    }
}
