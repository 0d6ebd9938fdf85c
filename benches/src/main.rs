//! Measures relive side by side with what it is to be compared with: see `benches/README.md`.

mod disk;
mod figures;
mod latency;
mod load;
mod noise;
mod scenario;

use anyhow::Result;
use clap::{Parser, Subcommand};

use scenario::{Data, Scenario};

#[derive(Parser)]
#[command(about = "Measures relive side by side with its limits and its peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    data: Data,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a single measurement in this process, and prints its figures as a line of JSON.
    #[command(subcommand)]
    One(Scenario),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Command::One(scenario) => one(scenario, &arguments.data),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this command is for")]
fn one(scenario: &Scenario, data: &Data) -> Result<()> {
    let figures = scenario.run(data)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
