//! The place to which the answer to a handler's query comes, and the handler that waits for it.
//! Knows neither who asks nor who answers.

use std::task::Waker;

use bytes::Bytes;

use crate::sync::{Mutex, MutexGuard, Rank};

/// An answer that a handler waits for. The actor that answers has one reference, the handler the
/// other.
pub(crate) struct ExpectedAnswer(Mutex<State>);

enum State {
    /// Nothing has come. The waker is that of the handler, once it waits.
    Open(Option<Waker>),
    Came(Came),
    /// The handler has it, or waits for it no more: what comes now is too late.
    Over,
}

/// What comes in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The encoded outcome.
    Outcome(Bytes),
    /// The actor was not asked: ask again.
    Refused,
}

impl ExpectedAnswer {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Rank::ExpectedAnswer, State::Open(None)))
    }

    /// Whether an answer would still be taken.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open(_))
    }

    /// Whether it has come, and the handler has not taken it.
    pub(crate) fn has_come(&self) -> bool {
        matches!(*self.state(), State::Came(_))
    }

    /// Brings what has come of the query. Returns the waker of the handler when it waits for that.
    pub(crate) fn bring(&self, came: Came) -> Option<Waker> {
        let mut state = self.state();
        match &mut *state {
            State::Open(handler) => {
                let handler = handler.take();
                *state = State::Came(came);
                handler
            }
            State::Came(_) | State::Over => None,
        }
    }

    /// Takes what has come. When nothing has, the answer wakes `handler`.
    pub(crate) fn take_or_wake(&self, handler: &Waker) -> Option<Came> {
        let mut state = self.state();
        let before = match std::mem::replace(&mut *state, State::Over) {
            State::Came(came) => return Some(came),
            State::Over => return None,
            State::Open(before) => {
                *state = State::Open(Some(handler.clone()));
                before
            }
        };
        // Without the lock: a waker is foreign code.
        drop(state);
        drop(before);
        None
    }

    /// The handler waits no more.
    pub(crate) fn give_up(&self) {
        let before = std::mem::replace(&mut *self.state(), State::Over);
        drop(before);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Came {
        Came::Outcome(Bytes::from_static(b"7"))
    }

    #[test]
    fn an_answer_wakes_the_handler_once() {
        let expected = ExpectedAnswer::new();
        assert!(expected.is_open() && !expected.has_come());
        assert_eq!(expected.take_or_wake(Waker::noop()), None);
        assert!(expected.bring(outcome()).is_some());
        assert!(expected.bring(Came::Refused).is_none(), "the first one counts");
        assert!(expected.has_come() && !expected.is_open());
        assert_eq!(expected.take_or_wake(Waker::noop()), Some(outcome()));
        assert_eq!(expected.take_or_wake(Waker::noop()), None);
        assert!(!expected.has_come());
    }

    #[test]
    fn what_comes_too_late_is_dropped() {
        let expected = ExpectedAnswer::new();
        assert_eq!(expected.take_or_wake(Waker::noop()), None);
        expected.give_up();
        assert!(!expected.is_open());
        assert!(expected.bring(outcome()).is_none() && !expected.has_come());
    }
}
