//! Which actors wait for which: the handlers that wait for replies and answers of other actors, and
//! the calls from outside that they make within. Finds cycles when they close. Knows names, wakers
//! and the addresses of handlers, no cell.
//!
//! # Source
//! A handler goes on with the first reply of those that it waits for, so a deadlock is a set of
//! handlers that wait for each other alone (the OR model): Chandy, Misra and Haas, *Distributed
//! Deadlock Detection*, ACM TOCS 1(2), 1983, section 4. In one process it is found in the graph
//! itself.

use std::collections::{HashMap, HashSet};
use std::task::{Context, Poll, Waker};

use relive_storage::ActorId;

use crate::limits::CYCLE_NAMES_MAX;
use crate::sync::{Mutex, MutexGuard, Rank};

/// The handlers that wait for other actors.
pub(crate) struct WaitGraph(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    graph: Graph,
    /// The calls from outside that handlers make, by the address of the handler's actor.
    outside: HashMap<usize, Vec<OutsideCall>>,
    calls: u64,
}

type Graph = HashMap<ActorId, Waiting>;

/// A call from outside that a handler makes, in a side effect.
struct OutsideCall {
    number: u64,
    on: ActorId,
    waker: Option<Waker>,
    /// The cycle that it has closed.
    closed: Option<Vec<ActorId>>,
}

/// A handler that waits for other actors.
struct Waiting {
    on: Vec<ActorId>,
    what: Others,
    waker: Waker,
}

/// What else a handler waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// Nothing: only the actors can let it go on.
    Nothing,
    /// Time, or something outside.
    Something,
}

impl WaitGraph {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Rank::WaitGraph, Inner::default()))
    }

    /// The handler of `actor` waits for `on`, until [`WaitGraph::goes_on`]. `has_news` says whether
    /// a reply has come to it meanwhile. Returns the cycle that this closes, from the actor to
    /// itself.
    pub(crate) fn waits(
        &self,
        actor: &ActorId,
        on: Vec<ActorId>,
        what: Others,
        waker: &Waker,
        has_news: impl FnOnce() -> bool,
    ) -> Option<Vec<ActorId>> {
        let graph = &mut self.inner().graph;
        graph.insert(actor.clone(), Waiting { on, what, waker: waker.clone() });
        // Under this lock: who brings a reply puts it there first and then takes this lock.
        if has_news() {
            graph.remove(actor);
            return None;
        }
        let stuck = stuck_with(graph, actor);
        let cycle = if stuck.contains(actor) { cycle(graph, &stuck, actor) } else { None };
        if cycle.is_some() {
            graph.remove(actor);
        }
        cycle
    }

    /// Brings the handler of `actor` something to go on with. One step for everybody who looks
    /// here, so a wait that the handler begins after it has gone on with that stays.
    pub(crate) fn news_for<T>(&self, actor: &ActorId, bring: impl FnOnce() -> T) -> T {
        let graph = &mut self.inner().graph;
        let brought = bring();
        graph.remove(actor);
        brought
    }

    /// The handler goes on, or has something to go on with.
    pub(crate) fn goes_on(&self, actor: &ActorId) {
        self.inner().graph.remove(actor);
    }

    /// The handler of the actor at this address calls another one from outside, until the result is
    /// dropped.
    pub(crate) fn call(&self, handler: usize, on: &ActorId) -> HeldCall<'_> {
        let mut inner = self.inner();
        inner.calls += 1;
        let number = inner.calls;
        let call = OutsideCall { number, on: on.clone(), waker: None, closed: None };
        inner.outside.entry(handler).or_default().push(call);
        HeldCall { graph: self, handler, number }
    }

    /// Whom the handler of the actor at this address calls from outside.
    pub(crate) fn calls(&self, handler: usize) -> Vec<ActorId> {
        let inner = self.inner();
        let calls = inner.outside.get(&handler).map(Vec::as_slice).unwrap_or_default();
        calls.iter().filter(|call| call.closed.is_none()).map(|call| call.on.clone()).collect()
    }

    /// Ends a call of that handler with the cycle that it has closed.
    pub(crate) fn close(&self, handler: usize, on: &ActorId, cycle: Vec<ActorId>) {
        let waker = {
            let mut inner = self.inner();
            let calls = inner.outside.get_mut(&handler).into_iter().flatten();
            let call = calls.rev().find(|call| call.on == *on && call.closed.is_none());
            call.and_then(|call| {
                call.closed = Some(cycle);
                call.waker.take()
            })
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// The actor answers nobody any more: wakes those who wait for it.
    pub(crate) fn stopped(&self, actor: &ActorId) {
        let wakers: Vec<_> = {
            let inner = self.inner();
            let waiting = inner.graph.values().filter(|waiting| waiting.on.contains(actor));
            waiting.map(|waiting| waiting.waker.clone()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}

/// A call that is under way.
pub(crate) struct HeldCall<'g> {
    graph: &'g WaitGraph,
    handler: usize,
    number: u64,
}

impl HeldCall<'_> {
    /// The cycle that the call has closed, as soon as it has.
    pub(crate) fn poll_closed(&self, task: &mut Context<'_>) -> Poll<Vec<ActorId>> {
        let mut inner = self.graph.inner();
        let mut calls = inner.outside.get_mut(&self.handler).into_iter().flatten();
        let Some(call) = calls.find(|call| call.number == self.number) else { return Poll::Pending };
        match &call.closed {
            Some(cycle) => Poll::Ready(cycle.clone()),
            None => {
                call.waker = Some(task.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for HeldCall<'_> {
    fn drop(&mut self) {
        let mut inner = self.graph.inner();
        if let Some(calls) = inner.outside.get_mut(&self.handler) {
            calls.retain(|call| call.number != self.number);
            if calls.is_empty() {
                inner.outside.remove(&self.handler);
            }
        }
    }
}

/// The names of a cycle, for a record: of a long one only those around the two ends, which an event
/// has room for.
pub(crate) fn named(cycle: &[ActorId]) -> Vec<String> {
    let names = |actors: &[ActorId]| actors.iter().map(ToString::to_string).collect::<Vec<_>>();
    if cycle.len() <= CYCLE_NAMES_MAX {
        return names(cycle);
    }
    let (first, rest) = cycle.split_at(CYCLE_NAMES_MAX / 2);
    let (between, last) = rest.split_at(rest.len() - CYCLE_NAMES_MAX / 2);
    let between = format!("{} more actors", between.len());
    [names(first), vec![between], names(last)].concat()
}

/// The actors that `actor` waits for, directly or through others, and that nothing can let go on.
fn stuck_with(graph: &Graph, actor: &ActorId) -> HashSet<ActorId> {
    let mut waited_for_by: HashMap<&ActorId, Vec<&ActorId>> = HashMap::new();
    let (mut reached, mut ahead, mut free) = (HashSet::from([actor]), vec![actor], Vec::new());
    while let Some(at) = ahead.pop() {
        match graph.get(at) {
            Some(waiting) if waiting.what == Others::Nothing => {
                for on in &waiting.on {
                    waited_for_by.entry(on).or_default().push(at);
                    if reached.insert(on) {
                        ahead.push(on);
                    }
                }
            }
            _ => free.push(at),
        }
    }
    // Who waits for one that goes on goes on in its turn.
    let mut stuck = reached;
    while let Some(goes_on) = free.pop() {
        if stuck.remove(goes_on) {
            free.extend(waited_for_by.get(goes_on).into_iter().flatten().copied());
        }
    }
    stuck.into_iter().cloned().collect()
}

/// A way from the actor back to itself through actors that are stuck, the shortest one.
fn cycle(graph: &Graph, stuck: &HashSet<ActorId>, actor: &ActorId) -> Option<Vec<ActorId>> {
    let mut before: HashMap<ActorId, ActorId> = HashMap::new();
    let mut ahead = std::collections::VecDeque::from([actor.clone()]);
    while let Some(at) = ahead.pop_front() {
        for on in graph.get(&at).map(|waiting| &*waiting.on).unwrap_or_default() {
            if on == actor {
                let mut way = vec![actor.clone(), at.clone()];
                let mut at = &at;
                while let Some(earlier) = before.get(at) {
                    way.push(earlier.clone());
                    at = earlier;
                }
                way.reverse();
                // A self-ask has no actor in between.
                way.dedup();
                return Some(if way.len() == 1 { vec![actor.clone(), actor.clone()] } else { way });
            }
            if stuck.contains(on) && !before.contains_key(on) {
                before.insert(on.clone(), at.clone());
                ahead.push_back(on.clone());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use relive_replay::AskFailure;
    use relive_replay::ask::Answered;
    use relive_storage::limits::{KEY_BYTES_MAX, PAYLOAD_BYTES_MAX};

    use super::*;

    fn id(key: &str) -> ActorId {
        ActorId::new("account", key).unwrap()
    }

    fn waits(graph: &WaitGraph, actor: &str, on: &[&str], what: Others) -> Option<Vec<String>> {
        let on = on.iter().map(|on| id(on)).collect();
        let cycle = graph.waits(&id(actor), on, what, Waker::noop(), || false);
        cycle.map(|cycle| cycle.iter().map(|actor| actor.key().to_owned()).collect())
    }

    fn waits_alone(graph: &WaitGraph, actor: &str, on: &[&str]) -> Option<Vec<String>> {
        waits(graph, actor, on, Others::Nothing)
    }

    #[test]
    fn an_ask_of_oneself_is_a_cycle() {
        let graph = WaitGraph::new();
        assert_eq!(waits_alone(&graph, "a", &["a"]).unwrap(), ["a", "a"]);
        assert_eq!(waits_alone(&graph, "a", &["b"]), None, "the failed one is gone");
    }

    #[test]
    fn the_ask_that_closes_a_cycle_is_told_the_way() {
        let graph = WaitGraph::new();
        assert_eq!(waits_alone(&graph, "a", &["b"]), None);
        assert_eq!(waits_alone(&graph, "b", &["c"]), None);
        assert_eq!(waits_alone(&graph, "c", &["d"]), None);
        assert_eq!(waits_alone(&graph, "d", &["a"]).unwrap(), ["d", "a", "b", "c", "d"]);
        graph.goes_on(&id("b"));
        assert_eq!(waits_alone(&graph, "d", &["a"]), None, "b goes on");
    }

    /// An actor with another way to go on is not stuck, and neither are those that wait for it.
    #[test]
    fn a_race_that_something_else_can_win_is_no_deadlock() {
        let graph = WaitGraph::new();
        assert_eq!(waits_alone(&graph, "a", &["b", "free"]), None);
        assert_eq!(waits_alone(&graph, "b", &["a"]), None);
        assert_eq!(waits_alone(&graph, "free", &["b"]).unwrap(), ["free", "b", "a", "free"]);
        let graph = WaitGraph::new();
        assert_eq!(waits(&graph, "a", &["b"], Others::Something), None);
        assert_eq!(waits_alone(&graph, "b", &["a"]), None, "a may go on after a time");
        assert_eq!(waits_alone(&graph, "a", &["b"]).unwrap(), ["a", "b", "a"]);
    }

    /// A call from outside ends with the cycle that it closes, and counts no more.
    #[test]
    fn a_call_from_outside_that_closes_a_cycle_ends() {
        let graph = WaitGraph::new();
        let mut task = Context::from_waker(Waker::noop());
        let call = graph.call(7, &id("b"));
        assert_eq!((graph.calls(7), graph.calls(8)), (vec![id("b")], Vec::new()));
        assert!(call.poll_closed(&mut task).is_pending());
        graph.close(7, &id("c"), Vec::new());
        assert!(call.poll_closed(&mut task).is_pending(), "it calls another one");
        graph.close(7, &id("b"), vec![id("a"), id("b"), id("a")]);
        assert_eq!(call.poll_closed(&mut task), Poll::Ready(vec![id("a"), id("b"), id("a")]));
        assert!(graph.calls(7).is_empty());
        drop(call);
        assert!(graph.inner().outside.is_empty());
    }

    #[test]
    fn who_has_a_reply_does_not_wait() {
        let graph = WaitGraph::new();
        let none = graph.waits(&id("a"), vec![id("a")], Others::Nothing, Waker::noop(), || true);
        assert_eq!(none, None);
        assert_eq!(waits_alone(&graph, "b", &["a"]), None);
    }

    /// The longest names of a cycle of any length have room in an event.
    #[test]
    fn a_long_cycle_is_named_around_its_ends() {
        let key = |n: usize| format!("{}{n:05}", "k".repeat(KEY_BYTES_MAX - 5));
        let cycle: Vec<_> = (0..5000).map(|n| ActorId::new("account", &key(n)).unwrap()).collect();
        assert_eq!(named(&cycle[..CYCLE_NAMES_MAX]).len(), CYCLE_NAMES_MAX);
        let names = named(&cycle);
        assert_eq!((names.len(), &*names[CYCLE_NAMES_MAX / 2]), (CYCLE_NAMES_MAX + 1, "4936 more actors"));
        assert_eq!((&names[0], &names[CYCLE_NAMES_MAX]), (&cycle[0].to_string(), &cycle[4999].to_string()));
        assert!(Answered::failure(AskFailure::Deadlock { cycle: names }).len() < PAYLOAD_BYTES_MAX);
    }
}
