//! Runs workers on a new store, one after the other, and records what they do to it.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::Disk;
use super::files::Files;
use super::image::{Strategy, choose};
use super::recording::Recording;
use crate::kept::Kept;
use crate::preload::Interposer;
use crate::process::Process;
use crate::random::Random;
use crate::worker::Tier;
use crate::workload::{Line, Plan, Witness};

/// What workers did to a store from its creation on, over several openings.
#[derive(Debug)]
pub struct Recorded {
    /// Which recording.
    pub number: u64,
    /// The messages that were sent.
    pub plan: Plan,
    /// The budget of the log.
    pub log_bytes: u64,
    /// What was done.
    pub recording: Recording,
}

/// What makes recordings.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The program that has the command `worker`.
    pub program: PathBuf,
    /// What keeps the stores.
    pub medium: Kept,
    /// The library that records.
    pub interposer: Interposer,
    /// Where stores are made.
    pub directory: PathBuf,
    /// Faults that are put into all processes, as the library understands them.
    pub faults: String,
}

impl Recorder {
    /// Makes a recording; with `known` that one is taken, and only what goes with it is drawn.
    ///
    /// # Errors
    /// The worker can't be run, or is refused something, or what was recorded does not make the files that it left.
    pub fn record(&self, number: u64, mut random: Random, known: Option<&Path>) -> io::Result<Recorded> {
        let plan_seed = random.bits() >> 1;
        let plan = Plan::new(plan_seed);
        let log_bytes = *random.pick(&[16 << 10, 32 << 10, 128 << 10]);
        if let Some(known) = known {
            let recording = Recording::parse(std::fs::read(known)?).map_err(io::Error::other)?;
            return Ok(Recorded { number, plan, log_bytes, recording });
        }
        let directory = self.directory.join(format!("recording-{number}"));
        let (store, record) = (directory.join("store"), directory.join("record"));
        std::fs::create_dir_all(&directory)?;
        let mut witness = Witness::default();
        for _ in 0..2 + random.below(3) {
            let mut command = Command::new(&self.program);
            command.arg("worker").arg("--store").arg(&store);
            command.args(["--tier", &Tier::PowerLoss.to_string(), "--medium", &self.medium.to_string()]);
            // Often so many that sled's file has several segments, and frees some of them.
            let limit = if random.one_in(3) { 300 + random.below(500) } else { 20 + random.below(150) };
            for (name, value) in [
                ("--seed", plan_seed),
                ("--from", witness.acknowledged + 1),
                ("--limit", limit),
                ("--window", 1 + random.below(32)),
                ("--log-bytes", log_bytes),
                ("--checkpoint-records", 8 + random.below(30)),
            ] {
                command.args([name, &value.to_string()]);
            }
            let mut faults = self.faults.clone();
            if random.one_in(2) {
                write!(faults, ",write:{}:kill", 1 + random.below(200)).map_err(io::Error::other)?;
            }
            self.interposer.stand_before(&mut command, &store, Some(&record), &faults);
            live(&mut command, &mut witness)?;
        }
        let recording = Recording::parse(std::fs::read(&record)?).map_err(io::Error::other)?;
        if self.faults.is_empty() {
            complete(&recording, &store)?;
        }
        std::fs::remove_dir_all(&directory)?;
        Ok(Recorded { number, plan, log_bytes, recording })
    }
}

fn live(command: &mut Command, witness: &mut Witness) -> io::Result<()> {
    let process = Process::start(command)?;
    while let Some(line) = process.line("a recorded worker").map_err(io::Error::other)? {
        let line: Line = line.parse().map_err(io::Error::other)?;
        witness.hear(&line).map_err(io::Error::other)?;
        if let Line::Failed(error) = line {
            return Err(io::Error::other(format!("a recorded worker failed: {error}")));
        }
    }
    process.end().map_err(io::Error::other)?;
    Ok(())
}

/// Everything that a recording tells of, done, makes exactly the files that the process left: so no call went around the
/// interposer.
///
/// # Errors
/// The first difference.
pub fn complete(recording: &Recording, store: &Path) -> io::Result<()> {
    let base = Files::default();
    let disk = Disk::at(&base, recording, recording.entries().len());
    let all = choose(&base, recording, &disk, Strategy::AllKept, &mut Random::new(0));
    match all.difference(&Files::read(store)?) {
        None => Ok(()),
        Some(what) => Err(io::Error::other(format!("the recording is not complete: {what}"))),
    }
}
