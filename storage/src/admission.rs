//! What a backend may take next, a block or a checkpoint: the rules that are the same for all. Touches no medium;
//! called by the backends.

use std::collections::HashSet;

use bytes::Bytes;

use crate::limits::{CHECKPOINT_BYTES_MAX, POSITION_MAX};
use crate::position::{CheckpointNumber, Lsn};
use crate::{BlockHeader, Checkpoint, StoreError};

/// How far one opening of a log has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    /// The position after the last block appended in this opening.
    appended: Option<Lsn>,
}

impl Tail {
    /// Admits a block, or says why it can't be one; returns the position after it. `stored_end` is asked once in an
    /// opening, for where the last stored block that begins before the given position ends.
    pub(crate) fn admit(
        &self,
        header: &BlockHeader,
        acknowledged: Lsn,
        stored_end: impl FnOnce(Lsn) -> Result<Lsn, StoreError>,
    ) -> Result<Lsn, StoreError> {
        let first = header.first;
        let next = first.checked_plus(u64::from(header.records));
        let Some(next) = next.filter(|next| next.get() <= POSITION_MAX) else {
            return misuse(format!("a block of {} records at {first}", header.records));
        };
        if first < acknowledged {
            return misuse(format!("a block at {first}, everything before {acknowledged} is acknowledged"));
        }
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

    /// Whether nothing was appended in this opening, so that remains of an earlier one may lie ahead.
    #[cfg(feature = "test-support")]
    pub(crate) fn is_fresh(&self) -> bool {
        self.appended.is_none()
    }

    /// Remembers a block that was written.
    pub(crate) fn advance(&mut self, next: Lsn) {
        self.appended = Some(next);
    }

    /// What a sync acknowledges: all that was appended, or what was acknowledged before.
    pub(crate) fn acknowledges(&self, before: Lsn) -> Lsn {
        self.appended.unwrap_or(before)
    }
}

/// Encodes checkpoints that are to be put together, after refusing what can't be: numbers that do not rise from above
/// the highest so far, an actor that has two among them, one that is too large.
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

/// Refuses a checkpoint number that is not above the highest so far, or that leaves none for the next.
fn admit_number(number: CheckpointNumber, highest: CheckpointNumber) -> Result<(), StoreError> {
    if number > highest && number.get() < POSITION_MAX {
        return Ok(());
    }
    misuse(format!("{number} is put where the highest so far is {highest}"))
}

fn misuse<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Misuse { what })
}
