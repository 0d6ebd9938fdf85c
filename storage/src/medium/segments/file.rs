//! One file of values in one of its uses: opening, making, reading and writing it. The caller says
//! where a value stands. Knows not which file belongs to which stream.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;

use super::value::{FileHead, HEADER_BYTES, Header, NO_POSITION, Stamp, VALUES_AT};
use crate::contract::error::StoreError;
use crate::directory::{io_error, mixed};
use crate::id::position::StoreId;
use crate::medium::StreamId;

/// A file of values, open.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    path: PathBuf,
    pub(super) number: u64,
    pub(super) stamp: Stamp,
    /// How many bytes it may hold; `None` for one that grows.
    pub(super) capacity: Option<u64>,
}

impl Source {
    /// Makes an empty file that grows. The first write includes its head.
    pub(super) fn create(path: PathBuf, head: &FileHead) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        Ok(Self { file, path, number: head.number, stamp: stamp(head), capacity: None })
    }

    /// Makes a segment, filled with zeros; `None` when `give_up` said so.
    pub(super) fn create_segment(
        path: PathBuf,
        head: &FileHead,
        bytes: u64,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, StoreError> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        let segment = Self { file, path, number: head.number, stamp: stamp(head), capacity: Some(bytes) };
        if !segment.zero(VALUES_AT, bytes, give_up)? {
            return Ok(None);
        }
        // The head comes last: a file without one is not complete.
        segment.write(0, &head.encode())?;
        Ok(Some(segment))
    }

    /// Takes an existing segment for another use, if it has this size.
    pub(super) fn reuse_segment(
        path: PathBuf,
        head: &FileHead,
        bytes: u64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(file) = open(&path)? else { return Ok(None) };
        if file.metadata().map_err(io_error("open", &path))?.len() != bytes {
            return Ok(None);
        }
        let segment = Self { file, path, number: head.number, stamp: stamp(head), capacity: Some(bytes) };
        // The old values stay: their headers name an earlier generation, so no reader takes them.
        segment.write(0, &head.encode())?;
        Ok(Some(segment))
    }

    /// Opens a segment that the manifest lists.
    pub(super) fn open_segment(path: PathBuf, expected: &FileHead, bytes: u64) -> Result<Self, StoreError> {
        let Some(file) = open(&path)? else {
            return Err(StoreError::Missing { path, consequence: "a part of the log is in it" });
        };
        let segment =
            Self { file, path, number: expected.number, stamp: stamp(expected), capacity: Some(bytes) };
        match segment.head()? {
            Ok(head) if head.store != expected.store => {
                return Err(mixed(&segment.path, expected.store, head.store));
            }
            Ok(head) if head == *expected => {}
            Ok(head) => {
                let what = format!(
                    "{} is of generation {}, but the log consists of one of generation {}",
                    segment.path.display(),
                    head.generation,
                    expected.generation
                );
                return Err(StoreError::CorruptStore { what });
            }
            // The manifest says all of this, and each value says to which use of the file it
            // belongs.
            Err(what) => {
                let path = segment.path.display();
                tracing::warn!(%path, what, "the head of a segment is damaged");
            }
        }
        Ok(segment)
    }

    /// Opens a segment that the manifest does not list.
    pub(super) fn open_unlisted(path: PathBuf, head: &FileHead) -> Result<Option<Self>, StoreError> {
        let file = open(&path)?;
        Ok(file.map(|file| Self { file, path, number: head.number, stamp: stamp(head), capacity: None }))
    }

    /// Opens the file of another stream, with the position that it begins with; `None` for one
    /// whose head is not readable.
    pub(super) fn open_stream(
        path: PathBuf,
        store: StoreId,
        stream: StreamId,
    ) -> Result<(Self, Option<u64>), StoreError> {
        let Some(file) = open(&path)? else {
            return Err(StoreError::Missing { path, consequence: "it was there a moment ago" });
        };
        let head = FileHead { store, stream, number: stream.0, generation: 0, first: NO_POSITION };
        let source = Self { file, path, number: stream.0, stamp: stamp(&head), capacity: None };
        match source.head()? {
            Ok(found) if found.store != store => Err(mixed(&source.path, store, found.store)),
            Ok(found) if found.stream != stream => {
                let what = format!("{} is the file of {:?}", source.path.display(), found.stream);
                Err(StoreError::CorruptStore { what })
            }
            Ok(found) => Ok((source, Some(found.first))),
            Err(_) => Ok((source, None)),
        }
    }

    /// What its head says.
    pub(super) fn head(&self) -> Result<Result<FileHead, String>, StoreError> {
        let mut bytes = Vec::new();
        self.read(0, usize::try_from(VALUES_AT).unwrap_or(usize::MAX), &mut bytes)?;
        Ok(FileHead::decode(&bytes.into()).map_err(|malformed| malformed.to_string()))
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata().map_err(io_error("open", &self.path))?.len())
    }

    /// Reads up to `count` bytes into `buffer`, fewer only at the end of the file.
    pub(super) fn read(&self, at: u64, count: usize, buffer: &mut Vec<u8>) -> Result<(), StoreError> {
        buffer.resize(count, 0);
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, at.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error("read", &self.path)(error)),
            }
        }
        buffer.truncate(read);
        Ok(())
    }

    /// The header of the value at an offset, if it is whole.
    pub(super) fn header(&self, at: u64) -> Result<Option<Header>, StoreError> {
        let mut bytes = Vec::new();
        self.read(at, HEADER_BYTES, &mut bytes)?;
        Ok(self.stamp.header(&bytes))
    }

    /// The value of a position that stands at an offset. The inner error says what is damaged.
    pub(super) fn value(&self, at: u64, position: u64) -> Result<Result<Bytes, String>, StoreError> {
        let damaged = |what: &str| Ok(Err(format!("{what} at byte {at} of {}", self.path.display())));
        let Some(header) = self.header(at)?.filter(|header| header.position == position) else {
            return damaged("no header of the value stands");
        };
        let mut value = Vec::new();
        self.read(at + HEADER_BYTES as u64, header.length, &mut value)?;
        if value.len() != header.length || !header.is_of(crc32fast::hash(&value)) {
            return damaged("the checksum does not match the value");
        }
        Ok(Ok(value.into()))
    }

    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, at).map_err(io_error("write", &self.path))
    }

    /// Writes zeros; `false` when `give_up` said so.
    pub(super) fn zero(&self, from: u64, to: u64, give_up: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        let zeros = vec![0; ZEROS_BYTES];
        let mut at = from;
        while at < to {
            if give_up() {
                return Ok(false);
            }
            let count = usize::try_from(to - at).map_or(ZEROS_BYTES, |rest| rest.min(ZEROS_BYTES));
            self.write(at, zeros.get(..count).unwrap_or_default())?;
            at += count as u64;
        }
        Ok(true)
    }

    /// Shortens a file that grows.
    pub(super) fn truncate(&self, length: u64) -> Result<(), StoreError> {
        self.file.set_len(length).map_err(io_error("cut", &self.path))
    }

    /// Syncs the bytes, and the metadata that a read of them needs.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(io_error("sync", &self.path))
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// A file whose writes fail.
    #[cfg(test)]
    pub(super) fn read_only(path: PathBuf, head: &FileHead) -> Self {
        let file = File::open(&path).expect("it is there");
        Self { file, path, number: head.number, stamp: stamp(head), capacity: None }
    }
}

fn stamp(head: &FileHead) -> Stamp {
    Stamp::new(head.store, head.stream, head.generation)
}

fn open(path: &std::path::Path) -> Result<Option<File>, StoreError> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", path)(error)),
    }
}

/// How many bytes one write takes.
const ZEROS_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::medium::segments::value::span;

    fn head(store: u128, generation: u64) -> FileHead {
        let (store, stream) = (StoreId::new(store), StreamId(0));
        FileHead { store, stream, number: 3, generation, first: NO_POSITION }
    }

    fn put(source: &Source, at: u64, position: u64, value: &[u8]) {
        let mut bytes = Vec::new();
        source.stamp.put(position, value, &mut bytes);
        source.write(at, &bytes).unwrap();
    }

    /// Each use of a segment hides the values of the use before, although their bytes are there.
    #[test]
    fn a_value_of_an_earlier_use_is_none() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("segment.3");
        let first = Source::create_segment(path.clone(), &head(1, 4), 4096, &|| false).unwrap().unwrap();
        put(&first, VALUES_AT, 70, b"old");
        assert_eq!(first.value(VALUES_AT, 70).unwrap().unwrap(), &b"old"[..]);
        assert!(first.value(VALUES_AT, 71).unwrap().is_err(), "it is of another position");
        let again = Source::reuse_segment(path.clone(), &head(1, 5), 4096).unwrap().unwrap();
        assert!(again.value(VALUES_AT, 70).unwrap().is_err());
        assert_eq!(again.head().unwrap(), Ok(head(1, 5)));
        assert!(Source::reuse_segment(path, &head(1, 6), 8192).unwrap().is_none(), "it has another size");
        assert!(Source::reuse_segment(root.path().join("none"), &head(1, 6), 4096).unwrap().is_none());
    }

    /// A listed segment must be the one that the list says. Its head alone may be damaged, since
    /// the list and each value say the same.
    #[test]
    fn a_listed_segment_is_the_one_that_is_listed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("segment.3");
        let open = |head: &FileHead| Source::open_segment(path.clone(), head, 4096);
        assert!(matches!(open(&head(1, 4)), Err(StoreError::Missing { .. })));
        let made = Source::create_segment(path.clone(), &head(1, 4), 4096, &|| false).unwrap().unwrap();
        open(&head(1, 4)).unwrap();
        assert!(matches!(open(&head(2, 4)), Err(StoreError::Mixed { .. })));
        assert!(matches!(open(&head(1, 5)), Err(StoreError::CorruptStore { .. })));
        made.write(0, b"damaged").unwrap();
        open(&head(1, 4)).unwrap();
    }

    /// A segment that is given up in the making has no head, so nobody takes it for one.
    #[test]
    fn the_making_of_a_segment_can_be_given_up() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("segment.3");
        let pieces = Cell::new(0);
        let give_up = || pieces.replace(pieces.get() + 1) == 2;
        let bytes = 4 * ZEROS_BYTES as u64;
        assert!(Source::create_segment(path.clone(), &head(1, 4), bytes, &give_up).unwrap().is_none());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), VALUES_AT + 2 * ZEROS_BYTES as u64);
        let left = Source::open_unlisted(path, &head(1, 4)).unwrap().unwrap();
        assert!(left.head().unwrap().is_err());
    }

    /// The file of a stream says which stream and store it is of, and where that begins.
    #[test]
    fn the_file_of_a_stream_is_known_by_its_head() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("stream.9");
        let (store, stream) = (StoreId::new(1), StreamId(9));
        let head = FileHead { store, stream, number: 9, generation: 0, first: 77 };
        let made = Source::create(path.clone(), &head).unwrap();
        let first = |store, stream| Source::open_stream(path.clone(), store, stream).map(|(_, first)| first);
        assert_eq!(first(store, stream).unwrap(), None, "the head was never written");
        made.write(0, &head.encode()).unwrap();
        assert_eq!(first(store, stream).unwrap(), Some(77));
        assert!(matches!(first(StoreId::new(2), stream), Err(StoreError::Mixed { .. })));
        assert!(matches!(first(store, StreamId(8)), Err(StoreError::CorruptStore { .. })));
    }

    /// A read gives what is there, and no more, at the end of a file.
    #[test]
    fn a_read_past_the_end_is_short() {
        let root = tempfile::tempdir().unwrap();
        let source = Source::create(root.path().join("stream.9"), &head(1, 0)).unwrap();
        put(&source, 0, 5, b"value");
        let mut buffer = vec![1; 3];
        source.read(8, 1 << 20, &mut buffer).unwrap();
        assert_eq!(buffer.len() as u64, span(5) - 8);
        source.read(1 << 30, 10, &mut buffer).unwrap();
        assert!(buffer.is_empty());
    }
}
