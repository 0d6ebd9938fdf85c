//! Explores every state that a system can come to. Knows states and steps, no protocol.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;

/// A state of a system, with everything that may happen next.
pub(crate) trait State: Clone + Eq + Hash + Debug {
    /// The states after one more event, each with the event.
    fn next(&self) -> Vec<(String, Self)>;
}

/// What was explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    /// States in which nothing more can happen.
    pub(crate) ends: usize,
}

/// Visits each state once, the nearest first. `check` says what is wrong with a state, and whether
/// nothing more can happen is the second argument.
///
/// # Panics
/// When something is wrong, with the events that lead there.
pub(crate) fn explore<S: State>(first: S, mut check: impl FnMut(&S, bool) -> Result<(), String>) -> Explored {
    let mut states = vec![(first.clone(), None)];
    let mut known = HashMap::from([(first, 0)]);
    let (mut at, mut ends) = (0, 0);
    while at < states.len() {
        let state: S = states[at].0.clone();
        let next = state.next();
        ends += usize::from(next.is_empty());
        if let Err(wrong) = check(&state, next.is_empty()) {
            panic!("{wrong}\nafter {:#?}\nin {state:#?}", way(&states, at));
        }
        for (event, after) in next {
            if !known.contains_key(&after) {
                known.insert(after.clone(), states.len());
                states.push((after, Some((at, event))));
            }
        }
        at += 1;
    }
    Explored { states: states.len(), ends }
}

/// The events on the way to a state.
fn way<S>(states: &[(S, Option<(usize, String)>)], mut at: usize) -> Vec<String> {
    let mut events = Vec::new();
    while let Some((before, event)) = &states[at].1 {
        events.push(event.clone());
        at = *before;
    }
    events.reverse();
    events
}

/// Whether a system can come from one state to another one.
pub(crate) fn is_reachable<S: State>(from: &S, to: &S) -> bool {
    let (mut known, mut next) = (HashSet::from([from.clone()]), VecDeque::from([from.clone()]));
    while let Some(state) = next.pop_front() {
        if state == *to {
            return true;
        }
        next.extend(
            state.next().into_iter().map(|(_, after)| after).filter(|after| known.insert(after.clone())),
        );
    }
    false
}
