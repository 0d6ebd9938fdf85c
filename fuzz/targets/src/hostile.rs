//! Reads a block that carries a valid checksum and perhaps nonsense, as recovery would: its frames,
//! the tape of each actor, the replay. Whatever comes of it is an answer or a typed error.

use std::collections::BTreeMap;

use relive_replay::{Reel, Tape, restore};
use relive_storage::frame::FrameContext;
use relive_storage::record::Record;
use relive_storage::{ActorId, Block, Frame, Rsn, StoreId};

use crate::{model, reencode};

/// Reads the frames, checks each, and replays them.
pub(crate) fn read(block: &Block) -> Vec<Frame> {
    let header = block.header();
    let mut frames = Vec::new();
    let mut next = header.first;
    for frame in block.frames() {
        let Ok(frame) = frame else { break };
        let context = FrameContext { first: next, clock: header.clock, seed: header.seed };
        reencode::check(&frame, block.bytes().len(), context);
        let first = frame.carried.map_or(next, |origin| origin.first);
        assert!(first <= next && frame.carried.is_none_or(|_| first < next));
        assert!(frame.records.iter().zip(first.get()..).all(|(record, lsn)| record.lsn.get() == lsn));
        match next.checked_plus(frame.records.len() as u64) {
            Some(after) => next = after,
            None => panic!("{} records were let in at {next}", frame.records.len()),
        }
        frames.push(frame);
    }
    replay(&frames);
    frames
}

/// Replays each actor from its first delivery here on.
pub(crate) fn replay(frames: &[Frame]) {
    let mut actors: BTreeMap<&ActorId, Vec<&Frame>> = BTreeMap::new();
    for frame in frames {
        if let Some(actor) = &frame.actor {
            actors.entry(actor).or_default().push(frame);
        }
    }
    for (actor, frames) in actors {
        let records = frames.iter().flat_map(|frame| &frame.records);
        let first = records.filter_map(|positioned| match &positioned.record {
            Record::Delivery(delivery) => Some(delivery.rsn.get()),
            _ => None,
        });
        let after = Rsn::new(first.min().map_or(0, |rsn| rsn - 1));
        let (mut tape, mut reel) = (Tape::after(after), Reel::with_evidence());
        frames.iter().for_each(|frame| reel.push(&mut tape, (*frame).clone()));
        if reel.end().is_err() {
            continue;
        }
        let checkpoint = model::checkpoint(actor, after);
        let outcome = restore(&model::kind(), actor, StoreId::new(1), Some(&checkpoint), &mut tape, None);
        if let Ok(restored) = outcome {
            let handled = restored.instance.handled();
            assert_eq!(handled.since(after), Some(restored.replayed), "{actor} handled another number");
            assert_eq!(restored.unfinished.is_some(), tape.remaining() > 0);
            restored.instance.encode_state().expect("the state of a replay encodes");
        }
    }
}
