//! The process under test: it opens the store, prints what came back, sends messages, and prints
//! what the runtime promises. A campaign may kill it at any time, so it prints each line with one
//! write, before anything that follows from the line. [`crate::workload::protocol`] defines the
//! lines. It knows no campaign, and not why it dies.

mod requests;
mod till;
mod trials;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use relive::{CheckpointPolicy, Durability, RestartPolicy, Runtime};
use relive_storage::boundary::OnBoundary;

use crate::harness::failpoint::Boundaries;
use crate::harness::medium::StoreMedium;
use crate::harness::worker::requests::Requests;
use crate::harness::worker::till::{Till, say};
use crate::harness::worker::trials::Tries;
use crate::workload::actors::builder;
use crate::workload::outside::{self, Outside};
use crate::workload::part::{LEFT_ALONE, left_out, part, reason};
use crate::workload::plan::ACCOUNTS;
use crate::workload::readback::read_back;
use crate::workload::{Line, Version, full_replay, version};

/// A durability tier on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tier {
    /// Survives the loss of power.
    PowerLoss,
    /// Survives the death of the process.
    ProcessCrash,
}

impl From<Tier> for Durability {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::PowerLoss => Self::PowerLoss,
            Tier::ProcessCrash => Self::ProcessCrash,
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PowerLoss => "power-loss",
            Self::ProcessCrash => "process-crash",
        })
    }
}

/// The options of an opening.
#[derive(Clone, Debug, clap::Args)]
pub struct StoreArguments {
    /// The directory of the store.
    #[arg(long)]
    pub store: PathBuf,
    /// What the store survives.
    #[arg(long, default_value_t = Tier::ProcessCrash)]
    pub tier: Tier,
    /// What keeps the store; what keeps it already when it is not given, and sled when there is
    /// none.
    #[arg(long)]
    pub medium: Option<StoreMedium>,
    /// The socket of the ledger of effects; without one effects go to a function.
    #[arg(long)]
    pub effects: Option<PathBuf>,
    /// The budget of the log in bytes.
    #[arg(long, default_value_t = 64 << 10)]
    pub log_bytes: u64,
    /// After how many records an actor is checkpointed.
    #[arg(long, default_value_t = 20)]
    pub checkpoint_records: u64,
    /// How often a delivery is tried in which the process has ended, before it is left out.
    #[arg(long, default_value_t = RestartPolicy::default().tries)]
    pub tries: u32,
    /// How many milliseconds an actor waits before it tries a delivery again; the runtime's own
    /// default when it is not given.
    #[arg(long)]
    pub backoff: Option<u64>,
    /// Take actors for trials into the readback.
    #[arg(long)]
    pub trials: bool,
    /// After how many milliseconds a call to the store is given up as hung.
    #[arg(long, default_value_t = 30_000)]
    pub store_timeout: u64,
}

/// A deliberate mistake of the worker, to show that the supervisor notices it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Reports an acknowledgement before it has come.
    AckEarly,
    /// Gives effects another payload in each process.
    UnkeyedEffect,
}

/// The arguments of the worker.
#[derive(Clone, Debug, Parser)]
#[command(about = "The process under test: opens a store, sends messages, tells what it is promised")]
pub struct WorkerArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// What the messages are drawn from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The number of the first message to send. Those before it are known to have arrived.
    #[arg(long, default_value_t = 1)]
    pub(crate) from: u64,
    /// How many messages to send; 0 for as long as it lives.
    #[arg(long, default_value_t = 0)]
    limit: u64,
    /// How many messages are on their way at once.
    #[arg(long, default_value_t = 32)]
    pub(crate) window: usize,
    /// Ask an account after each so many messages; 0 for never.
    #[arg(long, default_value_t = 16)]
    ask_every: u64,
    /// Send a request to a clerk after each so many messages; 0 for never.
    #[arg(long, default_value_t = 2)]
    requests_every: u64,
    /// The number of the first request to send.
    #[arg(long, default_value_t = 1)]
    pub(crate) requests_from: u64,
    /// Leave out the readback after the opening.
    #[arg(long)]
    no_readback: bool,
    /// Count boundaries, and tell at the end.
    #[arg(long)]
    count_boundaries: bool,
    /// Die at a boundary, as `commit.written:3`.
    #[arg(long)]
    kill_at: Option<crate::harness::failpoint::KillAt>,
    /// The version of the handlers, as JSON: the good one when it is not given. With another one
    /// actors may stop, and the readback is of those that go on.
    #[arg(long, value_parser = version::parse)]
    version: Option<Version>,
    /// The states of actors panic when they are dropped; nothing else differs.
    #[arg(long)]
    states_panic: bool,
    /// The number of the first trial; none are sent when it is not given.
    #[arg(long)]
    trials_from: Option<u64>,
    /// Make a mistake that must be noticed.
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
}

impl std::fmt::Display for Sabotage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AckEarly => "ack-early",
            Self::UnkeyedEffect => "unkeyed-effect",
        })
    }
}

/// Runs the process under test.
///
/// # Errors
/// The refusal, as a line to print.
pub fn run(arguments: &WorkerArguments) -> Result<(), String> {
    let boundaries = watch_boundaries(arguments);
    let unkeyed = arguments.sabotage == Some(Sabotage::UnkeyedEffect);
    outside::set(Outside { ledger: arguments.store.effects.clone(), unkeyed });
    let version = arguments.version.clone().unwrap_or_default();
    version::set(Version { drops: version.drops || arguments.states_panic, ..version });
    let outcome = on_tokio(work(arguments));
    if let Some(boundaries) = boundaries.filter(|_| arguments.count_boundaries) {
        let counts = serde_json::to_string(&boundaries.counts()).map_err(|error| error.to_string())?;
        say(&Line::Boundaries(counts));
    }
    match &outcome {
        Ok(()) => say(&Line::Closed),
        Err(error) => say(&Line::Failed(error.clone())),
    }
    outcome
}

/// The arguments of `verify`.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Opens a store, lets everything that is owed arrive, and prints what came back: `readback` and one line of JSON"
)]
pub struct VerifyArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Replay all actors from the start of the log as well, without checkpoints. The log must never
    /// have been cut.
    #[arg(long)]
    replay_from_start: bool,
}

/// Opens a store, prints its readback, and closes it.
///
/// # Errors
/// The refusal.
pub fn verify(arguments: &VerifyArguments) -> Result<(), String> {
    outside::set(Outside { ledger: arguments.store.effects.clone(), unkeyed: false });
    version::set(Version::default());
    on_tokio(async {
        let runtime = open(&arguments.store).await?;
        let found = read_back(&runtime, arguments.store.trials).await?;
        say(&Line::Readback(Box::new(found.clone())));
        runtime.shutdown().await.map_err(|error| error.to_string())?;
        if arguments.replay_from_start && found.failed.is_empty() {
            let deliveries = full_replay::replay(&arguments.store.store, &found)?;
            say(&Line::Replayed { deliveries });
        }
        Ok(())
    })
}

fn watch_boundaries(arguments: &WorkerArguments) -> Option<Boundaries> {
    if arguments.kill_at.is_none() && !arguments.count_boundaries {
        return None;
    }
    let boundaries = Boundaries::new(arguments.kill_at.clone());
    let counted = boundaries.clone();
    let subscriber = OnBoundary(move |name| counted.reached(name));
    tracing::subscriber::set_global_default(subscriber).expect("nobody else set one");
    Some(boundaries)
}

fn on_tokio(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    tokio.map_err(|error| error.to_string())?.block_on(work)
}

async fn open(arguments: &StoreArguments) -> Result<Runtime, String> {
    let mut restarts = RestartPolicy::default().tries(arguments.tries);
    if let Some(backoff) = arguments.backoff.map(Duration::from_millis) {
        restarts = restarts.backoff(backoff);
        restarts.backoff_max = backoff;
    }
    let builder = match arguments.medium {
        Some(medium) => builder().medium(medium.into()),
        None => builder(),
    };
    let opening = builder
        .durability(arguments.tier.into())
        .checkpoints(CheckpointPolicy::default().records(arguments.checkpoint_records))
        .restarts(restarts)
        .log_bytes(arguments.log_bytes)
        .store_timeout(std::time::Duration::from_millis(arguments.store_timeout))
        .open(&arguments.store);
    opening.await.map_err(|error| format!("open {:?}: {error}", error.kind()))
}

async fn work(arguments: &WorkerArguments) -> Result<(), String> {
    say(&Line::Opening);
    let runtime = open(&arguments.store).await?;
    let report = runtime.recovery();
    say(&Line::Opened { epoch: report.epoch.get(), replayed: report.replayed });
    let stopped: Vec<(String, String)> =
        runtime.failed_actors().iter().map(|failure| (failure.actor.to_string(), reason(failure))).collect();
    // After kills in replays an opening may leave an actor alone once, whatever the version.
    let left_alone = stopped.iter().any(|(_, why)| why.starts_with(LEFT_ALONE));
    let may_stop = left_alone || arguments.version.as_ref().is_some_and(|version| !version.is_good());
    stopped.into_iter().for_each(|(actor, why)| say(&Line::Stopped { actor, why }));
    if arguments.trials_from.is_some() {
        say(&Line::LeftOut(left_out(&runtime)));
    }
    look(arguments, &runtime, may_stop).await?;
    let mut tries = Tries::new(arguments.trials_from, may_stop);
    tries.discharge(&runtime).await?;
    let mut till = Till::new(arguments, &runtime, may_stop)?;
    let mut requests = Requests::new(arguments, may_stop);
    let end = if arguments.limit == 0 { u64::MAX } else { arguments.from + arguments.limit };
    for number in arguments.from..end {
        till.send(number).await?;
        if arguments.ask_every > 0 && number % arguments.ask_every == 0 {
            till.ask(number / arguments.ask_every % ACCOUNTS).await?;
        }
        if arguments.requests_every > 0 && number % arguments.requests_every == 0 {
            requests.next(&runtime).await?;
        }
        if number % TRY_EVERY == 0 {
            tries.next(&runtime).await?;
        }
        if arguments.trials_from.is_some() && number % COVER_EVERY == 0 {
            till.cover(&runtime, number).await?;
        }
    }
    till.finish().await?;
    requests.finish().await?;
    if may_stop {
        look(arguments, &runtime, may_stop).await?;
    }
    runtime.shutdown().await.map(drop).map_err(|error| format!("shutdown: {error}"))
}

/// Prints what came back.
async fn look(arguments: &WorkerArguments, runtime: &Runtime, may_stop: bool) -> Result<(), String> {
    match may_stop {
        _ if arguments.no_readback => {}
        false => say(&Line::Readback(Box::new(read_back(runtime, arguments.store.trials).await?))),
        true => say(&Line::Part(Box::new(part(runtime, arguments.store.trials).await?))),
    }
    Ok(())
}

/// After how many messages a worker with trials makes the log record that actors have handled them.
const COVER_EVERY: u64 = 20;

/// After how many messages the worker sends a trial.
const TRY_EVERY: u64 = 6;
