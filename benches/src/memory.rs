//! What the kernel says of the memory of this process.

use std::fs;

use anyhow::{Context, Result};

/// Bytes of memory that are in use now.
pub(crate) fn resident_bytes() -> Result<f64> {
    of_status("VmRSS:")
}

/// The most bytes of memory that were in use at once, since the process began.
pub(crate) fn peak_bytes() -> Result<f64> {
    of_status("VmHWM:")
}

fn of_status(name: &str) -> Result<f64> {
    let text = fs::read_to_string("/proc/self/status").context("can't read what memory is in use")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")).context("no figure of memory")?;
    Ok(kibibytes.trim().parse::<f64>()? * 1024.0)
}
