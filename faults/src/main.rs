//! The commands of the long runs; each does one kind of fault as often as it is told, and says what came out.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use relive_faults::calls::{self, CallsArguments};
use relive_faults::effects::{self, EffectsArguments};
use relive_faults::kill::{self, KillArguments};
use relive_faults::power::{self, PowerLossArguments};
use relive_faults::versions::{self, VersionsArguments};
use relive_faults::worker::{self, VerifyArguments, WorkerArguments};

mod damage_command;
mod teeth_command;

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
    Calls(CallsArguments),
    /// Damages the files of stores, and holds what opens against what was stored.
    Damage(damage_command::Damage),
    /// A process of `damage`, which does some of its cases.
    #[command(hide = true)]
    DamageChild(damage_command::DamageChild),
    /// Takes guards out of a copy of the sources, and holds that tests notice.
    Teeth(teeth_command::TeethArguments),
}

fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    match Arguments::parse().command {
        Command::Worker(arguments) => worker::run(&arguments)?,
        Command::Verify(arguments) => worker::verify(&arguments)?,
        Command::Effects(arguments) => effects::run(&arguments)?,
        Command::Kill(arguments) => return kill(&arguments),
        Command::Versions(arguments) => return versions(&arguments),
        Command::PowerLoss(arguments) => return power_loss(&arguments),
        Command::Calls(arguments) => return calls(&arguments),
        Command::Damage(arguments) => return arguments.run(),
        Command::DamageChild(arguments) => return arguments.run(),
        Command::Teeth(arguments) => return arguments.run(),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn power_loss(arguments: &PowerLossArguments) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let table = power::run(arguments, &std::env::current_exe()?)?;
    println!("{table}");
    Ok(if table.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn calls(arguments: &CallsArguments) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let table = calls::run(arguments, &std::env::current_exe()?)?;
    println!("{table}");
    Ok(if table.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn kill(arguments: &KillArguments) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let table = kill::run(arguments, &std::env::current_exe()?)?;
    println!("{table}");
    Ok(if table.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn versions(arguments: &VersionsArguments) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let table = versions::run(arguments, &std::env::current_exe()?)?;
    println!("{table}");
    Ok(if table.kills.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
