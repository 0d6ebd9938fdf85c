//! How long an opening takes when much of the log is between actors: what receivers have logged is
//! evidence about their senders, and is compared with what the replay sends. One process writes
//! and ends without a word, the next one opens.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use relive::{Actor, ActorRef, Builder, CheckpointPolicy, Context, Handle, Runtime};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::reopening::Reopening;
use super::{Data, print};
use crate::figures::Figures;
use crate::load::{Counter, Numbers, Peer, Relive, Tier, join};
use crate::memory::peak_bytes;

/// Writes deliveries, half of them sent by actors, and opens the store again.
#[derive(Args)]
pub(crate) struct RelayRun {
    #[command(flatten)]
    reopening: Reopening,
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    /// Actors that are told and pass it on, each to one of its own.
    #[arg(long, default_value_t = 16)]
    actors: usize,
    /// Deliveries in all.
    #[arg(long, default_value_t = 800_000)]
    deliveries: u64,
    /// Nobody passes anything on: all comes from outside, as much to either actor of a pair.
    #[arg(long)]
    outside: bool,
}

/// How long it may take until all is logged.
const LOGGED_LIMIT: Duration = Duration::from_secs(300);

/// Passes on what it is told, or keeps it.
#[derive(Serialize, Deserialize)]
struct Relay {
    key: String,
    messages: u64,
}

impl Actor for Relay {
    const KIND: &'static str = "relay";

    fn create(key: &str) -> Self {
        Self { key: key.to_owned(), messages: 0 }
    }
}

/// What a relay passes on.
#[derive(Serialize, Deserialize)]
struct Forward(Numbers);

impl relive::Message for Forward {
    const NAME: &'static str = "forward";
    type Reply = ();
}

impl Handle<Forward> for Relay {
    async fn handle(&mut self, message: Forward, cx: &mut Context<'_>) {
        self.messages += 1;
        // A refusal is seen: the counts would not add up.
        let _sent = cx.to::<Counter>(&self.key).send(message.0);
    }
}

impl Handle<Numbers> for Relay {
    async fn handle(&mut self, _message: Numbers, _cx: &mut Context<'_>) {
        self.messages += 1;
    }
}

impl RelayRun {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        let tier = self.tier.to_possible_value().context("the tier has a name")?;
        let mut options = vec![
            format!("--tier={}", tier.get_name()),
            format!("--actors={}", self.actors),
            format!("--deliveries={}", self.deliveries),
        ];
        options.extend(self.outside.then(|| "--outside".to_owned()));
        let (write, open) =
            (async |store: &Path| self.write(store).await, async |store: &Path| self.open(store).await);
        self.reopening.run(data, "relay", &options, write, open)
    }

    /// Everything stays in the log, whatever its length.
    fn builder(&self) -> Builder {
        let never = CheckpointPolicy::default().records(u64::MAX).bytes(u64::MAX).age(Duration::MAX);
        let relay = |kind: relive::KindBuilder<Relay>| kind.handles::<Forward>().handles::<Numbers>();
        Relive::builder(self.tier).actor(relay).checkpoints(never).log_bytes(1 << 40)
    }

    /// Writes, and ends the process as a crash would, but with all that was written handled.
    async fn write(&self, store: &Path) -> Result<Figures> {
        let runtime = self.builder().open(store).await?;
        let began = Instant::now();
        let each = self.deliveries / 2 / self.actors as u64;
        let mut tasks = JoinSet::new();
        for key in 0..self.actors {
            let relay: ActorRef<Relay> = runtime.actor(&key.to_string())?;
            let counter = Relive::range(&runtime, key..key + 1)?;
            tasks.spawn(tell(relay, counter, each, self.outside));
        }
        join(tasks).await?;
        self.all_logged(&runtime).await?;
        let figures = Figures::default()
            .with("live_per_second", self.deliveries as f64 / began.elapsed().as_secs_f64())
            .with("logged_bytes", runtime.stats().bytes as f64);
        print(&figures)?;
        std::process::exit(0)
    }

    /// Waits until the counters have what the relays have passed on.
    async fn all_logged(&self, runtime: &Runtime) -> Result<()> {
        let since = Instant::now();
        while runtime.stats().deliveries < self.deliveries {
            ensure!(since.elapsed() < LOGGED_LIMIT, "{} deliveries were logged", runtime.stats().deliveries);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let stats = runtime.stats();
        ensure!(stats.deliveries == self.deliveries, "{} deliveries were logged", stats.deliveries);
        ensure!(stats.checkpoints == 0, "{} checkpoints were taken", stats.checkpoints);
        Ok(())
    }

    /// Opens, and looks whether all is there.
    async fn open(&self, store: &Path) -> Result<Figures> {
        let began = Instant::now();
        let runtime = self.builder().open(store).await?;
        let peer = Arc::new(Relive::of(&runtime, self.actors)?);
        let first = peer.ask(0, Numbers::of(0)).await?;
        let serving = began.elapsed().as_secs_f64();
        let report = runtime.recovery().clone();
        ensure!(report.replayed == self.deliveries, "{} deliveries were replayed", report.replayed);
        let each = self.deliveries / 2 / self.actors as u64;
        ensure!(first == each + 1, "a counter has counted {first} messages, not {}", each + 1);
        let figures = Figures::default()
            .with("serving_seconds", serving)
            .with("replayed_per_second", report.replayed as f64 / serving)
            .with("open_peak_bytes", peak_bytes()?);
        runtime.shutdown().await?;
        Ok(figures)
    }
}

/// Tells one pair of actors.
async fn tell(relay: ActorRef<Relay>, counter: Relive, each: u64, outside: bool) -> Result<()> {
    for number in 0..each {
        if outside {
            let _receipt = relay.tell(Numbers::of(number)).await.map_err(|refused| refused.reason)?;
            counter.tell(0, Numbers::of(number)).await?;
        } else {
            let _receipt =
                relay.tell(Forward(Numbers::of(number))).await.map_err(|refused| refused.reason)?;
        }
    }
    Ok(())
}
