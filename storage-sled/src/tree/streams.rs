//! Where each stream begins and ends, in memory. Knows no tree.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relive_storage::StoreError;
use relive_storage::medium::StreamId;

use super::fences_ahead::FencesAhead;

/// All streams of an opening.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<BTreeMap<StreamId, Span>>);

/// Where a stream begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// The fences at its end.
    pub(crate) fences: FencesAhead,
}

impl Streams {
    /// The streams that an opening found.
    pub(crate) fn new(found: Vec<(StreamId, Range<u64>)>) -> Self {
        let span =
            |range: Range<u64>| Span { first: range.start, end: range.end, fences: FencesAhead::default() };
        Self(Mutex::new(found.into_iter().map(|(stream, range)| (stream, span(range))).collect()))
    }

    /// The positions of each stream.
    pub(crate) fn all(&self) -> BTreeMap<StreamId, Range<u64>> {
        self.spans().iter().map(|(stream, span)| (*stream, span.first..span.end)).collect()
    }

    /// The stream, if it exists.
    pub(crate) fn get(&self, stream: StreamId) -> Option<Span> {
        self.spans().get(&stream).copied()
    }

    /// Whether a stream has a value at a position.
    pub(crate) fn has(&self, stream: StreamId, position: u64) -> bool {
        self.get(stream).is_some_and(|span| (span.first..span.end).contains(&position))
    }

    /// The stream for an append at a position, or a new one that begins there.
    pub(crate) fn admit(&self, stream: StreamId, position: u64) -> Result<Span, StoreError> {
        let span = self.get(stream).unwrap_or(Span {
            first: position,
            end: position,
            fences: FencesAhead::default(),
        });
        if position == span.end {
            return Ok(span);
        }
        let what = format!("position {position} of {stream:?} was appended after {}", span.end);
        Err(StoreError::Misuse { what })
    }

    /// Counts the admitted value, which the tree has now.
    pub(crate) fn appended(&self, stream: StreamId, span: Span) {
        assert!(span.first <= span.end, "{stream:?} begins at {} and ends at {}", span.first, span.end);
        let (end, fences) = (span.end + 1, span.fences);
        let mut spans = self.spans();
        // A removal from the front may have come meanwhile: keep its beginning.
        let first = spans.get(&stream).map_or(span.first, |now| now.first);
        spans.insert(stream, Span { first, end, fences });
    }

    /// The caller is about to remove the values below a position.
    pub(crate) fn begins(&self, stream: StreamId, position: u64) {
        if let Some(span) = self.spans().get_mut(&stream) {
            // A caller may name a position behind the end: the stream goes on where it ends.
            span.first = span.first.max(position).min(span.end);
        }
    }

    /// The caller is about to remove the values from a position on.
    pub(crate) fn ends(&self, stream: StreamId, position: u64) {
        if let Some(span) = self.spans().get_mut(&stream) {
            span.end = position.max(span.first);
            // Which fences stand behind the new end is unknown now.
            span.fences = FencesAhead::default();
        }
    }

    /// The caller is about to remove a stream.
    pub(crate) fn forget(&self, stream: StreamId) {
        self.spans().remove(&stream);
    }

    fn spans(&self) -> MutexGuard<'_, BTreeMap<StreamId, Span>> {
        // Each change is one step, so a panic elsewhere leaves no half change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(7);

    fn append(streams: &Streams, position: u64) -> Result<(), StoreError> {
        let span = streams.admit(STREAM, position)?;
        streams.appended(STREAM, span);
        Ok(())
    }

    fn range(streams: &Streams) -> Option<Range<u64>> {
        streams.all().remove(&STREAM)
    }

    #[test]
    fn a_stream_grows_at_its_end_only() {
        let streams = Streams::default();
        append(&streams, 5).unwrap();
        append(&streams, 6).unwrap();
        for position in [4, 5, 6, 8] {
            let refused = append(&streams, position);
            assert!(matches!(refused, Err(StoreError::Misuse { .. })), "at {position}");
        }
        assert_eq!(range(&streams), Some(5..7));
        assert!(streams.has(STREAM, 6) && !streams.has(STREAM, 7) && !streams.has(STREAM, 4));
    }

    #[test]
    fn what_is_removed_is_gone_before_its_values_are() {
        let streams = Streams::new(vec![(STREAM, 5..9)]);
        streams.begins(STREAM, 7);
        streams.begins(STREAM, 6);
        assert_eq!(range(&streams), Some(7..9), "the front does not come back");
        streams.ends(STREAM, 8);
        assert_eq!(range(&streams), Some(7..8));
        append(&streams, 8).unwrap();
        streams.ends(STREAM, 3);
        assert_eq!(range(&streams), Some(7..7), "what was removed from the front stays so");
        streams.forget(STREAM);
        assert_eq!(range(&streams), None);
        append(&streams, 2).unwrap();
    }

    /// A removal from the front may come while a value is being appended.
    #[test]
    fn an_append_leaves_what_was_removed_meanwhile() {
        let streams = Streams::new(vec![(STREAM, 5..9)]);
        let span = streams.admit(STREAM, 9).unwrap();
        streams.begins(STREAM, 8);
        streams.appended(STREAM, span);
        assert_eq!(range(&streams), Some(8..10));
    }
}
