//! Kills workers by the thousand, at drawn moments and at every boundary, and compares what comes
//! back with what the workers promised. The supervisor and the ledger of effects live on. Knows no
//! other campaign; a campaign that adds something to the kills is a [`course::Course`].

pub mod course;
pub mod fault;
pub mod store_lifetime;
pub mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use relive_storage::frame::split_mix;

use self::course::{Course, Kills};
use self::fault::Fault;
use self::store_lifetime::{Broken, Life, Setup};
use self::table::Table;
use crate::harness::campaign::{CommonArguments, Found};
use crate::harness::worker::{Sabotage, Tier};

// No comment for the documentation: clap would take it for what the whole command is about.
#[derive(Clone, Debug, clap::Args)]
#[expect(missing_docs, reason = "the arguments of a campaign whose stores outlive its workers")]
pub struct StoreArguments {
    /// What all campaigns have in common.
    #[command(flatten)]
    pub common: CommonArguments,
    /// What the stores survive.
    #[arg(long, default_value_t = Tier::ProcessCrash)]
    pub tier: Tier,
    /// Begin with this store, as if those before it had been.
    #[arg(long, default_value_t = 0)]
    pub first_store: u64,
    /// Where the stores are made; a temporary directory when it is not given. Those in which
    /// something was found stay.
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// Do not use `strace`, even when it is there.
    #[arg(long)]
    pub no_strace: bool,
}

/// The arguments of the supervisor.
#[derive(Clone, Debug, Parser)]
#[command(about = "Kills workers again and again, and holds what comes back against what was acknowledged")]
pub struct KillArguments {
    /// How many workers to start and kill.
    #[arg(long, default_value_t = 200)]
    pub cycles: u64,
    /// What the campaigns have in common that kill.
    #[command(flatten)]
    pub stores: StoreArguments,
    /// How many cycles a store lives.
    #[arg(long, default_value_t = 50)]
    pub cycles_per_store: u64,
    /// Kill at each boundary in turn, instead of drawing; a store lives through all of them.
    #[arg(long)]
    pub each_boundary: bool,
    /// How often a delivery may be tried in which a worker was killed, before it is left out. Kills
    /// from outside blame whatever they hit: with the 3 of relive's own default a harmless delivery
    /// is left out now and then, and reported.
    #[arg(long, default_value_t = 1000)]
    pub tries: u32,
    /// Have the workers make a mistake, which must be noticed.
    #[arg(long)]
    pub sabotage: Option<Sabotage>,
}

/// Runs all cycles with the workers of a program.
///
/// # Errors
/// The supervisor itself can't go on. The table has what it found.
pub fn run(arguments: &KillArguments, program: &Path) -> std::io::Result<Table> {
    let repeat = |store, cycle| repeat(arguments, store, cycle);
    run_course(arguments, program, None, &repeat, &mut Kills)
}

/// Runs all cycles of a campaign that adds something to the kills. `repeat` returns the command
/// that repeats a finding in a store up to a cycle.
///
/// # Errors
/// As [`run`].
pub fn run_course(
    arguments: &KillArguments,
    program: &Path,
    backoff: Option<u64>,
    repeat: &dyn Fn(u64, u64) -> String,
    course: &mut dyn Course,
) -> std::io::Result<Table> {
    let mut builder = tempfile::Builder::new();
    let temporary = builder.prefix("relive-kill-");
    let StoreArguments { common: CommonArguments { seed, medium }, tier, first_store, .. } = arguments.stores;
    let temporary = match &arguments.stores.directory {
        Some(directory) => temporary.tempdir_in(directory)?,
        None => temporary.tempdir()?,
    };
    let strace = !arguments.stores.no_strace && Command::new("strace").arg("-V").output().is_ok();
    let faults = if arguments.each_boundary { fault::each(medium) } else { Vec::new() };
    let per_store =
        if arguments.each_boundary { faults.len() as u64 } else { arguments.cycles_per_store.max(1) };
    let mut table = Table::default();
    let stores = arguments.cycles.div_ceil(per_store);
    for store in first_store..first_store + stores {
        let cycles = per_store.min(arguments.cycles - (store - first_store) * per_store);
        let directory = temporary.path().join(format!("store-{store}"));
        std::fs::create_dir_all(&directory)?;
        let setup = Setup {
            program: program.to_owned(),
            directory: directory.clone(),
            tier,
            medium,
            seed: split_mix(seed, store),
            // Small, so that the worker lives to see its log cut.
            log_bytes: arguments.each_boundary.then_some(16 << 10),
            tries: arguments.tries,
            backoff,
            strace,
            sabotage: arguments.sabotage,
        };
        table.stores += 1;
        let began_at = table.cycles;
        match live(setup, cycles, &faults, &mut *course, &mut table) {
            Ok(()) => std::fs::remove_dir_all(&directory)?,
            Err((after, Broken { what, errors })) => {
                let cycle = table.cycles - began_at;
                let repeat = repeat(store, cycle);
                let place = format!("store {store}, cycle {cycle}, after: {after}");
                let found = Found { place, what, repeat, kept: Some(directory), errors };
                table.violations.push(found);
            }
        }
    }
    if !table.violations.is_empty() {
        // Only stores with findings are left in the directory.
        let _ = temporary.keep();
    }
    Ok(table)
}

/// The life of one store. A finding comes with the death planned for the worker before.
fn live(
    setup: Setup,
    cycles: u64,
    faults: &[Fault],
    course: &mut dyn Course,
    table: &mut Table,
) -> Result<(), (String, Broken)> {
    let mut life = Life::begin(setup, course).map_err(|broken| ("nothing".to_owned(), broken))?;
    let mut faults = faults.iter();
    for _ in 0..cycles {
        table.cycles += 1;
        life.cycle(faults.next().cloned(), table).map_err(|broken| (life.last_fault(), broken))?;
    }
    let after = life.last_fault();
    life.end(table).map_err(|broken| (after, broken))
}

fn repeat(arguments: &KillArguments, store: u64, cycles: u64) -> String {
    let KillArguments { stores, cycles_per_store, each_boundary, tries, sabotage, .. } = arguments;
    let StoreArguments { common: CommonArguments { seed, medium }, tier, no_strace, .. } = stores;
    let mut line = format!(
        "cargo run --release -p relive-faults -- kill --seed {seed} --tier {tier} --medium {medium} --first-store {store} --cycles {cycles} \
         --cycles-per-store {cycles_per_store} --tries {tries}"
    );
    if *each_boundary {
        line.push_str(" --each-boundary");
    }
    if *no_strace {
        line.push_str(" --no-strace");
    }
    if let Some(sabotage) = sabotage {
        line.push_str(&format!(" --sabotage {sabotage}"));
    }
    line
}
