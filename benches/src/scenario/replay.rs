//! How long an opening takes that has everything to replay. One process writes and ends without a
//! word, the next one opens.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use relive::{Builder, CheckpointPolicy};

use super::reopening::Reopening;
use super::{Data, print};
use crate::figures::Figures;
use crate::load::{Numbers, Peer, Relive, Tier, ask_all, burst};
use crate::memory::peak_bytes;

/// Writes deliveries of which no checkpoint is ever taken, and opens the store again.
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    reopening: Reopening,
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

impl Replay {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        let tier = self.tier.to_possible_value().context("the tier has a name")?;
        let options = [
            format!("--tier={}", tier.get_name()),
            format!("--actors={}", self.actors),
            format!("--deliveries={}", self.deliveries),
            format!("--senders={}", self.senders),
        ];
        let (write, open) =
            (async |store: &Path| self.write(store).await, async |store: &Path| self.open(store).await);
        self.reopening.run(data, "replay", &options, write, open)
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
