//! Kills workers that each have another version of the handlers, and checks for every one that
//! nothing acknowledged ever changes: code that can't replay what an actor has handled stops that
//! actor, and does nothing else. Extends the kill campaign, which knows nothing of this one.

pub mod course;
pub mod draw;
pub mod fates;
pub mod table;

use std::path::Path;

use clap::Parser;

use self::course::Versions;
use self::table::Table;
use crate::campaigns::kill::{KillArguments, StoreArguments, run_course};
use crate::harness::campaign::CommonArguments;

/// The arguments of the supervisor.
#[derive(Clone, Debug, Parser)]
#[command(
    about = "Kills workers with changing versions of the handlers, and holds that nothing acknowledged changes"
)]
pub struct VersionsArguments {
    /// How many workers to start.
    #[arg(long, default_value_t = 200)]
    pub cycles: u64,
    /// What the campaigns have in common that kill.
    #[command(flatten)]
    pub stores: StoreArguments,
    /// How many workers a store lives through.
    #[arg(long, default_value_t = 30)]
    pub cycles_per_store: u64,
    /// Pretend something, which must be noticed.
    #[arg(long)]
    pub pretence: Option<Pretence>,
}

/// A false assumption, to show that the supervisor notices it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pretence {
    /// The supervisor takes every version for the good one.
    AllAreGood,
    /// A version that differs does so with new messages too.
    DiffersOnNew,
}

impl std::fmt::Display for Pretence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AllAreGood => "all-are-good",
            Self::DiffersOnNew => "differs-on-new",
        })
    }
}

/// Runs all cycles with the workers of a program.
///
/// # Errors
/// The supervisor itself can't go on. The table has what it found.
pub fn run(arguments: &VersionsArguments, program: &Path) -> std::io::Result<Table> {
    let kills = KillArguments {
        cycles: arguments.cycles,
        stores: arguments.stores.clone(),
        cycles_per_store: arguments.cycles_per_store,
        each_boundary: false,
        // More tries than kills ever hit one delivery in a row, and few enough that a panicking
        // handler exhausts them soon.
        tries: 40,
        sabotage: None,
    };
    let mut versions = Versions::new(arguments.pretence);
    let repeat = |store, cycle| repeat(arguments, store, cycle);
    let kills = run_course(&kills, program, Some(BACKOFF), &repeat, &mut versions)?;
    Ok(Table { kills, counts: versions.into_counts() })
}

/// The milliseconds between two tries.
const BACKOFF: u64 = 2;

fn repeat(arguments: &VersionsArguments, store: u64, cycles: u64) -> String {
    let VersionsArguments { stores, cycles_per_store, pretence, .. } = arguments;
    let StoreArguments { common: CommonArguments { seed, medium }, tier, no_strace, .. } = stores;
    let mut line = format!(
        "cargo run --release -p relive-faults -- versions --seed {seed} --tier {tier} --medium {medium} --first-store {store} --cycles {cycles} \
         --cycles-per-store {cycles_per_store}"
    );
    if *no_strace {
        line.push_str(" --no-strace");
    }
    if let Some(pretence) = pretence {
        line.push_str(&format!(" --pretence {pretence}"));
    }
    line
}
