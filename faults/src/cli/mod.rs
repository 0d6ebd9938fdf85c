//! The commands of the long runs: each runs one campaign and prints its report. Knows the terminal
//! and the exit code; must not know what a campaign does, or how it judges.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use crate::campaigns::kill::{self, KillArguments};
use crate::campaigns::power_loss::{self, PowerLossArguments};
use crate::campaigns::syscall_faults::{self, SyscallFaultsArguments};
use crate::campaigns::versions::{self, VersionsArguments};
use crate::harness::campaign::Found;
use crate::harness::effect_server::{self, EffectsArguments};
use crate::harness::worker::{self, VerifyArguments, WorkerArguments};
use clap::{Parser, Subcommand};

mod corruption;
mod mutants;

#[derive(Parser)]
#[command(about = "Holds relive against its promises under faults")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Worker(WorkerArguments),
    Verify(VerifyArguments),
    Effects(EffectsArguments),
    Kill(KillArguments),
    Versions(VersionsArguments),
    PowerLoss(PowerLossArguments),
    SyscallFaults(SyscallFaultsArguments),
    /// Corrupts the files of stores, and holds what opens against what was stored.
    Corruption(corruption::CorruptionArguments),
    /// A process of `corruption`, which does some of its cases.
    #[command(hide = true)]
    CorruptionChild(corruption::CorruptionChild),
    /// Takes guards out of a copy of the sources, and holds that tests notice.
    Mutants(mutants::MutantsArguments),
}

/// Runs the command that the arguments of this process name.
///
/// # Errors
/// The command can't go on.
pub fn run() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    match Arguments::parse().command {
        Command::Worker(arguments) => worker::run(&arguments)?,
        Command::Verify(arguments) => worker::verify(&arguments)?,
        Command::Effects(arguments) => effect_server::run(&arguments)?,
        Command::Kill(arguments) => {
            let table = kill::run(&arguments, &std::env::current_exe()?)?;
            return Ok(tell(&table, &table.violations));
        }
        Command::Versions(arguments) => {
            let table = versions::run(&arguments, &std::env::current_exe()?)?;
            return Ok(tell(&table, &table.kills.violations));
        }
        Command::PowerLoss(arguments) => {
            let table = power_loss::run(&arguments, &std::env::current_exe()?)?;
            return Ok(tell(&table, &table.violations));
        }
        Command::SyscallFaults(arguments) => {
            let table = syscall_faults::run(&arguments, &std::env::current_exe()?)?;
            return Ok(tell(&table, &table.violations));
        }
        Command::Corruption(arguments) => return arguments.run(),
        Command::CorruptionChild(arguments) => return arguments.run(),
        Command::Mutants(arguments) => return arguments.run(),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the report of a campaign, and returns its exit code.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn tell(table: &impl Display, violations: &[Found]) -> ExitCode {
    println!("{table}");
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
