//! The effects that a handler asked for in one delivery: data, until the runtime releases them.

use std::hash::Hasher;

use bytes::Bytes;
use relive_storage::{ActorId, Name, Ssn};
use twox_hash::XxHash64;

/// A message to another actor that is not released yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The receiver.
    pub to: ActorId,
    /// Its number in the channel to that receiver.
    pub ssn: Ssn,
    /// The name of the message type.
    pub message: Name,
    /// The encoded message.
    pub payload: Bytes,
}

/// The effects that one delivery asked for, in order.
#[derive(Default)]
pub struct Effects {
    /// Messages to other actors.
    pub sends: Vec<Outgoing>,
    /// The encoded reply, when a caller waits for it.
    pub reply: Option<Bytes>,
    hasher: Option<XxHash64>,
}

impl std::fmt::Debug for Effects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effects")
            .field("sends", &self.sends)
            .field("reply", &self.reply)
            .field("digest", &self.digest())
            .finish()
    }
}

/// A draw that is the same on replay because it comes from the delivery's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Now = 1,
    Random = 2,
    IdempotencyKey = 3,
}

const TAG_DRAW: u8 = 1;
const TAG_SEND: u8 = 2;
const TAG_SIDE_EFFECT: u8 = 3;

impl Effects {
    /// The hash of the sends, side effects and draws; `None` when there were none. The log stores
    /// it, so it never changes within a format version.
    ///
    /// It leaves the reply out: the caller has the reply already, and a reply type that gains a
    /// field does not change the behaviour.
    ///
    /// # Source
    /// XXH64 with seed 0: Collet, *xxHash fast digest algorithm*, specification, 2014 and later.
    #[must_use]
    pub fn digest(&self) -> Option<u64> {
        self.hasher.as_ref().map(Hasher::finish)
    }

    pub(crate) fn draw(&mut self, draw: Draw, index: u32) {
        // The index alone, not the value: the value comes from the record and can't differ.
        let hasher = self.hasher();
        hasher.write(&[TAG_DRAW, draw as u8]);
        hasher.write(&index.to_le_bytes());
    }

    pub(crate) fn send(&mut self, outgoing: Outgoing) {
        let hasher = self.hasher();
        hasher.write(&[TAG_SEND]);
        write_text(hasher, outgoing.to.as_str().as_bytes());
        write_text(hasher, outgoing.message.as_bytes());
        write_text(hasher, &outgoing.payload);
        // Without the ssn: it follows from the sends before, and the digest holds those.
        self.sends.push(outgoing);
    }

    pub(crate) fn side_effect(&mut self, index: u32, name: &str) {
        let hasher = self.hasher();
        hasher.write(&[TAG_SIDE_EFFECT]);
        hasher.write(&index.to_le_bytes());
        write_text(hasher, name.as_bytes());
    }

    fn hasher(&mut self) -> &mut XxHash64 {
        self.hasher.get_or_insert_with(|| XxHash64::with_seed(0))
    }
}

fn write_text(hasher: &mut XxHash64, bytes: &[u8]) {
    // The length first, so that two texts side by side can't be taken for two others.
    hasher.write(&(bytes.len() as u64).to_le_bytes());
    hasher.write(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(message: &str, payload: &'static [u8]) -> Outgoing {
        let to = ActorId::new("account", "bob").unwrap();
        Outgoing { to, ssn: Ssn::new(1), message: message.into(), payload: Bytes::from_static(payload) }
    }

    /// Invariant: divergence-stops. The digest is stored, so its value must not change.
    #[test]
    fn the_digest_is_stable_and_depends_on_everything() {
        let digest = |fill: &dyn Fn(&mut Effects)| {
            let mut effects = Effects::default();
            fill(&mut effects);
            effects.digest()
        };
        assert_eq!(digest(&|_| {}), None);
        let send = digest(&|e| e.send(outgoing("credit", b"5")));
        assert_eq!(send, Some(0x79ef_33c1_987a_d764));
        assert_ne!(send, digest(&|e| e.send(outgoing("credit", b"6"))));
        assert_ne!(send, digest(&|e| e.send(outgoing("debit", b"5"))));
        assert_ne!(digest(&|e| e.draw(Draw::Now, 0)), digest(&|e| e.draw(Draw::Random, 0)));
        assert_ne!(digest(&|e| e.draw(Draw::Now, 0)), digest(&|e| e.draw(Draw::Now, 1)));
        assert_ne!(digest(&|e| e.side_effect(0, "a")), digest(&|e| e.side_effect(0, "b")));
    }
}
