//! The high-water mark: a side file that says how far the log was acknowledged, where it begins, and how many
//! checkpoints there were when it was last cut. sled loses data without a word; by this file it is noticed.
//!
//! ```text
//! file := slot, zeros up to 4096, slot, zeros up to 8192
//! slot := "RLVM" version:u32 store:u128 sequence:u64 acknowledged:u64 start:u64 epoch:u64
//!         seal latest crc:u32
//! seal := number:u64 count:u64 sum:u128                                    latest likewise
//! ```
//! The slots are written one after the other, so that a torn write leaves one, and both at each commit, so that damage
//! to one of them forgets nothing. A commit does not sync them: the page cache is enough to notice data files that were
//! truncated or replaced, and after a loss of power an older mark promises less than there is, never more.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::files::MARK;
use crate::StoreError;
use crate::directory::io_error;
use crate::position::{CheckpointNumber, Epoch, Lsn, StoreId};
use crate::wire::{Malformed, Reader};

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Everything below was acknowledged.
    pub(super) acknowledged: Lsn,
    /// The log begins here.
    pub(super) start: Lsn,
    /// The newest incarnation that wrote.
    pub(super) epoch: Epoch,
    /// The checkpoints that were there when the log was last cut: stable before the cut.
    pub(super) seal: Seal,
    /// The checkpoints that are there now. As little synced as `acknowledged`, so after a loss of power it may be
    /// older than they are.
    pub(super) latest: Seal,
}

/// Which checkpoints there were: enough to notice that one is gone, or is older than it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    /// The highest number.
    pub(super) highest: CheckpointNumber,
    /// How many actors had one.
    pub(super) count: u64,
    /// The sum of a hash of each.
    pub(super) sum: u128,
}

impl Mark {
    /// That of a new store.
    pub(super) fn new() -> Self {
        Self {
            acknowledged: Lsn::FIRST,
            start: Lsn::FIRST,
            epoch: Epoch::new(0),
            seal: Seal::default(),
            latest: Seal::default(),
        }
    }

    /// Records which checkpoints there are, for a mark that is made stable.
    pub(super) fn sealed(self, seal: Seal) -> Self {
        let latest = seal;
        Self { seal, latest, ..self }
    }
}

/// The file, open for as long as the store is.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    path: PathBuf,
    store: StoreId,
    sequence: u64,
}

impl MarkFile {
    /// Makes the file of a new store, stable but for its name.
    pub(super) fn create(directory: &Path, store: StoreId) -> Result<Self, StoreError> {
        let path = directory.join(MARK);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        file.set_len(FILE_BYTES).map_err(io_error("write", &path))?;
        let mut mark = Self { file, path, store, sequence: 0 };
        mark.write_both(&Mark::new(), true)?;
        Ok(mark)
    }

    /// Opens the file of a store and returns what it says.
    pub(super) fn open(directory: &Path, store: StoreId) -> Result<(Self, Mark), StoreError> {
        let path = directory.join(MARK);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        let mut file = options.open(&path).map_err(io_error("open", &path))?;
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file).take(FILE_BYTES).read_to_end(&mut bytes);
        read.map_err(io_error("read", &path))?;
        let bytes = Bytes::from(bytes);
        let second = bytes.slice(bytes.len().min(SLOT_BYTES)..);
        let (slot, problem) = match (decode(&bytes, &path), decode(&second, &path)) {
            (Ok(a), Ok(b)) => (if a.sequence > b.sequence { a } else { b }, None),
            (Ok(slot), Err(problem)) | (Err(problem), Ok(slot)) => (slot, Some(problem)),
            (Err(StoreError::CorruptStore { .. }), Err(problem)) | (Err(problem), Err(_)) => {
                return Err(problem);
            }
        };
        if let Some(problem) = problem {
            tracing::warn!(%problem, "one of the two copies of the mark is not readable, the other serves");
        }
        if slot.store != store {
            return Err(StoreError::Mixed {
                path: directory.to_owned(),
                expected: store.to_string(),
                found: format!("{} (in {MARK})", slot.store),
            });
        }
        let sequence = slot.sequence;
        let file = Self { file, path, store, sequence };
        Ok((file, slot.mark))
    }

    /// Writes one slot, into the page cache.
    fn write(&mut self, mark: &Mark) -> Result<(), StoreError> {
        // A sequence of one a nanosecond would last for five centuries.
        self.sequence = self.sequence.saturating_add(1);
        let slot = encode(self.store, self.sequence, mark);
        let offset = (self.sequence % 2) * (FILE_BYTES / 2);
        let written = self.file.seek(SeekFrom::Start(offset));
        let written = written.and_then(|_| self.file.write_all(&slot));
        written.map_err(io_error("write", &self.path))
    }

    /// Writes both slots, so that damage to one of them costs nothing, each stable before the other is touched.
    pub(super) fn write_both(&mut self, mark: &Mark, stable: bool) -> Result<(), StoreError> {
        for _ in 0..2 {
            self.write(mark)?;
            if stable {
                self.file.sync_data().map_err(io_error("sync", &self.path))?;
            }
        }
        Ok(())
    }
}

struct Slot {
    store: StoreId,
    sequence: u64,
    mark: Mark,
}

fn encode(store: StoreId, sequence: u64, mark: &Mark) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&store.get().to_le_bytes());
    for number in [sequence, mark.acknowledged.get(), mark.start.get(), mark.epoch.get()] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for seal in [mark.seal, mark.latest] {
        bytes.extend_from_slice(&seal.highest.get().to_le_bytes());
        bytes.extend_from_slice(&seal.count.to_le_bytes());
        bytes.extend_from_slice(&seal.sum.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &Bytes, path: &Path) -> Result<Slot, StoreError> {
    let found = bytes.get(4..8).and_then(|version| version.try_into().ok());
    let found = found.map_or(0, u32::from_le_bytes);
    let damaged = |malformed| StoreError::CorruptStore {
        what: format!("the mark {} is not readable: {malformed}", path.display()),
    };
    let slot = decode_slot(bytes).map_err(damaged)?;
    match slot {
        Some(slot) => Ok(slot),
        None => Err(StoreError::NewerFormat { path: path.to_owned(), found, supported: VERSION }),
    }
}

/// `None` for a slot of a newer version.
fn decode_slot(bytes: &Bytes) -> Result<Option<Slot>, Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != MAGIC {
        return Err(Malformed("it does not begin as it should"));
    }
    if reader.u32()? > VERSION {
        return Ok(None);
    }
    let store = StoreId::new(reader.u128()?);
    let sequence = reader.u64()?;
    let mark = Mark {
        acknowledged: Lsn::new(reader.wide_counter()?),
        start: Lsn::new(reader.wide_counter()?),
        epoch: Epoch::new(reader.wide_counter()?),
        seal: decode_seal(&mut reader)?,
        latest: decode_seal(&mut reader)?,
    };
    let whole = bytes.get(..reader.position()).unwrap_or_default();
    if reader.u32()? != crc32fast::hash(whole) {
        return Err(Malformed("its checksum does not match"));
    }
    if mark.start > mark.acknowledged {
        return Err(Malformed("the log begins after what was acknowledged"));
    }
    Ok(Some(Slot { store, sequence, mark }))
}

fn decode_seal(reader: &mut Reader<'_>) -> Result<Seal, Malformed> {
    Ok(Seal {
        highest: CheckpointNumber::new(reader.wide_counter()?),
        count: reader.u64()?,
        sum: reader.u128()?,
    })
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLVM");
const VERSION: u32 = 1;
/// A page each, so that no write touches both.
const SLOT_BYTES: usize = 4096;
const FILE_BYTES: u64 = 2 * SLOT_BYTES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(acknowledged: u64) -> Mark {
        let seal = Seal { highest: CheckpointNumber::new(5), count: 2, sum: 77 };
        Mark { acknowledged: Lsn::new(acknowledged), ..Mark::new() }.sealed(seal)
    }

    /// Invariant: prefix. A torn or damaged slot leaves the one before it, and both together are an error.
    #[test]
    fn a_damaged_slot_leaves_the_other() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        let mut file = MarkFile::create(root.path(), store).unwrap();
        file.write(&sample(10)).unwrap();
        file.write(&sample(11)).unwrap();
        let path = root.path().join(MARK);
        let whole = std::fs::read(&path).unwrap();
        let slot = encode(store, 1, &sample(1)).len();
        let newest = usize::try_from(file.sequence % 2).unwrap() * SLOT_BYTES;
        for at in 0..slot {
            let mut damaged = whole.clone();
            damaged[newest + at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let (_, mark) = MarkFile::open(root.path(), store).unwrap();
            assert_eq!(mark, sample(10), "byte {at}");
            damaged[SLOT_BYTES - newest + at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(MarkFile::open(root.path(), store).is_err(), "byte {at}");
        }
        std::fs::write(&path, whole).unwrap();
        assert_eq!(MarkFile::open(root.path(), store).unwrap().1, sample(11));
        let other = MarkFile::open(root.path(), StoreId::new(8));
        assert!(matches!(other, Err(StoreError::Mixed { .. })));
    }
}
