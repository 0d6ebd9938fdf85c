//! What it takes to open a store with very many actors of which none has anything to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use tokio::task::JoinSet;

use super::{Data, on_tokio};
use crate::child::Child;
use crate::disk::allocated_bytes;
use crate::figures::Figures;
use crate::load::{Numbers, Peer, Relive, Tier, ask_all, set_timers};
use crate::memory::{peak_bytes, resident_bytes};

/// Makes a store of many passive actors, and opens it.
#[derive(Args)]
pub(crate) struct Passive {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    /// Which process this is; `all` starts the two others.
    #[arg(long, value_enum, default_value_t = Step::All)]
    step: Step,
    /// The store between the two steps.
    #[arg(long, required_if_eq_any([("step", "make"), ("step", "open")]))]
    store: Option<PathBuf>,
    #[arg(long, default_value_t = 1_000_000)]
    actors: usize,
    /// How many actors are told and checkpointed at the same time, while the store is made.
    #[arg(long, default_value_t = 8192)]
    at_once: usize,
    /// The budget of the log while the store is made. A small one has the log cut, so that nothing
    /// of it is left. Under a large one each actor needs log for its older checkpoint.
    #[arg(long, default_value_t = 16 << 20)]
    log_bytes: u64,
    /// Each actor has a timer, which is due after the measurement.
    #[arg(long)]
    timers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    All,
    Make,
    Open,
}

/// How long each step may take.
const STEP_LIMIT: Duration = Duration::from_secs(1800);

impl Passive {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        match (self.step, &self.store) {
            (Step::All, _) => {
                let directory = data.temporary()?;
                let store = self.store.clone().unwrap_or_else(|| directory.path().join("store"));
                let made = self.child("make", &store)?;
                Ok(made.and(self.child("open", &store)?))
            }
            (Step::Make, Some(store)) => on_tokio(self.make(store)),
            (Step::Open, Some(store)) => on_tokio(self.open(store)),
            (_, None) => anyhow::bail!("a step alone needs a store"),
        }
    }

    fn child(&self, step: &str, store: &Path) -> Result<Figures> {
        let mut arguments = vec![
            "passive".to_owned(),
            format!("--step={step}"),
            format!("--store={}", store.display()),
            format!("--tier={}", self.tier.to_possible_value().context("the tier has a name")?.get_name()),
            format!("--actors={}", self.actors),
            format!("--at-once={}", self.at_once),
            format!("--log-bytes={}", self.log_bytes),
        ];
        if self.timers {
            arguments.push("--timers".to_owned());
        }
        Child::start(&arguments, None)?.figures(STEP_LIMIT)
    }

    /// Asks each actor once and has it checkpointed, so that nothing of it is needed from the log.
    async fn make(&self, store: &Path) -> Result<Figures> {
        let began = Instant::now();
        let builder = Relive::builder(self.tier);
        let runtime =
            builder.log_bytes(self.log_bytes).passivate_after(Duration::from_secs(1)).open(store).await?;
        for begin in (0..self.actors).step_by(self.at_once) {
            let end = (begin + self.at_once).min(self.actors);
            let actors = Arc::new(Relive::range(&runtime, begin..end)?);
            ask_all(&actors).await?;
            if self.timers {
                set_timers(&actors, |number| {
                    // A day later, and in no order.
                    let after = 86_400_000_000 + (begin + number) as u64 * 7_919 % 1_000_000_007;
                    runtime.now().plus(Duration::from_micros(after))
                })
                .await?;
            }
            let mut checkpoints = JoinSet::new();
            for number in 0..actors.actors() {
                let actor = actors.actor(number).clone();
                checkpoints.spawn(async move { actor.checkpoint().await });
            }
            while let Some(ended) = checkpoints.join_next().await {
                ended.context("a checkpoint ended early")??;
            }
        }
        while runtime.actors_in_memory() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        runtime.cut_log().await?;
        let (stats, log) = (runtime.stats(), runtime.log_bytes());
        runtime.shutdown().await?;
        Ok(Figures::default()
            .with("make_seconds", began.elapsed().as_secs_f64())
            .with("checkpoints", stats.checkpoints as f64)
            .with("log_kept_bytes", log as f64)
            .with("store_bytes", allocated_bytes(store)? as f64)
            .with("make_peak_bytes", peak_bytes()?))
    }

    /// Opens, and asks a few whether they are as they were.
    async fn open(&self, store: &Path) -> Result<Figures> {
        let began = Instant::now();
        let runtime = Relive::builder(self.tier).open(store).await?;
        let opened = began.elapsed();
        let active = runtime.actors_in_memory();
        let peer = Relive::of(&runtime, self.actors.min(1000))?;
        let count = peer.ask(0, Numbers::of(0)).await?;
        let (serving, peak, resident) = (began.elapsed(), peak_bytes()?, resident_bytes()?);
        ensure!(count == 2, "an actor has counted {count} messages, not 2");
        for actor in 1..peer.actors() {
            let count = peer.ask(actor, Numbers::of(0)).await?;
            ensure!(count == 2, "an actor has counted {count} messages, not 2");
        }
        let figures = Figures::default()
            .with("open_seconds", opened.as_secs_f64())
            .with("serving_seconds", serving.as_secs_f64())
            .with("active_at_open", active as f64)
            .with("open_peak_bytes", peak)
            .with("open_resident_bytes", resident);
        runtime.shutdown().await?;
        Ok(figures)
    }
}
