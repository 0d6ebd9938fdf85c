//! Blocks and checkpoints made up for tests: for the cases, and for tests of backends.

use bytes::Bytes;

use crate::format::block::{Block, BlockHeader};
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::format::frame_writer::FrameWriter;
use crate::format::record::{Event, EventKind};
use crate::id::actor_id::ActorId;
use crate::id::position::{CheckpointNumber, Epoch, Lsn, Rsn};
use crate::id::timestamp::Timestamp;
use crate::limits::POSITION_MAX;

/// A block of `records` beginnings of incarnation `epoch`.
///
/// # Panics
/// When there are no records.
#[must_use]
pub fn block(first: u64, records: u32, durable: u64, epoch: u64) -> Block {
    let mut buffer = Vec::new();
    Block::reserve_header(&mut buffer);
    let mut writer = FrameWriter::new();
    for _ in 0..records {
        writer.put_incarnation(Epoch::new(epoch));
        writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
    }
    Block::seal(header(first, records, durable, epoch), buffer)
}

/// A block of exactly `bytes` bytes, with a pattern that depends on `first`.
///
/// # Panics
/// When it is too small for a record, or too large for a block.
#[must_use]
pub fn block_of(first: u64, durable: u64, bytes: usize) -> Block {
    const OUTCOME_BYTES: usize = 1 << 20;
    /// At least as many bytes as a frame with an empty outcome has.
    const FRAME_BYTES: usize = 64;
    let actor = id("event");
    let mut buffer = Vec::new();
    Block::reserve_header(&mut buffer);
    let mut records = 0;
    while buffer.len() < bytes {
        let left = bytes - buffer.len();
        let mut frame = Vec::new();
        // The bytes around an outcome depend on its length: the outcome before the last one leaves
        // room, and the last one fits exactly.
        let mut length = if left <= OUTCOME_BYTES { left } else { OUTCOME_BYTES.min(left / 2) };
        loop {
            frame.clear();
            let mut writer = FrameWriter::new();
            let pattern = (0..length).map(|i| (i as u64 ^ first).to_le_bytes()[0]);
            writer.put_event(&Event {
                rsn: Rsn::new(1),
                index: records,
                kind: EventKind::SideEffect,
                name: "filler".into(),
                outcome: pattern.collect(),
                clock: None,
            });
            writer.finish(Some(&actor), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut frame);
            length = match frame.len().checked_sub(left) {
                None if left - frame.len() >= FRAME_BYTES => break,
                Some(0) => break,
                // An outcome that is one byte shorter may take two bytes less in the frame: then
                // another record must fit.
                None => length - FRAME_BYTES,
                Some(over) => length - over,
            };
        }
        buffer.extend_from_slice(&frame);
        records += 1;
    }
    Block::seal(header(first, records, durable, 1), buffer)
}

/// A checkpoint with a body of `bytes` bytes.
#[must_use]
pub fn checkpoint(actor: &ActorId, number: u64, bytes: usize) -> Checkpoint {
    let body: Vec<u8> = (0..bytes).map(|i| ((i as u64).wrapping_mul(31) ^ number).to_le_bytes()[0]).collect();
    Checkpoint {
        header: CheckpointHeader {
            actor: actor.clone(),
            number: CheckpointNumber::new(number),
            rsn: Rsn::new(number.saturating_mul(10).min(POSITION_MAX)),
            state_version: 3,
            restore_at_open: number % 2 == 1,
            wake_at: (number % 3 == 1).then(|| Timestamp::from_micros(number << 40)),
        },
        body: Bytes::from(body),
    }
}

/// An actor of the kind `test`.
///
/// # Panics
/// When the key is not one.
#[must_use]
pub fn id(key: &str) -> ActorId {
    ActorId::new("test", key).expect("the keys of tests are valid")
}

fn header(first: u64, records: u32, durable: u64, epoch: u64) -> BlockHeader {
    BlockHeader {
        first: Lsn::new(first),
        records,
        durable: Lsn::new(durable),
        epoch: Epoch::new(epoch),
        clock: Timestamp::from_micros(first),
        seed: first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_exactly_its_bytes() {
        for bytes in (300..700).chain(16_000..17_000).chain([1 << 20, (1 << 20) + 5_000, 3_000_001]) {
            assert_eq!(block_of(7, 7, bytes).bytes().len(), bytes);
        }
    }
}
