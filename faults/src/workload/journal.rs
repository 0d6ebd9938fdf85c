//! What an actor keeps of its own life: a digest of all deliveries, and the newest deliveries with
//! everything that their handlers met. From these the oracle, which does not trust the actor, can
//! compute the digest again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::plan::fold;

/// How many deliveries an actor keeps.
pub const KEPT: usize = 512;

/// The kind of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A numbered message of the till.
    Posted,
    /// An account told an audit.
    Noted,
    /// An audit passed on to the summary.
    Passed,
    /// The summary confirmed to an account.
    Confirmed,
    /// A client asked.
    Asked,
}

/// One delivery, with everything that its handler met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Entry {
    /// The kind.
    pub what: What,
    /// The account that the message concerns; 0 for a question.
    pub account: u64,
    /// The number of the message; 0 for a question.
    pub number: u64,
    /// What it carried.
    pub content: u64,
    /// The random number that the handler drew.
    pub random: Option<u64>,
    /// The time that the handler read.
    pub now: Option<u64>,
    /// The answers of the handler's side effects.
    pub answers: Vec<u64>,
    /// The digest of the actor's life after it.
    pub chain: u64,
}

/// A tuple without field names, since a state holds hundreds of entries.
type Stored = (u8, u64, u64, u64, Option<u64>, Option<u64>, Vec<u64>, u64);

impl From<Entry> for Stored {
    fn from(entry: Entry) -> Self {
        let Entry { what, account, number, content, random, now, answers, chain } = entry;
        (what as u8, account, number, content, random, now, answers, chain)
    }
}

impl From<Stored> for Entry {
    fn from((what, account, number, content, random, now, answers, chain): Stored) -> Self {
        let what = match what {
            0 => What::Posted,
            1 => What::Noted,
            2 => What::Passed,
            3 => What::Confirmed,
            _ => What::Asked,
        };
        Self { what, account, number, content, random, now, answers, chain }
    }
}

impl Entry {
    /// A delivery whose handler has met nothing yet.
    #[must_use]
    pub fn new(what: What, account: u64, number: u64, content: u64) -> Self {
        Self { what, account, number, content, random: None, now: None, answers: Vec::new(), chain: 0 }
    }

    /// The payload of the effect that follows the answers so far.
    #[must_use]
    pub fn payload(&self, before: u64, rsn: u64) -> u64 {
        fold(self.folded(before, rsn), 0xeffe)
    }

    /// The digest of the life after this delivery, given the digest before it.
    #[must_use]
    pub fn folded(&self, before: u64, rsn: u64) -> u64 {
        let fixed = [rsn, self.what as u64, self.account, self.number, self.content];
        let digest = fixed.into_iter().fold(before, fold);
        let drawn = [self.random, self.now].into_iter().map(|drawn| drawn.map_or(1, |drawn| fold(2, drawn)));
        drawn.chain(self.answers.iter().copied()).fold(digest, fold)
    }

    /// The payload that the effect of this index must have had.
    #[must_use]
    pub fn payload_of(&self, before: u64, rsn: u64, index: usize) -> u64 {
        let answers = self.answers.iter().take(index).copied().collect();
        Self { answers, ..self.clone() }.payload(before, rsn)
    }
}

/// The life of an actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The last delivery.
    pub rsn: u64,
    /// The digest of all deliveries.
    pub chain: u64,
    /// The digest before the oldest kept delivery.
    pub before: u64,
    /// The newest deliveries, the last one at the end.
    pub kept: VecDeque<Entry>,
}

impl Journal {
    /// Ends a delivery.
    pub fn add(&mut self, rsn: u64, mut entry: Entry) {
        entry.chain = entry.folded(self.chain, rsn);
        self.rsn = rsn;
        self.chain = entry.chain;
        self.kept.push_back(entry);
        if self.kept.len() > KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            self.before = oldest.chain;
        }
    }

    /// The position of the oldest kept delivery, computed from the number of kept deliveries.
    #[must_use]
    pub fn first_kept(&self) -> u64 {
        (self.rsn + 1).saturating_sub(self.kept.len() as u64)
    }

    /// The kept deliveries, each with its position and the digest before it.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64, &Entry)> {
        let before = std::iter::once(self.before).chain(self.kept.iter().map(|entry| entry.chain));
        (self.first_kept()..).zip(before).zip(&self.kept).map(|((rsn, before), entry)| (rsn, before, entry))
    }
}
