//! What an actor has sent: the last number of each channel. Part of a process; it numbers a
//! handler's messages.

use std::collections::BTreeMap;

use relive_storage::{ActorId, Ssn};

use crate::Outgoing;

/// The last message sent to each receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outbound(pub(crate) BTreeMap<ActorId, Ssn>);

impl Outbound {
    pub(crate) fn next_ssn(&mut self, to: &ActorId) -> Ssn {
        if let Some(last) = self.0.get_mut(to) {
            *last = last.next();
            return *last;
        }
        let first = Ssn::NONE.next();
        self.0.insert(to.clone(), first);
        first
    }

    /// Takes the numbers of these messages back, which were given last.
    pub(crate) fn take_back(&mut self, sends: &[Outgoing]) {
        for Outgoing { to, ssn, .. } in sends.iter().rev() {
            let last = self.0.get_mut(to).filter(|last| **last == *ssn);
            *last.expect("a number is taken back in its order") = ssn.prev();
            if ssn.prev() == Ssn::NONE {
                self.0.remove(to);
            }
        }
    }

    /// The last number that was sent to an actor; 0 when there was none.
    pub(crate) fn last(&self, to: &ActorId) -> Ssn {
        self.0.get(to).copied().unwrap_or(Ssn::NONE)
    }
}
