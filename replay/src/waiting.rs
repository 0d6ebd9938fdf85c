//! The future of whatever a handler begins and then waits for, but a side effect, whose code runs
//! meanwhile. Knows the waits, and not what is begun.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::waits::Waits;

/// Something that a handler begins and then waits for.
pub(crate) trait Begin {
    /// Begins it; returns the index of the wait, or `None` when the handler must not begin anything
    /// more.
    fn begin(self, waits: &Waits<'_>) -> Option<u32>;
}

/// Begins at the first poll, and waits for the encoded outcome.
pub(crate) struct Waiting<'w, B> {
    waits: &'w Waits<'w>,
    stage: Stage<B>,
}

enum Stage<B> {
    New(B),
    Begun(u32),
    /// The handler has the outcome, or must never continue.
    Over,
}

impl<'w, B> Waiting<'w, B> {
    pub(crate) fn new(waits: &'w Waits<'w>, begin: B) -> Self {
        Self { waits, stage: Stage::New(begin) }
    }
}

impl<B: Begin + Unpin> Future for Waiting<'_, B> {
    type Output = Bytes;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Bytes> {
        let this = &mut *self;
        if let Stage::New(_) = this.stage
            && let Stage::New(begin) = std::mem::replace(&mut this.stage, Stage::Over)
            && let Some(index) = begin.begin(this.waits)
        {
            this.stage = Stage::Begun(index);
        }
        let Stage::Begun(index) = this.stage else { return Poll::Pending };
        let Some(came) = this.waits.take(index) else { return Poll::Pending };
        this.stage = Stage::Over;
        Poll::Ready(came)
    }
}

impl<B> Drop for Waiting<'_, B> {
    fn drop(&mut self) {
        if let Stage::Begun(index) = self.stage {
            self.waits.dropped(index);
        }
    }
}
