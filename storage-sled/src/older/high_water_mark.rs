//! The high-water mark: a side file that says how far the log was acknowledged, where it begins,
//! and how many checkpoints the last cut left. sled can lose data silently; with this file a reader
//! notices that.
//!
//! ```text
//! file := slot, zeros up to 4096, slot, zeros up to 8192
//! slot := "RLVM" version:u32 store:u128 sequence:u64 acknowledged:u64 start:u64 epoch:u64
//!         at_last_cut:summary latest:summary crc:u32
//! summary := number:u64 count:u64 sum:u128
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use relive_storage::medium_support::{Reader, io_error, mixed};
use relive_storage::{CheckpointNumber, Epoch, Lsn, Malformed, StoreError, StoreId};

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HighWaterMark {
    /// Everything below was acknowledged.
    pub(super) acknowledged: Lsn,
    /// The log begins here.
    pub(super) start: Lsn,
    /// The newest incarnation that wrote.
    pub(super) epoch: Epoch,
    /// The checkpoints at the last cut of the log; synced before the cut.
    pub(super) at_last_cut: CatalogSummary,
    /// The checkpoints now. Not synced, like `acknowledged`, so after a loss of power it may be
    /// older than they are.
    pub(super) latest: CatalogSummary,
}

/// A summary of the checkpoints: enough to notice that one is gone, or is older than it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CatalogSummary {
    /// The highest number.
    pub(super) highest: CheckpointNumber,
    /// How many actors had one.
    pub(super) count: u64,
    /// The sum of a hash of each.
    pub(super) sum: u128,
}

/// What the file of a store says.
pub(super) fn read(directory: &Path, store: StoreId) -> Result<HighWaterMark, StoreError> {
    let path = directory.join(HIGH_WATER_MARK_FILE);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES).read_to_end(&mut bytes);
    read.map_err(io_error("read", &path))?;
    let bytes = Bytes::from(bytes);
    let second = bytes.slice(bytes.len().min(SLOT_BYTES)..);
    // The writer changed one slot at a time, so one of them is whole whenever it was cut off.
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
    mark: HighWaterMark,
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
    let mark = HighWaterMark {
        acknowledged: Lsn::new(reader.wide_counter()?),
        start: Lsn::new(reader.wide_counter()?),
        epoch: Epoch::new(reader.wide_counter()?),
        at_last_cut: decode_summary(&mut reader)?,
        latest: decode_summary(&mut reader)?,
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

fn decode_summary(reader: &mut Reader<'_>) -> Result<CatalogSummary, Malformed> {
    Ok(CatalogSummary {
        highest: CheckpointNumber::new(reader.wide_counter()?),
        count: reader.u64()?,
        sum: reader.u128()?,
    })
}

/// Its name.
pub(super) const HIGH_WATER_MARK_FILE: &str = "relive.mark";
const MAGIC: u32 = u32::from_le_bytes(*b"RLVM");
const VERSION: u32 = 1;
/// Each slot has its own page, so that no write touches both.
const SLOT_BYTES: usize = 4096;
const FILE_BYTES: u64 = 2 * SLOT_BYTES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId::new(9);

    fn slot(store: StoreId, version: u32, sequence: u64, start: u64, acknowledged: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&store.get().to_le_bytes());
        for number in [sequence, acknowledged, start, 4] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (number, count, sum) in [(5_u64, 2_u64, 70_u128), (6, 3, 90)] {
            bytes.extend_from_slice(&number.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn read_of(slots: [&[u8]; 2]) -> Result<HighWaterMark, StoreError> {
        let root = tempfile::tempdir().unwrap();
        let mut file = vec![0; 2 * SLOT_BYTES];
        file[..slots[0].len()].copy_from_slice(slots[0]);
        file[SLOT_BYTES..][..slots[1].len()].copy_from_slice(slots[1]);
        std::fs::write(root.path().join(HIGH_WATER_MARK_FILE), file).unwrap();
        read(root.path(), STORE)
    }

    /// The later of two whole slots counts, and each of them when the other is damaged.
    #[test]
    fn the_later_whole_slot_counts() {
        let [old, new] = [slot(STORE, 1, 7, 10, 20), slot(STORE, 1, 8, 11, 21)];
        let mark = read_of([&old, &new]).unwrap();
        assert_eq!((mark.start.get(), mark.acknowledged.get(), mark.epoch.get()), (11, 21, 4));
        assert_eq!((mark.at_last_cut.count, mark.latest.sum), (2, 90));
        assert_eq!(read_of([&new, &old]).unwrap(), mark);
        assert_eq!(read_of([b"damaged", &new]).unwrap(), mark);
        assert_eq!(read_of([&new, b"damaged"]).unwrap(), mark);
        assert!(read_of([b"damaged", b"too"]).is_err_and(|error| error.is_corrupt()));
    }

    /// A bit of damage anywhere makes a slot unreadable, and a contradiction does so too.
    #[test]
    fn no_damage_passes_for_a_mark() {
        let whole = slot(STORE, 1, 7, 10, 20);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(read_of([&damaged, b""]).is_err(), "byte {at}");
        }
        assert!(read_of([&slot(STORE, 1, 7, 21, 20), b""]).is_err_and(|error| error.is_corrupt()));
    }

    /// A newer version and another store are told as what they are.
    #[test]
    fn other_versions_and_stores_are_told() {
        let newer = slot(STORE, 2, 7, 10, 20);
        assert!(matches!(read_of([&newer, b"damaged"]), Err(StoreError::NewerFormat { found: 2, .. })));
        assert!(matches!(read_of([b"damaged", &newer]), Err(StoreError::NewerFormat { found: 2, .. })));
        let other = slot(StoreId::new(8), 1, 7, 10, 20);
        assert!(matches!(read_of([&other, b""]), Err(StoreError::Mixed { .. })));
    }
}
