//! What the outside knows of a store, whatever happens to the store: the acknowledged messages,
//! what answers have shown, and the effects. A process that no campaign kills keeps it.

use std::collections::BTreeMap;

use super::clerk::ClerkState;
use super::journal::Journal;
use super::plan::{ACCOUNTS, account_of, share};
use super::protocol::Line;
use super::readback::Readback;
use super::request_view::RequestView;

/// The idempotency key of an effect in parts: store, actor, position of the delivery, index within
/// it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EffectKey {
    /// The store.
    pub store: String,
    /// The actor.
    pub actor: String,
    /// The delivery.
    pub rsn: u64,
    /// Which of the delivery's effects.
    pub index: u64,
}

impl EffectKey {
    /// Parses an idempotency key.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (rest, index) = key.rsplit_once('/')?;
        let (rest, rsn) = rest.rsplit_once('/')?;
        let (store, actor) = rest.split_once('/')?;
        let (store, actor) = (store.to_owned(), actor.to_owned());
        Some(Self { store, actor, rsn: rsn.parse().ok()?, index: index.parse().ok()? })
    }
}

impl std::fmt::Display for EffectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}", self.store, self.actor, self.rsn, self.index)
    }
}

/// An effect, as the ledger has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The payload of its first occurrence.
    pub payload: u64,
    /// The answer, the same each time.
    pub answer: u64,
    /// How often it came.
    pub times: u64,
    /// A payload that differs from the first one, if one ever came.
    pub conflict: Option<u64>,
    /// Whether it had come before the opening of the present readback.
    pub before_opening: bool,
    /// The effect and its message, independently of the key.
    pub what: String,
}

/// The effects, by idempotency key.
pub type Effects = BTreeMap<EffectKey, Effect>;

/// What the outside knows before it looks at a readback.
#[derive(Clone, Debug, Default)]
pub struct ClientView {
    /// The highest number that a worker ever announced to send.
    pub issued: u64,
    /// The number up to which all messages are acknowledged.
    pub acknowledged: u64,
    /// How many messages of an account are acknowledged, for accounts with more of them than
    /// `acknowledged` implies.
    pub ahead: BTreeMap<u64, u64>,
    /// The highest epoch of an opening before this one.
    pub epoch: u64,
    /// The digests of actors' lives that answers have shown, by actor and position.
    pub seen: BTreeMap<(String, u64), u64>,
    /// What the ledger of effects holds; `None` when the workload ran without one.
    pub effects: Option<Effects>,
    /// The requests to clerks.
    pub requests: RequestView,
}

impl ClientView {
    /// Takes in a line of the process under test. An acknowledgement counts from the moment of its
    /// line.
    ///
    /// # Errors
    /// The process acknowledged a message before an earlier one to the same account. Then the
    /// numbers have lost their meaning. Or a line contradicts an earlier one.
    pub fn hear(&mut self, line: &Line) -> Result<(), String> {
        self.requests.hear(line)?;
        match line {
            Line::Send(number) => self.issued = self.issued.max(*number),
            Line::Ack { number, .. } => self.acknowledge(*number)?,
            Line::Answer { actor, rsn, chain } => {
                self.seen.insert((actor.clone(), *rsn), *chain);
            }
            _ => {}
        }
        Ok(())
    }

    fn acknowledge(&mut self, number: u64) -> Result<(), String> {
        let account = account_of(number);
        let (count, before) = (share(account, number), self.acknowledged_of(account));
        if count > before + 1 {
            return Err(format!("{number} was acknowledged after {before} messages of account/{account}"));
        }
        self.ahead.insert(account, count.max(before));
        while self.acknowledged_of(account_of(self.acknowledged + 1))
            >= share(account_of(self.acknowledged + 1), self.acknowledged + 1)
        {
            self.acknowledged += 1;
        }
        Ok(())
    }

    /// How many messages of an account are acknowledged.
    #[must_use]
    pub fn acknowledged_of(&self, account: u64) -> u64 {
        let ahead = self.ahead.get(&account).copied().unwrap_or_default();
        share(account, self.acknowledged).max(ahead)
    }

    /// How many messages are acknowledged.
    #[must_use]
    pub fn acknowledged_in_all(&self) -> u64 {
        (0..ACCOUNTS).map(|account| self.acknowledged_of(account)).sum()
    }

    /// Remembers everything that a readback showed: no later readback may contradict it.
    pub fn remember(&mut self, readback: &Readback) {
        self.epoch = self.epoch.max(readback.epoch);
        readback.journals().for_each(|(actor, journal)| self.remember_life(&actor, journal));
        self.remember_deeds(&readback.clerks);
    }

    /// Remembers what clerks have done.
    pub fn remember_deeds(&mut self, clerks: &BTreeMap<String, ClerkState>) {
        let deeds = clerks.values().flat_map(|clerk| clerk.deeds.clone());
        self.requests.deeds.extend(deeds);
    }

    /// Remembers the life of one actor.
    pub fn remember_life(&mut self, actor: &str, journal: &Journal) {
        let lives = journal.entries().map(|(rsn, _, entry)| ((actor.to_owned(), rsn), entry.chain));
        self.seen.extend(lives);
    }
}
