//! Measures relive side by side with its limits and its peers: the commands. `benches/README.md`
//! tells what is compared with what, and why it is fair.

mod child;
mod disk;
mod figures;
mod guard;
mod latency;
mod load;
mod machine;
mod memory;
mod noise;
mod plots;
mod report;
mod round;
mod row;
mod rows;
mod samples;
mod scenario;
mod soak;
mod suite;
mod table;
mod unit;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use child::end_with_parent;
use machine::{Machine, is_in_memory};
use report::{Report, redraw};
use round::{Measure, Round};
use rows::{Settings, rows};
use scenario::{Data, Scenario, beside_the_program, print};
use soak::SoakRun;
use suite::{measure, one, say};
use table::Table;

#[derive(Parser)]
#[command(
    about = "Measures relive side by side with its limits and its peers",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    all: All,
    #[command(flatten)]
    data: Data,
    /// Ends this process when its input ends.
    #[arg(long, hide = true, global = true)]
    watched: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Measures everything in rounds, and prints a table of ratios. This is what is done without a
    /// command.
    All(All),
    /// Looks in less than two minutes whether the speed has collapsed; says which ratio, and fails
    /// then.
    Quick,
    /// Draws the plots of a directory of results again, from the figures in it.
    Plots {
        /// The directory that was given with `--out`.
        directory: PathBuf,
    },
    /// Touches many actors now and then for a long time on either medium, and judges what disk, log
    /// and memory come to.
    Soak(SoakRun),
    /// Makes a single measurement in this process, and prints its figures as a line of JSON.
    #[command(subcommand)]
    One(Scenario),
}

#[derive(Args, Default)]
struct All {
    /// Only these rows of the table.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How much the row `churn` logs.
    #[arg(long, default_value_t = 10.0)]
    gigabytes: f64,
    /// The directory for the table, the figures and the plots; beside the program when not given.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// The exit code of `quick` where nothing can be measured.
const NOT_MEASURED: u8 = 3;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = &arguments.data;
    if arguments.watched {
        end_with_parent(data.given());
    } else {
        data.sweep()?;
    }
    match &arguments.command {
        None => all(&arguments.all, data),
        Some(Command::All(options)) => all(options, data),
        Some(Command::Quick) => quick(data),
        Some(Command::Plots { directory }) => {
            let files = redraw(directory)?;
            say(&format!("drawn in {}: {}", directory.display(), files.join(", ")));
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Soak(options)) => soak(options, data),
        Some(Command::One(scenario)) => {
            print(&scenario.run(data)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn all(options: &All, data: &Data) -> Result<ExitCode> {
    ensure!(options.rounds > 0, "without a round nothing is measured");
    let rows = rows(&options.only, Settings { gigabytes: options.gigabytes })?;
    if is_in_memory(&data.root()?)? {
        say("stores are made in memory, where a sync costs nothing: give a directory on a disk with --data");
        return Ok(ExitCode::from(NOT_MEASURED));
    }
    let machine = machine(data)?;
    let measured = measure(&rows, options.rounds, data)?;
    let outcomes =
        rows.iter().flat_map(|row| row.lines.iter().map(|line| line.outcome(row.name, &measured.rounds)));
    let outcomes: Vec<_> = outcomes.collect();
    let report = Report { machine: &machine, outcomes: &outcomes, rounds: &measured.rounds };
    println!("{}", report.markdown());
    let directory = options.out.clone().map_or_else(|| beside_the_program("results"), Ok)?;
    let files = report.write(&directory)?;
    say(&format!("written to {}: {}", directory.display(), files.join(", ")));
    if measured.failed > 0 {
        say(&format!("{} measurements failed, see above", measured.failed));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the ratios are what the command is for")]
fn quick(data: &Data) -> Result<ExitCode> {
    if is_in_memory(&data.root()?)? {
        say("stores are made in memory, where a sync costs nothing: give a directory on a disk with --data");
        return Ok(ExitCode::from(NOT_MEASURED));
    }
    let (measured, outcomes) = guard::look(data)?;
    println!("{}", Table(&outcomes));
    let collapsed = guard::collapsed(&outcomes);
    for sentence in &collapsed {
        say(sentence);
    }
    let good = collapsed.is_empty() && measured.failed == 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn soak(options: &SoakRun, data: &Data) -> Result<ExitCode> {
    if is_in_memory(&data.root()?)? {
        say("stores are made in memory, where a sync costs nothing: give a directory on a disk with --data");
        return Ok(ExitCode::from(NOT_MEASURED));
    }
    let outcomes = soak::soak(options, data)?;
    println!("{}\n{}", machine(data)?, Table(&outcomes));
    let broken = soak::broken(&outcomes);
    for sentence in &broken {
        say(sentence);
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Describes the machine, and how long its disk takes for a synced write.
fn machine(data: &Data) -> Result<Machine> {
    let machine = Machine::around(&data.root()?)?;
    let sync = Measure::new(rows::SYNC, "plain --block 4096 --seconds 1");
    Ok(machine.with_sync(one(&sync, &Round::default(), data)?.get("p50_us")?))
}
