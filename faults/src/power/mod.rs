//! Losses of power on the real path of the store: a worker is recorded, disks are made that hold what is left of it when the
//! power goes at some point, and each is opened and judged.

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
use relive::storage::frame::split_mix;

use self::check::{Checked, Checker, Wrong};
use self::disk::Disk;
use self::files::Files;
use self::image::{STRATEGIES, Strategy, choose};
use self::recorder::{Recorded, Recorder};
use self::recording::{Entry, Recording};
use self::table::{Found, Table};
use crate::kept::Kept;
use crate::preload::Interposer;
use crate::random::Random;
use crate::workload::{Line, Witness};

/// What the command is told.
#[derive(Clone, Debug, Parser)]
#[command(about = "Records workers, and opens what a loss of power may leave of their stores")]
pub struct PowerLossArguments {
    /// How many images to open.
    #[arg(long, default_value_t = 500)]
    pub images: u64,
    /// The number of the first image.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// What everything is drawn from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What keeps the stores.
    #[arg(long, default_value_t = Kept::Sled)]
    pub medium: Kept,
    /// How many images are opened at once.
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Syncs that are left out, which must be noticed.
    #[arg(long)]
    pub lie: Option<Lie>,
    /// Make images of this recording, which is the one that was kept, in place of a new one.
    #[arg(long)]
    pub recording: Option<PathBuf>,
}

/// A sync that says it was done and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// All of them.
    All,
    /// The `fdatasync` of the files of the log that makes a commit stable. All others are done, sled's own too.
    Log,
}

impl Lie {
    fn faults(self, medium: Kept) -> String {
        match self {
            Self::All => "sync:1+:lie".to_owned(),
            Self::Log => format!("fdatasync@{}:1+:lie", medium.log()),
        }
    }
}

/// How many images are made of one recording.
const IMAGES_PER_RECORDING: u64 = 50;
/// Of how many images one is itself recorded while it is recovered, and loses power.
const RECOVERIES: u64 = 4;

/// Opens all images with the workers of a program.
///
/// # Errors
/// The workers can't be run or recorded.
pub fn run(arguments: &PowerLossArguments, program: &Path) -> io::Result<Table> {
    let interposer = Interposer::build()?;
    let shared = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("relive-power-");
    let root = builder.tempdir_in(shared).or_else(|_| builder.tempdir())?;
    // Who takes a recording makes all its images.
    let next = AtomicU64::new(arguments.first / IMAGES_PER_RECORDING);
    let tables = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..arguments.jobs.max(1))
            .map(|job| {
                let (next, root, interposer) = (&next, root.path(), &interposer);
                scope.spawn(move || {
                    let directory = root.join(job.to_string());
                    std::fs::create_dir_all(&directory)?;
                    let (program, interposer) = (program.to_owned(), interposer.clone());
                    let medium = arguments.medium;
                    let faults = arguments.lie.map_or_else(String::new, |lie| lie.faults(medium));
                    let recorder = Recorder { program, medium, interposer, directory, faults };
                    Work { arguments, recorder }.run(next)
                })
            })
            .collect();
        let done: Vec<_> = jobs.into_iter().map(|job| job.join().expect("a job does not panic")).collect();
        done
    });
    let mut table = Table::default();
    for found in tables {
        table.add(found?);
    }
    Ok(table)
}

struct Work<'a> {
    arguments: &'a PowerLossArguments,
    recorder: Recorder,
}

impl Work<'_> {
    fn run(&self, next: &AtomicU64) -> io::Result<Table> {
        let PowerLossArguments { first, images, seed, medium, recording, lie, .. } = self.arguments;
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
                let mut repeat =
                    format!("(the syncs were left out) --lie {lie:?} --seed {seed} --first {number}");
                if lie.is_none() {
                    let kept = keep(&recorded.recording, &made)?;
                    repeat = format!(
                        "cargo run --release -p relive-faults -- power-loss --seed {seed} --medium {medium} --first {number} --images 1 \
                         --recording {kept}/recording    (the image, and that of its recovery: {kept}/image-*)",
                        kept = kept.display()
                    );
                }
                table.violations.push(Found { image: number, what: what.to_string(), repeat });
            }
        }
    }

    /// Makes an image and opens it; now and then what is left when the power goes during that, too.
    fn image(
        &self,
        number: u64,
        recorded: &Recorded,
        made: &mut Vec<Files>,
        table: &mut Table,
    ) -> Result<(), Wrong> {
        let mut random = Random::new(split_mix(!self.arguments.seed, number));
        let Recorded { plan, recording, log_bytes, .. } = recorded;
        let end = point(recording, &mut random);
        let mut witness = Witness::default();
        hear(&mut witness, &recording.said_before(end))?;
        let Recorder { program, interposer, directory, .. } = &self.recorder;
        let checker =
            Checker { program: program.clone(), interposer: interposer.clone(), log_bytes: *log_bytes };
        let image = draw(&Files::default(), recording, end, &mut random, table);
        made.push(image.clone());
        let (directory, record) = (directory.join("image"), directory.join("record"));
        let again = random.one_in(RECOVERIES);
        let checked = checker.check(&image, &directory, again.then_some(&*record), plan, &witness)?;
        count(table, &witness, &checked);
        if again {
            let bytes = std::fs::read(&record)?;
            std::fs::remove_file(&record)?;
            let recovery = Recording::parse(bytes).map_err(Wrong::Broken)?;
            let end = point(&recovery, &mut random);
            hear(&mut witness, &recovery.said_before(end))?;
            let image = draw(&image, &recovery, end, &mut random, table);
            made.push(image.clone());
            table.of_recoveries += 1;
            let checked = checker.check(&image, &directory, None, plan, &witness)?;
            count(table, &witness, &checked);
        }
        Ok(())
    }
}

/// Keeps what a broken promise was found with.
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

fn count(table: &mut Table, witness: &Witness, checked: &Checked) {
    table.acknowledged += witness.acknowledged;
    table.recovered += checked.outcome.recovered;
    table.unknown_came_back += checked.outcome.unknown_came_back;
    table.effects += checked.outcome.effects;
    table.tails_cut += u64::from(checked.survey.torn_tail.is_some());
}

/// Takes in what was said.
///
/// # Errors
/// It is not what a worker says.
pub fn hear(witness: &mut Witness, lines: &[String]) -> Result<(), Wrong> {
    for line in lines {
        let line: Line = line.parse().map_err(Wrong::Broken)?;
        witness.hear(&line).map_err(Wrong::Broken)?;
        match &line {
            Line::Opened { epoch, .. } => witness.epoch = witness.epoch.max(*epoch),
            Line::Survey(survey) => witness.remember(survey),
            _ => {}
        }
    }
    Ok(())
}

/// When the power goes: anywhere, or close to where it matters.
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
