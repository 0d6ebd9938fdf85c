//! Every change of the checkpoints, on a thread of its own: appends them to the open pack, makes them count, closes a pack
//! that is full, and removes those in which nothing lives. Removes what was cut off the log, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::gathering::Piece;
use super::log_index::LOG;
use super::opening::Left;
use super::pack::{self, Entry};
use super::packs::{Pack, PackMark, Packs, chain};
use super::places::Place;
use super::shared::Shared;
use crate::position::CheckpointNumber;
use crate::{ActorId, CheckpointHeader, StoreError, boundary};

/// The state of the thread that writes checkpoints.
pub(super) struct Packer {
    pub(super) shared: Arc<Shared>,
    /// A pack is full with so many bytes, or with the part of all bytes that keeps their number below [`PACKS`], or so.
    pub(super) pack_bytes: u64,
    pub(super) packs: Packs,
    /// The index so far of each pack that is not full. The last of them is the open one.
    indexes: BTreeMap<u32, Vec<u8>>,
    left: Option<Left>,
    /// What was appended to the open pack and does not count yet.
    written: Vec<(u32, Vec<u8>)>,
    entries: Vec<Entry>,
    pub(super) cleaning: Option<Cleaning>,
}

/// A pack that is being emptied.
pub(super) struct Cleaning {
    pub(super) stream: u32,
    /// What is still to be looked at.
    pub(super) entries: std::vec::IntoIter<Entry>,
}

impl Packer {
    pub(super) fn new(
        shared: Arc<Shared>,
        pack_bytes: u64,
        packs: Packs,
        indexes: BTreeMap<u32, Vec<u8>>,
        left: Left,
    ) -> Self {
        let (written, entries) = Default::default();
        Self { shared, pack_bytes, packs, indexes, left: Some(left), written, entries, cleaning: None }
    }

    /// Removes what was cut off the log, here because commits must not wait for it.
    pub(super) fn remove_log(&mut self, below: u64) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.shared.medium.remove_below(LOG, below)?;
        boundary!("cut.step");
        Ok(())
    }

    /// Appends values to the open pack. They do not count yet.
    pub(super) fn append(&mut self, pieces: Vec<Piece>) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.remove_left()?;
        let stream = self.open_pack()?;
        for Piece { value, completes } in pieces {
            let full =
                || StoreError::Misuse { what: format!("the pack {stream} has all the values it can have") };
            let pack = self.packs.get(stream).copied().ok_or_else(full)?;
            let at = pack.mark.values;
            if at == u32::MAX {
                return Err(full());
            }
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

    /// Makes stable what was appended, reads it back, and hands it out to be made to count.
    pub(super) fn verified(&mut self) -> Result<(u32, Vec<Entry>), StoreError> {
        self.shared.poison.check()?;
        let stream = self.open_pack()?;
        let id = Pack::new(stream).id();
        let medium = &*self.shared.medium;
        medium.sync(id)?;
        boundary!("checkpoint.stable");
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

    /// The first checkpoint of those in a value that did not read back.
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
            let mut places = self.shared.places();
            for entry in &entries {
                highest = highest.max(entry.header.number);
                let place = place(stream, entry);
                self.packs.lives(place);
                if let Some(dropped) = places.put(&entry.header.actor, place) {
                    self.packs.dies(dropped);
                }
            }
        }
        let marks = self.packs.marks();
        self.shared.write(false, |superblock| {
            superblock.packs.clone_from(&marks);
            superblock.highest = superblock.highest.max(highest);
        })?;
        boundary!("checkpoint.listed");
        Ok(())
    }

    /// Closes the open pack when it is full, empties mostly dead ones a little, and removes dead ones. `put` is how many bytes
    /// were put since the last time.
    pub(super) fn tidy(&mut self, put: u64) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.close_full()?;
        self.clean(put)?;
        self.remove_dead()?;
        boundary!("checkpoint.removed");
        Ok(())
    }

    /// The checkpoints of some pack after `after`, for one who goes through all: those of each actor that are its newest.
    pub(super) fn page(&mut self, after: u32) -> Result<Option<(u32, Vec<CheckpointHeader>)>, StoreError> {
        let Some(mark) = self.packs.iter().map(|pack| pack.mark).find(|mark| mark.stream > after) else {
            return Ok(None);
        };
        let entries = self.entries_of(&mark)?;
        let places = self.shared.places();
        let newest = entries.into_iter().filter(|entry| {
            let place = place(mark.stream, entry);
            places.generation(&entry.header.actor, place) == Some(crate::Generation::Newest)
        });
        Ok(Some((mark.stream, newest.map(|entry| entry.header).collect())))
    }

    /// The checkpoints that were put into a pack.
    pub(super) fn entries_of(&self, mark: &PackMark) -> Result<Vec<Entry>, StoreError> {
        let Some(index) = self.indexes.get(&mark.stream) else {
            return super::opening::entries(&*self.shared.medium, mark);
        };
        match pack::decode(&Bytes::from(index.clone()), mark.values) {
            Ok(pack::Value::Index(entries)) => Ok(entries),
            _ => Err(StoreError::CorruptStore { what: "an index in memory is not one".to_owned() }),
        }
    }

    /// Which number the checkpoint of an actor has that stands at a place, as far as that can be found out.
    pub(super) fn number_at(
        &self,
        actor: &ActorId,
        at: Place,
    ) -> Result<Option<CheckpointNumber>, StoreError> {
        let Some(mark) = self.packs.get(at.pack).map(|pack| pack.mark) else { return Ok(None) };
        let entries = self.entries_of(&mark)?;
        let found =
            entries.into_iter().find(|entry| entry.header.actor == *actor && place(at.pack, entry) == at);
        Ok(found.map(|entry| entry.header.number))
    }

    /// Removes what earlier openings left behind, once.
    fn remove_left(&mut self) -> Result<(), StoreError> {
        if let Some(left) = self.left.take() {
            for id in left.packs {
                self.shared.medium.remove(id)?;
            }
            for (id, end) in left.ends {
                self.shared.medium.remove_from(id, end)?;
            }
        }
        Ok(())
    }

    /// The pack to which is appended.
    fn open_pack(&mut self) -> Result<u32, StoreError> {
        if let Some((stream, _)) = self.indexes.last_key_value() {
            return Ok(*stream);
        }
        let stream = self.shared.superblock().next_pack;
        let next = stream.checked_add(1);
        let next = next.ok_or_else(|| StoreError::Misuse { what: "there are 2^32 packs".to_owned() })?;
        self.packs.add(Pack::new(stream));
        self.indexes.insert(stream, pack::index());
        // Both at once: a pack whose number is used and that is not listed counts as removed.
        let mut superblock = self.shared.superblock();
        superblock.next_pack = next;
        superblock.packs = self.packs.marks();
        Ok(stream)
    }

    /// Closes every pack that is full, or is not the last.
    fn close_full(&mut self) -> Result<(), StoreError> {
        let (bytes, _) = self.packs.bytes();
        let (bytes_max, index_max) = (self.pack_bytes.max(bytes / PACKS), PACK_INDEX_BYTES);
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

    /// Removes full packs in which nothing lives, after the decision is stable.
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
        ids.into_iter().try_for_each(|id| self.shared.medium.remove(id))
    }
}

/// Where an entry of a pack stands.
pub(super) fn place(stream: u32, entry: &Entry) -> Place {
    Place { pack: stream, value: entry.value, length: entry.length }
}

/// So many packs there are, about, when each has more than the least bytes.
const PACKS: u64 = 64;
/// A pack is full with an index of so many bytes.
const PACK_INDEX_BYTES: usize = 8 << 20;
