//! Kills workers by the thousand, at drawn moments and at every boundary, and holds what comes back against what was
//! promised. Lives on itself, as does the ledger of effects.

pub mod fault;
pub mod life;
pub mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use relive::storage::frame::split_mix;

use self::life::{Broken, Life, Setup};
use self::table::{Found, Table};
use crate::worker::{Sabotage, Tier};

/// What the supervisor is told.
#[derive(Clone, Debug, Parser)]
#[command(about = "Kills workers again and again, and holds what comes back against what was acknowledged")]
pub struct KillArguments {
    /// How many workers to start and kill.
    #[arg(long, default_value_t = 200)]
    pub cycles: u64,
    /// What everything is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What the stores survive.
    #[arg(long, default_value_t = Tier::ProcessCrash)]
    pub tier: Tier,
    /// How many cycles a store lives.
    #[arg(long, default_value_t = 50)]
    pub cycles_per_store: u64,
    /// Begin with this store, as if those before it had been.
    #[arg(long, default_value_t = 0)]
    pub first_store: u64,
    /// Where the stores are made; a temporary directory when it is not given. Those in which something was found stay.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// Do not use `strace`, even when it is there.
    #[arg(long)]
    pub no_strace: bool,
    /// Have the workers make a mistake, which must be noticed.
    #[arg(long)]
    pub sabotage: Option<Sabotage>,
}

/// Runs all cycles with the workers of a program.
///
/// # Errors
/// The supervisor itself can't go on: what was found is in the table.
pub fn run(arguments: &KillArguments, program: &Path) -> std::io::Result<Table> {
    let mut builder = tempfile::Builder::new();
    let temporary = builder.prefix("relive-kill-");
    let temporary = match &arguments.directory {
        Some(directory) => temporary.tempdir_in(directory)?,
        None => temporary.tempdir()?,
    };
    let strace = !arguments.no_strace && Command::new("strace").arg("-V").output().is_ok();
    let mut table = Table::default();
    let mut store = arguments.first_store;
    while table.cycles < arguments.cycles {
        let cycles = arguments.cycles_per_store.max(1).min(arguments.cycles - table.cycles);
        let directory = life::directory(temporary.path(), store)?;
        let setup = Setup {
            program: program.to_owned(),
            directory: directory.clone(),
            tier: arguments.tier,
            seed: split_mix(arguments.seed, store),
            strace,
            sabotage: arguments.sabotage,
        };
        table.stores += 1;
        match live(setup, cycles, &mut table) {
            Ok(()) => std::fs::remove_dir_all(&directory)?,
            Err((after, Broken { what, errors })) => {
                let lived = table.cycles % arguments.cycles_per_store.max(1);
                let kept =
                    std::env::temp_dir().join(format!("relive-kill-found-{}-{store}", std::process::id()));
                let kept = std::fs::rename(&directory, &kept).map_or(directory, |()| kept);
                let what = format!("{what}\n  kept: {}", kept.display());
                let repeat = repeat(arguments, store, if lived == 0 { cycles } else { lived });
                let cycle = table.cycles;
                table.violations.push(Found { cycle, after, what, repeat, errors });
                // The rest of this store's cycles is left out.
                table.cycles += (cycles - lived) % cycles.max(1);
            }
        }
        store += 1;
    }
    Ok(table)
}

fn live(setup: Setup, cycles: u64, table: &mut Table) -> Result<(), (String, Broken)> {
    let mut life = Life::begin(setup).map_err(|broken| ("nothing".to_owned(), broken))?;
    for _ in 0..cycles {
        table.cycles += 1;
        life.cycle(table).map_err(|broken| (life.last_fault(), broken))?;
    }
    let after = life.last_fault();
    life.end(table).map_err(|broken| (after, broken))
}

fn repeat(arguments: &KillArguments, store: u64, cycles: u64) -> String {
    let KillArguments { seed, tier, cycles_per_store, sabotage, no_strace, .. } = arguments;
    let mut line = format!(
        "cargo run --release -p relive-faults -- kill --seed {seed} --tier {tier} --first-store {store} --cycles {cycles} \
         --cycles-per-store {cycles_per_store}"
    );
    if *no_strace {
        line.push_str(" --no-strace");
    }
    if let Some(sabotage) = sabotage {
        line.push_str(&format!(" --sabotage {sabotage}"));
    }
    line
}
