//! Counts the newest checkpoints, so that one that sled lost is missed. Pure; the mark keeps the result.
//!
//! An actor that is passive has nothing but its checkpoint: if that went without a word, it would silently start
//! over. The sum does not depend on the order, so it is kept up with one step for each checkpoint.

use super::catalog::{Entry, NO_CHECKPOINT};
use super::mark::Seal;
use crate::position::CheckpointNumber;
use crate::{ActorId, StoreError};

/// The count of what there is, and the count of what there was when the catalog was last sealed.
#[derive(Debug)]
pub(super) struct Census {
    now: Seal,
    then: Seal,
}

impl Census {
    /// Begins to count; `sealed` is what the mark says of the last cut.
    pub(super) fn new(sealed: &Seal) -> Self {
        let then = Seal { highest: sealed.highest, ..Seal::default() };
        Self { now: Seal::default(), then }
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

    /// Ends the count, and checks that all that was recorded was met.
    pub(super) fn finish(self, sealed: &Seal, latest: &Seal) -> Result<(), StoreError> {
        compare(&self.then, sealed)?;
        // One that was being put when the process ended, or those of which a loss of power took the record, have
        // higher numbers, and then only the seal can be compared.
        if self.now.highest <= latest.highest {
            compare(&self.now, latest)?;
        }
        Ok(())
    }
}

fn compare(found: &Seal, recorded: &Seal) -> Result<(), StoreError> {
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

fn add(seal: &mut Seal, actor: &ActorId, number: CheckpointNumber) {
    seal.count = seal.count.wrapping_add(1);
    seal.sum = seal.sum.wrapping_add(hash(actor, number));
    seal.highest = seal.highest.max(number);
}

/// Two hashes side by side; stored, so never to be changed within a version of the mark. FNV-1a (Fowler, Noll, Vo)
/// over number and name, then the finalizer of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014), because a sum needs
/// all bits mixed.
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
