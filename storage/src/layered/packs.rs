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

impl PackSummary {
    /// Whether its index, if it has one, is its last value.
    pub(super) fn index_is_last(&self) -> bool {
        self.index.is_none_or(|index| index.checked_add(1) == Some(self.values))
    }
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
        assert!(self.mark.index.is_none(), "a full pack takes no more values, as {} does", self.mark.stream);
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
        let before = self.packs.insert(pack.mark.stream, pack);
        assert!(before.is_none(), "each pack has a stream of its own, and {before:?} had the same");
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
        assert!(
            self.bytes >= before.0 && self.live >= before.1,
            "the sums hold what each pack has: {} and {} of all, {before:?} of one",
            self.bytes,
            self.live
        );
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
        // A pack that was removed has no entry. Only the index of checkpoints knows which live, so
        // each dies once, however often a damaged pack names it.
        self.change(location.pack, |pack| {
            let left = pack.live.checked_sub(u64::from(location.length));
            assert!(left.is_some(), "a checkpoint dies once, after it lived: {location:?} in {pack:?}");
            pack.live = left.unwrap_or_default();
        });
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
        // The open pack may hold nothing that lives, and takes the next checkpoints.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn full(stream: u32, bytes: u64, live: u64) -> Pack {
        let mark = PackSummary { stream, values: 3, bytes, index: Some(2), check: 0 };
        Pack { mark, live, kept: false }
    }

    fn at(pack: u32, length: u32) -> Location {
        Location { pack, value: 1, length }
    }

    /// The cleaning decides by the sums, so they follow each change.
    #[test]
    fn the_sums_are_those_of_the_packs() {
        let mut packs = Packs::default();
        packs.add(full(1, 100, 0));
        packs.add(Pack::new(2));
        assert_eq!(packs.bytes(), (100, 0));
        packs.change(2, |pack| pack.add(b"seven b"));
        packs.lives(at(1, 30));
        packs.lives(at(2, 5));
        assert_eq!(packs.bytes(), (107, 35));
        packs.dies(at(1, 10));
        assert_eq!((packs.bytes(), packs.get(1).unwrap().live), ((107, 25), 20));
        packs.remove(1);
        packs.remove(1);
        assert_eq!(packs.bytes(), (7, 5));
    }

    /// A checkpoint in a pack that is gone neither lives nor dies.
    #[test]
    fn a_pack_that_is_gone_counts_nothing() {
        let mut packs = Packs::default();
        packs.lives(at(4, 30));
        packs.dies(at(4, 30));
        assert_eq!((packs.bytes(), packs.change(4, |_| ())), ((0, 0), None));
    }

    /// The open pack takes more checkpoints, and one with damage stays as it is: neither is
    /// emptied.
    #[test]
    fn the_full_pack_of_which_least_lives_is_emptied() {
        let mut packs = Packs::default();
        packs.add(Pack::new(1));
        assert_eq!(packs.emptiest(), None);
        packs.add(full(2, 100, 50));
        packs.add(full(3, 1_000, 490));
        packs.add(full(4, 10, 5));
        assert_eq!(packs.emptiest(), Some(3));
        packs.change(3, |pack| pack.kept = true);
        assert_eq!(packs.emptiest(), Some(2), "of packs that are alike the first one");
    }

    /// An open pack is never dead, although nothing in it may live.
    #[test]
    fn a_full_pack_in_which_nothing_lives_is_dead() {
        let mut packs = Packs::default();
        packs.add(full(1, 100, 1));
        packs.add(full(2, 100, 0));
        packs.add(Pack::new(3));
        assert_eq!(packs.dead(), [2]);
        packs.dies(at(1, 1));
        assert_eq!(packs.dead(), [1, 2]);
    }

    /// The checksum of a pack is one over all of its values, whatever their borders.
    #[test]
    fn a_pack_counts_its_values_and_chains_their_checksums() {
        let mut pack = Pack::new(7);
        pack.add(b"one");
        pack.add(b"two");
        let PackSummary { values, bytes, check, .. } = pack.mark;
        assert_eq!((values, bytes, check), (2, 6, crc32fast::hash(b"onetwo")));
    }
}
