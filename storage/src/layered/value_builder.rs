//! Builds values of a pack from encoded checkpoints: small ones together, large ones in parts.
//! Pure.

use std::collections::HashSet;

use bytes::Bytes;

use super::pack;
use crate::format::checkpoint::CheckpointHeader;
use crate::id::actor_id::ActorId;

/// A value for a pack, with the checkpoints that it completes: their headers, how many parts stand
/// before them, their encoded sizes.
pub(super) struct PackValue {
    pub(super) value: Vec<u8>,
    pub(super) completes: Vec<(CheckpointHeader, u32, u32)>,
}

/// Builds values of a pack.
#[derive(Default)]
pub(super) struct ValueBuilder {
    value: Vec<u8>,
    completes: Vec<(CheckpointHeader, u32, u32)>,
    actors: HashSet<ActorId>,
}

impl ValueBuilder {
    /// Adds an encoded checkpoint. Returns the values that are complete now.
    pub(super) fn add(&mut self, header: &CheckpointHeader, encoded: &Bytes) -> Vec<PackValue> {
        let length = u32::try_from(encoded.len()).expect("a checkpoint is far below 4 GiB");
        if encoded.len() > pack::SMALL_BYTES_MAX {
            let parts = encoded.chunks(pack::PART_BYTES_MAX);
            let count = u32::try_from(parts.len()).expect("a checkpoint has few parts");
            let mut values: Vec<_> =
                parts.map(|bytes| PackValue { value: pack::part(bytes), completes: Vec::new() }).collect();
            let value = pack::large(header, count, length);
            values.push(PackValue { value, completes: vec![(header.clone(), count, length)] });
            return values;
        }
        let mut values = Vec::new();
        let over = self.value.len() + encoded.len() > pack::SMALL_BYTES_MAX;
        // A reader of a value looks for an actor, and takes the first checkpoint that it finds.
        if over || self.actors.contains(&header.actor) {
            values = self.finish();
        }
        if self.value.is_empty() {
            self.value = pack::small();
        }
        self.value.extend_from_slice(encoded);
        self.completes.push((header.clone(), 0, length));
        self.actors.insert(header.actor.clone());
        values
    }

    /// The value that is not full.
    pub(super) fn finish(&mut self) -> Vec<PackValue> {
        let Self { value, completes, .. } = std::mem::take(self);
        if value.is_empty() { Vec::new() } else { vec![PackValue { value, completes }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::{checkpoint, id};

    fn add(builder: &mut ValueBuilder, key: &str, number: u64, bytes: usize) -> Vec<PackValue> {
        let checkpoint = checkpoint(&id(key), number, bytes);
        builder.add(&checkpoint.header, &checkpoint.encode().unwrap())
    }

    fn keys(value: &PackValue) -> Vec<&str> {
        value.completes.iter().map(|(header, ..)| header.actor.key()).collect()
    }

    /// A reader finds a checkpoint in a value by its actor, so no value has two of one.
    #[test]
    fn an_actor_stands_once_in_a_value() {
        let mut builder = ValueBuilder::default();
        assert!(add(&mut builder, "a", 1, 9).is_empty() && add(&mut builder, "b", 2, 9).is_empty());
        let full = add(&mut builder, "a", 3, 9);
        assert_eq!(full.iter().map(keys).collect::<Vec<_>>(), [["a", "b"]]);
        assert!(add(&mut builder, "b", 4, 9).is_empty(), "the next value knows none of those before");
        let last = builder.finish();
        assert_eq!(last.iter().map(keys).collect::<Vec<_>>(), [["a", "b"]]);
        assert!(pack::find(&Bytes::from(last[0].value.clone()), &id("b")).unwrap().is_some());
        assert!(builder.finish().is_empty());
    }

    /// A value takes small checkpoints up to its size.
    #[test]
    fn a_value_stays_below_its_size() {
        let mut builder = ValueBuilder::default();
        let third = pack::SMALL_BYTES_MAX / 3;
        let full: Vec<_> = (0..7).flat_map(|at| add(&mut builder, &at.to_string(), at + 1, third)).collect();
        assert_eq!(full.iter().map(|value| value.completes.len()).collect::<Vec<_>>(), [2, 2, 2]);
        assert!(full.iter().all(|value| value.value.len() <= pack::SMALL_BYTES_MAX));
        assert_eq!(builder.finish().len(), 1);
    }

    /// A large checkpoint goes in parts right before the value that completes it, and leaves the
    /// small ones where they are.
    #[test]
    fn a_large_checkpoint_goes_in_parts() {
        let mut builder = ValueBuilder::default();
        add(&mut builder, "small", 1, 9);
        let values = add(&mut builder, "large", 2, 2 * pack::PART_BYTES_MAX);
        let completes: Vec<_> = values.iter().map(|value| value.completes.len()).collect();
        assert_eq!(completes, [0, 0, 0, 1]);
        assert_eq!((keys(&values[3]), values[3].completes[0].1), (vec!["large"], 3));
        assert_eq!(keys(&builder.finish()[0]), ["small"]);
    }
}
