//! Makes every change of the log, on a thread of its own.

use std::sync::Arc;

use super::log_index::LOG;
use super::opening::{Opened, open};
use super::packer::Packer;
use super::shared::Shared;
use crate::boundary;
use crate::contract::durability::Durability;
use crate::contract::error::StoreError;
use crate::format::block::Block;
use crate::id::position::Lsn;
use crate::medium::Medium;
use crate::threads::poison::Poison;

/// The state of the thread that writes the log.
pub(super) struct LogWriter {
    shared: Arc<Shared>,
    /// The end of the last block that this opening appended. Before the first one, remains of an
    /// earlier opening may lie ahead.
    appended: Option<Lsn>,
    /// The writer of the checkpoints, until it moves to its own thread.
    packer: Option<Packer>,
}

impl LogWriter {
    /// Opens the store on a medium.
    pub(super) fn open(
        medium: Box<dyn Medium>,
        pack_bytes: u64,
        poison: Arc<Poison>,
    ) -> Result<Self, StoreError> {
        let Opened { superblock, checkpoints, packs, indexes, leftovers } = open(&*medium)?;
        // After a loss of power an older superblock may count values that a cut in a weaker tier
        // has removed, and the next opening would take them for damage.
        if medium.durability() == Durability::PowerLoss {
            medium.write_superblock(&superblock.encode(), true)?;
        }
        boundary!("open.durable");
        let shared = Arc::new(Shared::new(medium, poison, superblock, checkpoints));
        let packer = Packer::new(Arc::clone(&shared), pack_bytes, packs, indexes, leftovers);
        Ok(Self { shared, appended: None, packer: Some(packer) })
    }

    /// The parts for the other threads.
    pub(super) fn hand_over(&mut self) -> Result<(Arc<Shared>, Packer), StoreError> {
        let packer = self.packer.take();
        let packer = packer.ok_or_else(|| StoreError::Misuse { what: "it was handed over".to_owned() })?;
        Ok((Arc::clone(&self.shared), packer))
    }

    /// The end of the last stored block that begins before `first`.
    pub(super) fn stored_end(&self, first: Lsn) -> Result<Lsn, StoreError> {
        let medium = &*self.shared.medium;
        let mut index = self.shared.index();
        index.complete(medium)?;
        let (_, end) = index.locate(medium, first)?;
        Ok(end.unwrap_or_else(|| self.shared.superblock().start))
    }

    /// Appends an admitted block.
    pub(super) fn append(&mut self, block: &Block) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        boundary!("commit.begin");
        let medium = &*self.shared.medium;
        let header = block.header();
        assert!(
            self.appended.is_none_or(|end| end == header.first),
            "the queue has the order in which blocks were admitted, and {} is out of it",
            header.first
        );
        // The lock ends before the write of the block, so that readers do not wait for it.
        let position = {
            let mut index = self.shared.index();
            if self.appended.is_none() {
                index.complete(medium)?;
                let (position, _) = index.locate(medium, header.first)?;
                if position < index.end() {
                    medium.remove_from(LOG, position)?;
                }
                index.remove_from(position, header.first);
            }
            index.end()
        };
        medium.append(LOG, position, block.bytes())?;
        self.shared.index().appended(header.first, header.next());
        boundary!("commit.written");
        self.appended = Some(header.next());
        // Only in memory: the sync after this writes it, and until then the block does not count.
        let mut superblock = self.shared.superblock();
        superblock.epoch = superblock.epoch.max(header.epoch);
        Ok(())
    }

    /// Syncs the appended blocks, and acknowledges them.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        boundary!("commit.flush");
        self.shared.medium.sync(LOG)?;
        boundary!("durable.synced");
        let Some(appended) = self.appended else { return Ok(()) };
        // The blocks are synced first, so that the superblock never counts more than the medium
        // holds. The superblock itself needs no sync here: an opening takes whole blocks beyond
        // what it counts, and a second sync would slow every commit down.
        self.shared.write(false, |superblock| superblock.acknowledged = appended)?;
        boundary!("commit.acknowledged");
        Ok(())
    }

    /// Decides where the log begins from now on, and syncs a superblock that says so and lists the
    /// packs. Returns that position, and the position in the stream below which the caller removes
    /// values, if any.
    pub(super) fn cut(&mut self, below: Lsn) -> Result<(Lsn, Option<u64>), StoreError> {
        self.shared.poison.check()?;
        boundary!("cut.begin");
        let medium = &*self.shared.medium;
        let (start, acknowledged) = {
            let superblock = self.shared.superblock();
            (superblock.start, superblock.acknowledged)
        };
        // Only a synced block may become the first, and a cut keeps the last synced one.
        let limit = below.min(Lsn::new(acknowledged.get().saturating_sub(1)));
        let found = {
            let mut index = self.shared.index();
            index.complete(medium)?;
            index.last(limit)
        };
        let Some((begins, position)) = found.filter(|(begins, _)| *begins > start) else {
            return Ok((start, None));
        };
        assert!(begins < acknowledged && begins <= below, "a cut at {begins}, and asked for below {below}");
        self.shared.write(true, |superblock| {
            superblock.start = begins;
            superblock.first = position;
        })?;
        boundary!("cut.marked");
        // The superblock says so before the caller removes anything, synced in the tier that syncs:
        // a crash in between leaves values below the beginning, which no reader asks for.
        self.shared.index().remove_below(position);
        Ok((begins, Some(position)))
    }

    /// The last job of an opening.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        boundary!("close.begin");
        self.shared.write(true, |_| {})?;
        self.shared.medium.close()?;
        boundary!("close.end");
        Ok(())
    }
}
