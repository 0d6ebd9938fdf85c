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
            // Judged before anything changes: `tidy` would use or remove it.
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
            let after = after();
            assert!(after <= manifest.segments.len(), "the log has the {after} segments that are ready");
            let at = manifest.segments.len().saturating_sub(after);
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
            // A generation is taken even if the segment is never listed: no later use may get it
            // again.
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
            let count = manifest.segments.iter().position(is_kept);
            assert!(count.is_some(), "the log has the segment that a removal keeps, {}", kept.number);
            dropped = manifest.segments.drain(..count.unwrap_or_default()).collect();
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
        // Behind the manifest: a crash in between leaves files that the next opening puts away.
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
            let in_use = |listed: &Listed| listed.number == number;
            assert!(
                !state.manifest.segments.iter().any(in_use) && !state.spares.contains(&number),
                "segment {number} waits for another use once, and only when the log has given it up"
            );
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
        // Held over the write, so that two changes can't overtake each other on the disk.
        let mut state = lock(&self.state);
        let mut manifest = state.manifest.clone();
        change(&mut manifest);
        assert!(
            manifest.generation >= state.manifest.generation,
            "no generation is used twice: the next is {} after {}",
            manifest.generation,
            state.manifest.generation
        );
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
    // With the stamp of the next use, so that only values of that use are found in it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::write_synced;
    use crate::medium::segments::value::Stamp;

    const BYTES: u64 = 4096;
    const STORE: StoreId = StoreId::new(1);

    fn open(root: &Path) -> Result<(Chain, Vec<u64>), StoreError> {
        let (chain, sources) = Chain::open(root, STORE, true, BYTES)?;
        Ok((chain, sources.iter().map(|source| source.number).collect()))
    }

    fn new() -> (tempfile::TempDir, Chain) {
        let root = tempfile::tempdir().unwrap();
        Manifest::new().write(root.path(), STORE, true).unwrap();
        let chain = open(root.path()).unwrap().0;
        (root, chain)
    }

    fn make(chain: &Chain, bytes: u64, after: usize) -> Arc<Source> {
        chain.make(bytes, &|| after, &|| false).unwrap().unwrap()
    }

    fn segments(root: &Path) -> Vec<String> {
        let names = file_names(root).unwrap();
        names.into_iter().filter(|name| name.starts_with(SEGMENT)).collect()
    }

    /// The list has the order of the values: a large segment goes before those that are ready.
    #[test]
    fn a_segment_is_listed_where_it_is_needed() {
        let (root, chain) = new();
        let first = make(&chain, BYTES, 0);
        let ready = make(&chain, BYTES, 0);
        let large = make(&chain, 3 * BYTES, 1);
        assert_eq!(open(root.path()).unwrap().1, [first.number, large.number, ready.number]);
    }

    /// Invariant: prefix. No two uses of a segment have the same generation, over openings too, so
    /// an old value never passes for a new one.
    #[test]
    fn each_use_has_a_generation_of_its_own() {
        let (root, chain) = new();
        let mut used = std::collections::BTreeSet::new();
        let mut last = make(&chain, BYTES, 0);
        assert!(used.insert(last.stamp.generation));
        for _ in 0..4 {
            let chain = open(root.path()).unwrap().0;
            for _ in 0..3 {
                let made = make(&chain, BYTES, 0);
                assert!(used.insert(made.stamp.generation), "{}", made.stamp.generation);
                chain.drop_before(&made, 0).unwrap();
                last = made;
            }
            assert_eq!(open(root.path()).unwrap().1, [last.number]);
        }
        assert!(segments(root.path()).len() <= 3, "they are used again");
    }

    /// Of what a cut takes off only a few segments of the usual size wait for another use.
    #[test]
    fn few_segments_wait_and_others_go() {
        let (root, chain) = new();
        let made: Vec<_> = (0..8).map(|nth| make(&chain, BYTES << (nth % 2), 0)).collect();
        let kept = make(&chain, BYTES, 0);
        chain.drop_before(&kept, 50).unwrap();
        assert_eq!((segments(root.path()).len(), lock(&chain.state).spares.len()), (5, 4));
        assert_eq!(chain.first(), Some(50));
        let reused = make(&chain, BYTES, 0);
        assert!(made.iter().any(|before| before.number == reused.number), "{}", reused.number);
        let large = make(&chain, 2 * BYTES, 0);
        assert!(large.number > kept.number, "a segment that waits has the usual size");
        chain.clear().unwrap();
        assert_eq!((open(root.path()).unwrap().1, chain.first()), (vec![], None));
    }

    /// A file that is not listed may be used again only when it is older than the list: with a copy
    /// of an old list relive would write over the log.
    #[test]
    fn a_segment_newer_than_the_list_is_damage() {
        let (root, chain) = new();
        let old = fs::read(root.path().join("relive.segments")).unwrap();
        let made = make(&chain, BYTES, 0);
        write_synced(&root.path().join("relive.segments"), &old).unwrap();
        assert_eq!(
            open(root.path()).unwrap().0.state.into_inner().unwrap().spares,
            [made.number],
            "it is empty"
        );
        let mut value = Vec::new();
        Stamp::new(STORE, LOG, made.stamp.generation).put(0, b"value", &mut value);
        made.write(VALUES_AT, &value).unwrap();
        let refused = open(root.path()).map(drop).unwrap_err();
        assert!(refused.is_corrupt() && refused.to_string().contains("is newer"), "{refused}");
    }

    /// An opening puts away what a removal or a crash has left.
    #[test]
    fn an_opening_tidies_up() {
        let (root, chain) = new();
        for _ in 0..7 {
            make(&chain, BYTES, 0);
        }
        Manifest { first: None, generation: 20, segments: Vec::new() }
            .write(root.path(), STORE, true)
            .unwrap();
        let (chain, listed) = open(root.path()).unwrap();
        assert_eq!((listed, segments(root.path()).len()), (vec![], 7), "it has changed nothing");
        chain.tidy().unwrap();
        assert_eq!(segments(root.path()).len(), SPARES_MAX);
        assert_eq!(make(&chain, BYTES, 0).stamp.generation, 20);
    }

    /// A segment whose making was given up is not listed.
    #[test]
    fn what_was_given_up_is_not_listed() {
        let (root, chain) = new();
        assert!(chain.make(BYTES, &|| 0, &|| true).unwrap().is_none());
        let made = make(&chain, BYTES, 0);
        assert_eq!(open(root.path()).unwrap().1, [made.number]);
    }
}
