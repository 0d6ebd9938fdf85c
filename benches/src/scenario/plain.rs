//! The limit of the disk: a plain file that grows, one write and one `fdatasync` a commit.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use super::Data;
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::noise::Noise;

/// Appends blocks to a new file, each with one write and one `fdatasync`.
#[derive(Args)]
pub(crate) struct Plain {
    /// Bytes a block.
    #[arg(long, default_value_t = 4096)]
    block: usize,
    /// Blocks that are counted; as many as there is time for when not given.
    #[arg(long)]
    blocks: Option<u64>,
    /// How long is measured when the blocks are not given.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The part of blocks or seconds that comes before, and is not counted.
    #[arg(long, default_value_t = 0.1)]
    warm_up: f64,
}

impl Plain {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        ensure!(
            self.block > 0 && self.warm_up >= 0.0,
            "a block has bytes, and a warm-up is no less than nothing"
        );
        let directory = data.temporary()?;
        let mut file = File::create(directory.path().join("plain"))?;
        let noise = Noise::new(self.block);
        self.write(&mut file, &noise, self.warm_up)?;
        let began = Instant::now();
        let latencies = self.write(&mut file, &noise, 1.0)?;
        let seconds = began.elapsed().as_secs_f64();
        let blocks = latencies.count() as f64;
        Ok(latencies
            .figures()
            .with("seconds", seconds)
            .with("blocks_per_second", blocks / seconds)
            .with("bytes_per_second", blocks * self.block as f64 / seconds))
    }

    /// Writes a part of what is to be written.
    fn write(&self, file: &mut File, noise: &Noise, part: f64) -> Result<Latencies> {
        let mut latencies = Latencies::new()?;
        let (time, began) = (Duration::from_secs_f64(self.seconds * part), Instant::now());
        let blocks = self.blocks.map(|blocks| blocks as f64 * part);
        let mut written = 0_u32;
        let more = |written: u32| match blocks {
            Some(blocks) => f64::from(written) < blocks,
            None => began.elapsed() < time,
        };
        while more(written) {
            let commit = Instant::now();
            file.write_all(noise.block(u64::from(written), self.block))?;
            file.sync_data()?;
            latencies.record(commit.elapsed())?;
            written += 1;
        }
        Ok(latencies)
    }
}
