//! What the outside knows of a store whatever happens to it: what was acknowledged, what answers have shown, which effects
//! were done. Kept by a process that is not killed.

use std::collections::BTreeMap;

use super::journal::Journal;
use super::line::Line;
use super::plan::{ACCOUNTS, account_of, share};
use super::survey::Survey;

/// The idempotency key of an effect in parts: store, actor, position of the delivery, index within it.
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
    /// Takes an idempotency key apart.
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
    /// What it came with the first time.
    pub payload: u64,
    /// What was answered each time.
    pub answer: u64,
    /// How often it came.
    pub times: u64,
    /// A payload that is not that of the first time, if one ever came.
    pub conflict: Option<u64>,
    /// Whether it had come before the opening that is surveyed.
    pub before_opening: bool,
    /// What it is, whatever its key: which effect of which message.
    pub what: String,
}

/// What came, by idempotency key.
pub type Effects = BTreeMap<EffectKey, Effect>;

/// What the outside knows before it looks at what came back.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// The highest number that was ever about to be sent.
    pub issued: u64,
    /// All numbers up to this one were acknowledged.
    pub acknowledged: u64,
    /// How many messages of an account were acknowledged, of those of which more were than that.
    pub ahead: BTreeMap<u64, u64>,
    /// The highest epoch of an opening before this one.
    pub epoch: u64,
    /// What answers showed: the digest of an actor's life, by actor and position.
    pub seen: BTreeMap<(String, u64), u64>,
    /// What the ledger of effects holds; `None` when the workload ran without one.
    pub effects: Option<Effects>,
}

impl Witness {
    /// Takes in what the process under test said. An acknowledgement counts from the moment it was said.
    ///
    /// # Errors
    /// It acknowledged a message before those that it had sent to the same account before: then what the numbers mean is
    /// lost.
    pub fn hear(&mut self, line: &Line) -> Result<(), String> {
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

    /// How many messages of an account were acknowledged.
    #[must_use]
    pub fn acknowledged_of(&self, account: u64) -> u64 {
        let ahead = self.ahead.get(&account).copied().unwrap_or_default();
        share(account, self.acknowledged).max(ahead)
    }

    /// How many messages were acknowledged.
    #[must_use]
    pub fn acknowledged_in_all(&self) -> u64 {
        (0..ACCOUNTS).map(|account| self.acknowledged_of(account)).sum()
    }

    /// Remembers everything that a survey showed: no later one may say otherwise.
    pub fn remember(&mut self, survey: &Survey) {
        self.epoch = self.epoch.max(survey.epoch);
        survey.journals().for_each(|(actor, journal)| self.remember_life(&actor, journal));
    }

    /// Remembers the life of one actor.
    pub fn remember_life(&mut self, actor: &str, journal: &Journal) {
        let lives = journal.entries().map(|(rsn, _, entry)| ((actor.to_owned(), rsn), entry.chain));
        self.seen.extend(lives);
    }
}
