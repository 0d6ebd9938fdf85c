//! The file of the superblock: two slots, of which one always holds what was made stable last. Knows nothing of what it
//! says.
//!
//! A write goes to the slot that does not hold the last stable superblock, whether it is to be stable or not; a stable one
//! that is through makes that slot the stable one. So a loss of power leaves the last stable superblock or a later one. The
//! death of the process leaves the one written last, unless it came in the middle of that write and tore it: then the last
//! stable one serves.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::identity::{FORMAT, mixed};
use super::names::SUPER;
use crate::directory::io_error;
use crate::medium::SUPERBLOCK_BYTES_MAX;
use crate::position::StoreId;
use crate::wire::{Malformed, Reader};
use crate::{StoreError, boundary};

/// The file, open for as long as the medium is.
#[derive(Debug)]
pub(super) struct SuperFile {
    file: File,
    path: PathBuf,
    store: StoreId,
    durable: bool,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    sequence: u64,
    /// Which slot holds the last stable one.
    stable: u64,
    newest: Bytes,
}

impl SuperFile {
    /// Makes the file of a new store, with an empty superblock, stable but for its name.
    pub(super) fn create(directory: &Path, store: StoreId) -> Result<(), StoreError> {
        let path = directory.join(SUPER);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        let mut content = encode(store, 1, b"");
        // Written all through, so that no later write changes more than the bytes.
        content.resize(2 * SLOT_BYTES, 0);
        let made = file.write_all_at(&content, 0).and_then(|()| file.sync_all());
        made.map_err(io_error("write", &path))
    }

    /// Opens the file of a store, and makes what it says stable in a tier that does.
    pub(super) fn open(directory: &Path, store: StoreId, durable: bool) -> Result<Self, StoreError> {
        let path = directory.join(SUPER);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file).take(2 * SLOT_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(io_error("read", &path))?;
        let bytes = Bytes::from(bytes);
        let second = bytes.slice(bytes.len().min(SLOT_BYTES)..);
        let (slot, stable) = match (decode(&bytes, &path), decode(&second, &path)) {
            (Ok(a), Ok(b)) if a.sequence > b.sequence => (a, 0),
            (Ok(_), Ok(b)) => (b, 1),
            // A torn write leaves one like that.
            (Ok(a), Err(_)) => (a, 0),
            (Err(_), Ok(b)) => (b, 1),
            (Err(problem @ StoreError::NewerFormat { .. }), _) | (_, Err(problem)) => return Err(problem),
        };
        if slot.store != store {
            return Err(mixed(&path, store, slot.store));
        }
        if durable {
            file.sync_data().map_err(io_error("sync", &path))?;
        }
        let written = Mutex::new(Written { sequence: slot.sequence, stable, newest: slot.content });
        Ok(Self { file, path, store, durable, written })
    }

    /// The one that was written last.
    pub(super) fn newest(&self) -> Bytes {
        self.written().newest.clone()
    }

    /// Writes one, in one call; makes it stable, in a tier that does, when told so.
    pub(super) fn write(&self, bytes: &[u8], stable: bool) -> Result<(), StoreError> {
        let mut written = self.written();
        // A sequence of one a nanosecond would last for five centuries.
        let sequence = written.sequence.saturating_add(1);
        let slot = 1 - written.stable;
        boundary!("medium.super.begin");
        let content = encode(self.store, sequence, bytes);
        let done = self.file.write_all_at(&content, slot * SLOT_BYTES as u64);
        done.map_err(io_error("write", &self.path))?;
        boundary!("medium.super.written");
        written.sequence = sequence;
        written.newest = Bytes::copy_from_slice(bytes);
        if stable {
            if self.durable {
                self.file.sync_data().map_err(io_error("sync", &self.path))?;
                boundary!("medium.super.synced");
            }
            written.stable = slot;
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // An error in the middle ends the opening, and a panic does not come from in here.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Slot {
    store: StoreId,
    sequence: u64,
    content: Bytes,
}

fn encode(store: StoreId, sequence: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&store.get().to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(content);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

fn decode(bytes: &Bytes, path: &Path) -> Result<Slot, StoreError> {
    let damaged = |malformed| StoreError::CorruptStore {
        what: format!("the superblock in {} is not readable: {malformed}", path.display()),
    };
    let (found, slot) = decode_slot(bytes).map_err(damaged)?;
    slot.ok_or(StoreError::NewerFormat { path: path.to_owned(), found, supported: FORMAT })
}

/// The version, and what stands in a slot of one that is known.
fn decode_slot(bytes: &Bytes) -> Result<(u32, Option<Slot>), Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != MAGIC {
        return Err(Malformed("it does not begin as it should"));
    }
    let version = reader.u32()?;
    if version > FORMAT {
        return Ok((version, None));
    }
    let store = StoreId::new(reader.u128()?);
    let sequence = reader.u64()?;
    let length = usize::try_from(reader.u64()?).unwrap_or(usize::MAX);
    if length > SUPERBLOCK_BYTES_MAX {
        return Err(Malformed("a length is over its limit"));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes.get(..reader.position()).unwrap_or_default());
    let sum = reader.u32()?;
    let content = reader.take(length)?;
    crc.update(&content);
    if sum != crc.finalize() {
        return Err(Malformed("its checksum does not match"));
    }
    Ok((version, Some(Slot { store, sequence, content })))
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLSS");
/// Whole pages, so that no write touches both.
const SLOT_BYTES: usize = SUPERBLOCK_BYTES_MAX + 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged slot leaves the other, and both together are an error.
    #[test]
    fn a_damaged_slot_leaves_the_other() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperFile::create(root.path(), store).unwrap();
        let file = SuperFile::open(root.path(), store, true).unwrap();
        file.write(b"stable", true).unwrap();
        file.write(b"newest", false).unwrap();
        let path = root.path().join(SUPER);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..encode(store, 3, b"newest").len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let found = SuperFile::open(root.path(), store, true).unwrap();
            assert_eq!(found.newest(), &b"stable"[..], "byte {at}");
            damaged[SLOT_BYTES + at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(SuperFile::open(root.path(), store, true).is_err(), "byte {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(SuperFile::open(root.path(), store, true).unwrap().newest(), &b"newest"[..]);
        let other = SuperFile::open(root.path(), StoreId::new(8), true);
        assert!(matches!(other, Err(StoreError::Mixed { .. })));
    }

    /// However many unstable ones come, the last stable one stays where it is.
    #[test]
    fn an_unstable_write_leaves_the_stable_one() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        let path = root.path().join(SUPER);
        SuperFile::create(root.path(), store).unwrap();
        let file = SuperFile::open(root.path(), store, true).unwrap();
        for round in 0_u8..5 {
            file.write(&[round; 9], true).unwrap();
            let stable = std::fs::read(&path).unwrap();
            let slot = usize::try_from(file.written().stable).unwrap() * SLOT_BYTES;
            for more in 0_u8..3 {
                file.write(&vec![more; SUPERBLOCK_BYTES_MAX], false).unwrap();
                let now = std::fs::read(&path).unwrap();
                assert_eq!(now[slot..slot + SLOT_BYTES], stable[slot..slot + SLOT_BYTES]);
            }
        }
    }
}
