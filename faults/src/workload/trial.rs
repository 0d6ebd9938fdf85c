//! Actors for the mistakes that a version of the handlers may make with a new message. They are
//! apart from the accounts, so that no trial touches those. An actor that handles a trial performs
//! one side effect, keeps the trial in its state, and passes it on to the echo. Under a version
//! that fails a trial, the trial must have no effect.

use std::time::Duration;

use relive::{Actor, Context, Handle, KindBuilder, Message, Quarantined};
use relive_replay::payload::decode;
use serde::{Deserialize, Serialize};

use super::outside::perform;
use super::plan::fold;
use super::version::{self, Bomb};

/// How many actors take trials.
pub const TRIERS: u64 = 3;

/// The key of the actor to which each trial is passed on.
pub const ECHO: &str = "echo";

/// The answer of a handler that went on after it had given up its side effect.
pub const WENT_ON: u64 = u64::MAX;

/// What a trial tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// A time limit around a side effect.
    TimeLimit,
    /// A race between a side effect and a sleep.
    Race,
    /// Something that can be set once in a process.
    SetOnce,
    /// A panic after something was set.
    Stumble,
    /// Something in the handler that panics when it is dropped.
    Local,
    /// A panic with something that panics when it is dropped.
    Payload,
}

impl How {
    /// What the trial of this number tries.
    #[must_use]
    pub fn of(number: u64) -> Self {
        // Each actor meets all kinds, and a trial that sets something comes before one that
        // stumbles.
        let all = [Self::TimeLimit, Self::SetOnce, Self::Local, Self::Stumble, Self::Race, Self::Payload];
        all[usize::try_from(number / TRIERS).unwrap_or_default() % all.len()]
    }

    /// Whether a version fails the trial while it is new.
    #[must_use]
    pub fn fails_in(self, version: &version::Version) -> bool {
        match self {
            Self::TimeLimit | Self::Race => version.gives_up,
            Self::SetOnce => false,
            Self::Stumble => version.sets_twice,
            Self::Local | Self::Payload => version.drops,
        }
    }
}

/// Takes trials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The trials that it has handled, in order: number and what the outside answered.
    pub handled: Vec<(u64, u64)>,
    #[serde(skip)]
    bomb: Bomb,
}

impl Actor for Trial {
    const KIND: &'static str = "trial";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

/// Whether an actor is one that takes trials.
#[must_use]
pub fn is_trial(actor: &str) -> bool {
    actor.split('/').next() == Some(Trial::KIND)
}

/// A trial; the reply is what the outside answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Its number.
    pub number: u64,
}

/// A trial has been handled.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Echo {
    /// Its number.
    pub number: u64,
    /// What the outside answered.
    pub answer: u64,
}

/// Asks for all that an actor has handled.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ShowTrial {}

impl Message for Try {
    const NAME: &'static str = "try";
    type Reply = u64;
}

impl Message for Echo {
    const NAME: &'static str = "echo";
    type Reply = ();
}

impl Message for ShowTrial {
    const NAME: &'static str = "show-trial";
    type Reply = Trial;
}

/// The actor that a trial goes to.
#[must_use]
pub fn trier_of(number: u64) -> String {
    (number % TRIERS).to_string()
}

/// The name, in the ledger, of the one side effect of a trial.
#[must_use]
pub fn what(number: u64) -> String {
    format!("trial#{number}.0")
}

impl Handle<Try> for Trial {
    async fn handle(&mut self, message: Try, cx: &mut Context<'_>) -> u64 {
        let Try { number } = message;
        self.bomb.arm();
        let version = version::get();
        let how = How::of(number);
        let fails = how.fails_in(&version);
        let _local = (how == How::Local && fails).then(Bomb::new);
        let key = cx.idempotency_key();
        let payload = fold(number, 0x7a1);
        let answer = match how {
            How::TimeLimit if fails => {
                let slow = cx.side_effect("slow", || slow(key, payload, number));
                tokio::time::timeout(GIVEN, slow).await.unwrap_or(WENT_ON)
            }
            How::Race if fails => {
                tokio::select! {
                    answer = cx.side_effect("slow", || slow(key, payload, number)) => answer,
                    () = tokio::time::sleep(GIVEN) => WENT_ON,
                }
            }
            _ => cx.side_effect("slow", || perform(key, payload, what(number))).await,
        };
        match how {
            How::SetOnce if version.sets_twice => version::set_once(number),
            How::Stumble if fails => panic!("it stumbles over {number}"),
            How::Payload if fails => std::panic::panic_any(Bomb::new()),
            _ => {}
        }
        self.handled.push((number, answer));
        cx.to::<Self>(ECHO).send(Echo { number, answer }).expect("it is small");
        answer
    }
}

impl Handle<Echo> for Trial {
    async fn handle(&mut self, message: Echo, _cx: &mut Context<'_>) {
        self.bomb.arm();
        self.handled.push((message.number, message.answer));
    }
}

impl Handle<ShowTrial> for Trial {
    async fn handle(&mut self, _message: ShowTrial, _cx: &mut Context<'_>) -> Self {
        self.bomb.arm();
        self.clone()
    }
}

/// How long a version that gives up waits.
const GIVEN: Duration = Duration::from_millis(2);

/// A side effect that takes too long. Some have happened by the limit, some never happen.
async fn slow(key: String, payload: u64, number: u64) -> u64 {
    let late = number.is_multiple_of(2);
    if late {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = perform(key, payload, what(number)).await;
    if !late {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    answer
}

/// Registers the actors that take trials.
#[must_use]
pub fn register_trial(kind: KindBuilder<Trial>) -> KindBuilder<Trial> {
    kind.handles::<Try>().handles::<Echo>().handles::<ShowTrial>()
}

/// A delivery in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Whose.
    pub actor: String,
    /// Which.
    pub rsn: u64,
    /// The number of the trial, if it is one.
    pub trial: Option<u64>,
    /// How it failed the last time.
    pub reason: String,
}

impl From<&Quarantined> for LeftOut {
    fn from(entry: &Quarantined) -> Self {
        let trial = (&*entry.message == Try::NAME).then(|| decode::<Try>(&entry.payload).ok()).flatten();
        let trial = trial.map(|message| message.number);
        Self { actor: entry.actor.to_string(), rsn: entry.rsn.get(), trial, reason: entry.reason.clone() }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}: {}", self.actor, self.rsn, self.reason)
    }
}
