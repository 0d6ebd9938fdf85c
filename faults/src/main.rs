//! The commands of the long runs; each does one kind of fault as often as it is told, and says what came out.

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod damage_command;

#[derive(Parser)]
#[command(about = "Holds relive against its promises under faults")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Damages the files of stores, and holds what opens against what was stored.
    Damage(damage_command::Damage),
    /// A process of `damage`, which does some of its cases.
    #[command(hide = true)]
    DamageChild(damage_command::DamageChild),
}

fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    match Arguments::parse().command {
        Command::Damage(arguments) => arguments.run(),
        Command::DamageChild(arguments) => arguments.run(),
    }
}
