//! Empties packs that are mostly dead: copies what lives in them to the open pack, a little with
//! each put, so that the packs have no more than about twice the bytes that live.
//!
//! It empties the pack with the smallest live fraction first: the greedy policy. It begins only
//! when more than half of all bytes are dead, and leaves a pack alone of which more than two thirds
//! live, so it copies at most twice the bytes that it frees.
//!
//! # Source
//! Rosenblum and Ousterhout, "The Design and Implementation of a Log-Structured File System", ACM
//! TOCS 10(1), 1992, section 3.4. This is their greedy policy, not their cost-benefit policy, which
//! weighs the age of the data as well.

use std::collections::HashMap;

use super::pack::Entry;
use super::packer::{Cleaning, Packer, location};
use super::reading::encoded;
use super::value_builder::ValueBuilder;
use crate::boundary;
use crate::contract::error::StoreError;

impl Packer {
    /// Goes on emptying a pack, or begins with one when too much is dead. `put` is the number of
    /// bytes put since the last call.
    pub(super) fn clean(&mut self, put: u64) -> Result<(), StoreError> {
        let (bytes, live) = self.packs.bytes();
        if self.cleaning.is_none()
            && bytes > live.saturating_mul(2).saturating_add(self.pack_bytes.saturating_mul(2))
        {
            self.begin_cleaning()?;
        }
        let Some(Cleaning { stream, mut entries }) = self.cleaning.take() else { return Ok(()) };
        // Copies go to the open pack, and a pack that was full would copy onto itself otherwise.
        assert!(
            self.packs.get(stream).is_none_or(|pack| pack.mark.index.is_some()),
            "only a full pack is emptied, and {stream} is open"
        );
        let mut budget = put.saturating_mul(COPIED_PER_PUT).max(COPIED_MIN);
        let (mut copied, mut small) = (Vec::new(), ValueBuilder::default());
        let mut over = false;
        while budget > 0 {
            let Some(entry) = entries.next() else {
                over = true;
                break;
            };
            // It may have died since the cleaning read the index: puts go on in between.
            if self.shared.checkpoints().generation(&entry.header.actor, location(stream, &entry)).is_none() {
                continue;
            }
            budget = budget.saturating_sub(u64::from(entry.length));
            let checkpoint = match encoded(&*self.shared.medium, stream, &entry)? {
                Ok(checkpoint) => checkpoint,
                Err(what) => {
                    let actor = &entry.header.actor;
                    tracing::warn!(%actor, what, "a checkpoint is damaged: the pack in which it is stays as it is");
                    self.packs.change(stream, |pack| pack.kept = true);
                    over = true;
                    break;
                }
            };
            let pieces = small.add(&entry.header, &checkpoint);
            copied.push(entry);
            self.append(pieces)?;
        }
        let rest = small.finish();
        self.append(rest)?;
        self.count_copies(stream, &copied)?;
        if !over {
            self.cleaning = Some(Cleaning { stream, entries });
        }
        Ok(())
    }

    fn begin_cleaning(&mut self) -> Result<(), StoreError> {
        let Some(stream) = self.packs.emptiest() else { return Ok(()) };
        let Some(pack) = self.packs.get(stream).copied() else { return Ok(()) };
        // Copying a pack of which more than two thirds live would free little.
        if pack.live.saturating_mul(3) > pack.mark.bytes.saturating_mul(2) {
            return Ok(());
        }
        let entries = self.entries_of(&pack.mark)?.into_iter();
        self.cleaning = Some(Cleaning { stream, entries });
        Ok(())
    }

    /// Makes the copies count in the place of the originals.
    fn count_copies(&mut self, from: u32, copied: &[Entry]) -> Result<(), StoreError> {
        if copied.is_empty() {
            return Ok(());
        }
        // The copies are synced and read back before an original stops counting: a crash in between
        // leaves both, and the next opening takes the one in the latest pack.
        let (to, entries) = self.verified()?;
        let of = |entry: &Entry| (entry.header.actor.clone(), entry.header.number);
        let old: HashMap<_, _> = copied.iter().map(|entry| (of(entry), location(from, entry))).collect();
        // Among the entries are only copies: `finish` has taken those of the put before.
        for entry in &entries {
            let Some(old) = old.get(&of(entry)).copied() else { continue };
            let new = location(to, entry);
            if self.shared.checkpoints().moved(&entry.header.actor, old, new) {
                self.packs.lives(new);
                self.packs.dies(old);
            }
        }
        let marks = self.packs.marks();
        // The removal of the emptied pack syncs a superblock, and until then the originals are
        // there.
        self.shared.write(false, |superblock| superblock.packs.clone_from(&marks))?;
        boundary!("pack.copied");
        Ok(())
    }
}

/// How many bytes to copy for each byte put.
const COPIED_PER_PUT: u64 = 2;
/// How many bytes to copy at least, however few were put.
const COPIED_MIN: u64 = 256 << 10;
