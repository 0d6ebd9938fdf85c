//! The file in which a medium in a directory keeps its superblock: three slots, of which one always holds what was made stable
//! last. Knows nothing of what it says.
//!
//! ```text
//! relive.super := slot, zeros up to 69632, slot, zeros up to 139264, slot, zeros up to 208896
//! slot         := "RLSS" version:u32 store:u128 sequence:u64 length:u64 crc:u32 content       little-endian
//! ```
//! A write goes to both slots that do not hold the last stable superblock, one after the other, whether it is to be stable or
//! not; a stable one that is through makes the first of them the stable one. So a loss of power leaves the last stable
//! superblock or a later one. The death of the process leaves the one written last or, in the middle of a write, the one
//! before. And damage to any one slot forgets nothing. A file of version 1 has two slots.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::SUPERBLOCK_BYTES_MAX;
use crate::directory::{io_error, mixed};
use crate::position::StoreId;
use crate::wire::{Malformed, Reader};
use crate::{StoreError, boundary};

/// Its name.
pub(super) const SUPER: &str = "relive.super";

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
    /// The file has all of its slots.
    whole: bool,
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
        content.resize(FILE_BYTES, 0);
        let made = file.write_all_at(&content, 0).and_then(|()| file.sync_all());
        made.map_err(io_error("write", &path))
    }

    /// Opens the file of a store, and makes what it says stable in a tier that does.
    pub(super) fn open(directory: &Path, store: StoreId, durable: bool) -> Result<Self, StoreError> {
        let path = directory.join(SUPER);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file).take(FILE_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(io_error("read", &path))?;
        let (whole, bytes) = (bytes.len() == FILE_BYTES, Bytes::from(bytes));
        let (slot, stable) = newest(&bytes, &path)?;
        if slot.store != store {
            return Err(mixed(&path, store, slot.store));
        }
        if durable {
            file.sync_data().map_err(io_error("sync", &path))?;
        }
        let written = Mutex::new(Written { sequence: slot.sequence, stable, newest: slot.content, whole });
        Ok(Self { file, path, store, durable, written })
    }

    /// The one that was written last.
    pub(super) fn newest(&self) -> Bytes {
        self.written().newest.clone()
    }

    /// Writes one; makes it stable, in a tier that does, when told so.
    pub(super) fn write(&self, bytes: &[u8], stable: bool) -> Result<(), StoreError> {
        let mut written = self.written();
        // A sequence of one a nanosecond would last for five centuries.
        let sequence = written.sequence.saturating_add(1);
        let slots = [(written.stable + 1) % SLOTS, (written.stable + 2) % SLOTS];
        boundary!("medium.super.begin");
        let content = encode(self.store, sequence, bytes);
        let write = |content: &[u8], at: u64| {
            self.file.write_all_at(content, at * SLOT_BYTES as u64).map_err(io_error("write", &self.path))
        };
        if !written.whole {
            write(&[0; SLOT_BYTES], SLOTS - 1)?;
            written.whole = true;
        }
        write(&content, slots[0])?;
        write(&content, slots[1])?;
        boundary!("medium.super.written");
        written.sequence = sequence;
        written.newest = Bytes::copy_from_slice(bytes);
        if stable {
            if self.durable {
                self.file.sync_data().map_err(io_error("sync", &self.path))?;
                boundary!("medium.super.synced");
            }
            written.stable = slots[0];
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // An error in the middle ends the opening, and a panic does not come from in here.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest of the slots that can be read, and which it is.
fn newest(file: &Bytes, path: &Path) -> Result<(Slot, u64), StoreError> {
    let (mut found, mut problem) = (None::<(Slot, u64)>, None);
    for (at, begin) in (0..SLOTS).zip((0..FILE_BYTES).step_by(SLOT_BYTES)) {
        match decode(&file.slice(begin.min(file.len())..), path) {
            Ok(slot) if found.as_ref().is_none_or(|(newest, _)| newest.sequence < slot.sequence) => {
                found = Some((slot, at));
            }
            Ok(_) => {}
            // Of a newer version there would be no slot that can be read, and the directory would say so.
            Err(newer @ StoreError::NewerFormat { .. }) => problem = Some(newer),
            Err(damage) => problem = problem.or(Some(damage)),
        }
    }
    found.ok_or_else(|| problem.unwrap_or_else(|| unreadable(path, &Malformed("it is empty"))))
}

struct Slot {
    store: StoreId,
    sequence: u64,
    content: Bytes,
}

fn encode(store: StoreId, sequence: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
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
    let (found, slot) = decode_slot(bytes).map_err(|malformed| unreadable(path, &malformed))?;
    slot.ok_or(StoreError::NewerFormat { path: path.to_owned(), found, supported: VERSION })
}

fn unreadable(path: &Path, malformed: &Malformed) -> StoreError {
    let what = format!("the superblock in {} is not readable: {malformed}", path.display());
    StoreError::CorruptStore { what }
}

/// The version, and what stands in a slot of one that is known.
fn decode_slot(bytes: &Bytes) -> Result<(u32, Option<Slot>), Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != MAGIC {
        return Err(Malformed("it does not begin as it should"));
    }
    let version = reader.u32()?;
    if version > VERSION {
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
const VERSION: u32 = 2;
const SLOTS: u64 = 3;
/// Whole pages, so that no write touches both.
const SLOT_BYTES: usize = SUPERBLOCK_BYTES_MAX + 4096;
const FILE_BYTES: usize = 3 * SLOT_BYTES;
const _: () = assert!(FILE_BYTES as u64 == SLOTS * SLOT_BYTES as u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// A damaged slot forgets nothing, two leave what is in the third, and three are an error.
    #[test]
    fn damaged_slots_leave_the_others() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperFile::create(root.path(), store).unwrap();
        let file = SuperFile::open(root.path(), store, true).unwrap();
        file.write(b"stable", true).unwrap();
        file.write(b"newest", false).unwrap();
        let path = root.path().join(SUPER);
        let whole = std::fs::read(&path).unwrap();
        let stable = usize::try_from(file.written().stable).unwrap();
        let [one, two] = [1, 2].map(|after| (stable + after) % 3);
        let found_without = |slots: &[usize], at: usize| {
            let mut damaged = whole.clone();
            for slot in slots {
                damaged[slot * SLOT_BYTES + at] ^= 1;
            }
            std::fs::write(&path, &damaged).unwrap();
            SuperFile::open(root.path(), store, true).map(|file| file.newest())
        };
        for at in 0..encode(store, 3, b"newest").len() {
            for slot in [one, two, stable] {
                assert_eq!(found_without(&[slot], at).unwrap(), &b"newest"[..], "byte {at} of {slot}");
            }
            assert_eq!(found_without(&[one, two], at).unwrap(), &b"stable"[..], "byte {at}");
            assert!(found_without(&[one, two, stable], at).is_err(), "byte {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        let other = SuperFile::open(root.path(), StoreId::new(8), true);
        assert!(matches!(other, Err(StoreError::Mixed { .. })));
    }

    /// A file of version 1, which had two slots, gets its third with the first write.
    #[test]
    fn a_file_of_two_slots_gets_a_third() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperFile::create(root.path(), store).unwrap();
        let path = root.path().join(SUPER);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..2 * SLOT_BYTES]).unwrap();
        let file = SuperFile::open(root.path(), store, true).unwrap();
        file.write(b"newest", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), FILE_BYTES);
        drop(file);
        assert_eq!(SuperFile::open(root.path(), store, true).unwrap().newest(), &b"newest"[..]);
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
