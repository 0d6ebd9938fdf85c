//! Gathers encoded checkpoints into values of a pack: small ones together, large ones in parts. Pure.

use std::collections::HashSet;

use bytes::Bytes;

use super::pack;
use crate::{ActorId, CheckpointHeader};

/// A value that is to be written, with the checkpoints that it makes complete: their headers, how many parts are before
/// them, their encoded sizes.
pub(super) struct Piece {
    pub(super) value: Vec<u8>,
    pub(super) completes: Vec<(CheckpointHeader, u32, u32)>,
}

/// Gathers checkpoints into values.
#[derive(Default)]
pub(super) struct Small {
    value: Vec<u8>,
    completes: Vec<(CheckpointHeader, u32, u32)>,
    actors: HashSet<ActorId>,
}

impl Small {
    /// Adds an encoded checkpoint. Returns the values that are complete with it.
    pub(super) fn add(&mut self, header: &CheckpointHeader, encoded: &Bytes) -> Vec<Piece> {
        // At most the largest checkpoint, which is far below 4 GiB.
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        if encoded.len() > pack::SMALL_BYTES_MAX {
            let parts = encoded.chunks(pack::PART_BYTES_MAX);
            let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            let mut pieces: Vec<_> =
                parts.map(|bytes| Piece { value: pack::part(bytes), completes: Vec::new() }).collect();
            let value = pack::large(header, count, length);
            pieces.push(Piece { value, completes: vec![(header.clone(), count, length)] });
            return pieces;
        }
        let mut pieces = Vec::new();
        let over = self.value.len() + encoded.len() > pack::SMALL_BYTES_MAX;
        if over || self.actors.contains(&header.actor) {
            pieces = self.finish();
        }
        if self.value.is_empty() {
            self.value = pack::small();
        }
        self.value.extend_from_slice(encoded);
        self.completes.push((header.clone(), 0, length));
        self.actors.insert(header.actor.clone());
        pieces
    }

    /// The value that is not full.
    pub(super) fn finish(&mut self) -> Vec<Piece> {
        let Self { value, completes, .. } = std::mem::take(self);
        if value.is_empty() { Vec::new() } else { vec![Piece { value, completes }] }
    }
}
