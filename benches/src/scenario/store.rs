//! The store alone: the same blocks, made before they are timed, written to the store on sled or to
//! a plain file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use relive_storage::record::Sender;
use relive_storage::{
    ActorId, Block, BlockHeader, Epoch, FrameWriter, LayeredStore, Log, Lsn, MediumKind, Name, Rsn,
    StoreOptions, Timestamp, scan,
};
use relive_storage_sled::open_store;

use super::Data;
use crate::disk::Written;
use crate::figures::Figures;
use crate::latency::Latencies;
use crate::noise::Noise;

/// How many bytes of blocks are made at a time, outside of what is timed.
const BATCH_BYTES: usize = 64 << 20;

/// The payload of each delivery in a block, with what stands before it.
const DELIVERY_BYTES: usize = 16 << 10;

/// How many bytes of log are cut in one step.
const CUT_BYTES: u64 = 16 << 20;

/// Appends blocks of one size and makes each durable, from an empty directory on.
#[derive(Args)]
pub(crate) struct StoreAlone {
    #[arg(long, value_enum, default_value_t = Into::Sled)]
    into: Into,
    /// Bytes a block, nearly.
    #[arg(long, default_value_t = 256 << 10)]
    block: usize,
    /// Bytes in all.
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
    /// Bytes of log that the store keeps, at least; a plain file keeps everything.
    #[arg(long, default_value_t = 64 << 20)]
    window: u64,
}

/// Where blocks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Into {
    Sled,
    SegmentFiles,
    File,
}

impl StoreAlone {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        ensure!(self.block >= DELIVERY_BYTES, "a block has at least {DELIVERY_BYTES} bytes");
        let directory = data.temporary()?;
        let path = directory.path();
        let written = Written::so_far(path);
        let timed = match self.into {
            Into::Sled => self.write(&mut Window::open(path, MediumKind::Sled, self.window)?)?,
            Into::SegmentFiles => {
                self.write(&mut Window::open(path, MediumKind::SegmentFiles, self.window)?)?
            }
            Into::File => self.write(&mut Growing(File::create(path.join("plain"))?))?,
        };
        Ok(timed.figures().and(written.since(path)))
    }

    fn write(&self, target: &mut impl Target) -> Result<Timed> {
        let noise = Noise::new(self.block);
        let mut timed = Timed { bytes: 0, took: Duration::ZERO, latencies: Latencies::new()? };
        let mut next = target.next()?;
        while timed.bytes < self.bytes {
            let mut batch = Vec::new();
            let left = usize::try_from(self.bytes - timed.bytes).unwrap_or(usize::MAX);
            for _ in 0..BATCH_BYTES.min(left).div_ceil(self.block) {
                let block = block_at(next, self.block, &noise);
                next = block.header().next();
                batch.push(block);
            }
            let began = Instant::now();
            for block in &batch {
                let commit = Instant::now();
                target.commit(block)?;
                timed.latencies.record(commit.elapsed())?;
                timed.bytes += block.bytes().len() as u64;
            }
            timed.took += began.elapsed();
        }
        Ok(timed)
    }
}

/// A block of about so many bytes, all of it deliveries to one actor.
fn block_at(first: Lsn, bytes: usize, noise: &Noise) -> Block {
    let actor = ActorId::new("counter", "1").expect("it breaks no rule");
    let message = Name::from_static("numbers");
    let mut buffer = Vec::with_capacity(bytes);
    Block::reserve_header(&mut buffer);
    let mut writer = FrameWriter::new();
    let mut records = 0_u32;
    // An estimate of what stands beside a payload is enough: what is counted is the length of the
    // block.
    let payload = DELIVERY_BYTES - 64;
    for number in 0..bytes / DELIVERY_BYTES {
        let rsn = Rsn::new(first.get() + 1 + number as u64);
        writer.put_delivery(rsn, &Sender::Outside, false, &message, noise.block(rsn.get(), payload));
        writer.finish(Some(&actor), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
        records += 1;
    }
    let (epoch, clock) = (Epoch::new(1), Timestamp::from_micros(1));
    Block::seal(BlockHeader { first, records, durable: first, epoch, clock, seed: first.get() }, buffer)
}

struct Timed {
    bytes: u64,
    took: Duration,
    latencies: Latencies,
}

impl Timed {
    fn figures(&self) -> Figures {
        let seconds = self.took.as_secs_f64();
        self.latencies
            .figures()
            .with("bytes", self.bytes as f64)
            .with("seconds", seconds)
            .with("bytes_per_second", self.bytes as f64 / seconds)
    }
}

/// What blocks are written to.
trait Target {
    /// Where the first block begins.
    fn next(&self) -> Result<Lsn>;
    /// Writes a block; it is durable afterwards.
    fn commit(&mut self, block: &Block) -> Result<()>;
}

/// A plain file that grows: one write, one `fdatasync`.
struct Growing(File);

impl Target for Growing {
    fn next(&self) -> Result<Lsn> {
        Ok(Lsn::FIRST)
    }

    fn commit(&mut self, block: &Block) -> Result<()> {
        self.0.write_all(block.bytes())?;
        Ok(self.0.sync_data()?)
    }
}

/// The store, of which a window of the newest blocks is kept. The cuts are a part of what is timed.
struct Window {
    store: LayeredStore,
    bytes: u64,
    /// Where each block that is kept ends, and its length.
    uncut: VecDeque<(Lsn, u64)>,
    kept: u64,
}

impl Window {
    fn open(directory: &Path, medium: MediumKind, bytes: u64) -> Result<Self> {
        let options = StoreOptions::default().medium(Some(medium)).log_bytes(bytes);
        let store = open_store(directory.join("store"), &options)?;
        Ok(Self { store, bytes, uncut: VecDeque::new(), kept: 0 })
    }
}

impl Target for Window {
    fn next(&self) -> Result<Lsn> {
        Ok(scan(&self.store, &mut |_, _| Ok(()))?.next)
    }

    fn commit(&mut self, block: &Block) -> Result<()> {
        self.store.append(block)?;
        self.store.sync()?;
        let length = block.bytes().len() as u64;
        self.kept += length;
        self.uncut.push_back((block.header().next(), length));
        if self.kept >= self.bytes + CUT_BYTES {
            let mut below = None;
            while self.kept > self.bytes {
                let Some((end, length)) = self.uncut.pop_front() else { break };
                (below, self.kept) = (Some(end), self.kept - length);
            }
            if let Some(below) = below {
                self.store.cut(below)?;
            }
        }
        Ok(())
    }
}
