//! Whether throughput and disk use stay as they are while many times the log's budget is logged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use relive::Runtime;
use tokio::task::JoinSet;

use super::{Data, on_tokio};
use crate::disk::{Written, allocated_bytes};
use crate::figures::Figures;
use crate::load::{Relive, Tier, ask_all, tell_until};
use crate::memory::peak_bytes;

/// Tells until so many bytes are logged, with checkpoints and cuts as the library makes them by
/// itself.
#[derive(Args)]
pub(crate) struct Churn {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 10.0)]
    gigabytes: f64,
    /// The budget of the log; the default is that of the library.
    #[arg(long, default_value_t = 256 << 20)]
    log_bytes: u64,
    #[arg(long, default_value_t = 1024)]
    actors: usize,
    #[arg(long, default_value_t = 8)]
    senders: usize,
}

const GIGABYTE: f64 = 1e9;

/// How often the disk is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

impl Churn {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.measure(data))
    }

    async fn measure(&self, data: &Data) -> Result<Figures> {
        ensure!(self.gigabytes >= 2.0, "the first gigabyte and the last one are compared: log at least 2");
        let directory = data.temporary()?;
        let store = directory.path().join("store");
        let runtime = Relive::builder(self.tier).log_bytes(self.log_bytes).open(&store).await?;
        let peer = Arc::new(Relive::of(&runtime, self.actors)?);
        let asked = ask_all(&peer).await?;
        let written = Written::so_far(&store);

        let ended = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for sender in 0..self.senders {
            senders.spawn(tell_until(Arc::clone(&ended), Arc::clone(&peer), sender, self.senders));
        }
        let samples = self.watch(&runtime, &store).await;
        ended.store(true, Ordering::Relaxed);
        let mut told = 0;
        while let Some(sender) = senders.join_next().await {
            told += sender.context("a sender ended early")??;
        }
        let samples = samples?;
        let counted = ask_all(&peer).await?;
        let sent = asked + told + self.actors as u64;
        ensure!(counted == sent, "{counted} messages were handled, {sent} were sent");
        let stats = runtime.stats();
        let figures = self.judged(&samples)?.and(written.since(&store));
        let figures = figures.with("checkpoints", stats.checkpoints as f64);
        runtime.shutdown().await?;
        Ok(figures.with("logged_bytes", stats.bytes as f64).with("peak_bytes", peak_bytes()?))
    }

    /// Looks at what is logged, and what the disk holds, until enough is logged.
    async fn watch(&self, runtime: &Runtime, store: &Path) -> Result<Vec<Sample>> {
        let began = Instant::now();
        let mut samples = Vec::new();
        loop {
            let sample = Sample {
                seconds: began.elapsed().as_secs_f64(),
                logged: runtime.stats().bytes as f64,
                disk: allocated_bytes(store)? as f64,
                log: runtime.log_bytes() as f64,
            };
            samples.push(sample);
            if sample.logged >= self.gigabytes * GIGABYTE {
                return Ok(samples);
            }
            if let Some(error) = runtime.failed() {
                return Err(error.into());
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn judged(&self, samples: &[Sample]) -> Result<Figures> {
        let all = self.gigabytes * GIGABYTE;
        let second_half = samples.iter().filter(|sample| sample.logged >= all / 2.0);
        let most = |of: fn(&Sample) -> f64| second_half.clone().map(of).fold(0.0, f64::max);
        let (disk, log) = (most(|sample| sample.disk), most(|sample| sample.log));
        Ok(Figures::default()
            .with("first_bytes_per_second", rate(samples, 0.0, GIGABYTE)?)
            .with("last_bytes_per_second", rate(samples, all - GIGABYTE, all)?)
            .with("bytes_per_second", rate(samples, 0.0, all)?)
            .with("disk_bytes", disk)
            .with("log_kept_bytes", log)
            .with("budget_bytes", self.log_bytes as f64)
            .with("disk_per_budget", disk / self.log_bytes as f64))
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    logged: f64,
    disk: f64,
    log: f64,
}

/// Bytes logged a second, between the moments at which so much was logged.
fn rate(samples: &[Sample], from: f64, to: f64) -> Result<f64> {
    let at =
        |logged: f64| samples.iter().find(|sample| sample.logged >= logged).context("not so much was logged");
    let (first, last) = (at(from)?, at(to)?);
    Ok((last.logged - first.logged) / (last.seconds - first.seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_a_part() {
        let sample = |seconds, logged| Sample { seconds, logged, disk: 0.0, log: 0.0 };
        let samples = [sample(0.0, 0.0), sample(1.0, 10.0), sample(2.0, 20.0), sample(4.0, 30.0)];
        assert_eq!(rate(&samples, 0.0, 10.0).unwrap(), 10.0);
        assert_eq!(rate(&samples, 20.0, 30.0).unwrap(), 5.0);
        assert!(rate(&samples, 20.0, 31.0).is_err());
    }
}
