//! The program: its commands are in [`relive_faults::cli`].

use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    relive_faults::cli::run()
}
