//! The file in which a medium in a directory keeps its superblock: three slots, and one of them
//! always holds the last synced superblock. Knows nothing of its content.
//!
//! ```text
//! relive.super := slot, zeros up to 69632, slot, zeros up to 139264, slot, zeros up to 208896
//! slot         := "RLSS" version:u32 store:u128 sequence:u64 length:u64 crc:u32 content       little-endian
//! ```
//! A write goes to both slots that do not hold the last synced superblock, one after the other,
//! synced or not; after a sync the first of them holds the last synced one. So a loss of power
//! leaves the last synced superblock or a later one. The death of the process leaves the one
//! written last or, in the middle of a write, the one before. And damage to any one slot loses
//! nothing. A file of version 1 has two slots.
//! The file has its whole length from the start, so one that is shorter has lost slots, perhaps the
//! newest, and does not open: an older superblock would let a damaged end of the log pass as torn.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::files::io_error;
use super::identity::mixed;
use crate::boundary;
use crate::contract::error::StoreError;
use crate::id::position::StoreId;
use crate::limits::SUPERBLOCK_BYTES_MAX;
use crate::wire::{Malformed, Reader};

/// Its name in the directory.
pub const SUPERBLOCK_FILE: &str = "relive.super";

/// The file of the superblock, open for as long as the medium is.
#[derive(Debug)]
pub struct SuperblockFile {
    file: File,
    path: PathBuf,
    store: StoreId,
    durable: bool,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    sequence: u64,
    /// Which slot holds the last one that was synced.
    synced: u64,
    newest: Bytes,
    /// The file has all of its slots.
    whole: bool,
}

impl SuperblockFile {
    /// Makes the file of a new store, with an empty superblock. Syncs the content, not the name.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(directory: &Path, store: StoreId) -> Result<(), StoreError> {
        let path = directory.join(SUPERBLOCK_FILE);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        let mut content = encode(store, 1, b"");
        // All bytes are written now, so that a later write changes no metadata of the file.
        content.resize(FILE_BYTES, 0);
        let made = file.write_all_at(&content, 0).and_then(|()| file.sync_all());
        made.map_err(io_error("write", &path))
    }

    /// Opens the file of a store. Syncs its content when `durable` is set.
    ///
    /// # Errors
    /// [`StoreError::Mixed`] (it is one of another store), [`StoreError::NewerFormat`],
    /// [`StoreError::CorruptStore`] (no slot can be read) and [`StoreError::Io`].
    pub fn open(directory: &Path, store: StoreId, durable: bool) -> Result<Self, StoreError> {
        let path = directory.join(SUPERBLOCK_FILE);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file).take(FILE_BYTES as u64).read_to_end(&mut bytes);
        read.map_err(io_error("read", &path))?;
        let (whole, bytes) = (bytes.len() == FILE_BYTES, Bytes::from(bytes));
        let (slot, synced, two_slots) = newest(&bytes, &path)?;
        let may_be_short = two_slots && bytes.len() >= FILE_BYTES_1;
        if !whole && !may_be_short {
            return Err(truncated(&path, bytes.len()));
        }
        if slot.store != store {
            return Err(mixed(&path, store, slot.store));
        }
        // What was read may be only in the page cache, and the opening relies on it.
        if durable {
            file.sync_data().map_err(io_error("sync", &path))?;
        }
        assert!(synced < SLOTS, "the file has {SLOTS} slots, and {synced} is none of them");
        let written = Mutex::new(Written { sequence: slot.sequence, synced, newest: slot.content, whole });
        Ok(Self { file, path, store, durable, written })
    }

    /// The superblock that was written last.
    pub fn newest(&self) -> Bytes {
        self.written().newest.clone()
    }

    /// Replaces the superblock. Syncs it when `sync` is set and the file was opened as `durable`.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when it is over [`SUPERBLOCK_BYTES_MAX`], after which nothing has
    /// changed; [`StoreError::Io`].
    pub fn write(&self, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
        // A longer one would reach into the next slot, which may be the last synced one.
        if bytes.len() > SUPERBLOCK_BYTES_MAX {
            return Err(StoreError::Misuse { what: format!("a superblock of {} bytes", bytes.len()) });
        }
        let mut written = self.written();
        // The sequence can't run out: at one write a nanosecond it would last for five centuries.
        let sequence = written.sequence.saturating_add(1);
        let slots = [(written.synced + 1) % SLOTS, (written.synced + 2) % SLOTS];
        assert!(!slots.contains(&written.synced), "the last synced superblock stays where it is");
        boundary!("medium.super.begin");
        let content = encode(self.store, sequence, bytes);
        let write = |content: &[u8], at: u64| {
            self.file.write_all_at(content, at * SLOT_BYTES as u64).map_err(io_error("write", &self.path))
        };
        // A file of version 1 lacks the third slot: with all bytes there, no later write changes
        // metadata.
        if !written.whole {
            write(&[0; SLOT_BYTES], SLOTS - 1)?;
            written.whole = true;
        }
        write(&content, slots[0])?;
        write(&content, slots[1])?;
        boundary!("medium.super.written");
        // Before the sync: when that fails the opening ends, and reads see what the file holds.
        written.sequence = sequence;
        written.newest = Bytes::copy_from_slice(bytes);
        if sync {
            if self.durable {
                self.file.sync_data().map_err(io_error("sync", &self.path))?;
                boundary!("medium.super.synced");
            }
            // Both slots hold it now, and the next write leaves the first one alone.
            written.synced = slots[0];
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // An error in the middle of a write ends the opening, and nothing in here panics.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest readable slot, its number, and whether the last synced slot may be of version 1,
/// which had two slots. The first write of version 2 makes the file longer, then replaces slots.
fn newest(file: &Bytes, path: &Path) -> Result<(Slot, u64, bool), StoreError> {
    let (mut found, mut problem, mut two_slots) = (None::<(Slot, u64)>, None, false);
    for (at, begin) in (0..SLOTS).zip((0..FILE_BYTES).step_by(SLOT_BYTES)) {
        match decode(&file.slice(begin.min(file.len())..), path) {
            Ok(slot) => {
                two_slots |= slot.version < VERSION;
                if found.as_ref().is_none_or(|(newest, _)| newest.sequence < slot.sequence) {
                    found = Some((slot, at));
                }
            }
            // A newer version would write no slot that this one can read, and the identity file
            // would say so.
            Err(newer @ StoreError::NewerFormat { .. }) => problem = Some(newer),
            Err(damage) => problem = problem.or(Some(damage)),
        }
    }
    let found = found.ok_or_else(|| problem.unwrap_or_else(|| unreadable(path, &Malformed("it is empty"))));
    found.map(|(slot, at)| (slot, at, two_slots))
}

struct Slot {
    version: u32,
    store: StoreId,
    sequence: u64,
    content: Bytes,
}

fn encode(store: StoreId, sequence: u64, content: &[u8]) -> Vec<u8> {
    encode_as(VERSION, store, sequence, content)
}

fn encode_as(version: u32, store: StoreId, sequence: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&version.to_le_bytes());
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

fn truncated(path: &Path, bytes: usize) -> StoreError {
    let what = format!(
        "{} has {bytes} bytes, and {FILE_BYTES} were written: what it said last may be cut off; nothing was \
         changed, restore the file from the same copy as the rest of the directory",
        path.display()
    );
    StoreError::CorruptStore { what }
}

/// The version of a slot, and its content when the version is known.
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
    Ok((version, Some(Slot { version, store, sequence, content })))
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLSS");
const VERSION: u32 = 2;
const SLOTS: u64 = 3;
/// Whole pages, so that no write touches both.
const SLOT_BYTES: usize = SUPERBLOCK_BYTES_MAX + 4096;
const FILE_BYTES: usize = 3 * SLOT_BYTES;
/// The bytes of a file of version 1.
const FILE_BYTES_1: usize = 2 * SLOT_BYTES;
const _: () = assert!(FILE_BYTES as u64 == SLOTS * SLOT_BYTES as u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// One damaged slot loses nothing, two leave the content of the third, and three are an error.
    #[test]
    fn damaged_slots_leave_the_others() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperblockFile::create(root.path(), store).unwrap();
        let file = SuperblockFile::open(root.path(), store, true).unwrap();
        file.write(b"synced", true).unwrap();
        file.write(b"newest", false).unwrap();
        let path = root.path().join(SUPERBLOCK_FILE);
        let whole = std::fs::read(&path).unwrap();
        let synced = usize::try_from(file.written().synced).unwrap();
        let [one, two] = [1, 2].map(|after| (synced + after) % 3);
        let found_without = |slots: &[usize], at: usize| {
            let mut damaged = whole.clone();
            for slot in slots {
                damaged[slot * SLOT_BYTES + at] ^= 1;
            }
            std::fs::write(&path, &damaged).unwrap();
            SuperblockFile::open(root.path(), store, true).map(|file| file.newest())
        };
        for at in 0..encode(store, 3, b"newest").len() {
            for slot in [one, two, synced] {
                assert_eq!(found_without(&[slot], at).unwrap(), &b"newest"[..], "byte {at} of {slot}");
            }
            assert_eq!(found_without(&[one, two], at).unwrap(), &b"synced"[..], "byte {at}");
            assert!(found_without(&[one, two, synced], at).is_err(), "byte {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        let other = SuperblockFile::open(root.path(), StoreId::new(8), true);
        assert!(matches!(other, Err(StoreError::Mixed { .. })));
    }

    /// A file that is cut off does not open, although one or two slots of it can be read: the slots
    /// that it lost may have been the newest.
    #[test]
    fn a_file_that_is_cut_off_does_not_open() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperblockFile::create(root.path(), store).unwrap();
        let path = root.path().join(SUPERBLOCK_FILE);
        let file = SuperblockFile::open(root.path(), store, true).unwrap();
        file.write(b"synced", true).unwrap();
        file.write(b"newest", false).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in (0..FILE_BYTES).step_by(997).chain([SLOT_BYTES, 2 * SLOT_BYTES, FILE_BYTES - 1]) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let opened = SuperblockFile::open(root.path(), store, true);
            assert!(matches!(opened, Err(StoreError::CorruptStore { .. })), "{length} bytes");
            assert_eq!(
                std::fs::read(&path).unwrap(),
                &whole[..length],
                "an opening that fails writes nothing"
            );
        }
    }

    /// A superblock that would reach into the next slot is refused, and changes nothing.
    #[test]
    fn a_superblock_over_its_limit_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperblockFile::create(root.path(), store).unwrap();
        let file = SuperblockFile::open(root.path(), store, true).unwrap();
        let most = vec![7; SUPERBLOCK_BYTES_MAX];
        file.write(&most, true).unwrap();
        let before = std::fs::read(root.path().join(SUPERBLOCK_FILE)).unwrap();
        let refused = file.write(&vec![8; SUPERBLOCK_BYTES_MAX + 1], true);
        assert!(matches!(refused, Err(StoreError::Misuse { .. })), "{refused:?}");
        assert!(std::fs::read(root.path().join(SUPERBLOCK_FILE)).unwrap() == before);
        assert_eq!(file.newest(), most);
    }

    /// A file of version 1, which had two slots, gets its third with the first write; a power loss
    /// may undo the longer length only, and a file of version 1 that is cut off does not open.
    #[test]
    fn a_file_of_two_slots_gets_a_third() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        SuperblockFile::create(root.path(), store).unwrap();
        let path = root.path().join(SUPERBLOCK_FILE);
        let mut whole = std::fs::read(&path).unwrap();
        let of_version_1 = encode_as(1, store, 1, b"");
        whole[..of_version_1.len()].copy_from_slice(&of_version_1);
        std::fs::write(&path, &whole[..2 * SLOT_BYTES - 1]).unwrap();
        let cut_off = SuperblockFile::open(root.path(), store, true);
        assert!(matches!(cut_off, Err(StoreError::CorruptStore { .. })));
        let second = encode(store, 2, b"newer");
        let mut torn = whole[..2 * SLOT_BYTES].to_vec();
        torn[SLOT_BYTES..SLOT_BYTES + second.len()].copy_from_slice(&second);
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(SuperblockFile::open(root.path(), store, true).unwrap().newest(), &b"newer"[..]);
        std::fs::write(&path, &whole[..2 * SLOT_BYTES]).unwrap();
        let file = SuperblockFile::open(root.path(), store, true).unwrap();
        file.write(b"newest", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len(), FILE_BYTES);
        drop(file);
        assert_eq!(SuperblockFile::open(root.path(), store, true).unwrap().newest(), &b"newest"[..]);
    }

    /// The last synced superblock stays where it is, however many unsynced ones follow.
    #[test]
    fn a_write_without_a_sync_leaves_the_synced_one() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(9);
        let path = root.path().join(SUPERBLOCK_FILE);
        SuperblockFile::create(root.path(), store).unwrap();
        let file = SuperblockFile::open(root.path(), store, true).unwrap();
        for round in 0_u8..5 {
            file.write(&[round; 9], true).unwrap();
            let synced = std::fs::read(&path).unwrap();
            let slot = usize::try_from(file.written().synced).unwrap() * SLOT_BYTES;
            for more in 0_u8..3 {
                file.write(&vec![more; SUPERBLOCK_BYTES_MAX], false).unwrap();
                let now = std::fs::read(&path).unwrap();
                assert_eq!(now[slot..slot + SLOT_BYTES], synced[slot..slot + SLOT_BYTES]);
            }
        }
    }
}
