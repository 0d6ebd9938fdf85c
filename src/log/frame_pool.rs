//! Reusable frame writers. A turn borrows one while it encodes and returns it before it waits for
//! stable storage, so few writers exist, and encoding seldom allocates.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use relive_storage::FrameWriter;

thread_local! {
    static SPARE: Cell<Option<Box<FrameWriter>>> = const { Cell::new(None) };
}

/// A frame writer that a turn has borrowed from its thread.
pub(crate) struct PooledFrameWriter(Box<FrameWriter>);

impl PooledFrameWriter {
    /// Borrows the thread's spare writer, or makes a new one. It is empty.
    pub(crate) fn borrow() -> Self {
        let writer = SPARE.take().unwrap_or_default();
        assert_eq!(writer.count(), 0, "a writer comes back without records of another actor");
        Self(writer)
    }
}

impl Deref for PooledFrameWriter {
    type Target = FrameWriter;

    fn deref(&self) -> &FrameWriter {
        &self.0
    }
}

impl DerefMut for PooledFrameWriter {
    fn deref_mut(&mut self) -> &mut FrameWriter {
        &mut self.0
    }
}

impl Drop for PooledFrameWriter {
    fn drop(&mut self) {
        // A writer that holds records was dropped in the middle of a frame: the next turn must not
        // get it.
        if self.0.count() == 0 {
            SPARE.set(Some(std::mem::take(&mut self.0)));
        }
    }
}
