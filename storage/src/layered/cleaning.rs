//! Empties packs that are mostly dead: copies what lives in them to the open pack, a little with each put, so that the packs
//! have no more than about twice the bytes that live.
//!
//! The pack of which the smallest part lives is emptied first (the greedy policy of Rosenblum and Ousterhout, "The Design and
//! Implementation of a Log-Structured File System", TOCS 1992, section 3.4). At most half of such a pack lives, so no more is
//! copied than becomes free.

use std::collections::HashMap;

use super::gathering::Small;
use super::pack::Entry;
use super::packer::{Cleaning, Packer, place};
use super::reading::encoded;
use crate::{StoreError, boundary};

impl Packer {
    /// Goes on emptying a pack, or begins when too much is dead. `put` is how many bytes were put since the last time.
    pub(super) fn clean(&mut self, put: u64) -> Result<(), StoreError> {
        let (bytes, live) = self.packs.bytes();
        if self.cleaning.is_none()
            && bytes > live.saturating_mul(2).saturating_add(self.pack_bytes.saturating_mul(2))
        {
            self.begin_cleaning()?;
        }
        let Some(Cleaning { stream, mut entries }) = self.cleaning.take() else { return Ok(()) };
        let mut budget = put.saturating_mul(COPIED_PER_PUT).max(COPIED_MIN);
        let (mut copied, mut small) = (Vec::new(), Small::default());
        let mut over = false;
        while budget > 0 {
            let Some(entry) = entries.next() else {
                over = true;
                break;
            };
            if self.shared.places().generation(&entry.header.actor, place(stream, &entry)).is_none() {
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
        // Of one of which more than two thirds live little would become free.
        if pack.live.saturating_mul(3) > pack.mark.bytes.saturating_mul(2) {
            return Ok(());
        }
        let entries = self.entries_of(&pack.mark)?.into_iter();
        self.cleaning = Some(Cleaning { stream, entries });
        Ok(())
    }

    /// Copies count in the place of what they are copies of.
    fn count_copies(&mut self, from: u32, copied: &[Entry]) -> Result<(), StoreError> {
        if copied.is_empty() {
            return Ok(());
        }
        let (to, entries) = self.verified()?;
        let of = |entry: &Entry| (entry.header.actor.clone(), entry.header.number);
        let old: HashMap<_, _> = copied.iter().map(|entry| (of(entry), place(from, entry))).collect();
        for entry in &entries {
            let Some(old) = old.get(&of(entry)).copied() else { continue };
            let new = place(to, entry);
            if self.shared.places().moved(&entry.header.actor, old, new) {
                self.packs.lives(new);
                self.packs.dies(old);
            }
        }
        let marks = self.packs.marks();
        self.shared.write(false, |superblock| superblock.packs.clone_from(&marks))?;
        boundary!("pack.copied");
        Ok(())
    }
}

/// How many bytes are copied for each that is put.
const COPIED_PER_PUT: u64 = 2;
/// And how many at least.
const COPIED_MIN: u64 = 256 << 10;
