//! Those of many passive actors whose timers are due first. It takes no more memory for millions
//! than for its limit. Knows due times and names.

use std::collections::BinaryHeap;

use relive_storage::{ActorId, Timestamp};

use crate::limits::TIMERS_WINDOW_MAX;

/// The actors whose timers are due first, out of a listing.
pub(crate) struct Window {
    limit: usize,
    /// The one that is due last is on top.
    first: BinaryHeap<(Timestamp, ActorId)>,
    /// All that are due before this moment are in the window.
    until: Timestamp,
}

/// The end of a window that has everybody.
pub(crate) const FOR_EVER: Timestamp = Timestamp::from_micros(u64::MAX);

impl Default for Window {
    fn default() -> Self {
        Self::new(TIMERS_WINDOW_MAX)
    }
}

impl Window {
    pub(crate) fn new(limit: usize) -> Self {
        assert!(limit > 0, "a window has room for an actor");
        Self { limit, first: BinaryHeap::new(), until: FOR_EVER }
    }

    /// Adds an actor, unless as many others are due before it.
    pub(crate) fn add(&mut self, actor: &ActorId, due: Timestamp) {
        if self.first.len() < self.limit {
            self.first.push((due, actor.clone()));
            return;
        }
        // The name decides between actors that are due together, as it does everywhere.
        let last = self.first.peek_mut();
        let mut last = last.expect("a window has room for an actor");
        let is_first = (due, actor) < (last.0, &last.1);
        let left = if is_first { std::mem::replace(&mut *last, (due, actor.clone())).0 } else { due };
        self.until = self.until.min(left);
    }

    /// The actors with their due times, and the moment before which no other one is due.
    pub(crate) fn finish(self) -> (Vec<(Timestamp, ActorId)>, Timestamp) {
        assert!(self.first.len() <= self.limit, "a window of {} actors", self.first.len());
        (self.first.into_vec(), self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant: bounded. It keeps those that are due first, and says up to when it has all.
    #[test]
    fn it_keeps_those_that_are_due_first() {
        let mut window = Window::new(3);
        for due in [50, 10, 40, 20, 30, 60] {
            window.add(&ActorId::new("order", &due.to_string()).unwrap(), Timestamp::from_micros(due));
        }
        let (mut first, until) = window.finish();
        first.sort_unstable();
        let due: Vec<_> = first.iter().map(|(due, _)| due.as_micros()).collect();
        assert_eq!((due, until.as_micros()), (vec![10, 20, 30], 40));
    }

    #[test]
    fn one_that_has_all_has_them_for_ever() {
        let mut window = Window::new(2);
        window.add(&ActorId::new("order", "a").unwrap(), Timestamp::from_micros(5));
        assert_eq!(window.finish().1, FOR_EVER);
    }
}
