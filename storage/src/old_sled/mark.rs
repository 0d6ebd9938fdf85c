//! The high-water mark: a side file that says how far the log was acknowledged, where it begins, and how many
//! checkpoints there were when it was last cut. sled loses data without a word; by this file it is noticed.
//!
//! ```text
//! file := slot, zeros up to 4096, slot, zeros up to 8192
//! slot := "RLVM" version:u32 store:u128 sequence:u64 acknowledged:u64 start:u64 epoch:u64
//!         seal latest crc:u32
//! seal := number:u64 count:u64 sum:u128                                    latest likewise
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;

use crate::StoreError;
use crate::directory::{io_error, mixed};
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

/// What the file of a store says.
pub(super) fn read(directory: &Path, store: StoreId) -> Result<Mark, StoreError> {
    let path = directory.join(MARK);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES).read_to_end(&mut bytes);
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
        return Err(mixed(&path, store, slot.store));
    }
    Ok(slot.mark)
}

struct Slot {
    store: StoreId,
    sequence: u64,
    mark: Mark,
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

/// Its name.
pub(super) const MARK: &str = "relive.mark";
const MAGIC: u32 = u32::from_le_bytes(*b"RLVM");
const VERSION: u32 = 1;
/// A page each, so that no write touches both.
const SLOT_BYTES: usize = 4096;
const FILE_BYTES: u64 = 2 * SLOT_BYTES as u64;
