//! Who needs how much of the log, in order: so that whoever cuts it looks at those who hold the cut back, not at all
//! actors.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relive_storage::{ActorId, Lsn};

use crate::dormant::Dormant;

/// The actors that need log, by where what they need begins.
#[derive(Default)]
pub(crate) struct Needs(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Those that have a slot.
    awake: BTreeSet<(Lsn, ActorId)>,
    dormant: Dormant,
}

impl Needs {
    /// Nobody has a slot yet.
    pub(crate) fn new(dormant: Dormant) -> Self {
        Self(Mutex::new(Inner { dormant, ..Inner::default() }))
    }

    /// An actor gets its slot: gives where the log begins that it needs, of which it tells from now on itself.
    pub(crate) fn wake(&self, actor: &ActorId) -> Option<Lsn> {
        let mut needs = self.needs();
        let needed = needs.dormant.take(actor.as_str())?;
        needs.awake.insert((needed, actor.clone()));
        Some(needed)
    }

    /// An actor needs the log from elsewhere on. Called with its pins locked, so that the two agree.
    pub(crate) fn changed(&self, actor: &ActorId, before: Option<Lsn>, after: Option<Lsn>) {
        let mut needs = self.needs();
        if let Some(before) = before {
            needs.awake.remove(&(before, actor.clone()));
        }
        if let Some(after) = after {
            needs.awake.insert((after, actor.clone()));
        }
    }

    /// Where the log begins that is needed; `None` when none is.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.front().map(|(lsn, _)| lsn)
    }

    /// The actor that holds the cut back, and where the log begins that it needs; a dormant actor has no name here.
    pub(crate) fn front(&self) -> Option<(Lsn, Option<ActorId>)> {
        let needs = self.needs();
        let awake = needs.awake.first().map(|(lsn, actor)| (*lsn, Some(actor.clone())));
        let dormant = needs.dormant.first().map(|lsn| (lsn, None));
        match (awake, dormant) {
            (Some(awake), Some(dormant)) => Some(if dormant.0 < awake.0 { dormant } else { awake }),
            (awake, dormant) => awake.or(dormant),
        }
    }

    /// The actors with slots that need log from before a position, those that need the most first, and at most so many.
    pub(crate) fn before(&self, position: Lsn, most: usize) -> Vec<ActorId> {
        let needs = self.needs();
        let before = needs.awake.iter().take_while(|(lsn, _)| *lsn < position).take(most);
        before.map(|(_, actor)| actor.clone()).collect()
    }

    /// The first block that dormant actors need from before a position, unless so many with slots need as much.
    pub(crate) fn dormant_before(&self, position: Lsn, most: usize) -> Option<Lsn> {
        let needs = self.needs();
        let first = needs.dormant.first().filter(|first| *first < position)?;
        let ahead = needs.awake.iter().take_while(|(lsn, _)| *lsn <= first).take(most);
        (ahead.count() < most).then_some(first)
    }

    /// Whether an actor is a dormant one that needs the log from a block on.
    pub(crate) fn is_dormant_at(&self, actor: &str, block: Lsn) -> bool {
        self.needs().dormant.is_pinned_at(actor, block)
    }

    fn needs(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relive_storage::Rsn;

    use super::*;
    use crate::hashes::{Hashes, Listing};

    /// Invariant: checkpoint-covers-log. What a dormant actor needs stays needed while it gets its slot.
    #[test]
    fn an_actor_that_wakes_needs_what_it_needed() {
        let id = ActorId::new("account", "alice").unwrap();
        let mut listing = Listing::default();
        listing.push(&id, Rsn::new(1));
        let mut dormant = Dormant::new(Arc::new(Hashes::list(listing, |_| ()).0));
        dormant.pin(0, Lsn::new(10));
        let needs = Needs::new(dormant);
        assert_eq!(needs.first(), Some(Lsn::new(10)));
        assert_eq!(needs.before(Lsn::new(20), 9), []);
        assert_eq!(needs.dormant_before(Lsn::new(10), 9), None);
        assert_eq!(needs.dormant_before(Lsn::new(20), 9), Some(Lsn::new(10)));
        assert!(needs.is_dormant_at(id.as_str(), Lsn::new(10)));
        assert_eq!(needs.wake(&id), Some(Lsn::new(10)));
        assert_eq!(needs.wake(&id), None);
        assert_eq!(needs.first(), Some(Lsn::new(10)));
        assert_eq!(needs.dormant_before(Lsn::new(20), 9), None);
        assert_eq!(needs.before(Lsn::new(20), 9), std::slice::from_ref(&id));
        needs.changed(&id, Some(Lsn::new(10)), None);
        assert_eq!(needs.first(), None);
    }
}
