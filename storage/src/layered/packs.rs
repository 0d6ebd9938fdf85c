//! Which packs there are, and how much of each lives. Pure.

use std::collections::BTreeMap;

use super::checkpoint_index::Location;
use crate::medium::StreamId;

/// What the superblock says of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackSummary {
    /// Its stream.
    pub(super) stream: u32,
    /// How many values it has, at least.
    pub(super) values: u32,
    /// How many bytes they have.
    pub(super) bytes: u64,
    /// The position of its index, once it is full.
    pub(super) index: Option<u32>,
    /// A checksum over all values, or over the index.
    pub(super) check: u32,
}

/// A pack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pack {
    pub(super) mark: PackSummary,
    /// How many of its bytes belong to checkpoints that count.
    pub(super) live: u64,
    /// The cleaning can't empty it, because a part of it is damaged: it stays as it is.
    pub(super) kept: bool,
}

impl Pack {
    /// One without values.
    pub(super) fn new(stream: u32) -> Self {
        Self::of(PackSummary { stream, values: 0, bytes: 0, index: None, check: 0 })
    }

    /// One that was found.
    pub(super) fn of(mark: PackSummary) -> Self {
        Self { mark, live: 0, kept: false }
    }

    pub(super) fn id(&self) -> StreamId {
        StreamId(u64::from(self.mark.stream))
    }

    /// Counts a value that was appended.
    pub(super) fn add(&mut self, value: &[u8]) {
        // A pack is full long before this limit.
        self.mark.values = self.mark.values.saturating_add(1);
        self.mark.bytes += value.len() as u64;
        self.mark.check = chain(self.mark.check, value);
    }
}

/// Extends the checksum by one value.
pub(super) fn chain(check: u32, value: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(check);
    crc.update(value);
    crc.finalize()
}

/// All packs, by stream.
#[derive(Debug, Default)]
pub(super) struct Packs {
    packs: BTreeMap<u32, Pack>,
    bytes: u64,
    live: u64,
}

impl Packs {
    pub(super) fn add(&mut self, pack: Pack) {
        self.bytes += pack.mark.bytes;
        self.live += pack.live;
        self.packs.insert(pack.mark.stream, pack);
    }

    pub(super) fn remove(&mut self, stream: u32) {
        if let Some(pack) = self.packs.remove(&stream) {
            self.bytes -= pack.mark.bytes;
            self.live -= pack.live;
        }
    }

    pub(super) fn get(&self, stream: u32) -> Option<&Pack> {
        self.packs.get(&stream)
    }

    /// Changes the mark of a pack.
    pub(super) fn change<T>(&mut self, stream: u32, change: impl FnOnce(&mut Pack) -> T) -> Option<T> {
        let pack = self.packs.get_mut(&stream)?;
        let before = (pack.mark.bytes, pack.live);
        let changed = change(pack);
        self.bytes = self.bytes - before.0 + pack.mark.bytes;
        self.live = self.live - before.1 + pack.live;
        Some(changed)
    }

    /// A checkpoint counts from now on.
    pub(super) fn lives(&mut self, location: Location) {
        self.change(location.pack, |pack| pack.live += u64::from(location.length));
    }

    /// A checkpoint counts no more.
    pub(super) fn dies(&mut self, location: Location) {
        self.change(location.pack, |pack| pack.live = pack.live.saturating_sub(u64::from(location.length)));
    }

    /// How many bytes there are, and how many of them live.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.live)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pack> {
        self.packs.values()
    }

    /// The marks for the superblock.
    pub(super) fn marks(&self) -> Vec<PackSummary> {
        self.packs.values().map(|pack| pack.mark).collect()
    }

    /// The full packs in which nothing lives.
    pub(super) fn dead(&self) -> Vec<u32> {
        let full = self.packs.values().filter(|pack| pack.mark.index.is_some());
        full.filter(|pack| pack.live == 0).map(|pack| pack.mark.stream).collect()
    }

    /// The full pack with the smallest live fraction.
    pub(super) fn emptiest(&self) -> Option<u32> {
        let full = self.packs.values().filter(|pack| pack.mark.index.is_some() && !pack.kept);
        // Cross-multiplied: a/b < c/d.
        let emptiest = full.min_by(|a, b| {
            let (a, b) = ((a.live, a.mark.bytes), (b.live, b.mark.bytes));
            (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1)))
        });
        emptiest.map(|pack| pack.mark.stream)
    }
}
