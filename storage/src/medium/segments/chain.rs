//! The segments of the log: the list of them, the ones that wait for another use, and the making of
//! a new one. Keeps the manifest; knows no value.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::file::Source;
use super::manifest::{Listed, Manifest};
use super::names::{SEGMENT, number};
use super::stream::lock;
use super::value::{FileHead, NO_POSITION, VALUES_AT};
use crate::boundary;
use crate::contract::error::StoreError;
use crate::directory::{file_names, io_error, mixed, sync_directory};
use crate::id::position::StoreId;
use crate::medium::StreamId;

/// The stream that is in segments: the log.
pub(super) const LOG: StreamId = StreamId(0);

#[derive(Debug)]
pub(super) struct Chain {
    directory: PathBuf,
    store: StoreId,
    durable: bool,
    segment_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    manifest: Manifest,
    /// The generation of the next use, which grows before the manifest does.
    generation: u64,
    /// The numbers of the segments that wait for another use.
    spares: Vec<u64>,
    /// The number of the next new segment.
    number: u64,
}

impl Chain {
    /// Reads the directory; changes nothing. Returns the listed segments, open.
    pub(super) fn open(
        directory: &Path,
        store: StoreId,
        durable: bool,
        segment_bytes: u64,
    ) -> Result<(Self, Vec<Arc<Source>>), StoreError> {
        let manifest = Manifest::read(directory, store)?;
        let generation = manifest.generation;
        let mut sources = Vec::new();
        for listed in &manifest.segments {
            let path = directory.join(format!("{SEGMENT}{}", listed.number));
            let head = head(store, listed.number, listed.generation);
            sources.push(Arc::new(Source::open_segment(path, &head, listed.bytes)?));
        }
        let mut state = State { manifest, generation, spares: Vec::new(), number: generation };
        for number in file_names(directory)?.iter().filter_map(|name| number(name, SEGMENT)) {
            state.number = state.number.max(number.saturating_add(1));
            if !state.manifest.segments.iter().any(|listed| listed.number == number) {
                judge_unlisted(directory, store, number, generation)?;
                state.spares.push(number);
            }
        }
        let chain =
            Self { directory: directory.to_owned(), store, durable, segment_bytes, state: Mutex::new(state) };
        Ok((chain, sources))
    }

    /// The position that the log begins with; `None` as long as nothing was appended.
    pub(super) fn first(&self) -> Option<u64> {
        lock(&self.state).manifest.first
    }

    /// Removes the segments that the log does not use and will not use again.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let spares = std::mem::take(&mut lock(&self.state).spares);
        for number in spares {
            let path = self.path(number);
            let bytes = fs::metadata(&path).map_err(io_error("open", &path))?.len();
            self.put_away(number, bytes)?;
        }
        Ok(())
    }

    /// Records the position that the log begins with.
    pub(super) fn begin(&self, first: u64) -> Result<(), StoreError> {
        self.change(|manifest| manifest.first = Some(first))
    }

    /// Makes a segment, and lists it before the last `after`, of which each is prepared and empty.
    /// `None` when `give_up` said so.
    pub(super) fn make(
        &self,
        bytes: u64,
        after: &dyn Fn() -> usize,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Option<Arc<Source>>, StoreError> {
        let Some(source) = self.make_file(bytes, give_up)? else { return Ok(None) };
        if self.durable {
            source.sync()?;
            // The name of a file that the manifest lists is synced before the manifest.
            sync_directory(&self.directory)?;
        }
        boundary!("medium.segment.made");
        let listed = Listed { number: source.number, generation: source.stamp.generation, bytes };
        self.change(|manifest| {
            let at = manifest.segments.len().saturating_sub(after());
            manifest.segments.insert(at, listed);
            manifest.generation = manifest.generation.max(listed.generation.saturating_add(1));
        })?;
        boundary!("medium.segment.listed");
        Ok(Some(Arc::new(source)))
    }

    fn make_file(&self, bytes: u64, give_up: &dyn Fn() -> bool) -> Result<Option<Source>, StoreError> {
        let (generation, spare, fresh) = {
            let mut state = lock(&self.state);
            let generation = state.generation;
            state.generation = generation.saturating_add(1);
            let spare = if bytes == self.segment_bytes { state.spares.pop() } else { None };
            if spare.is_none() {
                state.number = state.number.saturating_add(1);
            }
            (generation, spare, state.number.saturating_sub(1))
        };
        if let Some(number) = spare {
            let head = head(self.store, number, generation);
            return Source::reuse_segment(self.path(number), &head, bytes)?.map(Some).ok_or_else(|| {
                let path = self.path(number);
                StoreError::Missing { path, consequence: "it was to be used again" }
            });
        }
        let head = head(self.store, fresh, generation);
        Source::create_segment(self.path(fresh), &head, bytes, give_up)
    }

    /// Takes the segments before this one off the front of the log. Its first value has this
    /// position.
    pub(super) fn drop_before(&self, kept: &Source, first: u64) -> Result<(), StoreError> {
        let mut dropped = Vec::new();
        self.change(|manifest| {
            let is_kept = |listed: &Listed| listed.generation == kept.stamp.generation;
            let count = manifest.segments.iter().position(is_kept).unwrap_or(0);
            dropped = manifest.segments.drain(..count).collect();
            manifest.first = Some(first);
        })?;
        self.put_all_away(&dropped)
    }

    /// Takes all segments off: the log is as if it had never begun.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let mut dropped = Vec::new();
        self.change(|manifest| {
            dropped = std::mem::take(&mut manifest.segments);
            manifest.first = None;
        })?;
        self.put_all_away(&dropped)
    }

    fn put_all_away(&self, dropped: &[Listed]) -> Result<(), StoreError> {
        for listed in dropped {
            boundary!("medium.remove.step");
            self.put_away(listed.number, listed.bytes)?;
        }
        Ok(())
    }

    /// Keeps a segment for another use, or removes it.
    fn put_away(&self, number: u64, bytes: u64) -> Result<(), StoreError> {
        {
            let mut state = lock(&self.state);
            if bytes == self.segment_bytes && state.spares.len() < SPARES_MAX {
                state.spares.push(number);
                return Ok(());
            }
        }
        let path = self.path(number);
        fs::remove_file(&path).map_err(io_error("remove", &path))
    }

    /// Changes the manifest: first the file, then the copy in memory.
    fn change(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let mut manifest = state.manifest.clone();
        change(&mut manifest);
        manifest.write(&self.directory, self.store, self.durable)?;
        state.manifest = manifest;
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{SEGMENT}{number}"))
    }
}

fn head(store: StoreId, number: u64, generation: u64) -> FileHead {
    FileHead { store, stream: LOG, number, generation, first: NO_POSITION }
}

/// Refuses a segment that the manifest does not list and that is newer than the manifest: with an
/// old copy of the manifest, relive would write over the log.
fn judge_unlisted(directory: &Path, store: StoreId, number: u64, generation: u64) -> Result<(), StoreError> {
    let path = directory.join(format!("{SEGMENT}{number}"));
    let next = head(store, number, generation);
    let Some(source) = Source::open_unlisted(path.clone(), &next)? else { return Ok(()) };
    let used = match source.head()? {
        Ok(found) if found.store != store => return Err(mixed(&path, store, found.store)),
        Ok(found) if found.generation > generation => true,
        // A segment that was just made when the process ended has the next generation, and holds no
        // value.
        Ok(_) | Err(_) => source.header(VALUES_AT)?.is_some(),
    };
    if used {
        let what = format!("{} is newer than the list of segments", path.display());
        return Err(StoreError::CorruptStore { what });
    }
    Ok(())
}

/// How many segments to keep for another use.
const SPARES_MAX: usize = 4;
