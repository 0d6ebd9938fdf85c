//! Counts the newest checkpoints, so that a reader notices when sled has lost one. Pure; the mark
//! keeps the result.
//!
//! A passive actor has only its checkpoint: without this check the actor would silently start over
//! when the checkpoint is lost. The sum does not depend on the order, so one step for each
//! checkpoint keeps it up to date.

use relive_storage::{ActorId, CheckpointNumber, StoreError};

use super::catalog::{Entry, NO_CHECKPOINT};
use super::high_water_mark::CatalogSummary;

/// The count of the checkpoints now, and of those at the last cut of the log.
#[derive(Debug)]
pub(super) struct CatalogDigest {
    now: CatalogSummary,
    then: CatalogSummary,
}

impl CatalogDigest {
    /// Begins to count; `at_last_cut` is what the mark says of the last cut.
    pub(super) fn new(at_last_cut: &CatalogSummary) -> Self {
        let then = CatalogSummary { highest: at_last_cut.highest, ..CatalogSummary::default() };
        Self { now: CatalogSummary::default(), then }
    }

    /// Counts an entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        let actor = &entry.newest.actor;
        add(&mut self.now, actor, entry.newest.number);
        let then = entry.newest_at(self.then.highest);
        if then != NO_CHECKPOINT {
            add(&mut self.then, actor, then);
        }
    }

    /// Ends the count, and checks that it met every recorded checkpoint.
    pub(super) fn finish(
        self,
        at_last_cut: &CatalogSummary,
        latest: &CatalogSummary,
    ) -> Result<(), StoreError> {
        compare(&self.then, at_last_cut)?;
        // A checkpoint that was being put when the process ended has a higher number than the
        // record, and so have those whose record a loss of power took. Then only the summary of the
        // last cut is comparable.
        if self.now.highest <= latest.highest {
            compare(&self.now, latest)?;
        }
        Ok(())
    }
}

fn compare(found: &CatalogSummary, recorded: &CatalogSummary) -> Result<(), StoreError> {
    let count = recorded.count;
    let what = if found.count < count {
        format!("{} of the {count} checkpoints recorded are missing", count - found.count)
    } else if found.count > count {
        format!("there are {} checkpoints more than the {count} recorded", found.count - count)
    } else if found.sum != recorded.sum {
        format!("the {count} checkpoints are not those recorded, some are older")
    } else {
        return Ok(());
    };
    Err(StoreError::CorruptStore { what })
}

fn add(summary: &mut CatalogSummary, actor: &ActorId, number: CheckpointNumber) {
    summary.count = summary.count.wrapping_add(1);
    summary.sum = summary.sum.wrapping_add(hash(actor, number));
    summary.highest = summary.highest.max(number);
}

/// Two hashes side by side: FNV-1a over number and name, then the finalizer of `SplitMix64`,
/// because a sum needs all bits mixed. The mark stores them, so never change them within a version
/// of the mark.
///
/// # Source
/// FNV-1a: Fowler, Noll and Vo. `SplitMix64`: Steele, Lea and Flood, "Fast Splittable Pseudorandom
/// Number Generators", OOPSLA 2014.
fn hash(actor: &ActorId, number: CheckpointNumber) -> u128 {
    let side = |seed: u64| {
        let bytes = number.get().to_le_bytes();
        let bytes = bytes.iter().chain(actor.as_str().as_bytes());
        let fnv = bytes.fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut z = fnv.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(z ^ (z >> 31))
    };
    (side(0) << 64) | side(0x5851_f42d_4c95_7f2d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_hash_does_not_change() {
        let actor = ActorId::new("account", "alice").unwrap();
        let found = hash(&actor, CheckpointNumber::new(7));
        assert_eq!(found, GOLDEN, "found {found:#034x}");
    }

    const GOLDEN: u128 = 0x574e_1ebf_43cd_2578_7f94_b4f8_65aa_8e9c;
}
