//! Measures relive side by side with what it is to be compared with: see `benches/README.md`.

mod child;
mod disk;
mod figures;
mod latency;
mod load;
mod memory;
mod noise;
mod scenario;

use anyhow::Result;
use clap::{Parser, Subcommand};

use child::end_with_parent;
use scenario::{Data, Scenario, print};

#[derive(Parser)]
#[command(about = "Measures relive side by side with its limits and its peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: Data,
    /// Ends this process when its input ends.
    #[arg(long, hide = true)]
    watched: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a single measurement in this process, and prints its figures as a line of JSON.
    #[command(subcommand)]
    One(Scenario),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.watched {
        end_with_parent(arguments.data.given());
    }
    match &arguments.command {
        Command::One(scenario) => print(&scenario.run(&arguments.data)?),
    }
}
