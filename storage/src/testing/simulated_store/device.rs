//! A device with a volatile cache: a read finds a write at once, a synced write survives, and plan
//! and seed decide which others survive. Knows nothing of calls and plans.

use std::sync::Arc;

use bytes::Bytes;

use super::image::{Image, Mark};
use super::plan::Unsynced;
use crate::format::block::Block;
use crate::format::checkpoint::Checkpoint;
use crate::id::position::Lsn;
use crate::testing::draws::Draws;

/// A lie of the device: it does something wrong and reports success. A test sets it to show that it
/// notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// A sync reports success and does nothing: the writes stay in the cache, while the log counts
    /// as acknowledged.
    SyncsNothing,
    /// A put reports success and syncs nothing: the checkpoints stay in the cache, where a read
    /// finds them.
    PutsIntoTheCache,
}

/// The device.
#[derive(Debug)]
pub(super) struct Device {
    /// The content that survives every crash.
    synced: Image,
    /// The content that reads see.
    pub(super) cached: Image,
    /// The writes that make the difference between the two, in the order written.
    unsynced: Vec<Write>,
    draws: Draws,
    /// The most bytes that it holds.
    pub(super) capacity: Option<u64>,
    pub(super) lie: Option<Lie>,
}

#[derive(Clone, Debug)]
enum Write {
    /// Everything at and after this was removed; ordered before the blocks that follow.
    Removal(Lsn),
    Block {
        first: Lsn,
        block: Result<Block, String>,
        given_up: bool,
    },
    Mark(Mark),
    Checkpoint(Box<Checkpoint>, Bytes),
}

/// What a crash makes of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    Gone,
    Torn,
}

/// The most marks that are not synced. A mark has slots that take turns, so a newer mark overwrites
/// an older one.
const MARKS_UNSYNCED: usize = 2;

impl Device {
    pub(super) fn new(draws: Draws) -> Self {
        let (synced, cached) = (Image::empty(), Image::empty());
        Self { synced, cached, unsynced: Vec::new(), draws, capacity: None, lie: None }
    }

    /// How many writes a crash may take.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// How many of them are marks.
    pub(super) fn unsynced_marks(&self) -> usize {
        self.unsynced.iter().filter(|write| matches!(write, Write::Mark(_))).count()
    }

    /// Whether `bytes` more fit.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.capacity.is_none_or(|capacity| self.cached.bytes() + bytes as u64 <= capacity)
    }

    /// Writes a block; `fresh` when it is the first of its opening, which removes what an earlier
    /// one left there.
    pub(super) fn append(&mut self, block: &Block, fresh: bool) {
        let header = block.header();
        self.write_block(header.first, Ok(block.clone()), fresh);
        self.cached.mark.epoch = self.cached.mark.epoch.max(header.epoch);
    }

    /// Writes the beginning of a block.
    pub(super) fn append_torn(&mut self, block: &Block, fresh: bool) {
        self.write_block(block.header().first, Err(TORN.to_owned()), fresh);
    }

    fn write_block(&mut self, first: Lsn, block: Result<Block, String>, fresh: bool) {
        if fresh && self.cached.blocks.range(first..).next().is_some() {
            self.unsynced.push(Write::Removal(first));
        }
        self.cached.blocks.split_off(&first);
        self.cached.blocks.insert(first, block.clone());
        self.unsynced.push(Write::Block { first, block, given_up: false });
    }

    /// Syncs what was written.
    pub(super) fn flush(&mut self) {
        if self.lie == Some(Lie::SyncsNothing) {
            return;
        }
        let mut left = Vec::new();
        for write in std::mem::take(&mut self.unsynced) {
            match write {
                // A sync of the blocks does not sync the marks: they stay in the cache until the
                // next cut.
                Write::Mark(_) | Write::Checkpoint(..) | Write::Block { given_up: true, .. } => {
                    left.push(write);
                }
                write => apply(&mut self.synced, &write, Fate::Whole),
            }
        }
        self.unsynced = left;
    }

    /// Syncs what was written, and then notes, without syncing that, up to where it is
    /// acknowledged.
    pub(super) fn sync(&mut self, acknowledged: Lsn) {
        self.flush();
        self.cached.mark.acknowledged = acknowledged;
        if self.unsynced_marks() >= MARKS_UNSYNCED
            && let Some(oldest) = self.unsynced.iter().position(|write| matches!(write, Write::Mark(_)))
        {
            self.unsynced.remove(oldest);
        }
        self.unsynced.push(Write::Mark(self.cached.mark.clone()));
    }

    /// A failed sync: from now on its writes count as written, and never reach the disk.
    pub(super) fn give_up(&mut self) {
        for write in &mut self.unsynced {
            if let Write::Block { given_up, .. } = write {
                *given_up = true;
            }
        }
    }

    /// Puts checkpoints, synced at once.
    pub(super) fn put<'a>(&mut self, checkpoints: impl Iterator<Item = (&'a Checkpoint, Bytes)>) {
        for (checkpoint, bytes) in checkpoints {
            self.cached.put(checkpoint, bytes.clone());
            if self.lie == Some(Lie::PutsIntoTheCache) {
                self.unsynced.push(Write::Checkpoint(Box::new(checkpoint.clone()), bytes));
            } else {
                self.synced.put(checkpoint, bytes);
            }
        }
    }

    /// Puts checkpoints, each of them whole. `unsynced` says which of them survive.
    pub(super) fn put_torn<'a>(
        &mut self,
        checkpoints: impl Iterator<Item = (&'a Checkpoint, Bytes)>,
        unsynced: Unsynced,
    ) {
        for (checkpoint, bytes) in checkpoints {
            let there = match unsynced {
                Unsynced::Dropped => false,
                Unsynced::Kept => true,
                Unsynced::Drawn => self.draws.below(2) == 0,
            };
            if there {
                self.synced.put(checkpoint, bytes);
            }
        }
    }

    /// Lets the log begin at one of `beginnings`, synced at once together with the mark.
    pub(super) fn cut(&mut self, start: Option<Lsn>) {
        let Some(start) = start else { return };
        self.cached.begin_at(start);
        self.cached.mark.sealed = Arc::new(self.cached.census());
        self.unsynced.retain(|write| !matches!(write, Write::Mark(_)));
        self.synced.mark = self.cached.mark.clone();
        self.synced.begin_at(start);
    }

    /// The same, but the power goes at a point that the seed decides.
    pub(super) fn cut_torn(&mut self, beginnings: &[Lsn], unsynced: Unsynced) {
        let count = beginnings.len();
        let taken = match unsynced {
            Unsynced::Dropped => 0,
            Unsynced::Kept => count,
            Unsynced::Drawn => usize::try_from(self.draws.below(count as u64 + 1)).unwrap_or_default(),
        };
        self.cut(taken.checked_sub(1).map(|at| beginnings[at]));
    }

    /// The power goes.
    pub(super) fn lose_power(&mut self, unsynced: Unsynced) {
        let writes = std::mem::take(&mut self.unsynced);
        let mut fates: Vec<Fate> = writes.iter().map(|_| self.fate(unsynced)).collect();
        let mut block_follows = false;
        for (write, fate) in writes.iter().zip(&mut fates).rev() {
            match write {
                Write::Block { .. } => block_follows |= *fate != Fate::Gone,
                // A backend orders it before the writes to the same place.
                Write::Removal(_) if block_follows => *fate = Fate::Whole,
                _ => {}
            }
        }
        for (write, fate) in writes.iter().zip(fates) {
            apply(&mut self.synced, write, fate);
        }
        self.cached = self.synced.clone();
    }

    fn fate(&mut self, unsynced: Unsynced) -> Fate {
        match unsynced {
            Unsynced::Dropped => Fate::Gone,
            Unsynced::Kept => Fate::Whole,
            Unsynced::Drawn => match self.draws.below(3) {
                0 => Fate::Whole,
                1 => Fate::Gone,
                _ => Fate::Torn,
            },
        }
    }

    /// Loses a block, as if it had never been written.
    pub(super) fn lose_block(&mut self, at: Lsn) -> bool {
        self.cached.blocks.remove(&at);
        self.synced.blocks.remove(&at).is_some()
    }
}

/// Applies what a crash leaves of a write to the device.
fn apply(image: &mut Image, write: &Write, fate: Fate) {
    match (write, fate) {
        (_, Fate::Gone) | (Write::Removal(_) | Write::Mark(_) | Write::Checkpoint(..), Fate::Torn) => {}
        (Write::Removal(from), Fate::Whole) => drop(image.blocks.split_off(from)),
        (Write::Block { first, block, .. }, Fate::Whole) => {
            image.blocks.insert(*first, block.clone());
        }
        (Write::Block { first, .. }, Fate::Torn) => {
            image.blocks.insert(*first, Err(TORN.to_owned()));
        }
        // A write of a mark touches one slot, and the other holds the mark before: a torn write
        // leaves that one.
        (Write::Mark(mark), Fate::Whole) => image.mark = mark.clone(),
        (Write::Checkpoint(checkpoint, bytes), Fate::Whole) => image.put(checkpoint, bytes.clone()),
    }
}

const TORN: &str = "the block was torn by the loss of power";
