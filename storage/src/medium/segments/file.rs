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
