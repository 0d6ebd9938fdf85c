//! The identity file says which store a directory holds and on which medium; from it and the other
//! names follows what a directory is. Knows no other file of a medium: each medium describes its
//! own.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use bytes::Bytes;

use super::files::{file_names, io_error, is_no_file, sync_directory, write_synced};
use super::lock::{LOCK_FILE, remembered};
use crate::boundary;
use crate::contract::error::StoreError;
use crate::contract::medium_kind::MediumKind;
use crate::id::position::StoreId;
use crate::wire::{Malformed, Reader};

/// Says which store this is. A creation writes it last, so its presence means that the creation
/// finished.
pub const IDENTITY_FILE: &str = "relive.store";
/// The name under which [`IDENTITY_FILE`] is written, before it is renamed.
pub const IDENTITY_FILE_NEW: &str = "relive.store.new";

/// The content of an identity file: the store, and the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    /// The store.
    pub store: StoreId,
    /// The format of its directory.
    pub format: u32,
}

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// The directory does not exist.
    Nothing,
    /// It is empty.
    Empty,
    /// Remains of a creation that was never finished, in which nothing was ever stored.
    Unfinished,
    /// A store, with all the files that it needs.
    Store(StoreIdentity),
}

/// The files of a medium by which it recognizes a directory.
pub struct DirectoryLayout {
    /// Which medium has these files.
    pub medium: MediumKind,
    /// The oldest format that this version reads.
    pub oldest: u32,
    /// The newest format that this version reads, and the one that it writes.
    pub format: u32,
    /// The marker of an unfinished creation.
    pub creating: &'static str,
    /// The files that a store needs, each with what can't be known without it.
    pub needed: &'static [(&'static str, &'static str)],
    /// Whether a file of this name is left of a store whose [`IDENTITY_FILE`] is gone.
    pub is_ours: fn(&str) -> bool,
}

impl DirectoryLayout {
    /// Finds out what a directory is. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`], [`StoreError::OtherMedium`], [`StoreError::NewerFormat`],
    /// [`StoreError::Misuse`] (an older format than this layout reads), [`StoreError::Missing`],
    /// [`StoreError::CorruptStore`] and [`StoreError::Io`].
    pub fn recognize(&self, directory: &Path) -> Result<DirectoryState, StoreError> {
        match fs::metadata(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DirectoryState::Nothing),
            Err(error) => return Err(io_error("open", directory)(error)),
            Ok(found) if !found.is_dir() => return Err(not_a_store(directory, "a file, not a directory")),
            Ok(_) => {}
        }
        let names = file_names(directory)?;
        let has = |name: &str| names.iter().any(|found| found == name);
        if has(IDENTITY_FILE) {
            let path = directory.join(IDENTITY_FILE);
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            let identity = self.decode(&bytes.into(), &path)?;
            if identity.format < self.oldest {
                let what = format!("{} is of the older format {}", directory.display(), identity.format);
                return Err(StoreError::Misuse { what });
            }
            // The identity file came last, so a file that is missing beside it was lost.
            for (name, consequence) in self.needed {
                require(directory, name, has(name), consequence)?;
            }
            return Ok(DirectoryState::Store(identity));
        }
        let lost = "this directory once held a store, and which one is not known";
        if remembered(directory)?.is_some() {
            require(directory, IDENTITY_FILE, false, lost)?;
        }
        // Only behind the check above: a lost identity file must not make a store look unfinished.
        if has(self.creating) {
            return Ok(DirectoryState::Unfinished);
        }
        if names.iter().all(|name| name == LOCK_FILE) {
            return Ok(DirectoryState::Empty);
        }
        require(directory, IDENTITY_FILE, !names.iter().any(|name| (self.is_ours)(name)), lost)?;
        let found = names.into_iter().filter(|name| name != LOCK_FILE).take(3);
        Err(not_a_store(directory, &found.collect::<Vec<_>>().join(", ")))
    }

    /// Whether a directory holds a store of one of these formats, as far as the first bytes of its
    /// identity file say.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn names_format_in(&self, directory: &Path) -> Result<bool, StoreError> {
        let path = directory.join(IDENTITY_FILE);
        let mut begin = [0; 8];
        match File::open(&path).and_then(|mut file| file.read_exact(&mut begin)) {
            Ok(()) => {}
            Err(error) if is_no_file(&error) => return Ok(false),
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        // No more than the beginning: what is damaged behind it, the opening tells.
        let begin = u64::from_le_bytes(begin);
        let of = |format| u64::from(self.medium.magic()) | u64::from(format) << 32;
        Ok((self.oldest..=self.format).any(|format| begin == of(format)))
    }

    /// Marks the beginning of a creation.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn begin_creation(&self, directory: &Path) -> Result<(), StoreError> {
        write_synced(&directory.join(self.creating), b"")?;
        sync_directory(directory)
    }

    /// Writes the file that makes a directory a store, or one of today's format, in one step.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_identity(&self, directory: &Path, store: StoreId) -> Result<(), StoreError> {
        let new = directory.join(IDENTITY_FILE_NEW);
        write_synced(&new, &self.encode(store))?;
        fs::rename(&new, directory.join(IDENTITY_FILE)).map_err(io_error("rename", &new))?;
        sync_directory(directory)
    }

    /// Gives a store that was recognized in an older format today's, when both formats have the
    /// same files: only the number in [`IDENTITY_FILE`] changes, in one step, and is synced. After
    /// a crash the file has either number, and the next opening does it again. Call this before
    /// anything is written that the older format does not know, so that no older version reads it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn raise_format(&self, directory: &Path, found: StoreIdentity) -> Result<(), StoreError> {
        assert!(found.format <= self.format, "format {} is newer than {}", found.format, self.format);
        if found.format == self.format {
            return Ok(());
        }
        tracing::info!(
            path = %directory.display(), from = found.format, to = self.format,
            "the store gets a newer format, older versions will not open it"
        );
        self.write_identity(directory, found.store)?;
        boundary!("open.format");
        Ok(())
    }

    /// Removes the marker of a creation, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish_creation(&self, directory: &Path) -> Result<(), StoreError> {
        let marker = directory.join(self.creating);
        match fs::remove_file(&marker) {
            Ok(()) => sync_directory(directory),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("remove", &marker)(error)),
        }
    }

    /// What [`IDENTITY_FILE`] holds.
    pub fn encode(&self, store: StoreId) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.medium.magic().to_le_bytes());
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&store.get().to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes untrusted bytes; `place` says where they come from.
    ///
    /// # Errors
    /// [`StoreError::OtherMedium`], [`StoreError::NewerFormat`] and [`StoreError::CorruptStore`].
    pub fn decode(&self, bytes: &Bytes, place: &Path) -> Result<StoreIdentity, StoreError> {
        let damaged = |malformed: Malformed| StoreError::CorruptStore {
            what: format!("{} says no store: {malformed}", place.display()),
        };
        let mut reader = Reader::new(bytes);
        match MediumKind::by_magic(reader.u32().map_err(damaged)?) {
            Some(found) if found == self.medium => {}
            Some(found) => {
                let (path, asked) = (place.parent().unwrap_or(place).to_owned(), self.medium);
                return Err(StoreError::OtherMedium { path, found, asked });
            }
            None => return Err(damaged(Malformed("it does not begin as it should"))),
        }
        // Magic and version stand first in every future format, so that the error can distinguish a
        // newer format from damage.
        let format = reader.u32().map_err(damaged)?;
        if format > self.format {
            let (path, supported) = (place.to_owned(), self.format);
            return Err(StoreError::NewerFormat { path, found: format, supported });
        }
        let store = reader.u128().map_err(damaged)?;
        let whole = bytes.get(..reader.position()).unwrap_or_default();
        let crc = reader.u32().map_err(damaged)?;
        if crc != crc32fast::hash(whole) || !reader.is_empty() || format == 0 {
            return Err(damaged(Malformed("its checksum does not match")));
        }
        Ok(StoreIdentity { store: StoreId::new(store), format })
    }
}

fn require(directory: &Path, name: &str, there: bool, consequence: &'static str) -> Result<(), StoreError> {
    if there {
        return Ok(());
    }
    Err(StoreError::Missing { path: directory.join(name), consequence })
}

fn not_a_store(directory: &Path, found: &str) -> StoreError {
    StoreError::NotAStore { path: directory.to_owned(), found: found.to_owned() }
}

/// The error of files of two stores in one directory.
pub fn mixed(place: &Path, expected: StoreId, found: StoreId) -> StoreError {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    StoreError::Mixed {
        path: place.parent().unwrap_or(place).to_owned(),
        expected: expected.to_string(),
        found: format!("{found} (in {name})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: DirectoryLayout = DirectoryLayout {
        medium: MediumKind::SegmentFiles,
        oldest: 2,
        format: 3,
        creating: "relive.test.creating",
        needed: &[("data", "all that was stored is in it")],
        is_ours: |name| name == "data",
    };

    #[test]
    fn every_flipped_bit_and_every_truncation_of_an_identity_is_noticed() {
        let (place, store) = (Path::new("data/relive.store"), StoreId::new(7));
        let whole = LAYOUT.encode(store);
        let decoded = LAYOUT.decode(&whole.clone().into(), place).unwrap();
        assert_eq!(decoded, StoreIdentity { store, format: 3 });
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(LAYOUT.decode(&damaged.into(), place).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(LAYOUT.decode(&whole[..length].to_vec().into(), place).is_err(), "length {length}");
        }
    }

    #[test]
    fn a_directory_is_recognized_from_its_beginning_to_its_end() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("store");
        let recognized = || LAYOUT.recognize(&directory);
        assert_eq!(recognized().unwrap(), DirectoryState::Nothing);
        fs::create_dir(&directory).unwrap();
        assert_eq!(recognized().unwrap(), DirectoryState::Empty);
        LAYOUT.begin_creation(&directory).unwrap();
        assert_eq!(recognized().unwrap(), DirectoryState::Unfinished);
        fs::write(directory.join("data"), "").unwrap();
        let store = StoreId::new(7);
        LAYOUT.write_identity(&directory, store).unwrap();
        LAYOUT.finish_creation(&directory).unwrap();
        LAYOUT.finish_creation(&directory).unwrap();
        let found = DirectoryState::Store(StoreIdentity { store, format: 3 });
        assert_eq!(recognized().unwrap(), found);
        fs::remove_file(directory.join("data")).unwrap();
        assert!(matches!(recognized(), Err(StoreError::Missing { .. })));
        fs::write(directory.join("data"), "").unwrap();
        fs::remove_file(directory.join(IDENTITY_FILE)).unwrap();
        assert!(matches!(recognized(), Err(StoreError::Missing { .. })), "one of its files is left");
    }

    /// Only the number changes, and only when it is another one: an opening of a store of today's
    /// format writes nothing.
    #[test]
    fn a_store_of_an_older_format_gets_todays_number_and_keeps_its_id() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("data"), "").unwrap();
        let (store, file) = (StoreId::new(7), root.path().join(IDENTITY_FILE));
        let older = DirectoryLayout { format: 2, ..LAYOUT };
        older.write_identity(root.path(), store).unwrap();
        let found = StoreIdentity { store, format: 2 };
        assert_eq!(LAYOUT.recognize(root.path()).unwrap(), DirectoryState::Store(found));
        LAYOUT.raise_format(root.path(), found).unwrap();
        let raised = StoreIdentity { store, format: 3 };
        assert_eq!(LAYOUT.recognize(root.path()).unwrap(), DirectoryState::Store(raised));
        let refused = older.recognize(root.path()).unwrap_err();
        assert!(matches!(refused, StoreError::NewerFormat { found: 3, supported: 2, .. }), "{refused}");
        fs::remove_file(&file).unwrap();
        LAYOUT.raise_format(root.path(), raised).unwrap();
        assert!(!file.exists(), "it was written although it was right");
    }

    #[test]
    #[should_panic(expected = "format 4 is newer than 3")]
    fn a_number_never_goes_back() {
        let _ = LAYOUT.raise_format(Path::new("data"), StoreIdentity { store: StoreId::new(7), format: 4 });
    }

    #[test]
    fn formats_are_told_by_the_first_bytes() {
        let root = tempfile::tempdir().unwrap();
        assert!(!LAYOUT.names_format_in(root.path()).unwrap(), "nothing is there");
        for (format, expected) in [(1, false), (2, true), (3, true), (4, false)] {
            let of = DirectoryLayout { format, ..LAYOUT };
            of.write_identity(root.path(), StoreId::new(7)).unwrap();
            assert_eq!(LAYOUT.names_format_in(root.path()).unwrap(), expected, "format {format}");
        }
        let other = DirectoryLayout { medium: MediumKind::Sled, ..LAYOUT };
        assert!(!other.names_format_in(root.path()).unwrap(), "another medium");
    }
}
