//! The things that are measured, each in a process of its own: what to do, and the figures of it.
//! Knows neither rounds nor what is compared with what.

mod asks;
mod chain;
mod checkpoint;
mod churn;
mod crowd;
mod duroxide;
mod idle;
mod naive;
mod passive;
mod plain;
mod queries;
mod relay;
mod reopening;
mod replay;
mod soak;
mod store;
mod tells;
mod timers;

pub(crate) use self::soak::SoakLoad;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use crate::figures::Figures;

/// A single measurement.
#[derive(Subcommand)]
pub(crate) enum Scenario {
    Tells(tells::Tells),
    Asks(asks::Asks),
    Queries(queries::Queries),
    Plain(plain::Plain),
    Store(store::StoreAlone),
    Naive(naive::Naive),
    Duroxide(duroxide::Duroxide),
    Replay(replay::Replay),
    Relay(relay::RelayRun),
    Churn(churn::Churn),
    Crowd(crowd::Crowd),
    Idle(idle::Idle),
    Passive(passive::Passive),
    Soak(soak::Soak),
    Timers(timers::Timers),
    Checkpoint(checkpoint::CheckpointBeside),
    Chain(chain::Chain),
    #[command(name = "inner_ask")]
    InnerAsk(chain::InnerAsk),
}

impl Scenario {
    /// Measures, with stores in `data`.
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        match self {
            Self::Tells(tells) => tells.run(data),
            Self::Asks(asks) => asks.run(data),
            Self::Queries(queries) => queries.run(data),
            Self::Plain(plain) => plain.run(data),
            Self::Store(store) => store.run(data),
            Self::Naive(naive) => naive.run(data),
            Self::Duroxide(duroxide) => duroxide.run(data),
            Self::Replay(replay) => replay.run(data),
            Self::Relay(relay) => relay.run(data),
            Self::Churn(churn) => churn.run(data),
            Self::Crowd(crowd) => crowd.run(data),
            Self::Idle(idle) => idle.run(data),
            Self::Passive(passive) => passive.run(data),
            Self::Soak(soak) => soak.run(data),
            Self::Timers(timers) => timers.run(data),
            Self::Checkpoint(checkpoint) => checkpoint.run(data),
            Self::Chain(chain) => chain.run(data),
            Self::InnerAsk(inner_ask) => inner_ask.run(data),
        }
    }
}

/// Where stores and files are made.
#[derive(Args)]
pub(crate) struct Data {
    /// The directory in which stores are made, and removed afterwards; beside the program when not
    /// given.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
}

impl Data {
    /// What was given.
    pub(crate) fn given(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The directory in which all is made.
    pub(crate) fn root(&self) -> Result<PathBuf> {
        let root = match &self.data {
            Some(data) => data.clone(),
            None => beside_the_program("data")?,
        };
        std::fs::create_dir_all(&root).with_context(|| format!("can't make {}", root.display()))?;
        Ok(root)
    }

    /// An empty directory that is removed when it is dropped.
    pub(crate) fn temporary(&self) -> Result<tempfile::TempDir> {
        let root = self.root()?;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(&root);
        made.with_context(|| format!("can't make a directory in {}", root.display()))
    }

    /// Removes what processes have left that were killed.
    pub(crate) fn sweep(&self) -> Result<()> {
        for entry in std::fs::read_dir(self.root()?)? {
            let entry = entry?;
            let name = entry.file_name();
            let left_by = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
            if left_by.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A directory in `target`, where the program is.
pub(crate) fn beside_the_program(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is")?;
    let target = program.parent().and_then(Path::parent).context("the program is in no directory")?;
    Ok(target.join(name))
}

/// What temporary directories are called, before the process that made them.
const PREFIX: &str = "relive-benches-";

/// Which runtime of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Relive,
    Kameo,
}

/// Runs on tokio as programs usually do: all threads, all drivers.
fn on_tokio<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Runtime::new()?.block_on(future)
}

/// Prints figures as a line of JSON, the only thing that a measurement says.
#[expect(clippy::print_stdout, reason = "the figures are what a measurement is for")]
pub(crate) fn print(figures: &Figures) -> Result<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}
