//! The sequence numbers of an actor's channels: the last message received from each sender, and
//! sent to each receiver. Part of an instance; it numbers a handler's sends.

use std::collections::BTreeMap;

use relive_storage::{ActorId, Name, Ssn};

/// The sequence numbers of an actor's channels, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels {
    /// The duplicate table: the last message received from each numbered sender.
    pub(crate) from_producers: BTreeMap<Name, Ssn>,
    pub(crate) from_actors: BTreeMap<ActorId, Ssn>,
    /// The last message sent to each receiver.
    pub(crate) to_actors: BTreeMap<ActorId, Ssn>,
}

impl Channels {
    pub(crate) fn next_ssn(&mut self, to: &ActorId) -> Ssn {
        if let Some(last) = self.to_actors.get_mut(to) {
            *last = last.next();
            return *last;
        }
        let first = Ssn::NONE.next();
        self.to_actors.insert(to.clone(), first);
        first
    }
}
