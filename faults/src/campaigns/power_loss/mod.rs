//! Losses of power on the real path of the store: the campaign records the system calls of a
//! worker, builds disk images that a loss of power at some point could leave, and opens and checks
//! each image. Knows no other campaign, and of the store only the calls that it makes.
//!
//! # Source
//! Crash states as the disk contents that the unsynced changes allow: Pillai, Chidambaram,
//! Alagappan, Al-Kiswany, Arpaci-Dusseau and Arpaci-Dusseau, *All File Systems Are Not Created
//! Equal: On the Complexity of Crafting Crash-Consistent Applications*, OSDI 2014.

pub mod check;
pub mod disk;
pub mod files;
pub mod image;
pub mod recorder;
pub mod recording;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use relive_storage::frame::split_mix;

use self::check::{Checked, Checker, Wrong};
use self::disk::Disk;
use self::files::Files;
use self::image::{STRATEGIES, Strategy, choose};
use self::recorder::{Recorded, Recorder};
use self::recording::{Entry, Recording};
use self::table::Table;
use crate::harness::campaign::{CommonArguments, Found, run_jobs, scratch};
use crate::harness::medium::StoreMedium;
use crate::harness::preload::Interposer;
use crate::harness::random::Random;
use crate::workload::{ClientView, Line};

/// The arguments of the campaign.
#[derive(Clone, Debug, Parser)]
#[command(about = "Records workers, and opens what a loss of power may leave of their stores")]
pub struct PowerLossArguments {
    /// How many images to open.
    #[arg(long, default_value_t = 500)]
    pub images: u64,
    /// The number of the first image.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// What the campaigns have in common.
    #[command(flatten)]
    pub common: CommonArguments,
    /// How many images are opened at once.
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Syncs that are left out, which must be noticed.
    #[arg(long)]
    pub ignored_syncs: Option<IgnoredSyncs>,
    /// Make images of this recording, which is the one that was kept, in place of a new one.
    #[arg(long)]
    pub recording: Option<PathBuf>,
}

/// A sync that reports success and does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IgnoredSyncs {
    /// All of them.
    All,
    /// The `fdatasync` of the files of the log that makes a commit durable. All others are done,
    /// sled's own too.
    Log,
}

impl IgnoredSyncs {
    fn faults(self, medium: StoreMedium) -> String {
        match self {
            Self::All => "sync:1+:ignore".to_owned(),
            Self::Log => format!("fdatasync@{}:1+:ignore", medium.log()),
        }
    }
}

/// How many images the campaign makes of one recording.
const IMAGES_PER_RECORDING: u64 = 50;
/// One image in this many loses power again during its recovery, which the campaign records.
const RECOVERIES: u64 = 4;

/// Opens all images with the workers of a program.
///
/// # Errors
/// The campaign can't run or record the workers.
pub fn run(arguments: &PowerLossArguments, program: &Path) -> io::Result<Table> {
    let interposer = Interposer::build()?;
    let root = scratch("relive-power-")?;
    // The job that takes a recording makes all images of it.
    let next = AtomicU64::new(arguments.first / IMAGES_PER_RECORDING);
    run_jobs(arguments.jobs, |job| {
        let directory = root.path().join(job.to_string());
        std::fs::create_dir_all(&directory)?;
        let (program, interposer, medium) = (program.to_owned(), interposer.clone(), arguments.common.medium);
        let faults = arguments.ignored_syncs.map_or_else(String::new, |ignored| ignored.faults(medium));
        let recorder = Recorder { program, medium, interposer, directory, faults };
        Work { arguments, recorder }.run(&next)
    })
}

struct Work<'a> {
    arguments: &'a PowerLossArguments,
    recorder: Recorder,
}

impl Work<'_> {
    fn run(&self, next: &AtomicU64) -> io::Result<Table> {
        let PowerLossArguments { first, images, common, recording, ignored_syncs, .. } = self.arguments;
        let CommonArguments { seed, medium } = common;
        let end = first + images;
        let mut table = Table::default();
        loop {
            let of = next.fetch_add(1, Ordering::Relaxed);
            let numbers = (of * IMAGES_PER_RECORDING).max(*first)..((of + 1) * IMAGES_PER_RECORDING).min(end);
            if numbers.is_empty() {
                return Ok(table);
            }
            let random = Random::new(split_mix(*seed, of));
            let recorded = self.recorder.record(of, random, recording.as_deref())?;
            table.recordings += 1;
            for number in numbers {
                let mut made = Vec::new();
                let Err(what) = self.image(number, &recorded, &mut made, &mut table) else { continue };
                table.refused += u64::from(matches!(what, Wrong::Refused(_)));
                let mut repeat = format!(
                    "(the syncs were left out) --ignored-syncs {ignored_syncs:?} --seed {seed} --first {number}"
                );
                if ignored_syncs.is_none() {
                    let kept = keep(&recorded.recording, &made)?;
                    repeat = format!(
                        "cargo run --release -p relive-faults -- power-loss --seed {seed} --medium {medium} --first {number} --images 1 \
                         --recording {kept}/recording    (the image, and that of its recovery: {kept}/image-*)",
                        kept = kept.display()
                    );
                }
                let (place, what) = (format!("image {number}"), what.to_string());
                table.violations.push(Found { place, what, repeat, kept: None, errors: String::new() });
            }
        }
    }

    /// Makes an image and opens it. Now and then also makes and opens what a loss of power during
    /// that opening leaves.
    fn image(
        &self,
        number: u64,
        recorded: &Recorded,
        made: &mut Vec<Files>,
        table: &mut Table,
    ) -> Result<(), Wrong> {
        let mut random = Random::new(split_mix(!self.arguments.common.seed, number));
        let Recorded { plan, recording, log_bytes, .. } = recorded;
        let end = point(recording, &mut random);
        let mut view = ClientView::default();
        hear(&mut view, &recording.said_before(end))?;
        let Recorder { program, interposer, directory, .. } = &self.recorder;
        let checker =
            Checker { program: program.clone(), interposer: interposer.clone(), log_bytes: *log_bytes };
        let image = draw(&Files::default(), recording, end, &mut random, table);
        made.push(image.clone());
        let (directory, record) = (directory.join("image"), directory.join("record"));
        let again = random.one_in(RECOVERIES);
        let checked = checker.check(&image, &directory, again.then_some(&*record), plan, &view)?;
        count(table, &view, &checked);
        if again {
            let bytes = std::fs::read(&record)?;
            std::fs::remove_file(&record)?;
            let recovery = Recording::parse(bytes).map_err(Wrong::Broken)?;
            let end = point(&recovery, &mut random);
            hear(&mut view, &recovery.said_before(end))?;
            let image = draw(&image, &recovery, end, &mut random, table);
            made.push(image.clone());
            table.of_recoveries += 1;
            let checked = checker.check(&image, &directory, None, plan, &view)?;
            count(table, &view, &checked);
        }
        Ok(())
    }
}

/// Keeps the recording and the images that broke a promise.
fn keep(recording: &Recording, made: &[Files]) -> io::Result<PathBuf> {
    let kept = tempfile::Builder::new().prefix("relive-power-found-").tempdir()?.keep();
    std::fs::write(kept.join("recording"), recording.bytes())?;
    for (number, image) in made.iter().enumerate() {
        image.write(&kept.join(format!("image-{number}")))?;
    }
    Ok(kept)
}

/// Draws an image.
fn draw(base: &Files, recording: &Recording, end: usize, random: &mut Random, table: &mut Table) -> Files {
    let disk = Disk::at(base, recording, end);
    let strategy = *random.pick(&STRATEGIES);
    *table.images.entry(strategy).or_default() += 1;
    let image = choose(base, recording, &disk, strategy, random);
    let whole = choose(base, recording, &disk, Strategy::AllKept, &mut Random::new(0));
    table.lacking += u64::from(image != whole);
    image
}

fn count(table: &mut Table, view: &ClientView, checked: &Checked) {
    table.acknowledged += view.acknowledged;
    table.recovered += checked.outcome.recovered;
    table.unknown_came_back += checked.outcome.unknown_came_back;
    table.effects += checked.outcome.effects;
    table.tails_cut += u64::from(checked.readback.torn_tail.is_some());
}

/// Takes in the lines of a worker.
///
/// # Errors
/// A line that no worker says.
pub fn hear(view: &mut ClientView, lines: &[String]) -> Result<(), Wrong> {
    for line in lines {
        let line: Line = line.parse().map_err(Wrong::Broken)?;
        view.hear(&line).map_err(Wrong::Broken)?;
        match &line {
            Line::Opened { epoch, .. } => view.epoch = view.epoch.max(*epoch),
            Line::Readback(readback) => view.remember(readback),
            _ => {}
        }
    }
    Ok(())
}

/// Draws when the power goes: anywhere, or close to where it matters.
fn point(recording: &Recording, random: &mut Random) -> usize {
    let entries = recording.entries();
    let anywhere = usize::try_from(random.below(entries.len() as u64 + 1)).unwrap_or_default();
    if random.one_in(2) {
        return anywhere;
    }
    let matters = |entry: &Entry| {
        let boring = matches!(entry, Entry::WriteBegins { .. } | Entry::WriteEnded { .. });
        !boring
    };
    let near = entries.iter().skip(anywhere).position(matters).map_or(anywhere, |at| anywhere + at);
    (near + usize::from(random.one_in(2))).min(entries.len())
}
