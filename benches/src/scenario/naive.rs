//! What is written by hand around sled: one insert and one flush a message.

use std::fs::OpenOptions;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use super::Data;
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::load::MESSAGE_BYTES;
use crate::noise::Noise;

/// Inserts messages of 128 bytes into sled, one after the other, with a flush after each.
#[derive(Args)]
pub(crate) struct Naive {
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Syncs sled's file after each flush, which the flush of sled 0.34 does not: without it a
    /// message may be lost with the power.
    #[arg(long)]
    sync: bool,
}

impl Naive {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        let path = directory.path().join("sled");
        let db = sled::Config::new().path(&path).flush_every_ms(None).open()?;
        db.flush()?;
        let file = OpenOptions::new().write(true).open(path.join("db")).context("sled's file")?;
        let noise = Noise::new(MESSAGE_BYTES);
        let mut latencies = Latencies::new()?;
        let (began, time) = (Instant::now(), Duration::from_secs_f64(self.seconds));
        let mut number = 0_u64;
        while began.elapsed() < time {
            let commit = Instant::now();
            db.insert(number.to_be_bytes(), noise.block(number, MESSAGE_BYTES))?;
            db.flush()?;
            if self.sync {
                file.sync_data()?;
            }
            latencies.record(commit.elapsed())?;
            number += 1;
        }
        let rate = number as f64 / began.elapsed().as_secs_f64();
        Ok(latencies.figures().with("messages_per_second", rate))
    }
}
