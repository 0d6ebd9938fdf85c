//! One stream: gathers appended values, writes them in one call, syncs them in another, and reads
//! them back. Knows not where the next file comes from.
//!
//! It has three locks, taken in this order: one for a call that appends or removes; one for a call
//! that writes and syncs; and one for the places of the values, held only for moments. So reads and
//! appends pass while a sync is under way.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::file::Source;
use super::part::{Part, Parts};
use super::value::{HEADER_BYTES, VALUES_AT, span};
use crate::boundary;
use crate::contract::error::StoreError;
use crate::directory::sync_directory;
use crate::threads::poison::Poison;

#[derive(Debug)]
pub(super) struct Stream {
    poison: Arc<Poison>,
    durable: bool,
    appending: Mutex<()>,
    writer: Mutex<Writer>,
    state: Mutex<State>,
}

/// The files that were written and are not synced.
#[derive(Debug)]
struct Writer {
    files: Vec<Arc<Source>>,
    /// Whether the name of the last file is not synced.
    unnamed: bool,
}

#[derive(Debug)]
struct State {
    parts: Parts,
    /// The values appended to the last part that are not written.
    gathered: Vec<u8>,
    /// The offset of its first byte.
    at: u64,
    /// The bytes that a write is handing over now.
    writing: Option<Writing>,
    /// An empty buffer, for the next write.
    spare: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Writing {
    source: Arc<Source>,
    at: u64,
    bytes: Arc<Vec<u8>>,
}

/// Where a value is.
enum Kept {
    Nowhere,
    Lost(String),
    Memory(Bytes),
    File(Arc<Source>, u64),
}

impl Stream {
    /// A stream as an opening found it, synced.
    pub(super) fn new(parts: Parts, poison: Arc<Poison>, durable: bool) -> Self {
        let at = parts.0.back().map_or(VALUES_AT, |part| part.end);
        Self {
            poison,
            durable,
            appending: Mutex::default(),
            writer: Mutex::new(Writer { files: Vec::new(), unnamed: false }),
            state: Mutex::new(State { parts, gathered: Vec::new(), at, writing: None, spare: Vec::new() }),
        }
    }

    /// A new stream that begins with a position, in a file of its own whose head is not written
    /// yet.
    pub(super) fn begin(
        first: u64,
        source: Source,
        head: Vec<u8>,
        poison: Arc<Poison>,
        durable: bool,
    ) -> Self {
        let parts = Parts([Part::new(Arc::new(source), first)].into());
        let stream = Self::new(parts, poison, durable);
        lock(&stream.writer).unnamed = true;
        {
            let mut state = lock(&stream.state);
            state.at = 0;
            state.gathered = head;
        }
        stream
    }

    pub(super) fn positions(&self) -> Range<u64> {
        let state = lock(&self.state);
        state.parts.first().unwrap_or(0)..state.parts.next().unwrap_or(0)
    }

    /// Whether the stream needs another file soon.
    pub(super) fn is_half_full(&self) -> bool {
        lock(&self.state).parts.0.back().is_some_and(Part::is_half_full)
    }

    /// Appends a value; `more` gives the next file when the value does not fit into the last one.
    pub(super) fn append(
        &self,
        position: u64,
        value: &[u8],
        more: &dyn Fn(u64) -> Result<Arc<Source>, StoreError>,
    ) -> Result<(), StoreError> {
        let _appending = lock(&self.appending);
        let bytes = span(value.len());
        let fits = {
            let state = lock(&self.state);
            let next = state.parts.next().unwrap_or(position);
            if position != next {
                let what = format!("position {position} was appended to a stream that ends before {next}");
                return Err(StoreError::Misuse { what });
            }
            state.parts.0.back().is_some_and(|part| part.fits(bytes))
        };
        if !fits {
            self.write_out(&mut lock(&self.writer))?;
            let source = more(bytes)?;
            let mut state = lock(&self.state);
            // Otherwise bytes for the file before would go into this one.
            assert!(state.gathered.is_empty(), "all of a file is written before the next one takes values");
            state.at = VALUES_AT;
            state.parts.0.push_back(Part::new(source, position));
        }
        let gathered = lock(&self.state).gather(position, value, bytes);
        if gathered >= GATHERED_BYTES {
            self.write_out(&mut lock(&self.writer))?;
        }
        Ok(())
    }

    /// Hands the appended values to the system, and syncs them in a tier that does.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let synced = self.sync_written(&mut writer);
        self.note(&synced);
        synced
    }

    fn sync_written(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.write_out(writer)?;
        if self.durable {
            // All of them: a value that went into the next file says nothing of the file before.
            for source in &writer.files {
                source.sync()?;
            }
            if writer.unnamed
                && let Some(directory) = writer.files.last().and_then(|file| file.path().parent())
            {
                sync_directory(directory)?;
                writer.unnamed = false;
            }
            boundary!("medium.synced");
        }
        writer.files.clear();
        Ok(())
    }

    /// Writes the gathered values, in one call.
    fn write_out(&self, writer: &mut Writer) -> Result<(), StoreError> {
        // The sync that held the lock before may have failed, and the system reports a failed write
        // only once: this one would succeed without the lost pages.
        self.poison.check()?;
        let Some(writing) = lock(&self.state).begin_writing() else { return Ok(()) };
        boundary!("medium.write.begin");
        let written = writing.source.write(writing.at, &writing.bytes);
        self.note(&written);
        written?;
        boundary!("medium.write.end");
        if !writer.files.last().is_some_and(|file| Arc::ptr_eq(file, &writing.source)) {
            writer.files.push(writing.source);
        }
        lock(&self.state).end_writing(writing.bytes);
        Ok(())
    }

    /// The value of a position.
    pub(super) fn read(&self, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError> {
        let (source, offset) = match lock(&self.state).find(position) {
            Kept::Nowhere => return Ok(None),
            Kept::Lost(what) => return Ok(Some(Err(what))),
            Kept::Memory(value) => return Ok(Some(Ok(value))),
            Kept::File(source, offset) => (source, offset),
        };
        let found = source.value(offset, position)?;
        if found.is_err() {
            // A removal may have come meanwhile, and the file may hold something else.
            let now = lock(&self.state).find(position);
            if !matches!(now, Kept::File(now, at) if at == offset && Arc::ptr_eq(&now, &source)) {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// Removes the values from a position on. Passes the files without values to `give_back`, in
    /// order, before an append can ask for another file.
    pub(super) fn remove_from(
        &self,
        position: u64,
        give_back: &dyn Fn(Vec<Arc<Source>>),
    ) -> Result<(), StoreError> {
        let _appending = lock(&self.appending);
        let mut writer = lock(&self.writer);
        let removed = self.remove_written(&mut writer, position);
        self.note(&removed);
        give_back(removed?);
        Ok(())
    }

    fn remove_written(&self, writer: &mut Writer, position: u64) -> Result<Vec<Arc<Source>>, StoreError> {
        self.write_out(writer)?;
        let (ends, removed) = {
            let mut state = lock(&self.state);
            let position = position.max(state.parts.first().unwrap_or(position));
            let ends: Vec<_> =
                state.parts.0.iter().map(|part| (Arc::clone(&part.source), part.end)).collect();
            state.parts.truncate(position);
            let ends: Vec<_> = ends
                .into_iter()
                .zip(&state.parts.0)
                .map(|((file, end), part)| (file, part.end..end))
                .collect();
            let mut removed: Vec<_> = state.parts.take_empty().into_iter().map(|part| part.source).collect();
            removed.reverse();
            state.at = state.parts.0.back().map_or(VALUES_AT, |part| part.end);
            (ends, removed)
        };
        // From the end, and each file is synced before the next: a crash leaves a stream that ends
        // earlier, and never one with a gap.
        for (source, bytes) in ends.iter().rev().filter(|(_, bytes)| !bytes.is_empty()) {
            boundary!("medium.remove.step");
            match source.capacity {
                Some(_) => drop(source.zero(bytes.start, bytes.end, &|| false)?),
                None => source.truncate(bytes.start)?,
            }
            if self.durable {
                source.sync()?;
            }
        }
        Ok(removed)
    }

    /// Forgets all values, before the files get another use.
    pub(super) fn forget(&self) {
        let _appending = lock(&self.appending);
        lock(&self.writer).files.clear();
        let mut state = lock(&self.state);
        state.parts.0.clear();
        state.gathered.clear();
    }

    /// Remembers a failure before the next holder of the lock goes on.
    fn note<T>(&self, outcome: &Result<T, StoreError>) {
        if let Err(error) = outcome {
            self.poison.note(error);
        }
    }

    /// The first file that holds a value from a position on, with the position that it begins with.
    /// `None` when that is the first file of all.
    pub(super) fn first_at(&self, position: u64) -> Option<(Arc<Source>, u64)> {
        let state = lock(&self.state);
        let count = state.parts.below(position);
        let part = state.parts.0.get(count).filter(|_| count > 0)?;
        Some((Arc::clone(&part.source), part.first))
    }

    /// Forgets the files before this one.
    pub(super) fn forget_before(&self, source: &Arc<Source>) {
        let mut state = lock(&self.state);
        // Only removals take files away, and one of them runs at a time.
        let count = state.parts.0.iter().position(|part| Arc::ptr_eq(&part.source, source));
        assert!(count.is_some(), "the file that a removal keeps belongs to the stream");
        state.parts.0.drain(..count.unwrap_or_default());
    }
}

impl State {
    /// Adds a value to the buffer, and returns how many bytes the buffer has.
    fn gather(&mut self, position: u64, value: &[u8], bytes: u64) -> usize {
        let part = self.parts.0.back_mut().expect("an append has made the first file of a stream");
        assert!(part.next() == position, "{position} follows on {}", part.next());
        part.source.stamp.put(position, value, &mut self.gathered);
        part.push(bytes);
        assert!(
            self.at + self.gathered.len() as u64 == part.end,
            "the buffer from {} on ends where the file will, at {}",
            self.at,
            part.end
        );
        self.gathered.len()
    }

    fn begin_writing(&mut self) -> Option<Writing> {
        let source = Arc::clone(&self.parts.0.back()?.source);
        if self.gathered.is_empty() {
            return None;
        }
        let bytes = Arc::new(std::mem::replace(&mut self.gathered, std::mem::take(&mut self.spare)));
        assert!(self.writing.is_none(), "one call hands values over at a time");
        let at = self.at;
        self.at += bytes.len() as u64;
        let writing = Writing { source, at, bytes };
        self.writing = Some(writing.clone());
        Some(writing)
    }

    fn end_writing(&mut self, bytes: Arc<Vec<u8>>) {
        let ended = self.writing.take();
        assert!(
            ended.is_some_and(|writing| Arc::ptr_eq(&writing.bytes, &bytes)),
            "a write ends once, and with the bytes with which it began"
        );
        // One large value must not hold its memory for ever, so its buffer is freed.
        if let Some(mut bytes) = Arc::into_inner(bytes).filter(|bytes| bytes.capacity() <= 2 * GATHERED_BYTES)
        {
            bytes.clear();
            self.spare = bytes;
        }
    }

    fn find(&self, position: u64) -> Kept {
        let Some((part, found)) = self.parts.offset_of(position) else { return Kept::Nowhere };
        let offset = found.offset();
        if found.is_lost() {
            return Kept::Lost(format!(
                "nothing of the value is left, and it stood after byte {offset} of {}",
                part.source.path().display()
            ));
        }
        // From memory, in both buffers: a read of the file could come before the write, or in its
        // middle.
        let is_last = self.parts.0.back().is_some_and(|last| std::ptr::eq(last, part));
        let gathered = is_last.then_some((self.at, &self.gathered));
        let writing = self.writing.as_ref().filter(|writing| Arc::ptr_eq(&writing.source, &part.source));
        let writing = writing.map(|writing| (writing.at, &*writing.bytes));
        for (at, bytes) in gathered.into_iter().chain(writing) {
            let start = offset.checked_sub(at).and_then(|start| usize::try_from(start).ok());
            if let Some(rest) = start.and_then(|start| bytes.get(start..)).filter(|rest| !rest.is_empty())
                && let Some(header) = part.source.stamp.header(rest)
                && let Some(value) = rest.get(HEADER_BYTES..HEADER_BYTES + header.length)
            {
                return Kept::Memory(Bytes::copy_from_slice(value));
            }
        }
        Kept::File(Arc::clone(&part.source), offset)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics while it changes the state under a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream writes the gathered values at this many bytes, without a wait for a sync.
const GATHERED_BYTES: usize = 4 << 20;

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
