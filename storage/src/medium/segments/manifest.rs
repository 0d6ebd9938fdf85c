//! The list of the segments of the log, in order. A write replaces the whole file. Knows no value.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::identity::FILE_VERSION;
use super::names::{MANIFEST, MANIFEST_NEW};
use super::value::NO_POSITION;
use crate::boundary;
use crate::contract::error::StoreError;
use crate::directory::{io_error, mixed, sync_directory, write_synced};
use crate::id::position::StoreId;
use crate::limits::POSITION_MAX;
use crate::wire::{Malformed, Reader};

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The position that the first segment begins with; `None` until the first append.
    pub(super) first: Option<u64>,
    /// The generation of the next use of a segment. Every listed segment has an earlier one.
    pub(super) generation: u64,
    /// The segments, in the order of their values. The last ones may be prepared, and hold none.
    pub(super) segments: Vec<Listed>,
}

/// A segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) bytes: u64,
}

impl Manifest {
    /// The manifest of a new store.
    pub(super) fn new() -> Self {
        Self { first: None, generation: 1, segments: Vec::new() }
    }

    /// Reads the file of a store.
    pub(super) fn read(directory: &Path, store: StoreId) -> Result<Self, StoreError> {
        let path = directory.join(MANIFEST);
        let bytes = Bytes::from(fs::read(&path).map_err(io_error("read", &path))?);
        let damaged = |malformed| StoreError::CorruptStore {
            what: format!("{} does not say of which segments the log consists: {malformed}", path.display()),
        };
        let (found, manifest) = decode(&bytes).map_err(damaged)?;
        if found != store {
            return Err(mixed(&path, store, found));
        }
        Ok(manifest)
    }

    /// Replaces the file in one step. Syncs it when `durable` is set.
    pub(super) fn write(&self, directory: &Path, store: StoreId, durable: bool) -> Result<(), StoreError> {
        let new = directory.join(MANIFEST_NEW);
        let content = self.encode(store);
        if durable {
            write_synced(&new, &content)?;
        } else {
            fs::write(&new, &content).map_err(io_error("write", &new))?;
        }
        // In the tier that syncs, the content is synced before the rename: else a loss of power
        // could leave the new name without its content.
        boundary!("medium.manifest.written");
        fs::rename(&new, directory.join(MANIFEST)).map_err(io_error("rename", &new))?;
        boundary!("medium.manifest.renamed");
        if durable {
            sync_directory(directory)?;
            boundary!("medium.manifest.synced");
        }
        Ok(())
    }

    /// Whether no segment is listed twice, and each was made before the next one will be.
    fn is_sound(&self) -> bool {
        let (mut numbers, mut generations) = (BTreeSet::new(), BTreeSet::new());
        let mut segments = self.segments.iter();
        self.generation <= POSITION_MAX
            && segments.all(|listed| {
                listed.generation < self.generation
                    && numbers.insert(listed.number)
                    && generations.insert(listed.generation)
            })
    }

    fn encode(&self, store: StoreId) -> Vec<u8> {
        // The counterpart of what the decoding refuses: an opening that refuses the list has no
        // log.
        assert!(self.is_sound(), "a list of segments that an opening would refuse: {self:?}");
        self.bytes(store)
    }

    fn bytes(&self, store: StoreId) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&FILE_VERSION.to_le_bytes());
        bytes.extend_from_slice(&store.get().to_le_bytes());
        for number in [self.first.unwrap_or(NO_POSITION), self.generation, self.segments.len() as u64] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for Listed { number, generation, bytes: size } in &self.segments {
            for number in [number, generation, size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }
}

fn decode(bytes: &Bytes) -> Result<(StoreId, Manifest), Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != MAGIC {
        return Err(Malformed("it does not begin as it should"));
    }
    let version = reader.u32()?;
    let store = StoreId::new(reader.u128()?);
    let first = match reader.u64()? {
        NO_POSITION => None,
        position => Some(position),
    };
    let generation = reader.u64()?;
    let count = reader.u64()?;
    let mut segments = Vec::new();
    for _ in 0..count {
        let (number, generation, bytes) = (reader.u64()?, reader.u64()?, reader.u64()?);
        segments.push(Listed { number, generation, bytes });
    }
    let whole = bytes.get(..reader.position()).unwrap_or_default();
    if reader.u32()? != crc32fast::hash(whole) || !reader.is_empty() || version != FILE_VERSION {
        return Err(Malformed("its checksum does not match"));
    }
    let manifest = Manifest { first, generation, segments };
    if !manifest.is_sound() {
        return Err(Malformed("a segment in it is impossible"));
    }
    Ok((store, manifest))
}

const MAGIC: u32 = u32::from_le_bytes(*b"RLSM");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damaged_byte_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let store = StoreId::new(7);
        let segments =
            [(3, 5), (7, 2)].map(|(number, generation)| Listed { number, generation, bytes: 4096 });
        for first in [None, Some(0), Some(88)] {
            let manifest = Manifest { first, generation: 6, segments: segments.to_vec() };
            manifest.write(root.path(), store, true).unwrap();
            assert_eq!(Manifest::read(root.path(), store).unwrap(), manifest);
        }
        let path = root.path().join(MANIFEST);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let error = Manifest::read(root.path(), store).unwrap_err();
            assert!(matches!(error, StoreError::CorruptStore { .. }), "byte {at}: {error}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(Manifest::read(root.path(), store).is_err(), "cut at {at}");
        }
    }

    /// A list whose checksum matches and that names a segment twice, or one of a use to come, would
    /// have the log overwrite itself.
    #[test]
    fn a_list_that_no_store_writes_is_refused() {
        let listed = |number, generation| Listed { number, generation, bytes: 4096 };
        let said = |generation, segments: &[Listed]| {
            let manifest = Manifest { first: Some(0), generation, segments: segments.to_vec() };
            let bytes = Bytes::from(manifest.bytes(StoreId::new(7)));
            decode(&bytes).map(|(_, manifest)| manifest.segments.len())
        };
        assert_eq!(said(6, &[listed(3, 5), listed(4, 1)]), Ok(2));
        let impossible = Err(Malformed("a segment in it is impossible"));
        assert_eq!(said(6, &[listed(3, 5), listed(3, 1)]), impossible);
        assert_eq!(said(6, &[listed(3, 5), listed(4, 5)]), impossible);
        assert_eq!(said(6, &[listed(3, 6)]), impossible);
        assert_eq!(said(POSITION_MAX + 1, &[listed(3, 5)]), impossible);
    }
}
