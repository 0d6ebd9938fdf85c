//! How long an opening takes that has everything to replay. One process writes and ends without a word, the next one opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use relive::{Builder, CheckpointPolicy};

use super::{Data, on_tokio, print};
use crate::child::Child;
use crate::figures::Figures;
use crate::load::{Numbers, Peer, Relive, Tier, ask_all, burst};
use crate::memory::peak_bytes;

/// Writes deliveries of which no checkpoint is ever taken, and opens the store again.
#[derive(Args)]
pub(crate) struct Replay {
    /// Which process this is; `all` starts the two others.
    #[arg(long, value_enum, default_value_t = Step::All)]
    step: Step,
    /// The store between the two steps.
    #[arg(long, required_if_eq_any([("step", "write"), ("step", "open")]))]
    store: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 1024)]
    actors: usize,
    /// Deliveries in all.
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: u64,
    #[arg(long, default_value_t = 8)]
    senders: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    All,
    Write,
    Open,
}

/// How long each step may take.
const STEP_LIMIT: Duration = Duration::from_secs(300);

impl Replay {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        match (self.step, &self.store) {
            (Step::All, _) => {
                let directory = data.temporary()?;
                let store = self.store.clone().unwrap_or_else(|| directory.path().join("store"));
                let written = self.child("write", &store)?;
                Ok(written.and(self.child("open", &store)?))
            }
            (Step::Write, Some(store)) => on_tokio(self.write(store)),
            (Step::Open, Some(store)) => on_tokio(self.open(store)),
            (_, None) => anyhow::bail!("a step alone needs a store"),
        }
    }

    fn child(&self, step: &str, store: &Path) -> Result<Figures> {
        let tier = self.tier.to_possible_value().context("the tier has a name")?;
        let arguments = [
            "replay".to_owned(),
            format!("--step={step}"),
            format!("--store={}", store.display()),
            format!("--tier={}", tier.get_name()),
            format!("--actors={}", self.actors),
            format!("--deliveries={}", self.deliveries),
            format!("--senders={}", self.senders),
        ];
        Child::start(&arguments, None)?.figures(STEP_LIMIT)
    }

    /// Everything stays in the log, whatever its length.
    fn builder(&self) -> Builder {
        let never = CheckpointPolicy::default().records(u64::MAX).bytes(u64::MAX).age(Duration::MAX);
        Relive::builder(self.tier).checkpoints(never).log_bytes(1 << 40)
    }

    /// Writes, and ends the process as a crash would, but with all that was written handled.
    async fn write(&self, store: &Path) -> Result<Figures> {
        let runtime = self.builder().open(store).await?;
        let peer = Arc::new(Relive::of(&runtime, self.actors)?);
        // Each actor is asked three times: to begin with, and at the end of both bursts.
        let tells = self.deliveries.checked_sub(3 * self.actors as u64).context("too few deliveries")?;
        let warm_up = tells / 10;
        let asked = ask_all(&peer).await?;
        let handled = asked + burst(&peer, warm_up, self.senders, asked).await?.handled;
        let burst = burst(&peer, tells - warm_up, self.senders, handled).await?;
        let stats = runtime.stats();
        ensure!(stats.deliveries == self.deliveries, "{} deliveries were logged", stats.deliveries);
        ensure!(stats.checkpoints == 0, "{} checkpoints were taken", stats.checkpoints);
        let figures = Figures::default()
            .with("live_per_second", burst.rate())
            .with("logged_bytes", stats.bytes as f64)
            .with("write_peak_bytes", peak_bytes()?);
        print(&figures)?;
        std::process::exit(0)
    }

    /// Opens, and looks whether all is there.
    async fn open(&self, store: &Path) -> Result<Figures> {
        let began = Instant::now();
        let runtime = self.builder().open(store).await?;
        let opened = began.elapsed();
        let peer = Arc::new(Relive::of(&runtime, self.actors)?);
        peer.ask(0, Numbers::of(0)).await?;
        let serving = began.elapsed().as_secs_f64();
        let report = runtime.recovery().clone();
        ensure!(report.replayed == self.deliveries, "{} deliveries were replayed", report.replayed);
        let found = ask_all(&peer).await?;
        let expected = self.deliveries + 1 + self.actors as u64;
        ensure!(found == expected, "the actors have counted {found} messages, not {expected}");
        let figures = Figures::default()
            .with("open_seconds", opened.as_secs_f64())
            .with("serving_seconds", serving)
            .with("replayed", report.replayed as f64)
            .with("replayed_per_second", report.replayed as f64 / serving)
            .with("open_peak_bytes", peak_bytes()?);
        runtime.shutdown().await?;
        Ok(figures)
    }
}
