//! What the kernel says of disks: bytes written so far, blocks allocated, on which device a
//! directory lies. Knows no measurement.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::figures::Figures;

/// Bytes written since some moment, by this process and by the whole device.
pub(crate) struct Written {
    process: Option<f64>,
    device: Option<f64>,
}

impl Written {
    /// So far, to the device that holds a directory. What the kernel does not tell is left out.
    pub(crate) fn so_far(directory: &Path) -> Self {
        Self { process: process_bytes(), device: device_bytes(directory) }
    }

    /// How much came since then: by this process (to the operating system) and by the device (for
    /// anybody).
    pub(crate) fn since(&self, directory: &Path) -> Figures {
        let now = Self::so_far(directory);
        let mut figures = Figures::default();
        let both = [
            ("process_written_bytes", now.process, self.process),
            ("device_written_bytes", now.device, self.device),
        ];
        for (name, now, then) in both {
            if let (Some(now), Some(then)) = (now, then) {
                figures = figures.with(name, now - then);
            }
        }
        figures
    }
}

/// What was handed to calls that write. Not `write_bytes` beside it: that counts a large folio of
/// the page cache as a whole when a part of it becomes dirty, and comes to several times what
/// reaches the device.
fn process_bytes() -> Option<f64> {
    of_io("wchar:")
}

/// What this process has made dirty in the page cache so far, in whole pages and whole large
/// folios.
pub(crate) fn process_dirtied_bytes() -> Option<f64> {
    of_io("write_bytes:")
}

fn of_io(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

fn device_bytes(directory: &Path) -> Option<f64> {
    let (major, minor) = device(directory)?;
    let text = fs::read_to_string("/proc/diskstats").ok()?;
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows
        .into_iter()
        .find(|row| row.len() > 9 && row[0] == major.to_string() && row[1] == minor.to_string())?;
    // The unit is 512 bytes, whatever the device's own sectors are.
    row[9].parse::<f64>().ok().map(|sectors| sectors * 512.0)
}

/// Major and minor number of the device that holds a path.
pub(crate) fn device(path: &Path) -> Option<(u64, u64)> {
    let device = fs::metadata(path).ok()?.dev();
    Some(((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00)))
}

/// Bytes of the blocks that a directory takes up on the disk, with all in it.
pub(crate) fn allocated_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("can't read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            // A file that was removed meanwhile takes up nothing.
            let Ok(metadata) = entry.metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(bytes)
}
