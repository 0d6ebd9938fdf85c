//! Which block or checkpoint a backend may take next: the rules are the same for all backends,
//! which call them. Touches no medium.

use std::collections::HashSet;

use bytes::Bytes;

use crate::contract::error::StoreError;
use crate::format::block::BlockHeader;
use crate::format::checkpoint::Checkpoint;
use crate::id::position::{CheckpointNumber, Lsn};
use crate::limits::{CHECKPOINT_BYTES_MAX, POSITION_MAX};

/// How far one opening of a log has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    /// The position after the last block appended in this opening.
    appended: Option<Lsn>,
}

impl Tail {
    /// Admits a block, or says why it can't be one; returns the position after it. It calls
    /// `stored_end` once in an opening: that gives the end of the last stored block that begins
    /// before the given position.
    pub(crate) fn admit(
        &self,
        header: &BlockHeader,
        acknowledged: Lsn,
        stored_end: impl FnOnce(Lsn) -> Result<Lsn, StoreError>,
    ) -> Result<Lsn, StoreError> {
        let first = header.first;
        let next = first.checked_plus(u64::from(header.records));
        // The store would write these numbers, and no opening would read them back.
        let Some(next) = next.filter(|next| next.get() <= POSITION_MAX) else {
            return misuse(format!("a block of {} records at {first}", header.records));
        };
        if header.epoch.get() > POSITION_MAX {
            return misuse(format!("a block of {}", header.epoch));
        }
        if first < acknowledged {
            return misuse(format!("a block at {first}, everything before {acknowledged} is acknowledged"));
        }
        // Only the first block of an opening may meet remains of an earlier one, which it replaces.
        let end = match self.appended {
            Some(end) => end,
            None => stored_end(first)?,
        };
        if first < end {
            return misuse(format!("a block at {first}, the log is written up to {end}"));
        }
        if first > end {
            return misuse(format!("a block at {first} leaves a gap, the log ends at {end}"));
        }
        Ok(next)
    }

    /// Whether nothing was appended in this opening, so that remains of an earlier one may lie
    /// ahead.
    #[cfg(feature = "test-support")]
    pub(crate) fn is_fresh(&self) -> bool {
        self.appended.is_none()
    }

    /// Remembers a block that was written.
    pub(crate) fn advance(&mut self, next: Lsn) {
        assert!(self.appended.is_none_or(|end| end < next), "the log only grows, and not back to {next}");
        self.appended = Some(next);
    }

    /// Where the acknowledged part ends after a sync: after the last appended block, or where it
    /// ended before when this opening appended none.
    pub(crate) fn acknowledges(&self, before: Lsn) -> Lsn {
        let after = self.appended.unwrap_or(before);
        assert!(after >= before, "what was acknowledged stays so: {before}, and {after} after it");
        after
    }
}

/// Encodes the checkpoints of one put. Refuses numbers that do not rise from above the highest so
/// far, two checkpoints of one actor, and a checkpoint that is too large.
pub(crate) fn admit_checkpoints(
    checkpoints: &[Checkpoint],
    mut highest: CheckpointNumber,
) -> Result<Vec<Bytes>, StoreError> {
    let mut actors = HashSet::new();
    let mut encoded = Vec::with_capacity(checkpoints.len());
    for checkpoint in checkpoints {
        let header = &checkpoint.header;
        admit_number(header.number, highest)?;
        highest = header.number;
        if header.rsn.get() > POSITION_MAX {
            return misuse(format!("a checkpoint of {} at {}", header.actor, header.rsn));
        }
        if !actors.insert(&header.actor) {
            return misuse(format!("{} has two checkpoints among those put together", header.actor));
        }
        encoded.push(checkpoint.encode().map_err(|found| StoreError::TooLarge {
            what: format!("the checkpoint of {}", header.actor),
            found,
            limit: CHECKPOINT_BYTES_MAX,
        })?);
    }
    Ok(encoded)
}

/// Refuses a checkpoint number that is not above the highest so far, or that leaves no number for
/// the next one.
fn admit_number(number: CheckpointNumber, highest: CheckpointNumber) -> Result<(), StoreError> {
    if number > highest && number.get() < POSITION_MAX {
        return Ok(());
    }
    misuse(format!("{number} is put where the highest so far is {highest}"))
}

fn misuse<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Misuse { what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::{block, checkpoint, id};

    const END: Lsn = Lsn::new(10);

    fn admitted(tail: Tail, first: u64, acknowledged: u64) -> Result<Lsn, StoreError> {
        tail.admit(&block(first, 3, 0, 1).header(), Lsn::new(acknowledged), |_| Ok(END))
    }

    /// Invariant: prefix. The log grows at its end and nowhere else.
    #[test]
    fn a_block_is_taken_at_the_end_of_the_log_only() {
        assert_eq!(admitted(Tail::default(), 10, 5).unwrap(), Lsn::new(13));
        for first in [4, 9, 11] {
            let refused = admitted(Tail::default(), first, 5);
            assert!(matches!(refused, Err(StoreError::Misuse { .. })), "at {first}: {refused:?}");
        }
        let end = POSITION_MAX - 2;
        let mut tail = Tail::default();
        tail.advance(Lsn::new(end));
        assert!(admitted(tail, end, 0).is_err(), "past the last position");
    }

    #[test]
    fn after_the_first_block_the_store_is_not_asked_for_its_end() {
        let mut tail = Tail::default();
        assert_eq!(tail.acknowledges(END), END, "nothing was appended");
        tail.advance(Lsn::new(13));
        let asked = |_| panic!("the end is known");
        assert_eq!(tail.admit(&block(13, 1, 0, 1).header(), END, asked).unwrap(), Lsn::new(14));
        assert_eq!(tail.acknowledges(END), Lsn::new(13));
    }

    #[test]
    fn checkpoints_that_are_put_together_have_rising_numbers_and_actors_of_their_own() {
        let (alice, bob) = (id("alice"), id("bob"));
        let put = |one: (&_, u64), other: (&_, u64)| {
            let both = [one, other].map(|(actor, number)| checkpoint(actor, number, 9));
            admit_checkpoints(&both, CheckpointNumber::new(3)).map(|encoded| encoded.len())
        };
        assert_eq!(put((&alice, 4), (&bob, 7)).unwrap(), 2);
        for (one, other, why) in [
            ((&alice, 3), (&bob, 4), "the first is not above the highest"),
            ((&alice, 5), (&bob, 5), "a number comes twice"),
            ((&alice, 4), (&alice, 5), "an actor comes twice"),
            ((&alice, 4), (&bob, POSITION_MAX), "no number is left for the next"),
        ] {
            assert!(matches!(put(one, other), Err(StoreError::Misuse { .. })), "{why}");
        }
    }
}
