//! What an actor has sent: the last number of each channel. Part of a process; it numbers a
//! handler's messages.

use std::collections::BTreeMap;

use relive_storage::{ActorId, Ssn};

use crate::Outgoing;

/// The last message sent to each receiver.
///
/// Each delivery takes it to its handler and back, and most actors send to few others or none. So
/// it is one pointer.
#[expect(clippy::box_collection, reason = "it is moved twice in each delivery")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outbound(Option<Box<BTreeMap<ActorId, Ssn>>>);

impl From<BTreeMap<ActorId, Ssn>> for Outbound {
    fn from(numbers: BTreeMap<ActorId, Ssn>) -> Self {
        Self(Some(numbers).filter(|numbers| !numbers.is_empty()).map(Box::new))
    }
}

impl Outbound {
    /// The last number of each channel.
    pub(crate) fn numbers(&self) -> &BTreeMap<ActorId, Ssn> {
        static NONE: BTreeMap<ActorId, Ssn> = BTreeMap::new();
        self.0.as_deref().unwrap_or(&NONE)
    }

    pub(crate) fn next_ssn(&mut self, to: &ActorId) -> Ssn {
        let numbers = self.0.get_or_insert_default();
        if let Some(last) = numbers.get_mut(to) {
            *last = last.next();
            return *last;
        }
        let first = Ssn::NONE.next();
        numbers.insert(to.clone(), first);
        first
    }

    /// Takes the numbers of these messages back, which were given last.
    pub(crate) fn take_back(&mut self, sends: &[Outgoing]) {
        if sends.is_empty() {
            return;
        }
        let mut numbers = self.0.take().map(|numbers| *numbers).unwrap_or_default();
        for Outgoing { to, ssn, .. } in sends.iter().rev() {
            let last = numbers.get_mut(to).filter(|last| **last == *ssn);
            *last.expect("a number is taken back in its order") = ssn.prev();
            if ssn.prev() == Ssn::NONE {
                numbers.remove(to);
            }
        }
        *self = numbers.into();
    }

    /// The last number that was sent to an actor; 0 when there was none.
    pub(crate) fn last(&self, to: &ActorId) -> Ssn {
        self.numbers().get(to).copied().unwrap_or(Ssn::NONE)
    }
}
