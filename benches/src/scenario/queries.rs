//! How long clients wait for the answer to a query, which nothing is logged for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::asks::ask_for;
use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::load::{Queried, Relive, Tier, ask_all};

/// Queries of 128 bytes: each client queries one actor after the other, and waits for each answer.
#[derive(Args)]
pub(crate) struct Queries {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 1024)]
    actors: usize,
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How long is measured, after a fifth of it that is not counted.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

impl Queries {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(async {
            let directory = data.temporary()?;
            let store = directory.path().join("store");
            let runtime = Relive::answering(self.tier).open(store).await?;
            let peer = Arc::new(Relive::of(&runtime, self.actors)?);
            ask_all(&peer).await?;
            let queried = Arc::new(Queried(peer));
            let latencies = ask_for(&queried, self.clients, Duration::from_secs_f64(self.seconds)).await?;
            runtime.shutdown().await?;
            let rate = latencies.count() as f64 / self.seconds;
            let figures = latencies.figures().with("queries_per_second", rate);
            Ok(figures.with("clients", self.clients as f64))
        })
    }
}
