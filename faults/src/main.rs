//! The commands of the long runs; each does one kind of fault as often as it is told, and says what came out.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Holds relive against its promises under faults")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

fn main() {
    match Arguments::parse().command {}
}
