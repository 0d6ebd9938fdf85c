//! What actors cost that work together: a chain of tells from actor to actor until its last actor
//! does something outside, and an ask inside a handler. Both under both disciplines, beside an ask
//! from outside, in turns: so a disk that is slow for a moment is slow for all.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use relive::{Actor, ActorRef, Context, Discipline, Handle, KindBuilder, Message, Runtime};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::load::{Numbers, Peer, Relive, Tier};

/// Tells from actor to actor, until the side effect of the last one begins.
#[derive(Args)]
#[command(name = "chain")]
pub(crate) struct Chain {
    #[command(flatten)]
    hops: Hops,
    /// How many actors there are in the chain.
    #[arg(long, default_value_t = 10)]
    actors: u64,
}

/// An ask whose handler asks another actor before it answers.
#[derive(Args)]
#[command(name = "inner_ask")]
pub(crate) struct InnerAsk {
    #[command(flatten)]
    hops: Hops,
}

#[derive(Args)]
struct Hops {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    /// How often each of the three is measured.
    #[arg(long, default_value_t = 300)]
    samples: u64,
    /// How often nothing is measured before.
    #[arg(long, default_value_t = 30)]
    warm_up: u64,
}

/// For what the disk has to do of the sample before.
const PAUSE: Duration = Duration::from_millis(4);

/// Who waits for the end of the chain.
static ENDED: Mutex<Option<UnboundedSender<u64>>> = Mutex::new(None);

/// A link of a chain, which waits for its outputs alone or for each delivery.
#[derive(Serialize, Deserialize)]
struct Link<const EAGER: bool> {
    messages: u64,
}

impl<const EAGER: bool> Actor for Link<EAGER> {
    const KIND: &'static str = if EAGER { "eager" } else { "strict" };

    fn create(_key: &str) -> Self {
        Self { messages: 0 }
    }
}

/// Goes to so many further links.
#[derive(Serialize, Deserialize)]
struct Pass(u64, Numbers);

impl Message for Pass {
    const NAME: &'static str = "pass";
    type Reply = ();
}

/// Is answered by the next link.
#[derive(Serialize, Deserialize)]
struct Inquire(u64, Numbers);

impl Message for Inquire {
    const NAME: &'static str = "inquire";
    type Reply = u64;
}

impl<const EAGER: bool> Handle<Pass> for Link<EAGER> {
    async fn handle(&mut self, Pass(further, numbers): Pass, cx: &mut Context<'_>) {
        self.messages += 1;
        let messages = self.messages;
        if further > 0 {
            // A refusal is seen: the end would not come.
            let _sent = cx.to::<Self>(&further.to_string()).send(Pass(further - 1, numbers));
            return;
        }
        let end = move || async move {
            if let Some(ended) = &*ENDED.lock().unwrap_or_else(PoisonError::into_inner) {
                let _ = ended.send(messages);
            }
        };
        cx.side_effect("end", end).await;
    }
}

impl<const EAGER: bool> Handle<Inquire> for Link<EAGER> {
    async fn handle(&mut self, Inquire(further, numbers): Inquire, cx: &mut Context<'_>) -> u64 {
        self.messages += 1;
        if further == 0 {
            return self.messages;
        }
        let asked = cx.to::<Self>(&further.to_string()).ask(Inquire(further - 1, numbers)).await;
        asked.unwrap_or_default()
    }
}

fn register<const EAGER: bool>(link: KindBuilder<Link<EAGER>>) -> KindBuilder<Link<EAGER>> {
    let discipline = if EAGER { Discipline::BeforeOutput } else { Discipline::BeforeHandling };
    link.handles::<Pass>().handles::<Inquire>().discipline(discipline)
}

/// A runtime with links of both kinds, and one counter for the asks from outside.
struct Bench {
    runtime: Runtime,
    counter: Relive,
    eager: ActorRef<Link<true>>,
    strict: ActorRef<Link<false>>,
}

impl Bench {
    async fn open(tier: Tier, store: &Path) -> Result<Self> {
        let builder = Relive::builder(tier).actor::<Link<true>>(register).actor::<Link<false>>(register);
        let runtime = builder.open(store).await?;
        let counter = Relive::of(&runtime, 1)?;
        let (eager, strict) = (runtime.actor("first")?, runtime.actor("first")?);
        Ok(Self { runtime, counter, eager, strict })
    }
}

impl Hops {
    /// Measures in turns: an ask from outside, then the other thing under either discipline.
    async fn run(
        &self,
        data: &Data,
        measured: impl AsyncFn(&Bench, Kind, u64) -> Result<Duration>,
    ) -> Result<Figures> {
        let directory = data.temporary()?;
        let bench = Bench::open(self.tier, &directory.path().join("store")).await?;
        let (mut asks, mut strict, mut eager) = (Latencies::new()?, Latencies::new()?, Latencies::new()?);
        // What the commits of these asks take, and how many the other thing has under either
        // discipline.
        let (mut commit, mut commits) = (Latencies::new()?, [0, 0]);
        for sample in 1..=self.warm_up + self.samples {
            let counts = sample > self.warm_up;
            tokio::time::sleep(PAUSE).await;
            let (before, asked) = (bench.runtime.stats(), Instant::now());
            bench.counter.ask(0, Numbers::of(sample)).await?;
            let (took, after) = (asked.elapsed(), bench.runtime.stats());
            if counts {
                asks.record(took)?;
                commit.record(after.commit_time - before.commit_time)?;
            }
            let kinds = [(Kind::Strict, &mut strict), (Kind::Eager, &mut eager)];
            for ((kind, latencies), commits) in kinds.into_iter().zip(&mut commits) {
                tokio::time::sleep(PAUSE).await;
                let before = bench.runtime.stats().commits;
                let took = measured(&bench, kind, sample).await?;
                if counts {
                    latencies.record(took)?;
                    *commits += bench.runtime.stats().commits - before;
                }
            }
        }
        bench.runtime.shutdown().await?;
        let figures = asks.figures_of("ask_").and(strict.figures_of("before_handling_"));
        let figures = figures.and(eager.figures_of("before_output_")).and(commit.figures_of("commit_"));
        let ratio = |what: &str| Ok::<_, anyhow::Error>(figures.get(what)? / figures.get("ask_p50_us")?);
        let (strict, eager) = (ratio("before_handling_p50_us")?, ratio("before_output_p50_us")?);
        let [of_strict, of_eager] = commits.map(|commits| commits as f64 / self.samples as f64);
        // An ask, and the further commits that follow on one another: nothing else takes any time.
        let least = 1.0 + (of_strict - 1.0) * figures.get("commit_p50_us")? / figures.get("ask_p50_us")?;
        Ok(figures
            .with("before_handling_commits", of_strict)
            .with("before_output_commits", of_eager)
            .with("before_handling_at_least", least)
            .with("before_handling_to_ask", strict)
            .with("before_output_to_ask", eager))
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Strict,
    Eager,
}

impl Chain {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        let (sender, receiver) = unbounded_channel();
        *ENDED.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let receiver = tokio::sync::Mutex::new(receiver);
        on_tokio(self.hops.run(data, async |bench: &Bench, kind, sample| {
            let further = self.actors.checked_sub(1).context("a chain has an actor")?;
            let mut receiver = receiver.lock().await;
            passed(bench, kind, Pass(further, Numbers::of(sample)), &mut receiver, sample).await
        }))
    }
}

async fn passed(
    bench: &Bench,
    kind: Kind,
    pass: Pass,
    ends: &mut UnboundedReceiver<u64>,
    sample: u64,
) -> Result<Duration> {
    let began = Instant::now();
    let told = match kind {
        Kind::Strict => bench.strict.tell(pass).await.map_err(|refused| refused.reason),
        Kind::Eager => bench.eager.tell(pass).await.map_err(|refused| refused.reason),
    };
    let _receipt = told?;
    let messages = ends.recv().await.context("nobody ends the chain")?;
    let took = began.elapsed();
    ensure!(messages == sample, "{kind:?}: the end has come {messages} times, not {sample}");
    Ok(took)
}

impl InnerAsk {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.hops.run(data, async |bench: &Bench, kind, sample| {
            let inquire = Inquire(1, Numbers::of(sample));
            let began = Instant::now();
            let answer = match kind {
                Kind::Strict => bench.strict.ask(inquire).await.map_err(|error| anyhow!("{error}"))?,
                Kind::Eager => bench.eager.ask(inquire).await.map_err(|error| anyhow!("{error}"))?,
            };
            let took = began.elapsed();
            ensure!(answer == sample, "{kind:?}: the other has answered {answer} times, not {sample}");
            Ok(took)
        }))
    }
}
