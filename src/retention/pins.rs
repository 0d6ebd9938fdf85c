//! Which part of the log an actor still needs: everything after the checkpoint before its newest
//! one, since that checkpoint is the fallback.

use std::collections::VecDeque;

use relive_storage::Lsn;

/// The beginnings of the blocks that an actor needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    /// Between the previous checkpoint and the newest.
    older: Option<Lsn>,
    /// Between one checkpoint and the next, for checkpoints that are taken and not durable yet.
    pending: VecDeque<Option<Lsn>>,
    /// After the last of them.
    newer: Option<Lsn>,
}

impl Pins {
    /// The pins of an actor that an opening has found in the log.
    pub(crate) fn recovered(older: Option<Lsn>, newer: Option<Lsn>) -> Self {
        Self { older, pending: VecDeque::new(), newer }
    }

    /// The actor has records in the block that begins here.
    pub(crate) fn placed(&mut self, block: Lsn) {
        let first = *self.newer.get_or_insert(block);
        assert!(first <= block, "an actor's frames go into later and later blocks");
    }

    /// A checkpoint is taken now; what was logged so far is covered once it is durable.
    pub(crate) fn taken(&mut self) {
        self.pending.push_back(self.newer.take());
    }

    /// The first checkpoint taken is durable: the newest before it becomes the fallback.
    pub(crate) fn durable(&mut self) {
        let covered = self.pending.pop_front();
        assert!(covered.is_some(), "a checkpoint is taken before it is durable");
        if let Some(covered) = covered {
            self.older = covered;
        }
    }

    /// The first checkpoint taken did not become durable: what it covered is still needed.
    pub(crate) fn failed(&mut self) {
        let failed = self.pending.pop_front();
        assert!(failed.is_some(), "a checkpoint is taken before it fails");
        let uncovered = failed.flatten();
        // The next checkpoint holds that too: a state contains all that came before.
        let heir = self.pending.front_mut().unwrap_or(&mut self.newer);
        *heir = uncovered.into_iter().chain(*heir).min();
    }

    /// All that the actor needs of the log was carried to its end, and is on stable storage there,
    /// from this block on.
    pub(crate) fn carried(&mut self, block: Lsn) {
        assert!(!self.is_pending(), "an actor takes no checkpoint while its handler waits");
        assert!(self.needed().is_none_or(|needed| needed < block), "what is carried stands behind");
        for pin in [&mut self.older, &mut self.newer].into_iter().flatten() {
            *pin = block;
        }
    }

    /// The first block that the actor needs; `None` when it needs none.
    pub(crate) fn needed(&self) -> Option<Lsn> {
        self.pending.iter().flatten().copied().chain(self.older).chain(self.newer).min()
    }

    /// The first block that goes beyond the newest durable checkpoint; `None` when that checkpoint
    /// holds everything.
    pub(crate) fn uncovered(&self) -> Option<Lsn> {
        self.pending.iter().flatten().copied().chain(self.newer).min()
    }

    /// Whether a checkpoint is taken and not durable yet.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the newest durable checkpoint holds everything.
    pub(crate) fn is_covered(&self) -> bool {
        self.newer.is_none() && self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant: checkpoint-covers-log. The log from the previous checkpoint stays.
    #[test]
    fn a_second_checkpoint_frees_what_the_first_covered() {
        let mut pins = Pins::default();
        pins.placed(Lsn::new(10));
        pins.placed(Lsn::new(20));
        pins.taken();
        pins.placed(Lsn::new(30));
        assert_eq!(pins.needed(), Some(Lsn::new(10)));
        pins.durable();
        assert_eq!(
            pins.needed(),
            Some(Lsn::new(10)),
            "the log before the newest checkpoint serves the fallback"
        );
        pins.taken();
        pins.durable();
        assert_eq!(pins.needed(), Some(Lsn::new(30)));
        pins.taken();
        pins.durable();
        assert_eq!(pins.needed(), None, "both checkpoints hold everything");
    }

    /// Both checkpoints go on from what was carried, and the next one frees it.
    #[test]
    fn what_was_carried_serves_both_checkpoints() {
        let mut pins = Pins::recovered(Some(Lsn::new(10)), Some(Lsn::new(30)));
        pins.carried(Lsn::new(50));
        assert_eq!(pins, Pins::recovered(Some(Lsn::new(50)), Some(Lsn::new(50))));
        pins.taken();
        pins.durable();
        assert_eq!(pins.needed(), Some(Lsn::new(50)));
        let mut pins = Pins::recovered(None, Some(Lsn::new(30)));
        pins.carried(Lsn::new(50));
        assert_eq!(pins, Pins::recovered(None, Some(Lsn::new(50))));
    }

    #[test]
    fn a_failed_checkpoint_frees_nothing() {
        let mut pins = Pins::default();
        pins.placed(Lsn::new(10));
        pins.taken();
        pins.placed(Lsn::new(30));
        pins.failed();
        assert_eq!(pins.needed(), Some(Lsn::new(10)));
        pins.taken();
        pins.durable();
        assert_eq!(pins.needed(), Some(Lsn::new(10)));
    }
}
