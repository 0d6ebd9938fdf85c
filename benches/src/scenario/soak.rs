//! Many actors that are touched now and then, for as long as is wanted: what the store takes up,
//! what stays in memory, and what is written, looked at every few seconds.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use relive::{CheckpointPolicy, Runtime};
use relive_storage::{ActorId, CheckpointStore, Generation, StoreOptions};
use relive_storage_sled::open_store;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::{Data, on_tokio};
use crate::disk::{Written, allocated_bytes, process_dirtied_bytes};
use crate::figures::Figures;
use crate::load::{Numbers, Peer, Relive, Tier, ask_all};
use crate::memory::{peak_bytes, resident_bytes};
use crate::samples::Sample;

/// Tells actors drawn at random, so many a second, and adds a line to a file every few seconds.
#[derive(Args)]
pub(crate) struct Soak {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[command(flatten)]
    load: SoakLoad,
    /// The file that lines are appended to; the process that starts this one makes it.
    #[arg(long)]
    csv: PathBuf,
    /// What the medium is called in it.
    #[arg(long)]
    name: String,
}

/// What is done for how long.
#[derive(Clone, Args)]
pub(crate) struct SoakLoad {
    /// How long each medium is used.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) minutes: f64,
    #[arg(long, default_value_t = 20_000)]
    pub(crate) actors: usize,
    /// Tells a second, to actors drawn at random.
    #[arg(long, default_value_t = 4000)]
    pub(crate) rate: u32,
    /// Seconds after which an actor that nobody tells anything leaves memory.
    #[arg(long, default_value_t = 5)]
    pub(crate) idle: u64,
    /// The budget of the log.
    #[arg(long, default_value_t = 1 << 20)]
    pub(crate) log_bytes: u64,
    /// Seconds from one look to the next.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) every: f64,
}

const SENDERS: u32 = 8;

/// When actors are checkpointed: whatever is touched has a checkpoint soon after.
const CHECKPOINT_RECORDS: u64 = 100;
const CHECKPOINT_AGE: Duration = Duration::from_secs(1);

impl SoakLoad {
    /// As it is given to a process of its own.
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec![
            format!("--minutes={}", self.minutes),
            format!("--actors={}", self.actors),
            format!("--rate={}", self.rate),
            format!("--idle={}", self.idle),
            format!("--log-bytes={}", self.log_bytes),
            format!("--every={}", self.every),
        ]
    }

    /// Whether there is anything to do and to see.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.minutes > 0.0 && self.every > 0.0, "--minutes and --every are above 0");
        ensure!(self.every * 4.0 <= self.minutes * 60.0, "fewer than four looks: give more --minutes");
        ensure!(self.actors > 0 && self.rate > 0, "--actors and --rate are above 0");
        Ok(())
    }
}

impl Soak {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        self.load.check()?;
        let directory = data.temporary()?;
        let store = directory.path().join("store");
        let figures = on_tokio(self.measure(&store))?;
        Ok(figures.and(newest_two(&store)?))
    }

    async fn measure(&self, store: &Path) -> Result<Figures> {
        let load = &self.load;
        let policy = CheckpointPolicy::default().records(CHECKPOINT_RECORDS).age(CHECKPOINT_AGE);
        let builder = Relive::builder(self.tier).log_bytes(load.log_bytes).checkpoints(policy);
        let runtime = builder.passivate_after(Duration::from_secs(load.idle)).open(store).await?;
        let peer = Arc::new(Relive::of(&runtime, load.actors)?);
        let asked = ask_all(&peer).await?;

        let ended = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let period = Duration::from_secs(1) * SENDERS / load.rate;
            senders.spawn(touch_until(Arc::clone(&ended), Arc::clone(&peer), sender, period));
        }
        let watched = self.watch(&runtime, store, &mut senders).await;
        ended.store(true, Ordering::Relaxed);
        watched?;
        let mut told = 0;
        while let Some(sender) = senders.join_next().await {
            told += sender.context("a sender ended early")??;
        }
        let counted = ask_all(&peer).await?;
        let sent = asked + told + load.actors as u64;
        ensure!(counted == sent, "{counted} messages were handled, {sent} were sent");
        runtime.shutdown().await?;
        Ok(Figures::default().with("told", told as f64).with("peak_bytes", peak_bytes()?))
    }

    /// Looks until the time is over; what was seen is in the file at once.
    async fn watch(&self, runtime: &Runtime, store: &Path, senders: &mut JoinSet<Result<u64>>) -> Result<()> {
        let file = OpenOptions::new().append(true).open(&self.csv);
        let mut file: File = file.with_context(|| format!("can't open {}", self.csv.display()))?;
        let (began, written) = (Instant::now(), Written::so_far(store));
        let mut looks = interval(Duration::from_secs_f64(self.load.every));
        while began.elapsed().as_secs_f64() < self.load.minutes * 60.0 {
            looks.tick().await;
            if let Some(error) = runtime.failed() {
                return Err(error.into());
            }
            if let Some(sender) = senders.try_join_next() {
                sender.context("a sender ended early")??;
                return Err(anyhow!("a sender ended early"));
            }
            let sample = look(runtime, store, began, &written)?;
            // One call, so that two processes can append to the same file.
            file.write_all(sample.line(&self.name).as_bytes())?;
        }
        Ok(())
    }
}

fn look(runtime: &Runtime, store: &Path, began: Instant, written: &Written) -> Result<Sample> {
    let (stats, written) = (runtime.stats(), written.since(store));
    let told = |name: &str| written.get(name).unwrap_or(0.0);
    Ok(Sample {
        minutes: began.elapsed().as_secs_f64() / 60.0,
        disk_bytes: allocated_bytes(store)? as f64,
        log_bytes: runtime.log_bytes() as f64,
        resident_bytes: resident_bytes()?,
        actors_in_memory: runtime.actors_in_memory() as f64,
        handled: stats.deliveries as f64,
        checkpoints: stats.checkpoints as f64,
        commits: stats.commits as f64,
        logged_bytes: stats.bytes as f64,
        process_written_bytes: told("process_written_bytes"),
        process_dirtied_bytes: process_dirtied_bytes().unwrap_or(0.0),
        device_written_bytes: told("device_written_bytes"),
    })
}

/// Tells an actor drawn at random once in each period, until it is told to end; gives how many it
/// told. What could not be told in time, because the log was over its budget, is told as soon as it
/// can be.
async fn touch_until(
    ended: Arc<AtomicBool>,
    peer: Arc<Relive>,
    sender: u32,
    period: Duration,
) -> Result<u64> {
    let actors = peer.actors() as u64;
    let mut state = u64::from(sender) + 1;
    let (mut told, mut due) = (0, interval(period));
    while !ended.load(Ordering::Relaxed) {
        due.tick().await;
        // A full period over all 64 bits; the high ones are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let actor = usize::try_from((state >> 33) % actors).context("there are as many actors")?;
        peer.tell(actor, Numbers::of(told)).await?;
        told += 1;
    }
    Ok(told)
}

/// The bytes of the newest two checkpoints of all actors, as the closed store has them.
fn newest_two(store: &Path) -> Result<Figures> {
    let store = open_store(store, &StoreOptions::default())?;
    let mut actors: Vec<ActorId> = Vec::new();
    store.list(&mut |header| {
        actors.push(header.actor);
        ControlFlow::Continue(())
    })?;
    let (mut bytes, mut count) = (0, 0_u64);
    for actor in &actors {
        for generation in [Generation::Newest, Generation::Previous] {
            let Some(checkpoint) = store.get(actor, generation)? else { continue };
            let length = checkpoint.encode().map_err(|length| anyhow!("{actor} has {length} bytes"))?.len();
            (bytes, count) = (bytes + length as u64, count + 1);
        }
    }
    store.close()?;
    ensure!(count > 0, "no actor has a checkpoint");
    Ok(Figures::default()
        .with("newest_two_bytes", bytes as f64)
        .with("checkpoint_bytes", bytes as f64 / count as f64))
}
