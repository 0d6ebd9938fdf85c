//! How large the log gets with many actors and a fast sender, while other processes take the
//! processors.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::task::JoinSet;

use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::load::{Relive, Tier, ask_all, tell_until};
use crate::memory::peak_bytes;

/// Tells many actors in turn for some time.
#[derive(Args)]
pub(crate) struct Crowd {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    #[arg(long, default_value_t = 16 << 20)]
    log_bytes: u64,
    #[arg(long, default_value_t = 5000)]
    actors: usize,
    #[arg(long, default_value_t = 1)]
    senders: usize,
    /// How many processes spin beside it.
    #[arg(long, default_value_t = 6)]
    spinning: usize,
}

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process that does nothing as fast as it can, until it is dropped.
struct Spinning(Child);

impl Spinning {
    fn start() -> Result<Self> {
        let spin = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Ok(Self(spin.context("can't start a process that spins")?))
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Crowd {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.measure(data))
    }

    async fn measure(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        let store = directory.path().join("store");
        let runtime = Relive::builder(self.tier).log_bytes(self.log_bytes).open(&store).await?;
        let peer = Arc::new(Relive::of(&runtime, self.actors)?);
        let asked = ask_all(&peer).await?;

        let spinning = (0..self.spinning).map(|_| Spinning::start()).collect::<Result<Vec<_>>>()?;
        let ended = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for sender in 0..self.senders {
            senders.spawn(tell_until(Arc::clone(&ended), Arc::clone(&peer), sender, self.senders));
        }
        let (began, mut peak) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(self.seconds) {
            peak = peak.max(runtime.log_bytes());
            if let Some(error) = runtime.failed() {
                return Err(error.into());
            }
            tokio::time::sleep(INTERVAL).await;
        }
        ended.store(true, Ordering::Relaxed);
        let mut told = 0;
        while let Some(sender) = senders.join_next().await {
            told += sender.context("a sender ended early")??;
        }
        drop(spinning);
        let counted = ask_all(&peer).await?;
        let sent = asked + told + self.actors as u64;
        ensure!(counted == sent, "{counted} messages were handled, {sent} were sent");
        let stats = runtime.stats();
        runtime.shutdown().await?;
        Ok(Figures::default()
            .with("per_second", told as f64 / self.seconds as f64)
            .with("log_peak_bytes", peak as f64)
            .with("log_peak_per_budget", peak as f64 / self.log_bytes as f64)
            .with("logged_bytes", stats.bytes as f64)
            .with("checkpoints", stats.checkpoints as f64)
            .with("peak_bytes", peak_bytes()?))
    }
}
