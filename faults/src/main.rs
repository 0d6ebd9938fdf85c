//! The commands of the long runs; each does one kind of fault as often as it is told, and says what came out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use relive_faults::effects::{self, EffectsArguments};
use relive_faults::kill::{self, KillArguments};
use relive_faults::worker::{self, VerifyArguments, WorkerArguments};

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
}

#[expect(clippy::print_stderr, reason = "this is the end of a command")]
fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Worker(arguments) => worker::run(&arguments),
        Command::Verify(arguments) => worker::verify(&arguments),
        Command::Effects(arguments) => effects::run(&arguments).map_err(|error| error.to_string()),
        Command::Kill(arguments) => kill(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn kill(arguments: &KillArguments) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let table = kill::run(arguments, &program).map_err(|error| error.to_string())?;
    println!("{table}");
    if table.violations.is_empty() { Ok(()) } else { Err("promises were broken".to_owned()) }
}
