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
    for mark in &superblock.packs {
        let id = StreamId(u64::from(mark.stream));
        known.insert(id);
        let Some(range) = streams.get(&id) else {
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
            let (bytes, decoded) = match read_value(self.medium, pack.id(), value)? {
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
