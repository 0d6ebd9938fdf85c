//! Finds out at an opening which checkpoints there are: from the indexes of full packs, and from
//! the values of the others. Changes nothing.
//!
//! Every value that the superblock counts must be there. A value after those came after the last
//! superblock, or was never synced: each whole one counts, and the first one that is not whole ends
//! the pack.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::checkpoint_index::{CheckpointIndex, FoundCheckpoints, Location};
use super::log_index::LOG;
use super::pack::{self, Entry, Value};
use super::packs::{Pack, PackSummary, Packs, chain};
use super::superblock::Superblock;
use crate::contract::error::StoreError;
use crate::id::position::CheckpointNumber;
use crate::medium::{Medium, StreamId};

/// What an opening found.
pub(super) struct Opened {
    pub(super) superblock: Superblock,
    pub(super) checkpoints: CheckpointIndex,
    pub(super) packs: Packs,
    /// The index so far of each pack that is not full.
    pub(super) indexes: BTreeMap<u32, Vec<u8>>,
    /// Remains, which the packer removes before it writes anything.
    pub(super) leftovers: Leftovers,
}

/// Remains of removed packs, and of values that were never synced.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// Streams of removed packs.
    pub(super) packs: Vec<StreamId>,
    /// The ends of packs: values from there on do not count.
    pub(super) ends: Vec<(StreamId, u64)>,
}

/// Reads what a medium holds.
pub(super) fn open(medium: &dyn Medium) -> Result<Opened, StoreError> {
    let bytes = medium.superblock()?;
    let streams = medium.streams()?;
    let superblock = if bytes.is_empty() {
        Superblock::new()
    } else {
        Superblock::decode(&bytes).map_err(|malformed| corrupt(malformed.to_string()))?
    };
    let mut found = Scan {
        medium,
        checkpoints: FoundCheckpoints::default(),
        packs: Packs::default(),
        indexes: BTreeMap::new(),
        leftovers: Leftovers::default(),
        highest: superblock.highest,
    };
    if let Some(range) = streams.get(&LOG).filter(|range| range.start > superblock.first) {
        let (found, first) = (range.start, superblock.first);
        return Err(corrupt(format!("the log begins with the value {found}, and began with {first}")));
    }
    let mut known = BTreeSet::from([LOG]);
    // The listed packs come first, and any of them that lacks a value refuses the store: sled can
    // lose values without a word, and a passive actor has nothing but its checkpoint.
    for mark in &superblock.packs {
        let id = StreamId(u64::from(mark.stream));
        known.insert(id);
        let Some(range) = streams.get(&id) else {
            // A pack is listed before its first value comes.
            if mark.values == 0 {
                found.walk(*mark, 0)?;
                continue;
            }
            let of = superblock.packs.len();
            return Err(corrupt(format!("pack {} of {of} with checkpoints is missing", mark.stream)));
        };
        if range.start != 0 || range.end < u64::from(mark.values) {
            let (stream, values) = (mark.stream, mark.values);
            let what = format!("pack {stream} with checkpoints has the values {range:?}, and had {values}");
            return Err(corrupt(what));
        }
        found.pack(*mark, range.end)?;
    }
    let mut next_pack = superblock.next_pack;
    // A stream of a number that was given out and is not listed is a removed pack. One of a later
    // number came after the last superblock.
    for (id, range) in streams.iter().filter(|(id, _)| !known.contains(id)) {
        match u32::try_from(id.0) {
            Ok(stream) if stream >= superblock.next_pack && stream < u32::MAX => {
                next_pack = next_pack.max(stream + 1);
                found.pack(Pack::new(stream).mark, range.end)?;
            }
            Ok(_) => found.leftovers.packs.push(*id),
            Err(_) => return Err(corrupt(format!("there is a stream {}, which no store makes", id.0))),
        }
    }
    let Scan { checkpoints, mut packs, indexes, leftovers, highest, .. } = found;
    let (checkpoints, live) = checkpoints.finish();
    live.for_each(|location| packs.lives(location));
    let superblock = Superblock { highest, next_pack, packs: packs.marks(), ..superblock };
    Ok(Opened { superblock, checkpoints, packs, indexes, leftovers })
}

struct Scan<'a> {
    medium: &'a dyn Medium,
    checkpoints: FoundCheckpoints,
    packs: Packs,
    indexes: BTreeMap<u32, Vec<u8>>,
    leftovers: Leftovers,
    highest: CheckpointNumber,
}

impl Scan<'_> {
    /// Takes the checkpoints of a pack whose stream ends at `end`.
    fn pack(&mut self, mark: PackSummary, end: u64) -> Result<(), StoreError> {
        if let Some(index) = mark.index {
            match read_index(self.medium, &mark, index)? {
                Ok(entries) => {
                    entries.iter().for_each(|entry| self.add_entry(mark.stream, entry));
                    self.packs.add(Pack::of(mark));
                    return Ok(());
                }
                Err(what) => {
                    let stream = mark.stream;
                    tracing::warn!(
                        stream,
                        what,
                        "the index of a pack of checkpoints is damaged: its values are read instead"
                    );
                }
            }
        }
        self.walk(mark, end)
    }

    /// Reads the values of a pack one by one.
    fn walk(&mut self, mark: PackSummary, end: u64) -> Result<(), StoreError> {
        let mut pack = Pack::new(mark.stream);
        let mut index = pack::index();
        let end =
            u32::try_from(end).map_err(|_| corrupt(format!("pack {} has {end} values", mark.stream)))?;
        for value in 0..end {
            let counted = value < mark.values;
            let read = match pack.mark.index {
                // The index is the last value of a pack, so nobody put this one behind it.
                Some(_) => Err("it stands behind the index".to_owned()),
                None => read_value(self.medium, pack.id(), value)?,
            };
            let (bytes, decoded) = match read {
                Ok(read) => read,
                // The index of a full pack is damaged, and the values before it say all that it
                // said.
                Err(_) if mark.index == Some(value) => break,
                Err(what) if counted => {
                    let stream = mark.stream;
                    let what =
                        format!("value {value} of the pack {stream} with checkpoints is damaged: {what}");
                    return Err(corrupt(what));
                }
                Err(what) => {
                    let stream = mark.stream;
                    tracing::warn!(stream, value, what, "a pack ends in unacknowledged checkpoints");
                    self.leftovers.ends.push((pack.id(), u64::from(value)));
                    break;
                }
            };
            pack.add(&bytes);
            match decoded {
                Value::Part => {}
                Value::Entries(entries) => {
                    for entry in entries {
                        self.add_entry(mark.stream, &entry);
                        pack::put_entry(&mut index, &entry);
                    }
                }
                Value::Index(_) => {
                    pack.mark.index = Some(value);
                    pack.mark.check = chain(0, &bytes);
                }
            }
            if mark.index.is_none()
                && u64::from(pack.mark.values) == u64::from(mark.values)
                && pack.mark.check != mark.check
            {
                return Err(corrupt(format!("the pack {} with checkpoints is another", mark.stream)));
            }
        }
        if let Some(index) = mark.index {
            // The mark stays as it was, although the index can't be read.
            pack.mark = PackSummary { index: Some(index), ..mark };
            pack.kept = true;
        } else if pack.mark.index.is_none() {
            self.indexes.insert(mark.stream, index);
        }
        self.packs.add(pack);
        Ok(())
    }

    fn add_entry(&mut self, stream: u32, entry: &Entry) {
        let number = entry.header.number;
        self.highest = self.highest.max(number);
        let location = Location { pack: stream, value: entry.value, length: entry.length };
        self.checkpoints.add(&entry.header.actor, number.get(), location);
    }
}

/// The checkpoints of a full pack, from its index or, when that is damaged, from its values.
pub(super) fn entries(medium: &dyn Medium, mark: &PackSummary) -> Result<Vec<Entry>, StoreError> {
    let index = mark.index.map_or(Ok(Err(String::new())), |index| read_index(medium, mark, index))?;
    if let Ok(entries) = index {
        return Ok(entries);
    }
    let id = StreamId(u64::from(mark.stream));
    let mut entries = Vec::new();
    for value in 0..mark.values {
        match read_value(medium, id, value)? {
            Ok((_, Value::Entries(some))) => entries.extend(some),
            Ok(_) => {}
            Err(_) if mark.index == Some(value) => {}
            Err(what) => {
                let stream = mark.stream;
                return Err(corrupt(format!(
                    "value {value} of the pack {stream} with checkpoints is damaged: {what}"
                )));
            }
        }
    }
    Ok(entries)
}

fn read_index(
    medium: &dyn Medium,
    mark: &PackSummary,
    index: u32,
) -> Result<Result<Vec<Entry>, String>, StoreError> {
    let id = StreamId(u64::from(mark.stream));
    let entries = read_value(medium, id, index)?.and_then(|(bytes, value)| match value {
        _ if chain(0, &bytes) != mark.check => Err("it is another".to_owned()),
        Value::Index(entries) => Ok(entries),
        _ => Err("it is something else".to_owned()),
    });
    Ok(entries)
}

fn read_value(
    medium: &dyn Medium,
    id: StreamId,
    value: u32,
) -> Result<Result<(Bytes, Value), String>, StoreError> {
    let Some(read) = medium.read(id, u64::from(value))? else {
        return Ok(Err("it is not there".to_owned()));
    };
    Ok(read.and_then(|bytes| {
        let decoded = pack::decode(&bytes, value).map_err(|malformed| malformed.to_string())?;
        Ok((bytes, decoded))
    }))
}

fn corrupt(what: String) -> StoreError {
    StoreError::CorruptStore { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::checkpoint_store::Generation;
    use crate::layered::value_builder::ValueBuilder;
    use crate::medium::memory::MemoryMedium;
    use crate::testing::conformance::{checkpoint, id};

    /// A value with a small checkpoint of an actor, and its entry.
    fn value(key: &str, number: u64, at: u32) -> (Vec<u8>, Entry) {
        let checkpoint = checkpoint(&id(key), number, 40);
        let mut small = ValueBuilder::default();
        small.add(&checkpoint.header, &checkpoint.encode().unwrap());
        let value = small.finish().remove(0);
        let (header, parts, length) = value.completes[0].clone();
        (value.value, Entry { header, value: at, parts, length })
    }

    fn index_of(entries: &[Entry]) -> Vec<u8> {
        let mut index = pack::index();
        entries.iter().for_each(|entry| pack::put_entry(&mut index, entry));
        index
    }

    /// A medium with a superblock, and with these values in its packs.
    fn medium(superblock: &Superblock, packs: &[(u64, &[&[u8]])]) -> MemoryMedium {
        let medium = MemoryMedium::new();
        medium.write_superblock(&superblock.encode(), true).unwrap();
        for (stream, values) in packs {
            for (position, value) in (0..).zip(*values) {
                medium.append(StreamId(*stream), position, value).unwrap();
            }
        }
        medium
    }

    fn superblock(next_pack: u32, packs: &[PackSummary]) -> Superblock {
        Superblock { next_pack, packs: packs.to_vec(), ..Superblock::new() }
    }

    /// What a superblock says of a pack with these values, the last of them its index or not.
    fn mark(stream: u32, values: &[&[u8]], full: bool) -> PackSummary {
        let mut pack = Pack::new(stream);
        values.iter().for_each(|value| pack.add(value));
        if full {
            pack.mark.index = Some(pack.mark.values - 1);
            pack.mark.check = chain(0, values.last().unwrap());
        }
        pack.mark
    }

    fn newest(opened: &Opened, key: &str) -> Option<Location> {
        opened.checkpoints.get(&id(key), Generation::Newest)
    }

    /// Each whole value behind those that the superblock counts is one of a put that was cut off
    /// after its sync: its checkpoint counts, and numbers go on behind it.
    #[test]
    fn whole_values_that_the_superblock_does_not_count_do_count() {
        let ((first, _), (second, entry)) = (value("alice", 4, 0), value("bob", 9, 1));
        let counted = mark(1, &[&first], false);
        let medium = medium(&superblock(2, &[counted]), &[(1, &[&first, &second])]);
        let opened = open(&medium).unwrap();
        assert_eq!(newest(&opened, "bob").unwrap().value, 1);
        assert_eq!(opened.superblock.highest, CheckpointNumber::new(9));
        assert_eq!(opened.superblock.packs[0].values, 2);
        assert!(
            index_of(&[value("alice", 4, 0).1, entry]) == opened.indexes[&1],
            "the index goes on from there"
        );
    }

    /// Only the remains of a put may be damaged at the end of a pack; they end it, and the packer
    /// removes them.
    #[test]
    fn damage_ends_a_pack_behind_what_is_counted_and_is_an_error_before_that() {
        let (first, _) = value("alice", 4, 0);
        let (third, _) = value("bob", 9, 2);
        let values: [&[u8]; 3] = [&first, b"torn", &third];
        let counted = mark(1, &values[..1], false);
        let opened = open(&medium(&superblock(2, &[counted]), &[(1, &values)])).unwrap();
        assert_eq!(opened.leftovers.ends, [(StreamId(1), 1)]);
        assert_eq!((opened.checkpoints.actors(), newest(&opened, "bob")), (1, None));
        let counted = mark(1, &values[..2], false);
        let refused = open(&medium(&superblock(2, &[counted]), &[(1, &values)])).map(drop).unwrap_err();
        assert!(refused.is_corrupt() && refused.to_string().contains("value 1 of the pack 1"), "{refused}");
    }

    /// A full pack is known by its index; when that is damaged its values say the same, and nobody
    /// empties the pack any more.
    #[test]
    fn a_damaged_index_costs_only_time() {
        let ((first, one), (second, two)) = (value("alice", 4, 0), value("bob", 9, 1));
        let index = index_of(&[one, two]);
        let full = mark(1, &[&first, &second, &index], true);
        let whole = open(&medium(&superblock(2, &[full]), &[(1, &[&first, &second, &index])])).unwrap();
        let damaged = open(&medium(&superblock(2, &[full]), &[(1, &[&first, &second, b"index"])])).unwrap();
        for (opened, kept) in [(&whole, false), (&damaged, true)] {
            assert_eq!(
                (newest(opened, "alice").unwrap().value, newest(opened, "bob").unwrap().value),
                (0, 1)
            );
            assert_eq!(opened.packs.get(1).unwrap().kept, kept);
            assert_eq!((opened.superblock.packs[0], opened.indexes.len()), (full, 0));
        }
    }

    /// The index is the last value of a pack: what stands behind it is none of the pack's, and the
    /// superblock that follows must not say that it is.
    #[test]
    fn nothing_counts_behind_an_index() {
        let ((first, one), (behind, _)) = (value("alice", 4, 0), value("bob", 9, 2));
        let index = index_of(&[one]);
        let values: [&[u8]; 3] = [&first, &index, &behind];
        let opened = open(&medium(&superblock(2, &[mark(1, &values[..1], false)]), &[(1, &values)])).unwrap();
        assert_eq!(newest(&opened, "bob"), None);
        assert_eq!(opened.leftovers.ends, [(StreamId(1), 2)]);
        assert_eq!((opened.superblock.packs[0].index, opened.superblock.packs[0].values), (Some(1), 2));
        let encoded = opened.superblock.encode();
        assert_eq!(Superblock::decode(&encoded.into()).unwrap(), opened.superblock);
    }

    /// A stream that is not listed was removed when its number was given out before, and came after
    /// the last superblock when it was not.
    #[test]
    fn streams_that_are_not_listed_are_remains_or_new_packs() {
        let (first, _) = value("alice", 4, 0);
        let with = |stream: u64| medium(&superblock(5, &[]), &[(stream, &[&first])]);
        let removed = open(&with(4)).unwrap();
        assert_eq!((removed.leftovers.packs, removed.checkpoints.actors()), (vec![StreamId(4)], 0));
        let new = open(&with(7)).unwrap();
        assert_eq!((new.superblock.next_pack, new.checkpoints.actors()), (8, 1));
        assert!(open(&with(1 << 32)).is_err_and(|error| error.is_corrupt()));
    }

    /// A pack is listed before its first value comes, so an empty one is no loss.
    #[test]
    fn a_pack_that_is_gone_is_a_loss_unless_it_was_empty() {
        let (first, _) = value("alice", 4, 0);
        let empty = open(&medium(&superblock(2, &[mark(1, &[], false)]), &[])).unwrap();
        assert_eq!(empty.indexes[&1], pack::index());
        let gone = open(&medium(&superblock(2, &[mark(1, &[&first], false)]), &[])).map(drop).unwrap_err();
        assert!(gone.is_corrupt() && gone.to_string().contains("is missing"), "{gone}");
    }

    /// The log may begin with an earlier value than the superblock says, since a cut removes after
    /// the superblock; with a later one only after a loss.
    #[test]
    fn a_log_that_begins_too_late_is_a_loss() {
        let with = |begins: u64| {
            let medium = MemoryMedium::new();
            let superblock = Superblock { first: 3, ..Superblock::new() };
            medium.write_superblock(&superblock.encode(), true).unwrap();
            medium.append(LOG, begins, b"block").unwrap();
            open(&medium).map(drop)
        };
        with(2).unwrap();
        with(3).unwrap();
        assert!(with(4).is_err_and(|error| error.is_corrupt()));
    }
}
