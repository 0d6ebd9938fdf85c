//! How long clients wait for an answer, and how many answers there are a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio::task::JoinSet;

use super::tells::logged;
use super::{Data, Engine, on_tokio};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::load::{Kameo, Numbers, Peer, Relive, Tier, ask_all};

/// Asks of 128 bytes: each client asks one actor after the other, and waits for each answer.
#[derive(Args)]
pub(crate) struct Asks {
    #[arg(long, value_enum, default_value_t = Engine::Relive)]
    engine: Engine,
    /// What the store survives; of no meaning for kameo.
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

impl Asks {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(async {
            match self.engine {
                Engine::Relive => self.relive(data).await,
                Engine::Kameo => self.answered(
                    &ask_for(&Arc::new(Kameo::start(self.actors)), self.clients, self.time()).await?,
                ),
            }
        })
    }

    async fn relive(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        let (runtime, peer) = Relive::open(self.tier, &directory.path().join("store"), self.actors).await?;
        let peer = Arc::new(peer);
        ask_all(&peer).await?;
        let before = runtime.stats();
        let asked = ask_for(&peer, self.clients, self.time()).await?;
        let figures = self.answered(&asked)?.and(logged(&before, &runtime.stats()));
        runtime.shutdown().await?;
        Ok(figures)
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn answered(&self, latencies: &Latencies) -> Result<Figures> {
        let rate = latencies.count() as f64 / self.seconds;
        Ok(latencies.figures().with("asks_per_second", rate).with("clients", self.clients as f64))
    }
}

/// Lets clients ask for some time; gives how long each answer took, without a warm-up of a fifth of
/// the time.
pub(crate) async fn ask_for<P: Peer>(peer: &Arc<P>, clients: usize, time: Duration) -> Result<Latencies> {
    let from = Instant::now() + time / 5;
    let until = from + time;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let peer = Arc::clone(peer);
        tasks.spawn(async move {
            let mut latencies = Latencies::new()?;
            let mut actor = client % peer.actors();
            loop {
                let asked = Instant::now();
                peer.ask(actor, Numbers::of(client as u64)).await?;
                let answered = Instant::now();
                if answered >= until {
                    return Ok::<_, anyhow::Error>(latencies);
                }
                // Answers are counted that come within the time.
                if answered >= from {
                    latencies.record(answered - asked)?;
                }
                actor = (actor + clients) % peer.actors();
            }
        });
    }
    let mut all = Latencies::new()?;
    while let Some(ended) = tasks.join_next().await {
        all.add(&ended.context("a client ended early")??)?;
    }
    Ok(all)
}
