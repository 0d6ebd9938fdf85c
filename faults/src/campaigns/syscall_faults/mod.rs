//! Failing system calls on the real path of the store: in each case one call of a worker fails,
//! once or for good. The worker must stop with a typed error (fail-stop), or not have needed the
//! call. Everything that it acknowledged must be there when an opening without faults follows, and
//! also on a disk that lost power at the worker's end, where a failed sync has lost what it should
//! have made durable. Knows the disks of `power_loss`; nothing of how the store reacts.
//!
//! # Source
//! What a failed `fsync` leaves: Rebello, Patel, Alagappan, Arpaci-Dusseau and Arpaci-Dusseau, *Can
//! Applications Recover from fsync Failures?*, USENIX ATC 2020.

pub mod case;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use relive_storage::frame::split_mix;

use self::case::{Action, Case, Counted};
use self::table::{Row, Table};
use crate::campaigns::power_loss::check::{Checker, Wrong};
use crate::campaigns::power_loss::disk::Disk;
use crate::campaigns::power_loss::files::Files;
use crate::campaigns::power_loss::image::{Strategy, choose};
use crate::campaigns::power_loss::recording::{Entry, Recording};
use crate::harness::campaign::{CommonArguments, Found, run_jobs, scratch};
use crate::harness::medium::StoreMedium;
use crate::harness::preload::Interposer;
use crate::harness::process::Process;
use crate::harness::random::Random;
use crate::harness::worker::Tier;
use crate::workload::{ClientView, Line, Plan};

/// The arguments of the campaign.
#[derive(Clone, Debug, Parser)]
#[command(about = "Lets calls of workers fail, and holds what comes back against what was acknowledged")]
pub struct SyscallFaultsArguments {
    /// How many workers to run.
    #[arg(long, default_value_t = 200)]
    pub cases: u64,
    /// The number of the first case.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// What the campaigns have in common.
    #[command(flatten)]
    pub common: CommonArguments,
    /// How many cases are run at once.
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
}

/// Runs all cases with the workers of a program.
///
/// # Errors
/// The campaign can't run the workers.
pub fn run(arguments: &SyscallFaultsArguments, program: &Path) -> io::Result<Table> {
    let interposer = Interposer::build()?;
    let root = scratch("relive-syscall-faults-")?;
    let bench = Bench {
        program: program.to_owned(),
        medium: arguments.common.medium,
        interposer,
        root: root.path().to_owned(),
    };
    let counted = [bench.count(false)?, bench.count(true)?];
    let next = AtomicU64::new(arguments.first);
    run_jobs(arguments.jobs, |_| bench.job(arguments, &counted, &next))
}

struct Bench {
    program: PathBuf,
    medium: StoreMedium,
    interposer: Interposer,
    root: PathBuf,
}

/// How a worker ended.
struct Ended {
    status: ExitStatus,
    opened: bool,
    closed: bool,
    failed: Option<String>,
    errors: String,
}

impl Bench {
    fn job(
        &self,
        arguments: &SyscallFaultsArguments,
        counted: &[Counted; 2],
        next: &AtomicU64,
    ) -> io::Result<Table> {
        let SyscallFaultsArguments { cases, first, common, .. } = arguments;
        let CommonArguments { seed, medium } = common;
        let mut table = Table::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= first + cases {
                return Ok(table);
            }
            let mut random = Random::new(split_mix(*seed, number));
            let used = random.one_in(2);
            let case = Case::draw(&counted[usize::from(used)], used, &mut random);
            let directory = self.root.join(number.to_string());
            std::fs::create_dir_all(&directory)?;
            if let Err(wrong) = self.case(&case, &directory, &mut random, &mut table) {
                let repeat = format!(
                    "cargo run --release -p relive-faults -- syscall-faults --seed {seed} --medium {medium} --first {number} --cases 1"
                );
                let (place, what) = (format!("case {number}, {case}"), wrong.to_string());
                table.violations.push(Found { place, what, repeat, kept: None, errors: String::new() });
            }
            std::fs::remove_dir_all(&directory)?;
        }
    }

    /// Counts the calls of a run without faults.
    fn count(&self, used: bool) -> io::Result<Counted> {
        let directory = self.root.join(format!("count-{used}"));
        std::fs::create_dir_all(&directory)?;
        let mut view = ClientView::default();
        let broken = |wrong: Wrong| io::Error::other(wrong.to_string());
        if used {
            self.live(&directory, None, "", &mut view).map_err(broken)?;
        }
        let record = directory.join("record");
        let ended = self.live(&directory, Some(&record), "", &mut view).map_err(broken)?;
        if !ended.closed {
            return Err(io::Error::other(format!("without faults a worker ended so: {:?}", ended.failed)));
        }
        let recording = Recording::parse(std::fs::read(&record)?).map_err(io::Error::other)?;
        Ok(Counted::of(&recording, self.medium))
    }

    /// A life of a worker.
    fn live(
        &self,
        directory: &Path,
        record: Option<&Path>,
        faults: &str,
        view: &mut ClientView,
    ) -> Result<Ended, Wrong> {
        let store = directory.join("store");
        let mut command = Command::new(&self.program);
        command.arg("worker").arg("--store").arg(&store).args(["--tier", &Tier::PowerLoss.to_string()]);
        command.args(["--medium", &self.medium.to_string()]);
        command.args(["--seed", &SEED.to_string(), "--from", &(view.acknowledged + 1).to_string()]);
        command.args(["--requests-from", &view.requests.next().to_string()]);
        command.args(["--limit", "60", "--window", "8", "--checkpoint-records", "10"]);
        command.args(["--log-bytes", &LOG_BYTES.to_string(), "--store-timeout", "10000"]);
        if record.is_some() {
            self.interposer.stand_before(&mut command, &store, record, faults);
        }
        let process = Process::start(&mut command)?;
        let (mut opened, mut closed, mut failed) = (false, false, None);
        while let Some(line) = process.line("a worker under faults").map_err(broken)? {
            let line: Line = line.parse().map_err(Wrong::Broken)?;
            view.hear(&line).map_err(Wrong::Broken)?;
            match line {
                Line::Opened { epoch, .. } => {
                    opened = true;
                    view.epoch = view.epoch.max(epoch);
                }
                Line::Readback(readback) => view.remember(&readback),
                Line::Failed(error) => failed = Some(error),
                Line::Closed => closed = true,
                _ => {}
            }
        }
        let (status, errors) = process.end().map_err(broken)?;
        Ok(Ended { status, opened, closed, failed, errors })
    }

    fn case(
        &self,
        case: &Case,
        directory: &Path,
        random: &mut Random,
        table: &mut Table,
    ) -> Result<(), Wrong> {
        let (record, mut view) = (directory.join("record"), ClientView::default());
        if case.used {
            self.live(directory, None, "", &mut view)?;
        }
        let (store, plan) = (directory.join("store"), Plan::new(SEED));
        let base = if case.used { Files::read(&store)? } else { Files::default() };
        let ended = self.live(directory, Some(&record), &case.faults(), &mut view)?;
        let recording = Recording::parse(std::fs::read(&record)?).map_err(Wrong::Broken)?;
        let row = table.rows.entry(case.class()).or_default();
        let told = tell(case, &ended, &recording, row);
        let (program, interposer) = (self.program.clone(), self.interposer.clone());
        let checker = Checker { program, interposer, log_bytes: LOG_BYTES };
        let end = recording.entries().len();
        for strategy in [Strategy::AllDropped, Strategy::AnyTorn] {
            let disk = Disk::at(&base, &recording, end);
            let image = choose(&base, &recording, &disk, strategy, random);
            let checked = checker.check(&image, &directory.join("image"), None, &plan, &view);
            checked.map_err(|wrong| Wrong::Broken(format!("after a loss of power, {strategy}: {wrong}")))?;
            table.images += 1;
        }
        let checked = checker.check_store(&store, None, &plan, &view);
        let checked =
            checked.map_err(|wrong| Wrong::Broken(format!("opened again without faults: {wrong}")))?;
        table.acknowledged += view.acknowledged;
        table.recovered += checked.outcome.recovered;
        told
    }
}

/// Counts how a worker ended, and checks whether it may end so.
fn tell(case: &Case, ended: &Ended, recording: &Recording, row: &mut Row) -> Result<(), Wrong> {
    row.cases += 1;
    let broken = |what: &str| {
        let Ended { status, failed, errors, .. } = ended;
        Err(Wrong::Broken(format!("{what} ({status}): {failed:?} {}", errors.trim())))
    };
    let entries = recording.entries();
    let first = entries.iter().position(|entry| matches!(entry, Entry::Failed { .. }));
    let typed = ended.failed.is_some() && ended.status.code() == Some(REFUSED);
    match (first, ended.closed && ended.status.success()) {
        (None, true) => row.not_reached += 1,
        (None, false) => return broken("nothing failed, and the worker did"),
        (Some(_), true) => row.went_on += 1,
        (Some(_), false) if !typed => return broken("the worker ended without a typed error"),
        (Some(_), false) if ended.opened => row.stopped += 1,
        (Some(_), false) => row.at_opening += 1,
    }
    let Some(first) = first else { return Ok(()) };
    let Entry::Failed { call, name } = &entries[first] else { return Ok(()) };
    if call != "fdatasync" {
        return Ok(());
    }
    let went_on = |entry: &Entry| match entry {
        Entry::Said { content } => !recording.content(content).starts_with(b"closed"),
        _ => false,
    };
    if ended.closed && case.action != Action::Short {
        let on = entries[first..].iter().any(went_on);
        return broken(if on {
            "a sync failed, and the worker went on"
        } else {
            "the store could not be closed, and the shutdown did not say so"
        });
    }
    let again = |entry: &Entry| matches!(entry, Entry::SyncBegins { name: again, data_only: true, .. } if again == name);
    if entries[first..].iter().any(again) {
        return broken("a sync that had failed was tried again");
    }
    Ok(())
}

fn broken(hang: impl std::fmt::Display) -> Wrong {
    Wrong::Broken(hang.to_string())
}

const SEED: u64 = 11;
const LOG_BYTES: u64 = 16 << 10;
/// The exit code of a worker that met a refusal.
const REFUSED: i32 = 1;
