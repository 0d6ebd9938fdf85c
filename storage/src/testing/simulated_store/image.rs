//! The content of a device: blocks, checkpoints and the mark. Decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::contract::error::StoreError;
use crate::contract::log::StoredBlock;
use crate::format::block::Block;
use crate::format::checkpoint::{Checkpoint, CheckpointHeader};
use crate::id::actor_id::ActorId;
use crate::id::position::{CheckpointNumber, Epoch, Lsn};

/// The content of a device, or the content that it would have if every write were synced.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) mark: Mark,
    pub(super) blocks: BTreeMap<Lsn, Result<Block, String>>,
    pub(super) checkpoints: BTreeMap<ActorId, Kept>,
    /// The highest number of a checkpoint.
    pub(super) highest: CheckpointNumber,
}

/// The mark, which the device writes beside the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) acknowledged: Lsn,
    pub(super) start: Lsn,
    pub(super) epoch: Epoch,
    /// The newest checkpoints when the log was last cut: none of them may go missing from then on.
    pub(super) sealed: Arc<BTreeMap<ActorId, CheckpointNumber>>,
}

/// The checkpoints of one actor.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) header: CheckpointHeader,
    pub(super) newest: Bytes,
    pub(super) previous: Option<Bytes>,
}

impl Image {
    pub(super) fn empty() -> Self {
        let mark = Mark {
            acknowledged: Lsn::FIRST,
            start: Lsn::FIRST,
            epoch: Epoch::new(0),
            sealed: Arc::default(),
        };
        let highest = CheckpointNumber::new(0);
        Self { mark, blocks: BTreeMap::new(), checkpoints: BTreeMap::new(), highest }
    }

    pub(super) fn read(&self, from: Lsn) -> Option<StoredBlock> {
        let found = self.blocks.range(from.max(self.mark.start)..).next();
        found.map(|(first, block)| StoredBlock { first: *first, block: block.clone() })
    }

    /// The end of the last block that begins before `first`.
    pub(super) fn end_before(&self, first: Lsn) -> Result<Lsn, StoreError> {
        match self.blocks.range(..first).next_back() {
            None => Ok(self.mark.start),
            Some((_, Ok(block))) => Ok(block.header().next()),
            Some((at, Err(what))) => Err(StoreError::CorruptLog { at: *at, what: what.clone() }),
        }
    }

    /// The positions of the blocks that may become the first: synced ones, above the present
    /// beginning and not above `below`.
    pub(super) fn beginnings(&self, below: Lsn) -> Vec<Lsn> {
        let synced = self.blocks.range(..self.mark.acknowledged).map(|(first, _)| *first);
        synced.filter(|first| *first > self.mark.start && *first <= below).collect()
    }

    pub(super) fn begin_at(&mut self, start: Lsn) {
        self.mark.start = start;
        self.blocks = self.blocks.split_off(&start);
    }

    pub(super) fn put(&mut self, checkpoint: &Checkpoint, newest: Bytes) {
        let header = checkpoint.header.clone();
        self.highest = self.highest.max(header.number);
        let before = self.checkpoints.remove(&header.actor);
        let previous = before.map(|kept| kept.newest);
        self.checkpoints.insert(header.actor.clone(), Kept { header, newest, previous });
    }

    /// The newest checkpoints, which must be there from the next cut on.
    pub(super) fn census(&self) -> BTreeMap<ActorId, CheckpointNumber> {
        self.checkpoints.iter().map(|(actor, kept)| (actor.clone(), kept.header.number)).collect()
    }

    /// Checks that every checkpoint of the last cut of the log is still there.
    pub(super) fn count(&self) -> Result<(), StoreError> {
        for (actor, number) in &*self.mark.sealed {
            let found = self.checkpoints.get(actor).map(|kept| kept.header.number);
            if found.is_none_or(|found| found < *number) {
                let what = format!("{number} of {actor} is missing, the newest there is {found:?}");
                return Err(StoreError::CorruptStore { what });
            }
        }
        Ok(())
    }

    /// How many bytes the content has.
    pub(super) fn bytes(&self) -> u64 {
        let blocks = self.blocks.values().flatten().map(|block| block.bytes().len());
        let kept = self.checkpoints.values();
        let kept = kept.map(|kept| kept.newest.len() + kept.previous.as_ref().map_or(0, Bytes::len));
        blocks.chain(kept).map(|bytes| bytes as u64).sum()
    }
}
