//! The commands of the long runs; each does one kind of fault as often as it is told, and says what came out.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
}

#[expect(clippy::print_stderr, reason = "this is the end of a command")]
fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Worker(arguments) => worker::run(&arguments),
        Command::Verify(arguments) => worker::verify(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
