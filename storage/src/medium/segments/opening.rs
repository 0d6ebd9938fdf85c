//! Opens the directory of a medium, or makes one: recognizes it, reads all of it, and syncs
//! what it found. Changes nothing before that.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::chain::{Chain, LOG};
use super::file::Source;
use super::identity::{self, FORMAT, LAYOUT};
use super::manifest::Manifest;
use super::names::{MANIFEST, STREAM, number};
use super::part::Parts;
use super::stream::Stream;
use super::value::VALUES_AT;
use crate::boundary;
use crate::contract::error::StoreError;
use crate::directory::{
    DirectoryState, Lock, StoreIdentity, SuperblockFile, file_names, io_error, make_directory, sync_directory,
};
use crate::id::position::StoreId;
use crate::medium::StreamId;
use crate::threads::poison::Poison;

/// The result of an opening.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) store: StoreId,
    pub(super) superblock: SuperblockFile,
    pub(super) chain: Chain,
    /// The segments at the end of the log that hold no value.
    pub(super) ready: VecDeque<Arc<Source>>,
    pub(super) streams: BTreeMap<StreamId, Arc<Stream>>,
}

/// Opens the medium of a directory, or makes one there, for the store `made` or for a new one.
/// Takes the lock first.
pub(super) fn open(
    directory: &Path,
    durable: bool,
    segment_bytes: u64,
    made: Option<StoreId>,
    poison: &Arc<Poison>,
) -> Result<Opened, StoreError> {
    let (lock, found) = LAYOUT.claim(directory)?;
    boundary!("medium.open.locked");
    let identity = match found {
        DirectoryState::Store(identity) => identity,
        DirectoryState::Unfinished => {
            tracing::warn!(path = %directory.display(), "removing an unfinished creation, and creating anew");
            identity::clear(directory)?;
            create(directory, &lock, made)?
        }
        DirectoryState::Empty | DirectoryState::Nothing => create(directory, &lock, made)?,
    };
    let store = identity.store;
    let superblock = SuperblockFile::open(directory, store, durable)?;
    let (chain, segments) = Chain::open(directory, store, durable, segment_bytes)?;
    let mut files = segments.clone();
    let mut streams = BTreeMap::new();
    let mut ready = VecDeque::new();
    match chain.first() {
        Some(first) => {
            let (parts, empty) = Parts::find(first, segments)?;
            ready = empty;
            streams.insert(LOG, Arc::new(Stream::new(parts, Arc::clone(poison), durable)));
        }
        // Nothing was ever appended, so each listed segment is empty.
        None => ready.extend(segments),
    }
    for stream in file_names(directory)?.iter().filter_map(|name| number(name, STREAM)).map(StreamId) {
        let (file, parts) = find_stream(directory, store, stream)?;
        files.push(file);
        let found = parts.map(|parts| (stream, Arc::new(Stream::new(parts, Arc::clone(poison), durable))));
        streams.extend(found);
    }
    boundary!("medium.open.read");
    // Everything is read and judged: from here on the opening may change files.
    LAYOUT.raise_format(directory, identity)?;
    // A creation may have ended after the identity file, and before these.
    LAYOUT.finish_creation(directory)?;
    if lock.store()? != Some(store) {
        lock.remember(store)?;
    }
    if durable {
        // The values read may be only in the page cache, and the next commit builds on them.
        files.iter().try_for_each(|file| file.sync())?;
        let manifest = directory.join(MANIFEST);
        let synced = std::fs::File::open(&manifest).and_then(|manifest| manifest.sync_all());
        synced.map_err(io_error("sync", &manifest))?;
        sync_directory(directory)?;
    }
    chain.tidy()?;
    boundary!("medium.open.durable");
    Ok(Opened { lock, store, superblock, chain, ready, streams })
}

fn create(directory: &Path, lock: &Lock, made: Option<StoreId>) -> Result<StoreIdentity, StoreError> {
    make_directory(directory)?;
    LAYOUT.begin_creation(directory)?;
    boundary!("medium.create.begun");
    let store = made.unwrap_or_else(StoreId::random);
    SuperblockFile::create(directory, store)?;
    boundary!("medium.create.super");
    Manifest::new().write(directory, store, true)?;
    boundary!("medium.create.manifest");
    // The identity file comes last, when all other files are synced: it makes the directory a
    // store.
    LAYOUT.write_identity(directory, store)?;
    boundary!("medium.create.named");
    lock.remember(store)?;
    LAYOUT.finish_creation(directory)?;
    Ok(StoreIdentity { store, format: FORMAT })
}

/// Reads the file of a stream other than the log. No parts for one whose head was never written.
fn find_stream(
    directory: &Path,
    store: StoreId,
    stream: StreamId,
) -> Result<(Arc<Source>, Option<Parts>), StoreError> {
    let path = directory.join(format!("{STREAM}{}", stream.0));
    let (source, first) = Source::open_stream(path, store, stream)?;
    let source = Arc::new(source);
    let (parts, _) = Parts::find(first.unwrap_or(0), vec![Arc::clone(&source)])?;
    // A file without a head never got its first write. One with values behind it has lost the head,
    // and nothing else says with which position they begin.
    if first.is_none() && source.length()? >= VALUES_AT && !parts.0.iter().all(super::part::Part::is_empty) {
        let what = format!("the head of {} is damaged", source.path().display());
        return Err(StoreError::CorruptStore { what });
    }
    Ok((source, first.map(|_| parts)))
}
