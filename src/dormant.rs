//! Which log is needed by actors that nobody has asked for since the opening: their checkpoints hold all that they have
//! received, and the log only serves when the newest of these turns out to be damaged. In four bytes each, without names.

use std::num::NonZeroU32;
use std::sync::Arc;

use relive_storage::Lsn;

use crate::hashes::Hashes;

/// The actors that have no slot and need log. Those that have a checkpoint can be among them, and no others.
#[derive(Default)]
pub(crate) struct Dormant {
    names: Arc<Hashes>,
    /// By the numbers of the actors: which of the blocks, counted from 1, is the first that each needs.
    pins: Vec<Option<NonZeroU32>>,
    /// In the order of the log.
    blocks: Vec<Pinned>,
    /// Which of them is the first that anybody needs.
    first: usize,
}

/// A block that is the first that some actors need.
struct Pinned {
    first: Lsn,
    actors: usize,
}

impl Dormant {
    /// None of the actors needs log, so far.
    pub(crate) fn new(names: Arc<Hashes>) -> Self {
        let pins = vec![None; names.count()];
        Self { names, pins, blocks: Vec::new(), first: 0 }
    }

    /// An actor needs the log from this block on, unless it needs it from an earlier one on. Blocks come in their order.
    pub(crate) fn pin(&mut self, number: usize, block: Lsn) {
        if self.pins[number].is_some() {
            return;
        }
        match self.blocks.last_mut() {
            Some(last) if last.first == block => last.actors += 1,
            _ => self.blocks.push(Pinned { first: block, actors: 1 }),
        }
        // The last one may have been needed by nobody for a while.
        self.first = self.first.min(self.blocks.len() - 1);
        let pin = u32::try_from(self.blocks.len()).ok().and_then(NonZeroU32::new);
        self.pins[number] = Some(pin.expect("a log has far fewer than 4 G blocks"));
    }

    /// Where the log begins that the actor with a number needs.
    pub(crate) fn pinned(&self, number: usize) -> Option<Lsn> {
        self.pins[number].map(|pin| self.blocks[index(pin)].first)
    }

    /// Where the log begins that an actor needs, for one who sees to that from now on.
    pub(crate) fn take(&mut self, actor: &str) -> Option<Lsn> {
        self.names.find(actor).and_then(|number| self.take_number(number))
    }

    /// The same, of the actor with a number.
    pub(crate) fn take_number(&mut self, number: usize) -> Option<Lsn> {
        let pin = self.pins[number].take()?;
        let block = &mut self.blocks[index(pin)];
        block.actors -= 1;
        let needed = block.first;
        while self.blocks.get(self.first).is_some_and(|block| block.actors == 0) {
            self.first += 1;
        }
        Some(needed)
    }

    /// Where the log begins that is needed; `None` when none is.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.blocks.get(self.first).map(|block| block.first)
    }

    /// Whether an actor is one of those that need the log from a block on.
    pub(crate) fn is_pinned_at(&self, actor: &str, block: Lsn) -> bool {
        self.names.find(actor).and_then(|number| self.pinned(number)) == Some(block)
    }
}

fn index(pin: NonZeroU32) -> usize {
    pin.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use relive_storage::{ActorId, Rsn};

    use super::*;
    use crate::hashes::Listing;

    fn dormant(names: &[&str]) -> Dormant {
        let mut listing = Listing::default();
        for name in names {
            listing.push(&ActorId::parse(name).unwrap(), Rsn::new(1));
        }
        Dormant::new(Arc::new(Hashes::list(listing, |_| ()).0))
    }

    #[test]
    fn a_block_that_nobody_needs_for_a_while_is_needed_again() {
        let mut dormant = dormant(&["a/1", "a/2"]);
        dormant.pin(0, Lsn::new(10));
        assert_eq!(dormant.take_number(0), Some(Lsn::new(10)));
        assert_eq!(dormant.first(), None);
        dormant.pin(1, Lsn::new(10));
        assert_eq!(dormant.first(), Some(Lsn::new(10)));
    }

    /// Invariant: checkpoint-covers-log. The log is needed as long as one of them needs it.
    #[test]
    fn the_first_block_is_needed_until_the_last_who_needs_it_is_taken() {
        let mut dormant = dormant(&["a/1", "a/2", "a/3", "a/4"]);
        assert_eq!(dormant.first(), None);
        for (name, block) in [("a/1", 10), ("a/2", 10), ("a/1", 20), ("a/3", 30)] {
            let number = dormant.names.find(name).unwrap();
            dormant.pin(number, Lsn::new(block));
        }
        assert_eq!(dormant.first(), Some(Lsn::new(10)));
        assert!(dormant.is_pinned_at("a/1", Lsn::new(10)) && !dormant.is_pinned_at("a/1", Lsn::new(20)));
        assert!(!dormant.is_pinned_at("a/4", Lsn::new(10)) && !dormant.is_pinned_at("a/5", Lsn::new(10)));
        assert_eq!(dormant.take("a/1"), Some(Lsn::new(10)));
        assert_eq!(dormant.take("a/1"), None);
        assert_eq!(dormant.take("a/5"), None);
        assert_eq!(dormant.first(), Some(Lsn::new(10)));
        assert_eq!(dormant.take("a/2"), Some(Lsn::new(10)));
        assert_eq!(dormant.first(), Some(Lsn::new(30)));
        assert_eq!(dormant.take("a/3"), Some(Lsn::new(30)));
        assert_eq!(dormant.first(), None);
    }
}
