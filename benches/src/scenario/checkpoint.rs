//! Whether the checkpoint of a large actor keeps those waiting who ask others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use relive::{Actor, ActorRef, Context, Handle, Message};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::asks::ask_for;
use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::load::{Relive, Tier, ask_all};
use crate::noise::Noise;

/// Asks while nothing else is done, then while a large actor is checkpointed again and again.
#[derive(Args)]
pub(crate) struct CheckpointBeside {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    /// Bytes of the large actor's state.
    #[arg(long, default_value_t = 10 << 20)]
    state: usize,
    /// Actors that are asked.
    #[arg(long, default_value_t = 1024)]
    actors: usize,
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// How long is asked without, and then with, checkpoints.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// The pause between two checkpoints.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
}

impl CheckpointBeside {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.measure(data))
    }

    async fn measure(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        let builder = Relive::builder(self.tier).actor::<Large>(|large| large.handles::<Grow>());
        let runtime = builder.open(directory.path().join("store")).await?;
        let peer = Arc::new(Relive::of(&runtime, self.actors)?);
        let large = runtime.actor::<Large>("large")?;
        ask_all(&peer).await?;
        large.ask(Grow(self.state)).await.map_err(|_| anyhow::anyhow!("the large actor does not answer"))?;
        large.checkpoint().await?;

        let time = Duration::from_secs_f64(self.seconds);
        let without = ask_for(&peer, self.clients, time).await?;
        let ended = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_millis(self.pause_ms);
        let checkpoints = tokio::spawn(checkpoint_until(Arc::clone(&ended), large, self.state, pause));
        let with = ask_for(&peer, self.clients, time).await?;
        ended.store(true, Ordering::Relaxed);
        let checkpoints = checkpoints.await.context("the checkpoints ended early")??;
        runtime.shutdown().await?;
        Ok(without
            .figures_of("without_")
            .and(with.figures_of("with_"))
            .and(checkpoints.figures_of("checkpoint_"))
            .with("clients", self.clients as f64))
    }
}

/// Takes checkpoints one after the other, each of a state that has changed; gives how long each
/// took.
async fn checkpoint_until(
    ended: Arc<AtomicBool>,
    large: ActorRef<Large>,
    bytes: usize,
    pause: Duration,
) -> Result<Latencies> {
    let mut took = Latencies::new()?;
    while !ended.load(Ordering::Relaxed) {
        large.ask(Grow(bytes)).await.map_err(|_| anyhow::anyhow!("the large actor does not answer"))?;
        let began = Instant::now();
        large.checkpoint().await?;
        took.record(began.elapsed())?;
        tokio::time::sleep(pause).await;
    }
    Ok(took)
}

/// An actor whose state is mostly one large piece.
#[derive(Serialize, Deserialize)]
struct Large {
    grown: u64,
    bytes: Bytes,
}

impl Actor for Large {
    const KIND: &'static str = "large";

    fn create(_key: &str) -> Self {
        Self { grown: 0, bytes: Bytes(Vec::new()) }
    }
}

/// Says how large the state is to be. When it is so large, a little of it changes.
#[derive(Serialize, Deserialize)]
struct Grow(usize);

impl Message for Grow {
    const NAME: &'static str = "grow";
    type Reply = ();
}

impl Handle<Grow> for Large {
    async fn handle(&mut self, message: Grow, _cx: &mut Context<'_>) {
        self.grown += 1;
        if self.bytes.0.len() != message.0 {
            self.bytes.0 = Noise::new(message.0).block(0, message.0).to_vec();
        }
        if let Some(first) = self.bytes.0.first_mut() {
            *first = self.grown.to_le_bytes()[0];
        }
    }
}

/// Bytes as MessagePack's binary type.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw;
        impl serde::de::Visitor<'_> for Raw {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Raw)
    }
}
