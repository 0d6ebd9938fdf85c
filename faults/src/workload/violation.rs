//! What an oracle finds: a broken promise, or counts of what it held against what came back.

use super::client_view::EffectKey;

/// Counts of what came back, when the readback breaks no promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that came back.
    pub recovered: u64,
    /// The unacknowledged messages among them.
    pub unknown_came_back: u64,
    /// Messages that were sent, not acknowledged, and did not come back.
    pub unknown_did_not: u64,
    /// Facts that answers had shown, and that are unchanged.
    pub seen_again: u64,
    /// Facts that answers had shown, and that are older than what the actors keep.
    pub seen_too_old: u64,
    /// Effects that happened, and agree with the life that asked for them.
    pub effects: u64,
    /// Requests that clerks have done.
    pub deeds: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Something acknowledged did not come back.
    #[error("prefix: {acknowledged} messages of account/{account} were acknowledged, {recovered} came back")]
    Lost {
        /// The account.
        account: u64,
        /// How many of its messages were acknowledged.
        acknowledged: u64,
        /// How many came back.
        recovered: u64,
    },
    /// Something came back that was never sent.
    #[error("prefix: {issued} messages were sent to account/{account}, {recovered} came back")]
    Invented {
        /// The account.
        account: u64,
        /// How many were sent to it.
        issued: u64,
        /// How many came back.
        recovered: u64,
    },
    /// An actor is not what its messages make of it.
    #[error("state: {actor} should have {expected}, it has {found}")]
    State {
        /// The actor.
        actor: String,
        /// What the model says.
        expected: String,
        /// What came back.
        found: String,
    },
    /// The life of an actor does not compute.
    #[error("state: the life of {actor} does not compute at {rsn}: {what}")]
    Life {
        /// The actor.
        actor: String,
        /// The delivery.
        rsn: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A delivery that the outside has seen did not come back.
    #[error("no-orphan: {what} has shown {actor} at {rsn}, it came back at {recovered}")]
    Orphan {
        /// The actor.
        actor: String,
        /// What was seen.
        rsn: u64,
        /// How far it came back.
        recovered: u64,
        /// What had shown it.
        what: &'static str,
    },
    /// A life that the outside has seen has changed.
    #[error("state: an answer has shown {actor} at {rsn} as {seen:016x}, now it was {found:016x}")]
    Changed {
        /// The actor.
        actor: String,
        /// The delivery.
        rsn: u64,
        /// What was shown.
        seen: u64,
        /// What came back.
        found: u64,
    },
    /// An effect came with two payloads.
    #[error("effects once: {key} came with the payload {first:016x} and with {second:016x}")]
    EffectTwice {
        /// The effect.
        key: EffectKey,
        /// What came first.
        first: u64,
        /// What came later.
        second: u64,
    },
    /// A recovered delivery asked for an effect that the outside never saw.
    #[error("effects once: {key} was asked for and never done")]
    EffectMissing {
        /// The effect.
        key: EffectKey,
    },
    /// One effect of one message came under two keys.
    #[error("effects once: {what} came under {first} and under {second}")]
    EffectUnderTwoKeys {
        /// The effect and its message.
        what: String,
        /// What it came under first.
        first: Box<EffectKey>,
        /// What else it came under.
        second: Box<EffectKey>,
    },
    /// An effect is not what the life of its actor says.
    #[error("effects once: {key} has {what} {found:016x}, by the life of its actor it is {expected:016x}")]
    EffectDiffers {
        /// The effect.
        key: EffectKey,
        /// Payload or answer.
        what: &'static str,
        /// By the actor.
        expected: u64,
        /// By the ledger.
        found: u64,
    },
    /// An opening has an epoch that is not above that of the ones before.
    #[error("single writer: the epoch {found} follows {before}")]
    Epoch {
        /// The highest before.
        before: u64,
        /// This one.
        found: u64,
    },
    /// An actor left out a delivery on which no handler ever failed.
    #[error("a harmless delivery is in quarantine: {what}")]
    Quarantined {
        /// Which, and why.
        what: String,
    },
    /// A request is not what its client knows of it.
    #[error("{promise}: request {number}: {what}")]
    Request {
        /// The promise.
        promise: &'static str,
        /// The request.
        number: u64,
        /// What is wrong with it.
        what: String,
    },
    /// An actor has handled less than a query has shown.
    #[error("queries: one has shown {shown} deliveries of {actor}, {found} came back")]
    QueryTakenBack {
        /// The actor.
        actor: String,
        /// What was shown.
        shown: u64,
        /// What came back.
        found: u64,
    },
    /// An actor has failed.
    #[error("an actor has failed: {what}")]
    Failed {
        /// What it says.
        what: String,
    },
}
