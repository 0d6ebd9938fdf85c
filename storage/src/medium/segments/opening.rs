//! Opens the directory of a medium, or makes one: recognizes it, reads all of it, and makes stable what it found. Changes
//! nothing before that.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::chain::{Chain, LOG};
use super::file::Source;
use super::identity::{self, LAYOUT};
use super::manifest::Manifest;
use super::names::{MANIFEST, STREAM, number};
use super::part::Parts;
use super::stream::Stream;
use super::value::VALUES_AT;
use crate::directory::{Found, Lock, io_error, make_directory, names, sync_directory};
use crate::medium::StreamId;
use crate::medium::superblock_file::SuperFile;
use crate::poison::Poison;
use crate::position::StoreId;
use crate::random::random_u128;
use crate::{StoreError, boundary};

/// What an opening found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) lock: Lock,
    pub(super) store: StoreId,
    pub(super) superblock: SuperFile,
    pub(super) chain: Chain,
    /// The segments at the end of the log that hold nothing.
    pub(super) ready: VecDeque<Arc<Source>>,
    pub(super) streams: BTreeMap<StreamId, Arc<Stream>>,
}

/// Opens the medium of a directory, or makes one there, of the store that is `made` or of a new one. Takes the lock first.
pub(super) fn open(
    directory: &Path,
    durable: bool,
    segment_bytes: u64,
    made: Option<StoreId>,
    poison: &Arc<Poison>,
) -> Result<Opened, StoreError> {
    if LAYOUT.survey(directory)? == Found::Nothing {
        make_directory(directory)?;
    }
    let lock = Lock::acquire(directory)?;
    boundary!("medium.open.locked");
    // Once more, because the one who had the lock until now may have made it.
    let store = match LAYOUT.survey(directory)? {
        Found::Store(identity) => identity.store,
        Found::Unfinished => {
            tracing::warn!(path = %directory.display(), "removing an unfinished creation, and creating anew");
            identity::clear(directory)?;
            create(directory, &lock, made)?
        }
        Found::Empty | Found::Nothing => create(directory, &lock, made)?,
    };
    let superblock = SuperFile::open(directory, store, durable)?;
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
        None => ready.extend(segments),
    }
    for stream in names(directory)?.iter().filter_map(|name| number(name, STREAM)).map(StreamId) {
        let (file, parts) = find_stream(directory, store, stream)?;
        files.push(file);
        let found = parts.map(|parts| (stream, Arc::new(Stream::new(parts, Arc::clone(poison), durable))));
        streams.extend(found);
    }
    boundary!("medium.open.read");
    // From here on it is right to change something.
    LAYOUT.finish(directory)?;
    if lock.store()? != Some(store) {
        lock.remember(store)?;
    }
    if durable {
        // What was read may be in the page cache only, and things are built on it.
        files.iter().try_for_each(|file| file.sync())?;
        let manifest = directory.join(MANIFEST);
        let synced = std::fs::File::open(&manifest).and_then(|manifest| manifest.sync_all());
        synced.map_err(io_error("sync", &manifest))?;
        sync_directory(directory)?;
    }
    chain.tidy()?;
    boundary!("medium.open.stable");
    Ok(Opened { lock, store, superblock, chain, ready, streams })
}

fn create(directory: &Path, lock: &Lock, made: Option<StoreId>) -> Result<StoreId, StoreError> {
    make_directory(directory)?;
    LAYOUT.begin(directory)?;
    boundary!("medium.create.begun");
    let store = made.unwrap_or_else(|| StoreId::new(random_u128()));
    SuperFile::create(directory, store)?;
    boundary!("medium.create.super");
    Manifest::new().write(directory, store, true)?;
    boundary!("medium.create.manifest");
    // The file that makes the directory a store comes when all the rest is stable.
    LAYOUT.write(directory, store)?;
    boundary!("medium.create.named");
    lock.remember(store)?;
    LAYOUT.finish(directory)?;
    Ok(store)
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
    if first.is_none() && source.length()? >= VALUES_AT && !parts.0.iter().all(super::part::Part::is_empty) {
        let what = format!("the head of {} is damaged", source.path().display());
        return Err(StoreError::CorruptStore { what });
    }
    Ok((source, first.map(|_| parts)))
}
