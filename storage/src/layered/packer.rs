//! Makes every change of the checkpoints, on a thread of its own: appends them to the open pack,
//! makes them count, closes a full pack, and removes packs in which nothing lives. It also removes
//! the part of the log that a cut took off.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::checkpoint_index::Location;
use super::log_index::LOG;
use super::opening::Leftovers;
use super::pack::{self, Entry};
use super::packs::{Pack, PackSummary, Packs, chain};
use super::shared::Shared;
use super::value_builder::PackValue;
use crate::boundary;
use crate::contract::error::StoreError;
use crate::format::checkpoint::CheckpointHeader;
use crate::id::actor_id::ActorId;
use crate::id::position::CheckpointNumber;

/// The state of the thread that writes checkpoints.
pub(super) struct Packer {
    pub(super) shared: Arc<Shared>,
    /// A pack is full with this many bytes, or with the share of all bytes that keeps the number of
    /// packs near [`PACKS`].
    pub(super) pack_bytes: u64,
    pub(super) packs: Packs,
    /// The index so far of each pack that is not full. The last of them is the open one.
    indexes: BTreeMap<u32, Vec<u8>>,
    leftovers: Option<Leftovers>,
    /// The values appended to the open pack that do not count yet.
    written: Vec<(u32, Vec<u8>)>,
    entries: Vec<Entry>,
    pub(super) cleaning: Option<Cleaning>,
}

/// The pack that the cleaning empties now.
pub(super) struct Cleaning {
    pub(super) stream: u32,
    /// The entries that the cleaning has not reached.
    pub(super) entries: std::vec::IntoIter<Entry>,
}

impl Packer {
    pub(super) fn new(
        shared: Arc<Shared>,
        pack_bytes: u64,
        packs: Packs,
        indexes: BTreeMap<u32, Vec<u8>>,
        leftovers: Leftovers,
    ) -> Self {
        let (written, entries) = Default::default();
        Self {
            shared,
            pack_bytes,
            packs,
            indexes,
            leftovers: Some(leftovers),
            written,
            entries,
            cleaning: None,
        }
    }

    /// Removes the part of the log that a cut took off. This thread does it, because commits must
    /// not wait for it.
    pub(super) fn remove_log(&mut self, below: u64) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.shared.medium.remove_below(LOG, below)?;
        boundary!("cut.step");
        Ok(())
    }

    /// Appends values to the open pack. They do not count yet.
    pub(super) fn append(&mut self, values: Vec<PackValue>) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.remove_left()?;
        let stream = self.open_pack()?;
        for PackValue { value, completes } in values {
            let full =
                || StoreError::Misuse { what: format!("the pack {stream} has all the values it can have") };
            let pack = self.packs.get(stream).copied().ok_or_else(full)?;
            let at = pack.mark.values;
            if at == u32::MAX {
                return Err(full());
            }
            assert!(
                completes.iter().all(|(_, parts, _)| *parts <= at),
                "the parts of a checkpoint stand before it in pack {stream}"
            );
            self.shared.medium.append(pack.id(), u64::from(at), &value)?;
            self.packs.change(stream, |pack| pack.add(&value));
            let entries = completes.into_iter();
            self.entries.extend(entries.map(|(header, parts, length)| Entry {
                header,
                value: at,
                parts,
                length,
            }));
            self.written.push((at, value));
        }
        boundary!("checkpoint.values");
        Ok(())
    }

    /// Syncs the appended values, reads them back and compares. Returns the entries; the caller
    /// makes them count.
    pub(super) fn verified(&mut self) -> Result<(u32, Vec<Entry>), StoreError> {
        self.shared.poison.check()?;
        let stream = self.open_pack()?;
        let id = Pack::new(stream).id();
        let medium = &*self.shared.medium;
        medium.sync(id)?;
        boundary!("checkpoint.durable");
        for (at, value) in std::mem::take(&mut self.written) {
            let read = medium.read(id, u64::from(at))?;
            if !matches!(&read, Some(Ok(bytes)) if *bytes == value) {
                return Err(self.not_as_written(at));
            }
        }
        boundary!("checkpoint.verified");
        let entries = std::mem::take(&mut self.entries);
        let index = self.indexes.entry(stream).or_insert_with(pack::index);
        entries.iter().for_each(|entry| pack::put_entry(index, entry));
        Ok((stream, entries))
    }

    /// The error of a value that did not read back as written: it names the first checkpoint in it.
    fn not_as_written(&self, at: u32) -> StoreError {
        let what = "it did not read back as it was written".to_owned();
        match self.entries.iter().find(|entry| entry.value >= at) {
            Some(Entry { header, .. }) => {
                StoreError::CorruptCheckpoint { actor: header.actor.clone(), number: header.number, what }
            }
            None => StoreError::CorruptStore { what },
        }
    }

    /// Makes the checkpoints that were appended count, each as the newest of its actor.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        let (stream, entries) = self.verified()?;
        let mut highest = CheckpointNumber::new(0);
        {
            let mut checkpoints = self.shared.checkpoints();
            for entry in &entries {
                highest = highest.max(entry.header.number);
                let location = location(stream, entry);
                self.packs.lives(location);
                if let Some(dropped) = checkpoints.put(&entry.header.actor, location) {
                    self.packs.dies(dropped);
                }
            }
        }
        let marks = self.packs.marks();
        // Not synced: the values are, and an opening takes whole values beyond what it counts.
        self.shared.write(false, |superblock| {
            superblock.packs.clone_from(&marks);
            superblock.highest = superblock.highest.max(highest);
        })?;
        boundary!("checkpoint.listed");
        Ok(())
    }

    /// Closes the open pack when it is full, goes on emptying mostly dead ones, and removes dead
    /// ones. `put` is the number of bytes put since the last call.
    pub(super) fn tidy(&mut self, put: u64) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        assert!(
            self.written.is_empty() && self.entries.is_empty(),
            "a pack is closed only when all that was put into it counts"
        );
        self.close_full()?;
        self.clean(put)?;
        self.remove_dead()?;
        boundary!("checkpoint.removed");
        Ok(())
    }

    /// A page of a listing: the checkpoints of the next pack after `after` that are the newest of
    /// their actors.
    pub(super) fn page(&mut self, after: u32) -> Result<Option<(u32, Vec<CheckpointHeader>)>, StoreError> {
        let Some(mark) = self.packs.iter().map(|pack| pack.mark).find(|mark| mark.stream > after) else {
            return Ok(None);
        };
        let entries = self.entries_of(&mark)?;
        let checkpoints = entries.iter().map(|entry| (&entry.header.actor, location(mark.stream, entry)));
        let newest = self.shared.checkpoints().are_newest(checkpoints);
        let newest = entries.into_iter().zip(newest).filter(|(_, newest)| *newest);
        Ok(Some((mark.stream, newest.map(|(entry, _)| entry.header).collect())))
    }

    /// The checkpoints that were put into a pack.
    pub(super) fn entries_of(&self, mark: &PackSummary) -> Result<Vec<Entry>, StoreError> {
        // Only a full pack has its index on the medium.
        let Some(index) = self.indexes.get(&mark.stream) else {
            return super::opening::entries(&*self.shared.medium, mark);
        };
        match pack::decode(&Bytes::from(index.clone()), mark.values) {
            Ok(pack::Value::Index(entries)) => Ok(entries),
            _ => Err(StoreError::CorruptStore { what: "an index in memory is not one".to_owned() }),
        }
    }

    /// The number of the checkpoint of an actor at a location, as far as the pack says it.
    pub(super) fn number_at(
        &self,
        actor: &ActorId,
        at: Location,
    ) -> Result<Option<CheckpointNumber>, StoreError> {
        let Some(mark) = self.packs.get(at.pack).map(|pack| pack.mark) else { return Ok(None) };
        let entries = self.entries_of(&mark)?;
        let found =
            entries.into_iter().find(|entry| entry.header.actor == *actor && location(at.pack, entry) == at);
        Ok(found.map(|entry| entry.header.number))
    }

    /// Removes the remains of earlier openings, once.
    ///
    /// Not at the opening: a reader may still find damage there, and then no record was changed.
    fn remove_left(&mut self) -> Result<(), StoreError> {
        if let Some(leftovers) = self.leftovers.take() {
            for id in leftovers.packs {
                self.shared.medium.remove(id)?;
            }
            for (id, end) in leftovers.ends {
                self.shared.medium.remove_from(id, end)?;
            }
        }
        Ok(())
    }

    /// The open pack, which takes the next values.
    fn open_pack(&mut self) -> Result<u32, StoreError> {
        if let Some((stream, _)) = self.indexes.last_key_value() {
            return Ok(*stream);
        }
        let stream = self.shared.superblock().next_pack;
        let next = stream.checked_add(1);
        let next = next.ok_or_else(|| StoreError::Misuse { what: "there are 2^32 packs".to_owned() })?;
        self.packs.add(Pack::new(stream));
        self.indexes.insert(stream, pack::index());
        assert!(self.indexes.len() == 1, "there was no open pack, and {stream} is the only one now");
        // Both change under one lock, because the log's writer may write the superblock at any
        // time: a pack whose number is taken and that is not listed counts as removed.
        let mut superblock = self.shared.superblock();
        superblock.next_pack = next;
        superblock.packs = self.packs.marks();
        Ok(stream)
    }

    /// Closes every pack that is full, or is not the last.
    fn close_full(&mut self) -> Result<(), StoreError> {
        let (bytes, _) = self.packs.bytes();
        let (bytes_max, index_max) = (self.pack_bytes.max(bytes / PACKS), PACK_INDEX_BYTES);
        // An opening may find several that are not full. Values go only into the last, so the
        // others get their index now.
        let last = self.indexes.last_key_value().map(|(stream, _)| *stream);
        let full = self.indexes.iter().filter(|(stream, index)| {
            let bytes = self.packs.get(**stream).map_or(0, |pack| pack.mark.bytes);
            Some(**stream) != last || bytes >= bytes_max || index.len() >= index_max
        });
        let full: Vec<u32> = full.map(|(stream, _)| *stream).collect();
        for stream in full {
            let Some(index) = self.indexes.get(&stream) else { continue };
            let Some(pack) = self.packs.get(stream).copied() else { continue };
            let at = pack.mark.values;
            self.shared.medium.append(pack.id(), u64::from(at), index)?;
            // The index is synced before the superblock counts it: an opening relies on every value
            // that the superblock counts.
            self.shared.medium.sync(pack.id())?;
            let check = chain(0, index);
            self.packs.change(stream, |pack| {
                pack.add(index);
                pack.mark.index = Some(at);
                pack.mark.check = check;
            });
            self.indexes.remove(&stream);
            let marks = self.packs.marks();
            self.shared.write(true, |superblock| superblock.packs.clone_from(&marks))?;
            boundary!("pack.closed");
        }
        Ok(())
    }

    /// Removes full packs in which nothing lives, after it has synced a superblock without them.
    fn remove_dead(&mut self) -> Result<(), StoreError> {
        let dead = self.packs.dead();
        if dead.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = dead.iter().map(|stream| Pack::new(*stream).id()).collect();
        dead.iter().for_each(|stream| self.packs.remove(*stream));
        let marks = self.packs.marks();
        self.shared.write(true, |superblock| superblock.packs.clone_from(&marks))?;
        boundary!("pack.dead");
        // What a crash leaves of these streams, the next opening removes: nothing lists them.
        ids.into_iter().try_for_each(|id| self.shared.medium.remove(id))
    }
}

/// Where an entry of a pack stands.
pub(super) fn location(stream: u32, entry: &Entry) -> Location {
    Location { pack: stream, value: entry.value, length: entry.length }
}

/// About how many packs a store has when its packs have more than the least bytes.
const PACKS: u64 = 64;
/// A pack is also full when its index has this many bytes.
const PACK_INDEX_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::checkpoint_store::{CheckpointStore, Generation};
    use crate::layered::{LayeredOptions, LayeredStore};
    use crate::medium::memory::MemoryMedium;
    use crate::medium::{Medium, StreamId};
    use crate::testing::conformance::{checkpoint, id};
    use crate::threads::worker::reads;

    /// A store whose packs are full with this many bytes.
    fn open(medium: &MemoryMedium, pack_bytes: u64) -> LayeredStore {
        let medium = medium.clone();
        let options = LayeredOptions::default().pack_bytes(pack_bytes);
        LayeredStore::open(move || Ok(Box::new(medium)), &options).unwrap()
    }

    fn marks(store: &LayeredStore) -> Vec<PackSummary> {
        store.packer.call(reads("look"), |packer| Ok(packer.packs.marks())).unwrap()
    }

    fn headers(store: &LayeredStore, stream: u32) -> Vec<String> {
        let entries = store.packer.call(reads("look"), move |packer| {
            let mark = packer.packs.get(stream).map(|pack| pack.mark);
            packer.entries_of(&mark.expect("it is there"))
        });
        entries.unwrap().into_iter().map(|entry| entry.header.actor.key().to_owned()).collect()
    }

    /// A full pack gets its index as its last value, and what it says stays the same by that.
    #[test]
    fn a_full_pack_ends_with_its_index() {
        let medium = MemoryMedium::new();
        let store = open(&medium, 3_000);
        for (number, key) in [(1, "a"), (2, "b"), (3, "c")] {
            store.put(&[checkpoint(&id(key), number, 1_200)]).unwrap();
            let [mark] = marks(&store)[..] else { panic!("one pack") };
            let full = number == 3;
            assert_eq!(mark.index, full.then_some(3), "after {number}");
            assert_eq!(u64::from(mark.values), number + u64::from(full));
        }
        assert_eq!(headers(&store, 1), ["a", "b", "c"], "as its index says");
        store.put(&[checkpoint(&id("d"), 4, 9)]).unwrap();
        assert_eq!((marks(&store).len(), headers(&store, 2)), (2, vec!["d".to_owned()]));
        assert_eq!(medium.streams().unwrap()[&StreamId(1)], 0..4, "it takes no more values");
    }

    /// Invariant: bounded. A pack goes when the last checkpoint in it stops to count, and no actor
    /// loses one of its two by that.
    #[test]
    fn a_pack_goes_when_nothing_in_it_counts() {
        let medium = MemoryMedium::new();
        let store = open(&medium, 1);
        for number in 1..=3 {
            store.put(&[checkpoint(&id("a"), number, 100)]).unwrap();
        }
        let streams: Vec<_> = medium.streams().unwrap().into_keys().collect();
        assert_eq!(streams, [StreamId(2), StreamId(3)]);
        assert!(store.get(&id("a"), Generation::Previous).unwrap().is_some());
        store.close().unwrap();
        assert_eq!(marks(&open(&medium, 1)).len(), 2, "the superblock says so too");
    }

    /// A large checkpoint stands in parts right before its last value, in one pack, and comes back.
    #[test]
    fn a_large_checkpoint_stands_in_one_pack() {
        let medium = MemoryMedium::new();
        let store = open(&medium, 1);
        let large = checkpoint(&id("a"), 1, 3 * pack::PART_BYTES_MAX);
        store.put(std::slice::from_ref(&large)).unwrap();
        let (parts, value) = store
            .packer
            .call(reads("look"), |packer| {
                let mark = packer.packs.get(1).map(|pack| pack.mark);
                let entry = packer.entries_of(&mark.expect("it is there"))?.remove(0);
                Ok((entry.parts, entry.value))
            })
            .unwrap();
        assert_eq!((parts, value), (4, 4));
        assert_eq!(store.get(&id("a"), Generation::Newest).unwrap(), Some(large));
    }

    /// A page shows of a pack only what is the newest of its actor, and the pages end.
    #[test]
    fn a_page_shows_the_newest_of_one_pack() {
        let medium = MemoryMedium::new();
        let store = open(&medium, 1);
        store.put(&[checkpoint(&id("a"), 1, 100), checkpoint(&id("b"), 2, 100)]).unwrap();
        store.put(&[checkpoint(&id("a"), 3, 100)]).unwrap();
        let page = |after| {
            let page = store.packer.call(reads("list"), move |packer| packer.page(after)).unwrap();
            page.map(|(stream, headers)| {
                (stream, headers.into_iter().map(|header| header.number.get()).collect::<Vec<_>>())
            })
        };
        assert_eq!(page(0), Some((1, vec![2])));
        assert_eq!(page(1), Some((2, vec![3])));
        assert_eq!(page(2), None);
    }
}
