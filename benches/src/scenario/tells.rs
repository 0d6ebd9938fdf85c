//! How many tells are handled a second, by relive or by kameo.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use relive::Stats;

use super::{Data, Engine, on_tokio};
use crate::disk::Written;
use crate::figures::Figures;
use crate::load::{Burst, Kameo, MESSAGE_BYTES, Peer, Relive, Tier, ask_all, burst};

/// Tells of 128 bytes to many actors from several tasks, until each actor has handled everything.
#[derive(Args)]
pub(crate) struct Tells {
    #[arg(long, value_enum, default_value_t = Engine::Relive)]
    engine: Engine,
    /// What the store survives; of no meaning for kameo.
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 1024)]
    actors: usize,
    /// Tells that are counted.
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Tells before, which are not counted; a tenth of the messages when not given.
    #[arg(long)]
    warm_up: Option<u64>,
    /// Tasks that send.
    #[arg(long, default_value_t = 8)]
    senders: usize,
}

impl Tells {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(async {
            match self.engine {
                Engine::Relive => self.relive(data).await,
                Engine::Kameo => Ok(told(&self.bursts(&Arc::new(Kameo::start(self.actors))).await?)),
            }
        })
    }

    async fn relive(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        let (runtime, peer) = Relive::open(self.tier, &directory.path().join("store"), self.actors).await?;
        let peer = Arc::new(peer);
        let handled = self.warm_up(&peer).await?;
        let (before, written) = (runtime.stats(), Written::so_far(directory.path()));
        let burst = burst(&peer, self.messages, self.senders, handled).await?;
        let written = written.since(directory.path());
        let figures = told(&burst).and(logged(&before, &runtime.stats())).and(written);
        let figures = figures.with("log_kept_bytes", runtime.log_bytes() as f64);
        runtime.shutdown().await?;
        Ok(figures)
    }

    async fn bursts(&self, peer: &Arc<impl Peer>) -> Result<Burst> {
        let handled = self.warm_up(peer).await?;
        burst(peer, self.messages, self.senders, handled).await
    }

    /// Gives how many messages were handled.
    async fn warm_up(&self, peer: &Arc<impl Peer>) -> Result<u64> {
        // Every actor is in memory before anything is timed.
        let asked = ask_all(peer).await?;
        let tells = self.warm_up.unwrap_or(self.messages / 10);
        Ok(asked + burst(peer, tells, self.senders, asked).await?.handled)
    }
}

fn told(burst: &Burst) -> Figures {
    Figures::default()
        .with("messages_per_second", burst.rate())
        .with("messages", burst.handled as f64)
        .with("seconds", burst.took.as_secs_f64())
        .with("accepted_seconds", burst.accepted.as_secs_f64())
}

/// What a runtime logged between two looks at its counts.
pub(crate) fn logged(before: &Stats, after: &Stats) -> Figures {
    let deliveries = (after.deliveries - before.deliveries) as f64;
    let (bytes, commits) = ((after.bytes - before.bytes) as f64, (after.commits - before.commits) as f64);
    let commit_time = (after.commit_time - before.commit_time).as_secs_f64();
    Figures::default()
        .with("deliveries", deliveries)
        .with("records", (after.records - before.records) as f64)
        .with("logged_bytes", bytes)
        .with("commits", commits)
        .with("commit_bytes", bytes / commits)
        .with("commit_us", commit_time * 1e6 / commits)
        .with("overhead_bytes", bytes / deliveries - MESSAGE_BYTES as f64)
        .with("checkpoints", (after.checkpoints - before.checkpoints) as f64)
}
