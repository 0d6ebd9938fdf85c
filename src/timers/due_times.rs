//! When the next timer of each known actor is due: of all actors in memory, and of as many passive
//! ones as fit a window. Knows due times and names.

use std::collections::{BTreeSet, HashMap};

use relive_storage::{ActorId, Timestamp};

use crate::limits::TIMERS_WINDOW_MAX;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, Notify, Rank};
use crate::timers::window::{FOR_EVER, Window};

/// When the next timers are due.
pub(crate) struct DueTimes {
    inner: Mutex<Inner>,
    /// How many actors have an entry: a runtime without timers takes no lock.
    entries: AtomicUsize,
    /// Wakes who waits for the first of them.
    news: Notify,
}

/// Where an actor is that has a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    InMemory,
    Passive,
}

#[derive(Default)]
struct Inner {
    actors: HashMap<ActorId, (Timestamp, Place)>,
    in_memory: BTreeSet<(Timestamp, ActorId)>,
    passive: BTreeSet<(Timestamp, ActorId)>,
    /// All passive actors that are due before this moment have an entry.
    until: Timestamp,
}

impl DueTimes {
    /// Begins with the passive actors that an opening has listed.
    pub(crate) fn new(listed: Window) -> Self {
        let mut inner = Inner { until: FOR_EVER, ..Inner::default() };
        inner.add(listed);
        let entries = AtomicUsize::new(inner.actors.len());
        Self { inner: Mutex::new(Rank::Timers, inner), entries, news: Notify::new() }
    }

    /// An actor in memory says when its next timer is due. To be called before it rests.
    pub(crate) fn set(&self, actor: &ActorId, due: Option<Timestamp>) {
        if due.is_none() && self.entries.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut inner = self.inner();
        let before = inner.next();
        inner.put(actor, due.map(|due| (due, Place::InMemory)));
        let is_sooner = inner.next() < before;
        self.unlock(inner);
        if is_sooner {
            self.news.notify_one();
        }
    }

    /// An actor leaves memory. Its newest checkpoint says when its next timer is due, so its entry
    /// may go. To be called while nobody can bring it back.
    pub(crate) fn left_memory(&self, actor: &ActorId) {
        if self.entries.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut inner = self.inner();
        if let Some((due, _)) = inner.actors.get(actor).copied() {
            let stays = (due < inner.until).then_some((due, Place::Passive));
            inner.put(actor, stays);
            inner.shrink();
        }
        self.unlock(inner);
    }

    /// Takes up to `limit` actors with a timer that is due at `now`, in order of due time. Who
    /// wakes them must make them say again when they are due.
    pub(crate) fn take_due(&self, now: Timestamp, limit: usize) -> Vec<ActorId> {
        let mut inner = self.inner();
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some((_, actor)) = inner.first().filter(|(due, _)| *due <= now).cloned()
        {
            inner.put(&actor, None);
            taken.push(actor);
        }
        self.unlock(inner);
        taken
    }

    /// When there is something to do next: a timer is due, or the window ends. `None` when never.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        Some(self.inner().next()).filter(|next| *next < FOR_EVER)
    }

    /// Waits until the next moment comes sooner than it was.
    pub(crate) async fn sooner(&self) {
        self.news.notified().await;
    }

    /// Whether the window has ended at `now`, and nobody in it is due any more. Then the caller
    /// lists the checkpoints of the actors that are not in memory, and gives what it has found to
    /// [`DueTimes::listed`]. Actors that leave memory meanwhile are kept.
    pub(crate) fn begin_listing(&self, now: Timestamp) -> bool {
        let mut inner = self.inner();
        // Those that are known first: a listing for each few of them would take longer than they.
        let is_used_up = inner.passive.first().is_none_or(|(due, _)| *due > now);
        let has_ended = is_used_up && inner.until <= now && inner.until < FOR_EVER;
        if has_ended {
            inner.until = FOR_EVER;
        }
        has_ended
    }

    /// The next window. It begins after what is known by now.
    pub(crate) fn listed(&self, window: Window) {
        let mut inner = self.inner();
        inner.add(window);
        self.unlock(inner);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    fn unlock(&self, inner: MutexGuard<'_, Inner>) {
        assert!(inner.passive.len() <= TIMERS_WINDOW_MAX, "{} passive actors are known", inner.passive.len());
        let known = inner.in_memory.len() + inner.passive.len();
        assert_eq!(inner.actors.len(), known, "each actor has one due time");
        self.entries.store(known, Ordering::Release);
        drop(inner);
    }
}

impl Inner {
    fn first(&self) -> Option<&(Timestamp, ActorId)> {
        match (self.in_memory.first(), self.passive.first()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    fn next(&self) -> Timestamp {
        self.first().map_or(self.until, |(due, _)| self.until.min(*due))
    }

    fn put(&mut self, actor: &ActorId, entry: Option<(Timestamp, Place)>) {
        let before = match entry {
            Some(entry) => self.actors.insert(actor.clone(), entry),
            None => self.actors.remove(actor),
        };
        if let Some((due, place)) = before {
            self.side(place).remove(&(due, actor.clone()));
        }
        if let Some((due, place)) = entry {
            self.side(place).insert((due, actor.clone()));
        }
    }

    fn side(&mut self, place: Place) -> &mut BTreeSet<(Timestamp, ActorId)> {
        match place {
            Place::InMemory => &mut self.in_memory,
            Place::Passive => &mut self.passive,
        }
    }

    /// Adds what a listing has found. What an actor has said itself since is newer.
    fn add(&mut self, window: Window) {
        let (listed, until) = window.finish();
        self.until = self.until.min(until);
        for (due, actor) in listed {
            if !self.actors.contains_key(&actor) {
                self.put(&actor, Some((due, Place::Passive)));
            }
        }
        self.shrink();
    }

    /// Invariant: bounded. Gives up the passive actors that are due last, which ends the window
    /// sooner.
    fn shrink(&mut self) {
        while self.passive.len() > TIMERS_WINDOW_MAX
            && let Some((due, actor)) = self.passive.pop_last()
        {
            self.actors.remove(&actor);
            self.until = self.until.min(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: usize) -> ActorId {
        ActorId::new("order", &key.to_string()).unwrap()
    }

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn window(limit: usize, due: impl IntoIterator<Item = (usize, u64)>) -> Window {
        let mut window = Window::new(limit);
        due.into_iter().for_each(|(key, due)| window.add(&id(key), at(due)));
        window
    }

    fn passive(times: &DueTimes) -> usize {
        times.inner().passive.len()
    }

    #[test]
    fn actors_are_taken_in_order_of_due_time_and_once() {
        let times = DueTimes::new(window(9, [(1, 30), (2, 10)]));
        times.set(&id(3), Some(at(20)));
        times.set(&id(4), Some(at(40)));
        assert_eq!((times.next(), times.take_due(at(9), 9)), (Some(at(10)), vec![]));
        assert_eq!(times.take_due(at(30), 2), [id(2), id(3)], "no more than asked for");
        assert_eq!(times.take_due(at(30), 2), [id(1)]);
        assert_eq!((times.take_due(at(30), 2), times.next()), (vec![], Some(at(40))));
        times.set(&id(4), None);
        assert_eq!(times.next(), None);
    }

    /// What an actor says replaces what was known of it.
    #[test]
    fn an_actor_has_one_due_time() {
        let times = DueTimes::new(window(9, [(1, 30)]));
        times.set(&id(1), Some(at(50)));
        assert_eq!((times.take_due(at(49), 9), passive(&times)), (vec![], 0));
        times.set(&id(1), Some(at(5)));
        assert_eq!(times.take_due(at(49), 9), [id(1)]);
    }

    /// An actor that leaves memory is known only when its timer is due within the window.
    #[test]
    fn an_actor_that_leaves_memory_is_forgotten_beyond_the_window() {
        let times = DueTimes::new(window(2, [(1, 10), (2, 20), (3, 30)]));
        times.set(&id(4), Some(at(25)));
        times.set(&id(5), Some(at(35)));
        times.left_memory(&id(4));
        times.left_memory(&id(5));
        assert_eq!(passive(&times), 3);
        assert_eq!(times.take_due(at(100), 9), [id(1), id(2), id(4)]);
        assert_eq!(times.next(), Some(at(30)), "the window ends there");
    }

    /// The window has ended: a listing fills the next one, and nobody is lost who leaves memory
    /// meanwhile.
    #[test]
    fn a_listing_keeps_who_leaves_memory_meanwhile() {
        let times = DueTimes::new(window(1, [(1, 10), (2, 20)]));
        assert!(!times.begin_listing(at(19)) && !times.begin_listing(at(20)), "actor 1 is due");
        assert_eq!(times.take_due(at(20), 9), [id(1)]);
        assert!(!times.begin_listing(at(19)));
        assert!(times.begin_listing(at(20)) && !times.begin_listing(at(20)), "one at a time");
        times.set(&id(3), Some(at(90)));
        times.left_memory(&id(3));
        // The listing had looked at actor 3 before it had a timer, and at actor 1 too.
        times.set(&id(1), Some(at(70)));
        times.listed(window(2, [(1, 10), (2, 20), (4, 40), (5, 50)]));
        assert_eq!(times.take_due(at(69), 9), [id(2)]);
        assert_eq!(times.take_due(at(90), 9), [id(1), id(3)]);
        assert_eq!(times.next(), Some(at(40)));
    }

    /// Invariant: bounded. Passive actors beyond the limit are given up, and found by a listing.
    #[test]
    fn passive_actors_have_a_bounded_number_of_entries() {
        let times = DueTimes::new(Window::new(1));
        for key in 0..TIMERS_WINDOW_MAX + 10 {
            times.set(&id(key), Some(at(key as u64 + 5)));
            times.left_memory(&id(key));
        }
        assert_eq!(passive(&times), TIMERS_WINDOW_MAX);
        let last = at(TIMERS_WINDOW_MAX as u64 + 4);
        assert_eq!(times.take_due(last, usize::MAX).len(), TIMERS_WINDOW_MAX);
        assert!(!times.begin_listing(last));
        assert!(times.begin_listing(at(TIMERS_WINDOW_MAX as u64 + 5)), "it is complete up to there");
    }
}
