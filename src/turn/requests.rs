//! Requests with idempotency keys that come to an actor: which of them are new, and what those get
//! that are not. Knows the table of requests; not how a new one goes on.

use relive_replay::Known;
use relive_storage::record::{Delivery, Sender};

use crate::actor::envelope::{Answer, Envelope};
use crate::error::Refused;
use crate::turn::acks::Acks;
use crate::turn::intake::Intake;

impl Intake<'_> {
    /// Whether the actor is to take a request in. One that it knows gets what the first one got, at
    /// once or when that is handled. The log needs no record of it: nothing depends on it.
    pub(crate) fn is_new_request(&mut self, envelope: &mut Envelope, logged: &mut Acks) -> bool {
        let Delivery { sender: Sender::Keyed { key }, message, payload, .. } = &envelope.delivery else {
            return true;
        };
        let services = &self.core.services;
        self.inbound.forget_requests(services.clock.now(), services.config.idempotency_retention);
        let (actor, key) = (&self.cell.id, key.clone());
        let answer = match self.inbound.request(&key, message, payload) {
            Known::Nothing => return true,
            Known::Full => refusal(Refused::NoRoomForKey { actor: actor.clone(), key }),
            Known::Other => refusal(Refused::KeyOfAnotherRequest { actor: actor.clone(), key }),
            Known::Ahead(rsn) => {
                logged.duplicates += 1;
                if let Some(asker) = envelope.take_asker() {
                    self.repeats.add(rsn, asker);
                }
                return false;
            }
            Known::Handled(reply) => {
                logged.duplicates += 1;
                reply.into()
            }
            Known::LeftOut(rsn) => {
                logged.duplicates += 1;
                let entry = services.quarantine.get(actor, rsn);
                Answer::LeftOut(entry.expect("what the actor has left out stands among all that is"))
            }
        };
        // With the batch: what the answer depends on may not be on stable storage yet.
        logged.answers.extend(envelope.take_asker().map(|asker| (asker, answer)));
        false
    }
}

fn refusal(reason: Refused) -> Answer {
    Answer::Refused(Box::new(reason))
}
