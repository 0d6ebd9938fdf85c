//! Which actor needs how much of the log, in order. So a cut looks at the actors that hold it back,
//! not at all actors.

use std::collections::BTreeSet;

use relive_storage::{ActorId, Lsn};

use crate::retention::passive_pins::PassivePins;
use crate::sync::{Mutex, MutexGuard, Rank};

/// The actors that need log, by where what they need begins.
pub(crate) struct PinIndex(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The actors that have a cell.
    awake: BTreeSet<(Lsn, ActorId)>,
    passive_pins: PassivePins,
}

impl PinIndex {
    /// Pins before any actor has a cell.
    pub(crate) fn new(passive_pins: PassivePins) -> Self {
        Self(Mutex::new(Rank::PinIndex, Inner { passive_pins, ..Inner::default() }))
    }

    /// An actor gets its cell. Returns where the log begins that it needs; from now on the cell
    /// reports changes by [`PinIndex::changed`].
    pub(crate) fn wake(&self, actor: &ActorId) -> Option<Lsn> {
        let mut inner = self.inner();
        // Under one lock, so that a cut never finds the actor in neither of the two.
        let needed = inner.passive_pins.take(actor.as_str())?;
        let is_new = inner.awake.insert((needed, actor.clone()));
        assert!(is_new, "{actor} had a cell and was passive at once");
        Some(needed)
    }

    /// The beginning of the log that an actor needs has changed. The caller holds the lock of the
    /// actor's pins, so that pins and index agree.
    pub(crate) fn changed(&self, actor: &ActorId, before: Option<Lsn>, after: Option<Lsn>) {
        let mut inner = self.inner();
        if let Some(before) = before {
            let was_there = inner.awake.remove(&(before, actor.clone()));
            assert!(was_there, "the index did not know that {actor} needs the log from {before} on");
        }
        if let Some(after) = after {
            let is_new = inner.awake.insert((after, actor.clone()));
            assert!(is_new, "{actor} needs the log from one position on");
        }
    }

    /// Where the needed log begins; `None` when no actor needs any.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.front().map(|(lsn, _)| lsn)
    }

    /// The actor that holds the cut back, and where the log begins that it needs; a passive actor
    /// has no name here.
    pub(crate) fn front(&self) -> Option<(Lsn, Option<ActorId>)> {
        let inner = self.inner();
        let awake = inner.awake.first().map(|(lsn, actor)| (*lsn, Some(actor.clone())));
        let passive = inner.passive_pins.first().map(|lsn| (lsn, None));
        match (awake, passive) {
            (Some(awake), Some(passive)) => Some(if passive.0 < awake.0 { passive } else { awake }),
            (awake, passive) => awake.or(passive),
        }
    }

    /// At most `most` actors with cells that need log from before a position, those that need the
    /// most log first.
    pub(crate) fn before(&self, position: Lsn, most: usize) -> Vec<ActorId> {
        let inner = self.inner();
        let before = inner.awake.iter().take_while(|(lsn, _)| *lsn < position).take(most);
        before.map(|(_, actor)| actor.clone()).collect()
    }

    /// The first block before a position that passive actors pin; `None` when `most` actors with
    /// cells pin as much.
    pub(crate) fn passive_before(&self, position: Lsn, most: usize) -> Option<Lsn> {
        let inner = self.inner();
        let first = inner.passive_pins.first().filter(|first| *first < position)?;
        let ahead = inner.awake.iter().take_while(|(lsn, _)| *lsn <= first).take(most);
        (ahead.count() < most).then_some(first)
    }

    /// Whether a passive actor pins the log from a block on.
    pub(crate) fn is_passive_at(&self, actor: &str, block: Lsn) -> bool {
        self.inner().passive_pins.is_pinned_at(actor, block)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relive_storage::Rsn;

    use super::*;
    use crate::retention::actor_index::{ActorIndex, ActorIndexBuilder};

    /// Invariant: checkpoint-covers-log. What a passive actor pins stays pinned while it gets its
    /// cell.
    #[test]
    fn an_actor_that_wakes_needs_what_it_needed() {
        let id = ActorId::new("account", "alice").unwrap();
        let mut listing = ActorIndexBuilder::default();
        listing.push(&id, Rsn::new(1));
        let mut passive_pins = PassivePins::new(Arc::new(ActorIndex::list(listing, |_| ()).0));
        passive_pins.pin(0, Lsn::new(10));
        let pin_index = PinIndex::new(passive_pins);
        assert_eq!(pin_index.first(), Some(Lsn::new(10)));
        assert_eq!(pin_index.before(Lsn::new(20), 9), []);
        assert_eq!(pin_index.passive_before(Lsn::new(10), 9), None);
        assert_eq!(pin_index.passive_before(Lsn::new(20), 9), Some(Lsn::new(10)));
        assert!(pin_index.is_passive_at(id.as_str(), Lsn::new(10)));
        assert_eq!(pin_index.wake(&id), Some(Lsn::new(10)));
        assert_eq!(pin_index.wake(&id), None);
        assert_eq!(pin_index.first(), Some(Lsn::new(10)));
        assert_eq!(pin_index.passive_before(Lsn::new(20), 9), None);
        assert_eq!(pin_index.before(Lsn::new(20), 9), std::slice::from_ref(&id));
        pin_index.changed(&id, Some(Lsn::new(10)), None);
        assert_eq!(pin_index.first(), None);
    }
}
