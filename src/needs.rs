//! Who needs how much of the log, in order: so that whoever cuts it looks at those who hold the cut back, not at all
//! actors.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relive_storage::{ActorId, Lsn};

/// The actors that need log, by where what they need begins.
#[derive(Default)]
pub(crate) struct Needs(Mutex<BTreeSet<(Lsn, ActorId)>>);

impl Needs {
    /// An actor needs the log from elsewhere on. Called with its pins locked, so that the two agree.
    pub(crate) fn changed(&self, actor: &ActorId, before: Option<Lsn>, after: Option<Lsn>) {
        let mut needs = self.needs();
        if let Some(before) = before {
            needs.remove(&(before, actor.clone()));
        }
        if let Some(after) = after {
            needs.insert((after, actor.clone()));
        }
    }

    /// Where the log begins that is needed; `None` when none is.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.needs().first().map(|(lsn, _)| *lsn)
    }

    /// The actors that need log from before a position, those that need the most first, and at most so many.
    pub(crate) fn before(&self, position: Lsn, most: usize) -> Vec<ActorId> {
        let needs = self.needs();
        let before = needs.iter().take_while(|(lsn, _)| *lsn < position).take(most);
        before.map(|(_, actor)| actor.clone()).collect()
    }

    fn needs(&self) -> MutexGuard<'_, BTreeSet<(Lsn, ActorId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
