//! The values of a pack, as bytes. Reads and writes nothing.
//!
//! ```text
//! value := 1 checkpoint*                                  small checkpoints, each encoded, back to back, no actor twice
//!        | 2 byte*                                        a part of a large one
//!        | 3 parts:varint length:varint header            a large one, whose parts are the values right before this
//!        | 4 entry*                                       the index, the last value of a full pack
//! entry := value:varint parts:varint length:varint header             parts is 0 for a small one, length is of the
//!                                                                     encoded checkpoint
//! ```
//! A header is as in a checkpoint. An entry has the value that a checkpoint stands in, of a large
//! one its last.

use bytes::Bytes;

use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::id::actor_id::ActorId;
use crate::limits::CHECKPOINT_BYTES_MAX;
use crate::wire::{Malformed, Reader, put_varint};

/// A value takes more small checkpoints until it has this many bytes: a reader of one of them reads
/// the whole value.
pub(super) const SMALL_BYTES_MAX: usize = 64 << 10;

/// The most bytes of a part of a large checkpoint.
pub(super) const PART_BYTES_MAX: usize = 1 << 20;

/// A checkpoint in a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) header: CheckpointHeader,
    /// The value that holds it, or the last of several values.
    pub(super) value: u32,
    /// How many values before that one hold parts of it.
    pub(super) parts: u32,
    /// Its encoded size.
    pub(super) length: u32,
}

/// A decoded value.
#[derive(Debug)]
pub(super) enum Value {
    /// With checkpoints.
    Entries(Vec<Entry>),
    Part,
    Index(Vec<Entry>),
}

/// Begins a value of small checkpoints. The caller appends each as it is encoded.
pub(super) fn small() -> Vec<u8> {
    vec![SMALL]
}

/// A part of a large checkpoint.
pub(super) fn part(bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + bytes.len());
    value.push(PART);
    value.extend_from_slice(bytes);
    value
}

/// The value that follows the parts of a large checkpoint.
pub(super) fn large(header: &CheckpointHeader, parts: u32, length: u32) -> Vec<u8> {
    let mut value = vec![LARGE];
    put_varint(&mut value, u64::from(parts));
    put_varint(&mut value, u64::from(length));
    header.write(&mut value);
    value
}

/// Begins an index.
pub(super) fn index() -> Vec<u8> {
    vec![INDEX]
}

/// Adds an entry to an index.
pub(super) fn put_entry(index: &mut Vec<u8>, entry: &Entry) {
    put_varint(index, u64::from(entry.value));
    put_varint(index, u64::from(entry.parts));
    put_varint(index, u64::from(entry.length));
    entry.header.write(index);
}

/// Decodes an untrusted value at a position, without the bodies of checkpoints.
pub(super) fn decode(bytes: &Bytes, value: u32) -> Result<Value, Malformed> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        SMALL => {
            let mut entries = Vec::new();
            // Headers only: a reader of a checkpoint compares the checksum of its body.
            walk_small(bytes, |header, checkpoint| {
                let length = u32::try_from(checkpoint.len()).map_err(|_| TOO_LONG)?;
                entries.push(Entry { header, value, parts: 0, length });
                Ok(true)
            })?;
            Ok(Value::Entries(entries))
        }
        PART => Ok(Value::Part),
        LARGE => {
            let entry = read_entry(&mut reader, value)?;
            if !reader.is_empty() {
                return Err(Malformed("a value has bytes after its end"));
            }
            Ok(Value::Entries(vec![entry]))
        }
        INDEX => {
            let mut entries = Vec::new();
            while !reader.is_empty() {
                let at = number(&mut reader)?;
                let entry = read_entry(&mut reader, at)?;
                // So that a reader of the entry finds a value of the same pack, and never the
                // index.
                if entry.value >= value {
                    return Err(Malformed("an index has an entry of what comes after it"));
                }
                entries.push(entry);
            }
            Ok(Value::Index(entries))
        }
        _ => Err(Malformed("a value of a pack has an unknown kind")),
    }
}

/// The encoded checkpoint of an actor among small ones; `None` when it is not there.
pub(super) fn find(bytes: &Bytes, actor: &ActorId) -> Result<Option<Bytes>, Malformed> {
    let mut found = None;
    walk_small(bytes, |header, checkpoint| {
        if header.actor == *actor {
            found = Some(checkpoint);
        }
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// The bytes of a checkpoint in a value of parts.
pub(super) fn part_of(bytes: &Bytes) -> Result<Bytes, Malformed> {
    if bytes.first() != Some(&PART) {
        return Err(Malformed("a part of a checkpoint is something else"));
    }
    Ok(bytes.slice(1..))
}

/// Whether a value holds small checkpoints.
pub(super) fn is_small(bytes: &Bytes) -> bool {
    bytes.first() == Some(&SMALL)
}

fn walk_small(
    bytes: &Bytes,
    mut each: impl FnMut(CheckpointHeader, Bytes) -> Result<bool, Malformed>,
) -> Result<(), Malformed> {
    let mut at = 1;
    while at < bytes.len() {
        let rest = bytes.slice(at..);
        let (header, length) = Checkpoint::peek(&rest)?;
        if length > rest.len() {
            return Err(Malformed("a checkpoint reaches past the end of its value"));
        }
        if !each(header, rest.slice(..length))? {
            return Ok(());
        }
        at += length;
    }
    Ok(())
}

fn read_entry(reader: &mut Reader<'_>, value: u32) -> Result<Entry, Malformed> {
    let parts = number(reader)?;
    let length = number(reader)?;
    if parts > value || length as usize > CHECKPOINT_BYTES_MAX + HEAD_BYTES_MAX {
        return Err(Malformed("an entry of a pack is impossible"));
    }
    let header = CheckpointHeader::read(reader)?;
    Ok(Entry { header, value, parts, length })
}

fn number(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.varint()?).map_err(|_| Malformed("a number in a pack is out of range"))
}

const SMALL: u8 = 1;
const PART: u8 = 2;
const LARGE: u8 = 3;
const INDEX: u8 = 4;
/// The bytes before the content of an encoded checkpoint are far fewer.
const HEAD_BYTES_MAX: usize = 1 << 10;
const TOO_LONG: Malformed = Malformed("a checkpoint is over its limit");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::{checkpoint, id};

    fn entries(value: &Bytes, at: u32) -> Vec<Entry> {
        match decode(value, at).unwrap() {
            Value::Entries(entries) | Value::Index(entries) => entries,
            Value::Part => Vec::new(),
        }
    }

    #[test]
    fn values_come_back() {
        let some: Vec<_> = (1..5).map(|number| checkpoint(&id(&number.to_string()), number, 90)).collect();
        let (mut value, mut index) = (small(), index());
        for checkpoint in &some {
            value.extend_from_slice(&checkpoint.encode().unwrap());
        }
        let value = Bytes::from(value);
        let found = entries(&value, 7);
        assert_eq!(found.len(), 4);
        for (entry, checkpoint) in found.iter().zip(&some) {
            assert_eq!(entry.header, checkpoint.header);
            let bytes = find(&value, &entry.header.actor).unwrap().unwrap();
            assert_eq!(bytes.len(), entry.length as usize);
            assert_eq!(Checkpoint::decode(bytes).unwrap(), *checkpoint);
            put_entry(&mut index, entry);
        }
        assert_eq!(find(&value, &id("nobody")).unwrap(), None);
        assert_eq!(entries(&index.into(), 9), found);
        let large = Bytes::from(large(&some[0].header, 3, 3 << 20));
        let expected = Entry { header: some[0].header.clone(), value: 8, parts: 3, length: 3 << 20 };
        assert_eq!(entries(&large, 8), [expected]);
        let part = Bytes::from(part(b"piece"));
        assert_eq!(part_of(&part).unwrap(), Bytes::from_static(b"piece"));
    }

    #[test]
    fn what_is_cut_short_or_says_too_much_is_malformed() {
        let mut value = small();
        value.extend_from_slice(&checkpoint(&id("alice"), 1, 90).encode().unwrap());
        for length in 2..value.len() {
            assert!(decode(&value[..length].to_vec().into(), 0).is_err(), "length {length}");
        }
        let header = checkpoint(&id("alice"), 1, 0).header;
        assert!(decode(&large(&header, 3, 9).into(), 2).is_err(), "more parts than there are values before");
        let mut index = index();
        put_entry(&mut index, &Entry { header, value: 5, parts: 0, length: 9 });
        assert!(decode(&index.into(), 5).is_err(), "an entry of the index itself");
        assert!(decode(&Bytes::from_static(&[9]), 0).is_err());
        assert!(decode(&Bytes::new(), 0).is_err());
    }
}
