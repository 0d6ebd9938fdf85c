//! What shape should the values of an append-only log have when sled stores it?
//!
//! A commit is one block, split into values of at most `value` bytes, then `flush()`, then
//! `fdatasync`. Old blocks are deleted behind a live window. Compared with a plain file (same
//! bytes, one write and one `fdatasync` a commit), variants interleaved, medians of three rounds.
//!
//! sled splits a leaf at 17 keys whatever their size, and each split, and each tenth change of a
//! leaf, writes the whole leaf again: large values next to each other are written five times over.
//! "Fences" cure it: a few empty keys per value, inserted well ahead of the values. Leaves then
//! split while they hold nothing but empty keys, and a value is written once, into a leaf that will
//! never split again. A leaf holds few values, so it also stays below `segment_size / 4`, above
//! which sled would put it in a file of its own that `flush()` does not cover ("blobs" must be 0).
//!
//! Run with `--release`; the argument is the directory to measure in (a disk, not a RAM disk). Runs
//! are short: a device with a large write cache flatters the plain file, which writes each byte
//! just once. The constants of the store are in `src/tuning.rs`, its layout in `src/tree/`.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

const LIVE: u64 = 32 << 20; // bytes of log kept alive
const STEP: u64 = 4 << 20; // bytes of log deleted in one step
const GROUP: usize = 16 << 10; // small values share the fences of a group up to this size
const ROUNDS: usize = 3;
/// Label, block size, commits.
const LOADS: [(&str, usize, usize); 3] =
    [("1 MiB", 1 << 20, 192), ("256 KiB", 256 << 10, 768), ("512 B", 512, 600)];

#[derive(Clone, Copy)]
struct Shape {
    value: usize,
    segment: usize,
    /// Empty keys per group of values; 0 is the naive layout.
    fences: u16,
}

#[rustfmt::skip]
const SHAPES: [Shape; 7] = [
    Shape { value: 4 << 10, segment: 512 << 10, fences: 0 },
    Shape { value: 16 << 10, segment: 4 << 20, fences: 0 },
    Shape { value: 64 << 10, segment: 8 << 20, fences: 0 },
    Shape { value: 30 << 10, segment: 512 << 10, fences: 4 },
    Shape { value: 60 << 10, segment: 1 << 20, fences: 4 },
    Shape { value: 60 << 10, segment: 2 << 20, fences: 4 },
    Shape { value: 120 << 10, segment: 2 << 20, fences: 4 },
];

/// One run: MB/s, median latency in microseconds, bytes written to the device per byte logged,
/// most blob files seen at once, bytes on disk per live byte.
type Figures = [f64; 5];

/// Where values go: a group number and an index in the group, the fences first.
fn key(group: u64, index: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&group.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Bytes written so far to the block device that holds `path`, from `/proc/diskstats`.
fn device_bytes(path: &Path) -> f64 {
    let dev = fs::metadata(path).map_or(0, |m| m.dev());
    let major = ((dev >> 8) & 0xfff).to_string();
    let minor = ((dev & 0xff) | ((dev >> 12) & 0xfff00)).to_string();
    let stats = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let rows = stats.lines().map(|l| l.split_whitespace().collect());
    let mut rows = rows.filter(|w: &Vec<&str>| w.len() > 9 && w[0] == major && w[1] == minor);
    let sectors = rows.next().and_then(|w| w[9].parse::<f64>().ok());
    sectors.map_or(f64::NAN, |s| s * 512.0) // a device without figures
}

fn plain(dir: &Path, noise: &[u8], block: usize, commits: usize) -> io::Result<Figures> {
    let mut file = File::create(dir.join("plain"))?;
    let mut micros = Vec::new();
    let (device, start) = (device_bytes(dir), Instant::now());
    for n in 0..commits {
        let commit = Instant::now();
        file.write_all(&noise[n % 4096..][..block])?;
        file.sync_data()?;
        micros.push(commit.elapsed().as_secs_f64() * 1e6);
    }
    let (seconds, logged) = (start.elapsed().as_secs_f64(), (commits * block) as f64);
    let written = (device_bytes(dir) - device) / logged;
    Ok([logged / 1e6 / seconds, median(micros), written, 0.0, 1.0])
}

fn sled_log(dir: &Path, shape: Shape, noise: &[u8], block: usize, commits: usize) -> sled::Result<Figures> {
    let config = sled::Config::new().path(dir).segment_size(shape.segment);
    let db = config.cache_capacity(64 << 20).flush_every_ms(None).open()?;
    let tree = db.open_tree("log")?;
    db.flush()?;
    // sled's own flush() is no fsync: keep a descriptor for that.
    let durable = OpenOptions::new().write(true).open(dir.join("db"))?;
    durable.sync_all()?;
    // A leaf is cut off once 17 keys stand to the right of its first; stay that far ahead.
    let fences = shape.fences;
    let lead = 20 / u64::from(fences.max(1)) + 2;
    let (mut fenced, mut group, mut index, mut bytes) = (0, 0, fences, 0);
    let mut live: VecDeque<(u64, u16, u64)> = VecDeque::new();
    let (mut live_bytes, mut unfenced, mut blobs, mut micros) = (0, 0, 0, Vec::new());
    let (device, start) = (device_bytes(dir), Instant::now());
    for n in 0..commits {
        let commit = Instant::now();
        // Values of about equal size, each the first of a new group unless it is small.
        let values = block.div_ceil(shape.value);
        for value in noise[n % 4096..][..block].chunks(block.div_ceil(values)) {
            if bytes > 0 && bytes + value.len() > GROUP {
                (group, index, bytes) = (group + 1, fences, 0);
            }
            while fences > 0 && fenced <= group + lead {
                for fence in 0..fences {
                    tree.insert(key(fenced, fence), &[])?;
                }
                fenced += 1;
            }
            tree.insert(key(group, index), value)?;
            live.push_back((group, index, value.len() as u64));
            (index, bytes, live_bytes) = (index + 1, bytes + value.len(), live_bytes + value.len() as u64);
        }
        // Delete whole steps: all the values first, so that no leaf with a value left in it is ever
        // merged or rewritten, and the fences of the emptied groups after them.
        if live_bytes >= LIVE + STEP {
            while let Some(&(group, index, len)) = live.front().filter(|_| live_bytes > LIVE) {
                tree.remove(key(group, index))?;
                live.pop_front();
                live_bytes -= len;
            }
            while live.front().is_some_and(|first| unfenced < first.0) {
                for fence in 0..fences {
                    tree.remove(key(unfenced, fence))?;
                }
                unfenced += 1;
            }
        }
        db.flush()?;
        durable.sync_data()?;
        micros.push(commit.elapsed().as_secs_f64() * 1e6);
        blobs = blobs.max(fs::read_dir(dir.join("blobs"))?.count());
    }
    let (seconds, logged) = (start.elapsed().as_secs_f64(), (commits * block) as f64);
    let written = (device_bytes(dir) - device) / logged;
    let disk = (durable.metadata()?.blocks() * 512) as f64 / live_bytes as f64;
    let (rate, latency) = (logged / 1e6 / seconds, median(micros));
    Ok([rate, latency, written, blobs as f64, disk])
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let mut state = 0x9E37_79B9_7F4A_7C15_u64; // incompressible bytes: xorshift
    let noise: Vec<u8> = (0..(1 << 20) + 4096)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        })
        .collect();
    for (label, block, commits) in LOADS {
        let mut rounds = vec![Vec::new(); SHAPES.len() + 1];
        for _ in 0..ROUNDS {
            for (variant, figures) in rounds.iter_mut().enumerate() {
                let dir = tempfile::tempdir_in(&base)?;
                figures.push(match variant {
                    0 => plain(dir.path(), &noise, block, commits)?,
                    _ => sled_log(dir.path(), SHAPES[variant - 1], &noise, block, commits)?,
                });
            }
        }
        println!("\nblocks of {label}             MB/s  ratio  p50 us  written/logged  blobs  disk/live");
        let mid = |runs: &[Figures], i: usize| median(runs.iter().map(|f| f[i]).collect());
        let peer = mid(&rounds[0], 0);
        for (variant, runs) in rounds.iter().enumerate() {
            let name = match variant.checked_sub(1).map(|v| SHAPES[v]) {
                None => "plain file".into(),
                Some(s) => format!("{} KiB in {} KiB, {} fences", s.value >> 10, s.segment >> 10, s.fences),
            };
            let f = [0, 1, 2, 3, 4].map(|i| mid(runs, i));
            print!("{name:29} {:7.1} {:6.2} {:7.0}", f[0], f[0] / peer, f[1]);
            println!(" {:15.2} {:6.0} {:10.2}", f[2], f[3], f[4]);
        }
    }
    Ok(())
}
