//! Which log the actors need that have had no cell since the opening. Their checkpoints hold
//! everything that they have received, and the log serves only when the newest checkpoint turns out
//! to be damaged. Four bytes for each actor, without a name.

use std::num::NonZeroU32;
use std::sync::Arc;

use relive_storage::Lsn;

use crate::retention::actor_index::ActorIndex;

/// The actors that have no cell and need log. Only actors with a checkpoint can be among them.
#[derive(Default)]
pub(crate) struct PassivePins {
    names: Arc<ActorIndex>,
    /// For each actor by its number, the first block that it needs, counted from 1 so that `None`
    /// takes no extra space.
    pins: Vec<Option<NonZeroU32>>,
    /// In the order of the log.
    blocks: Vec<Pinned>,
    /// The index of the first block that an actor needs.
    first: usize,
}

/// The first block that a number of actors need.
struct Pinned {
    first: Lsn,
    actors: usize,
}

impl PassivePins {
    /// None of the actors needs log, so far.
    pub(crate) fn new(names: Arc<ActorIndex>) -> Self {
        let pins = vec![None; names.count()];
        Self { names, pins, blocks: Vec::new(), first: 0 }
    }

    /// An actor needs the log from this block on, unless it needs it from an earlier one on. Blocks
    /// come in their order.
    pub(crate) fn pin(&mut self, number: usize, block: Lsn) {
        if self.pins[number].is_some() {
            return;
        }
        let in_order = self.blocks.last().is_none_or(|last| last.first <= block);
        assert!(in_order, "the log is read in its order, so no block comes before {block}");
        match self.blocks.last_mut() {
            Some(last) if last.first == block => last.actors += 1,
            _ => self.blocks.push(Pinned { first: block, actors: 1 }),
        }
        // For a while no actor may have needed the last block, so `first` may be past it.
        self.first = self.first.min(self.blocks.len() - 1);
        let pin = u32::try_from(self.blocks.len()).ok().and_then(NonZeroU32::new);
        self.pins[number] = Some(pin.expect("a log has far fewer than 4 G blocks"));
    }

    /// Where the log begins that the actor with this number needs.
    pub(crate) fn pinned(&self, number: usize) -> Option<Lsn> {
        self.pins[number].map(|pin| self.blocks[index(pin)].first)
    }

    /// Hands an actor's pin over to the caller: where the log begins that the actor needs.
    pub(crate) fn take(&mut self, actor: &str) -> Option<Lsn> {
        self.names.find(actor).and_then(|number| self.take_number(number))
    }

    /// As [`PassivePins::take`], for the actor with this number.
    pub(crate) fn take_number(&mut self, number: usize) -> Option<Lsn> {
        let pin = self.pins[number].take()?;
        assert!(self.first <= index(pin), "a block that an actor needs is not passed over");
        let block = &mut self.blocks[index(pin)];
        assert!(block.actors > 0, "each actor that needs {} gives it up once", block.first);
        block.actors -= 1;
        let needed = block.first;
        // Blocks stay in place, since the pins of the others are indexes of them.
        while self.blocks.get(self.first).is_some_and(|block| block.actors == 0) {
            self.first += 1;
        }
        Some(needed)
    }

    /// Where the needed log begins; `None` when no actor needs any.
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
    use crate::retention::actor_index::ActorIndexBuilder;

    fn passive_pins(names: &[&str]) -> PassivePins {
        let mut listing = ActorIndexBuilder::default();
        for name in names {
            listing.push(&ActorId::parse(name).unwrap(), Rsn::new(1));
        }
        PassivePins::new(Arc::new(ActorIndex::list(listing, |_| ()).0))
    }

    #[test]
    fn a_block_that_nobody_needs_for_a_while_is_needed_again() {
        let mut passive_pins = passive_pins(&["a/1", "a/2"]);
        passive_pins.pin(0, Lsn::new(10));
        assert_eq!(passive_pins.take_number(0), Some(Lsn::new(10)));
        assert_eq!(passive_pins.first(), None);
        passive_pins.pin(1, Lsn::new(10));
        assert_eq!(passive_pins.first(), Some(Lsn::new(10)));
    }

    /// Invariant: checkpoint-covers-log. The log is needed as long as one of them needs it.
    #[test]
    fn the_first_block_is_needed_until_the_last_who_needs_it_is_taken() {
        let mut passive_pins = passive_pins(&["a/1", "a/2", "a/3", "a/4"]);
        assert_eq!(passive_pins.first(), None);
        for (name, block) in [("a/1", 10), ("a/2", 10), ("a/1", 20), ("a/3", 30)] {
            let number = passive_pins.names.find(name).unwrap();
            passive_pins.pin(number, Lsn::new(block));
        }
        assert_eq!(passive_pins.first(), Some(Lsn::new(10)));
        assert!(
            passive_pins.is_pinned_at("a/1", Lsn::new(10)) && !passive_pins.is_pinned_at("a/1", Lsn::new(20))
        );
        assert!(
            !passive_pins.is_pinned_at("a/4", Lsn::new(10))
                && !passive_pins.is_pinned_at("a/5", Lsn::new(10))
        );
        assert_eq!(passive_pins.take("a/1"), Some(Lsn::new(10)));
        assert_eq!(passive_pins.take("a/1"), None);
        assert_eq!(passive_pins.take("a/5"), None);
        assert_eq!(passive_pins.first(), Some(Lsn::new(10)));
        assert_eq!(passive_pins.take("a/2"), Some(Lsn::new(10)));
        assert_eq!(passive_pins.first(), Some(Lsn::new(30)));
        assert_eq!(passive_pins.take("a/3"), Some(Lsn::new(30)));
        assert_eq!(passive_pins.first(), None);
    }
}
