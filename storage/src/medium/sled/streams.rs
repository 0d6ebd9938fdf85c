//! Where each stream begins and ends, in memory. Knows no tree.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::StoreError;
use crate::medium::StreamId;

/// All streams of an opening.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<BTreeMap<StreamId, Span>>);

/// What is known of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) end: u64,
    /// The positions below have their fences.
    pub(super) fenced: u64,
}

impl Streams {
    /// Those that were found.
    pub(super) fn new(found: Vec<(StreamId, Range<u64>)>) -> Self {
        let span = |range: Range<u64>| Span { first: range.start, end: range.end, fenced: range.end };
        Self(Mutex::new(found.into_iter().map(|(stream, range)| (stream, span(range))).collect()))
    }

    /// The positions of each.
    pub(super) fn all(&self) -> BTreeMap<StreamId, Range<u64>> {
        self.spans().iter().map(|(stream, span)| (*stream, span.first..span.end)).collect()
    }

    /// A stream that there is.
    pub(super) fn get(&self, stream: StreamId) -> Option<Span> {
        self.spans().get(&stream).copied()
    }

    /// Whether a stream has a value at a position.
    pub(super) fn has(&self, stream: StreamId, position: u64) -> bool {
        self.get(stream).is_some_and(|span| (span.first..span.end).contains(&position))
    }

    /// A stream to which a value is to be appended, or one that begins with it.
    pub(super) fn admit(&self, stream: StreamId, position: u64) -> Result<Span, StoreError> {
        let span = self.get(stream).unwrap_or(Span { first: position, end: position, fenced: position });
        if position == span.end {
            return Ok(span);
        }
        let what = format!("position {position} of {stream:?} was appended after {}", span.end);
        Err(StoreError::Misuse { what })
    }

    /// The value that was admitted is there.
    pub(super) fn appended(&self, stream: StreamId, span: Span, fenced: u64) {
        let end = span.end + 1;
        let mut spans = self.spans();
        // What was removed from the front meanwhile stays so.
        let first = spans.get(&stream).map_or(span.first, |now| now.first);
        spans.insert(stream, Span { first, end, fenced });
    }

    /// What is below a position is about to be removed.
    pub(super) fn begins(&self, stream: StreamId, position: u64) {
        if let Some(span) = self.spans().get_mut(&stream) {
            span.first = span.first.max(position).min(span.end);
        }
    }

    /// What is at a position or above is about to be removed.
    pub(super) fn ends(&self, stream: StreamId, position: u64) {
        if let Some(span) = self.spans().get_mut(&stream) {
            span.end = position.max(span.first);
        }
    }

    /// A stream is about to be removed.
    pub(super) fn forget(&self, stream: StreamId) {
        self.spans().remove(&stream);
    }

    fn spans(&self) -> MutexGuard<'_, BTreeMap<StreamId, Span>> {
        // Each change is of one thing, so a panic elsewhere leaves no half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
