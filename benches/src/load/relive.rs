//! relive as a peer: its counting actor, and how it is opened. Knows no measurement.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use relive::{
    Actor, ActorRef, Answer, AskError, Builder, Context, Durability, Handle, Medium, Message, Query, Runtime,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Numbers, Peer};

/// What the store survives; and on which medium it is, when that is not the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    PowerLoss,
    ProcessCrash,
    Volatile,
    PowerLossOnFiles,
    ProcessCrashOnFiles,
}

impl Tier {
    fn medium(self) -> Medium {
        match self {
            Self::PowerLoss | Self::ProcessCrash | Self::Volatile => Medium::Sled,
            Self::PowerLossOnFiles | Self::ProcessCrashOnFiles => Medium::SegmentFiles,
        }
    }
}

impl From<Tier> for Durability {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::PowerLoss | Tier::PowerLossOnFiles => Self::PowerLoss,
            Tier::ProcessCrash | Tier::ProcessCrashOnFiles => Self::ProcessCrash,
            Tier::Volatile => Self::Volatile,
        }
    }
}

/// Counts what it receives, and adds up a byte of each, so that something is done with them.
#[derive(Serialize, Deserialize)]
pub(crate) struct Counter {
    messages: u64,
    sum: u64,
}

impl Counter {
    fn receive(&mut self, message: &Numbers) -> u64 {
        self.messages += 1;
        self.sum += u64::from(message.0[0]);
        self.messages
    }
}

impl Actor for Counter {
    const KIND: &'static str = "counter";

    fn create(_key: &str) -> Self {
        Self { messages: 0, sum: 0 }
    }
}

impl Message for Numbers {
    const NAME: &'static str = "numbers";
    type Reply = ();
}

impl Handle<Numbers> for Counter {
    async fn handle(&mut self, message: Numbers, _cx: &mut Context<'_>) {
        self.receive(&message);
    }
}

/// The same bytes, for an answer.
#[derive(Serialize, Deserialize)]
struct Question(Numbers);

impl Message for Question {
    const NAME: &'static str = "question";
    type Reply = u64;
}

impl Handle<Question> for Counter {
    async fn handle(&mut self, message: Question, _cx: &mut Context<'_>) -> u64 {
        self.receive(&message.0)
    }
}

/// Sets a timer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) due: Timestamp,
}

impl Message for Alarm {
    const NAME: &'static str = "alarm";
    type Reply = ();
}

impl Handle<Alarm> for Counter {
    async fn handle(&mut self, Alarm { due }: Alarm, cx: &mut Context<'_>) {
        let set = cx.timer("alarm").at(due).to_self::<Self>().send(Fired);
        set.expect("one small timer");
    }
}

/// What the timer sends.
#[derive(Serialize, Deserialize)]
struct Fired;

impl Message for Fired {
    const NAME: &'static str = "fired";
    type Reply = ();
}

impl Handle<Fired> for Counter {
    async fn handle(&mut self, _: Fired, _cx: &mut Context<'_>) {
        self.sum += 1;
        FIRED.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many timers have fired in this process.
static FIRED: AtomicUsize = AtomicUsize::new(0);

/// How many timers have fired in this process.
pub(crate) fn fired() -> usize {
    FIRED.load(Ordering::Relaxed)
}

/// The same bytes, for an answer that changes nothing.
#[derive(Serialize, Deserialize)]
struct Look(Numbers);

impl Query for Look {
    const NAME: &'static str = "look";
    type Answer = u64;
}

impl Answer<Look> for Counter {
    fn answer(&self, query: Look) -> u64 {
        // Reads both, as a handler changes both.
        self.messages + self.sum.wrapping_mul(u64::from(query.0.0[0])) % 2
    }
}

/// Counters of a runtime.
pub(crate) struct Relive {
    actors: Vec<ActorRef<Counter>>,
}

impl Relive {
    /// What all measurements open with; each may set more.
    pub(crate) fn builder(tier: Tier) -> Builder {
        Self::registering(tier, |kind| kind)
    }

    /// The same, of counters that answer queries too.
    pub(crate) fn answering(tier: Tier) -> Builder {
        Self::registering(tier, relive::KindBuilder::answers::<Look>)
    }

    fn registering(
        tier: Tier,
        more: impl FnOnce(relive::KindBuilder<Counter>) -> relive::KindBuilder<Counter>,
    ) -> Builder {
        let counter = |kind: relive::KindBuilder<Counter>| {
            more(kind.handles::<Numbers>().handles::<Question>().handles::<Alarm>().handles::<Fired>())
        };
        Runtime::builder().actor(counter).durability(tier.into()).medium(tier.medium())
    }

    /// Opens with the defaults of the library.
    pub(crate) async fn open(tier: Tier, store: &Path, actors: usize) -> Result<(Runtime, Self)> {
        let runtime = Self::builder(tier).open(store).await?;
        let peer = Self::of(&runtime, actors)?;
        Ok((runtime, peer))
    }

    /// References to the first so many actors.
    pub(crate) fn of(runtime: &Runtime, actors: usize) -> Result<Self> {
        Self::range(runtime, 0..actors)
    }

    /// References to the actors of these numbers.
    pub(crate) fn range(runtime: &Runtime, actors: Range<usize>) -> Result<Self> {
        let actors: Result<_, _> = actors.map(|key| runtime.actor(&key.to_string())).collect();
        Ok(Self { actors: actors? })
    }

    /// The actor of this number.
    pub(crate) fn actor(&self, number: usize) -> &ActorRef<Counter> {
        &self.actors[number]
    }
}

impl Peer for Relive {
    fn actors(&self) -> usize {
        self.actors.len()
    }

    async fn tell(&self, actor: usize, message: Numbers) -> Result<()> {
        match self.actors[actor].tell(message).await {
            Ok(_receipt) => Ok(()),
            Err(refused) => Err(refused.reason.into()),
        }
    }

    async fn ask(&self, actor: usize, message: Numbers) -> Result<u64> {
        self.actors[actor].ask(Question(message)).await.map_err(|error| unanswered(&error))
    }
}

/// Sets a timer of each actor, all at the same time.
pub(crate) async fn set_timers(peer: &Relive, due: impl Fn(usize) -> Timestamp) -> Result<()> {
    let mut asks = JoinSet::new();
    for number in 0..peer.actors() {
        let (actor, due) = (peer.actor(number).clone(), due(number));
        asks.spawn(async move { actor.ask(Alarm { due }).await.map_err(|error| unanswered(&error)) });
    }
    while let Some(ended) = asks.join_next().await {
        ended.context("an ask ended early")??;
    }
    Ok(())
}

/// Counters whose asks are queries.
pub(crate) struct Queried(pub(crate) Arc<Relive>);

impl Peer for Queried {
    fn actors(&self) -> usize {
        self.0.actors()
    }

    async fn tell(&self, actor: usize, message: Numbers) -> Result<()> {
        self.0.tell(actor, message).await
    }

    async fn ask(&self, actor: usize, message: Numbers) -> Result<u64> {
        Ok(self.0.actors[actor].query(Look(message)).await?)
    }
}

fn unanswered<M>(error: &AskError<M>) -> anyhow::Error {
    anyhow!("no answer: {error}")
}
