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
        // The largest checkpoint is far below 4 GiB.
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        if encoded.len() > pack::SMALL_BYTES_MAX {
            let parts = encoded.chunks(pack::PART_BYTES_MAX);
            let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            let mut values: Vec<_> =
                parts.map(|bytes| PackValue { value: pack::part(bytes), completes: Vec::new() }).collect();
            let value = pack::large(header, count, length);
            values.push(PackValue { value, completes: vec![(header.clone(), count, length)] });
            return values;
        }
        let mut values = Vec::new();
        let over = self.value.len() + encoded.len() > pack::SMALL_BYTES_MAX;
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
