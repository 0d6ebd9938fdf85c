//! Every change of the log, on a thread of its own.

use std::sync::Arc;

use super::log_index::LOG;
use super::opening::{Opened, open};
use super::packer::Packer;
use super::shared::Shared;
use crate::medium::Medium;
use crate::poison::Poison;
use crate::position::Lsn;
use crate::{Block, Durability, StoreError, boundary};

/// The state of the thread that writes the log.
pub(super) struct LogWriter {
    shared: Arc<Shared>,
    /// Where the last block ends that was appended in this opening; before the first, remains of an earlier one may lie ahead.
    appended: Option<Lsn>,
    /// What writes the checkpoints, until it has a thread of its own.
    packer: Option<Packer>,
}

impl LogWriter {
    /// Opens the store on a medium.
    pub(super) fn open(
        medium: Box<dyn Medium>,
        pack_bytes: u64,
        poison: Arc<Poison>,
    ) -> Result<Self, StoreError> {
        let Opened { superblock, places, packs, indexes, left } = open(&*medium)?;
        // An older one would call damage what a cut of a weaker tier removed.
        if medium.durability() == Durability::PowerLoss {
            medium.write_superblock(&superblock.encode(), true)?;
        }
        boundary!("open.stable");
        let shared = Arc::new(Shared::new(medium, poison, superblock, places));
        let packer = Packer::new(Arc::clone(&shared), pack_bytes, packs, indexes, left);
        Ok(Self { shared, appended: None, packer: Some(packer) })
    }

    /// What the other threads are to have.
    pub(super) fn hand_over(&mut self) -> Result<(Arc<Shared>, Packer), StoreError> {
        let packer = self.packer.take();
        let packer = packer.ok_or_else(|| StoreError::Misuse { what: "it was handed over".to_owned() })?;
        Ok((Arc::clone(&self.shared), packer))
    }

    /// Where the last stored block ends that begins before `first`.
    pub(super) fn stored_end(&self, first: Lsn) -> Result<Lsn, StoreError> {
        let medium = &*self.shared.medium;
        let mut index = self.shared.index();
        index.complete(medium)?;
        let (_, end) = index.place(medium, first)?;
        Ok(end.unwrap_or_else(|| self.shared.superblock().start))
    }

    /// Appends a block that was admitted.
    pub(super) fn append(&mut self, block: &Block) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        boundary!("commit.begin");
        let medium = &*self.shared.medium;
        let header = block.header();
        let position = {
            let mut index = self.shared.index();
            if self.appended.is_none() {
                index.complete(medium)?;
                let (position, _) = index.place(medium, header.first)?;
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
        let mut superblock = self.shared.superblock();
        superblock.epoch = superblock.epoch.max(header.epoch);
        Ok(())
    }

    /// Makes stable what was appended, and acknowledges it.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        boundary!("commit.flush");
        self.shared.medium.sync(LOG)?;
        boundary!("stable.synced");
        let Some(appended) = self.appended else { return Ok(()) };
        self.shared.write(false, |superblock| superblock.acknowledged = appended)?;
        boundary!("commit.acknowledged");
        Ok(())
    }

    /// Decides where the log begins from now on, and makes that stable together with which packs there are. Gives that, and
    /// below which position in the stream values are to be removed, if any.
    pub(super) fn cut(&mut self, below: Lsn) -> Result<(Lsn, Option<u64>), StoreError> {
        self.shared.poison.check()?;
        boundary!("cut.begin");
        let medium = &*self.shared.medium;
        let (start, acknowledged) = {
            let superblock = self.shared.superblock();
            (superblock.start, superblock.acknowledged)
        };
        // Only a stable block may become the first, and the last stable one stays.
        let limit = below.min(Lsn::new(acknowledged.get().saturating_sub(1)));
        let found = {
            let mut index = self.shared.index();
            index.complete(medium)?;
            index.last(limit)
        };
        let Some((begins, position)) = found.filter(|(begins, _)| *begins > start) else {
            return Ok((start, None));
        };
        self.shared.write(true, |superblock| {
            superblock.start = begins;
            superblock.first = position;
        })?;
        boundary!("cut.marked");
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
