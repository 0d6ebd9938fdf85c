//! What memory an actor takes that is active and has nothing to do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::load::{Relive, Tier, ask_all};
use crate::memory::resident_bytes;

/// Asks many actors once each, and looks how the memory has grown.
#[derive(Args)]
pub(crate) struct Idle {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 100_000)]
    actors: usize,
    /// How many actors are asked at the same time.
    #[arg(long, default_value_t = 1024)]
    at_once: usize,
}

impl Idle {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.measure(data))
    }

    async fn measure(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        // Nobody goes passive meanwhile.
        let builder = Relive::builder(self.tier).passivate_after(Duration::from_secs(3600));
        let runtime = builder.open(directory.path().join("store")).await?;
        // As many asks as later, to few actors: afterwards the caches of the store are as full as
        // they get by that.
        let few = Arc::new(Relive::of(&runtime, self.at_once)?);
        for _ in 0..self.actors.div_ceil(self.at_once) {
            ask_all(&few).await?;
        }
        let before = settled().await?;
        for begin in (self.at_once..self.at_once + self.actors).step_by(self.at_once) {
            let end = (begin + self.at_once).min(self.at_once + self.actors);
            ask_all(&Arc::new(Relive::range(&runtime, begin..end)?)).await?;
        }
        let after = settled().await?;
        let active = runtime.actors_in_memory();
        ensure!(active == self.at_once + self.actors, "{active} actors are in memory");
        let figures = Figures::default()
            .with("actors", self.actors as f64)
            .with("before_bytes", before)
            .with("after_bytes", after)
            .with("bytes_per_actor", (after - before) / self.actors as f64);
        runtime.shutdown().await?;
        Ok(figures)
    }
}

/// The memory in use, when what was under way has come to an end.
async fn settled() -> Result<f64> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    resident_bytes()
}
