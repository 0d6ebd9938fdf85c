//! What the measurements ran on: processor, memory, kernel, disk. Only described, not judged, but
//! for disks that are none.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::disk::device;

/// The machine, and the disk that holds a directory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_bytes: u64,
    kernel: String,
    file_system: String,
    device: String,
    /// The median of a write of 4 KiB with its `fdatasync`.
    sync_p50_us: Option<f64>,
}

impl Machine {
    /// Looks at the machine, and at the disk that holds `directory`.
    pub(crate) fn around(directory: &Path) -> Result<Self> {
        let mount = Mount::of(directory)?;
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_bytes().unwrap_or(0),
            kernel: kernel(),
            file_system: format!("{} ({})", mount.kind, mount.options),
            device: device_name(directory).unwrap_or(mount.device),
            sync_p50_us: None,
        })
    }

    /// With how long a write of 4 KiB takes.
    pub(crate) fn with_sync(self, micros: f64) -> Self {
        Self { sync_p50_us: Some(micros), ..self }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory_bytes as f64 / f64::from(1 << 30);
        writeln!(f, "- {} x {}, {memory:.0} GiB of memory, {}", self.cores, self.processor, self.kernel)?;
        write!(f, "- {} on {}", self.file_system, self.device)?;
        match self.sync_p50_us {
            Some(micros) => writeln!(f, "; a write of 4 KiB with fdatasync takes {micros:.0} µs (p50)"),
            None => writeln!(f),
        }
    }
}

/// Whether a directory is in memory, where a sync costs nothing and nothing can be compared with
/// it.
pub(crate) fn is_in_memory(directory: &Path) -> Result<bool> {
    Ok(matches!(Mount::of(directory)?.kind.as_str(), "tmpfs" | "ramfs" | "devtmpfs"))
}

/// A file system as it is mounted.
struct Mount {
    device: String,
    kind: String,
    options: String,
}

impl Mount {
    /// The one that holds a directory: the longest mount point above it, and of several the last.
    fn of(directory: &Path) -> Result<Self> {
        let directory = directory.canonicalize().context("where stores are made")?;
        let mounts = fs::read_to_string("/proc/self/mounts").context("can't read what is mounted")?;
        let above = mounts.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (device, point) = (words.next()?, words.next()?);
            let (kind, options) = (words.next()?, words.next()?);
            let length = directory.starts_with(point).then_some(point.len())?;
            let (device, kind, options) = (device.to_owned(), kind.to_owned(), options.to_owned());
            Some((length, Self { device, kind, options }))
        });
        let found = above.max_by_key(|(length, _)| *length);
        found.map(|(_, mount)| mount).context("no file system holds the directory")
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

fn memory_bytes() -> Option<u64> {
    let kibibytes = field("/proc/meminfo", "MemTotal")?;
    kibibytes.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn kernel() -> String {
    let of = |name: &str| fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).unwrap_or_default();
    format!("{} {}", of("ostype").trim(), of("osrelease").trim())
}

/// The name of the device, whether it turns, and whether it says that it has a write cache.
fn device_name(directory: &Path) -> Option<String> {
    let (major, minor) = device(directory)?;
    let block = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let name = block.file_name()?.to_string_lossy().into_owned();
    // A partition has no queue of its own.
    let queue = [Some(block.as_path()), block.parent()].into_iter().flatten().map(|path| path.join("queue"));
    let queue = queue.into_iter().find(|queue| queue.is_dir());
    let of = |file: &str| {
        let text = queue.as_ref().and_then(|queue| fs::read_to_string(queue.join(file)).ok());
        text.unwrap_or_default().trim().to_owned()
    };
    let kind = if of("rotational") == "1" { "rotational" } else { "not rotational" };
    Some(format!("{name} ({kind}, write cache: {})", of("write_cache")))
}
