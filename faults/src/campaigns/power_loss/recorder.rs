//! Runs workers on a new store, one after the other, and records what they do to it.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::Disk;
use super::files::Files;
use super::image::{Strategy, choose};
use super::recording::Recording;
use crate::harness::medium::StoreMedium;
use crate::harness::preload::Interposer;
use crate::harness::process::Process;
use crate::harness::random::Random;
use crate::harness::worker::Tier;
use crate::workload::{ClientView, Line, Plan};

/// The calls that workers made on a store since its creation, over several openings.
#[derive(Debug)]
pub struct Recorded {
    /// Which recording.
    pub number: u64,
    /// The plan of the messages that the workers sent.
    pub plan: Plan,
    /// The budget of the log.
    pub log_bytes: u64,
    /// The recorded calls.
    pub recording: Recording,
}

/// Makes recordings.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The program that has the command `worker`.
    pub program: PathBuf,
    /// The medium of the stores.
    pub medium: StoreMedium,
    /// The library that records.
    pub interposer: Interposer,
    /// The directory of the stores.
    pub directory: PathBuf,
    /// The faults of all processes, in the language of the library.
    pub faults: String,
}

impl Recorder {
    /// Makes a recording. With `known`, reads that recording instead, and draws only the choices
    /// that belong to it.
    ///
    /// # Errors
    /// The worker does not run, or fails; or the recorded calls do not produce the files that it
    /// left.
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
        let mut view = ClientView::default();
        for _ in 0..2 + random.below(3) {
            let mut command = Command::new(&self.program);
            command.arg("worker").arg("--store").arg(&store);
            command.args(["--tier", &Tier::PowerLoss.to_string(), "--medium", &self.medium.to_string()]);
            // Often enough messages that sled's file has several segments, and frees some of them.
            let limit = if random.one_in(3) { 300 + random.below(500) } else { 20 + random.below(150) };
            for (name, value) in [
                ("--seed", plan_seed),
                ("--from", view.acknowledged + 1),
                ("--limit", limit),
                ("--requests-from", view.requests.next()),
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
            live(&mut command, &mut view)?;
        }
        let recording = Recording::parse(std::fs::read(&record)?).map_err(io::Error::other)?;
        if self.faults.is_empty() {
            complete(&recording, &store)?;
        }
        std::fs::remove_dir_all(&directory)?;
        Ok(Recorded { number, plan, log_bytes, recording })
    }
}

fn live(command: &mut Command, view: &mut ClientView) -> io::Result<()> {
    let process = Process::start(command)?;
    while let Some(line) = process.line("a recorded worker").map_err(io::Error::other)? {
        let line: Line = line.parse().map_err(io::Error::other)?;
        view.hear(&line).map_err(io::Error::other)?;
        if let Line::Failed(error) = line {
            return Err(io::Error::other(format!("a recorded worker failed: {error}")));
        }
    }
    process.end().map_err(io::Error::other)?;
    Ok(())
}

/// Checks that the recorded calls produce exactly the files that the process left: so no call went
/// around the interposer.
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
