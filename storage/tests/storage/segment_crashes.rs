//! Media of plain files that end in the middle of any step: by the death of the process, or by a
//! loss of power that keeps any of the unsynced sectors. Every synced value is there, and no value
//! that was never appended.
//!
//! ```sh
//! RELIVE_SEGMENT_RUNS=1000 RELIVE_SEGMENT_SEED=1 cargo test -p relive-storage --test storage segment_crashes
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use relive_storage::boundary::OnBoundary;
use relive_storage::frame::split_mix;
use relive_storage::medium::{Medium, StreamId};
use relive_storage::{Durability, SegmentFiles, SegmentOptions};

const LOG: StreamId = StreamId(0);
const SECTOR: usize = 512;

/// Numbers from a seed.
struct Random(u64, u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.1 += 1;
        (split_mix(self.0, self.1) >> 11) % count
    }
}

/// The content that must be there, and the content that may be.
#[derive(Default)]
struct Model {
    streams: BTreeMap<StreamId, Expected>,
    /// The superblocks that a loss of power may leave, the newest last; and the one that is being
    /// written.
    superblocks: Vec<Vec<u8>>,
    next_stream: u64,
    /// The last synced content of each file that was written since.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    version: u64,
    /// The list of segments that is being replaced.
    old_list: Option<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Expected {
    /// All values that may be at a position, the newest last. Other values stand there only during
    /// their removal.
    values: BTreeMap<u64, Vec<Vec<u8>>>,
    synced: u64,
    /// The stream begins here at the latest.
    below: u64,
    /// A removal is under way: synced values from here on may be gone.
    removing_from: Option<u64>,
    removing: bool,
}

/// Copies the directory at boundaries that the seed chooses.
struct Crashes {
    live: PathBuf,
    root: PathBuf,
    model: Rc<RefCell<Model>>,
    random: Random,
    count: u64,
    /// The copies are made at one in this many boundaries.
    one_in: u64,
    power: bool,
    failures: Vec<String>,
    seen: BTreeMap<&'static str, u64>,
}

impl Crashes {
    fn reached(&mut self, name: &'static str) {
        *self.seen.entry(name).or_default() += 1;
        self.manifest(name);
        if self.random.below(self.one_in) != 0 {
            return;
        }
        self.count += 1;
        let crashed = self.root.join(format!("crash {}", self.count));
        self.copy(&crashed);
        if let Err(what) = check(&crashed, &self.model.borrow(), self.power) {
            self.failures.push(format!("crash {} at {name}: {what}", self.count));
        } else {
            fs::remove_dir_all(&crashed).unwrap();
        }
    }

    /// The old list of segments may come back until the new name is synced.
    fn manifest(&mut self, name: &str) {
        let mut model = self.model.borrow_mut();
        match name {
            "medium.manifest.written" => {
                model.old_list = fs::read(self.live.join("relive.segments")).ok();
            }
            "medium.manifest.synced" => model.old_list = None,
            _ => {}
        }
    }

    fn copy(&mut self, to: &Path) {
        fs::create_dir(to).unwrap();
        // The thread that prepares goes on meanwhile: a list never names what is not there yet.
        let mut names: Vec<_> =
            fs::read_dir(&self.live).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort_by_key(|name| name != "relive.segments");
        let mut copied = BTreeSet::new();
        for name in names {
            // It may be renamed or removed meanwhile.
            let Ok(now) = fs::read(self.live.join(&name)) else { continue };
            let model = self.model.borrow();
            // A segment is synced when its next use begins.
            let is_same_use =
                |durable: &&Vec<u8>| durable.get(..64) == now.get(..64) || name == "relive.super";
            let durable = model.durable.get(Path::new(&name)).filter(|_| self.power).filter(is_same_use);
            let content =
                durable.map_or_else(|| now.clone(), |durable| tear(&mut self.random, durable, &now));
            let old_list = model.old_list.as_ref().filter(|_| self.power && name == "relive.segments");
            let content = old_list.filter(|_| self.random.below(2) == 0).cloned().unwrap_or(content);
            fs::write(to.join(&name), content).unwrap();
            copied.insert(name);
        }
        // One that was made after the names were listed, and before the list was read.
        for entry in fs::read_dir(&self.live).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("segment.")
                && !copied.contains(&entry.file_name())
            {
                drop(fs::copy(entry.path(), to.join(entry.file_name())));
            }
        }
    }
}

/// Each sector is the old one or the new one; a file that grew has any length in between.
fn tear(random: &mut Random, durable: &[u8], now: &[u8]) -> Vec<u8> {
    let mut torn = now.to_vec();
    if now.len() > durable.len() {
        torn.truncate(
            durable.len() + usize::try_from(random.below((now.len() - durable.len()) as u64 + 1)).unwrap(),
        );
    }
    for (index, sector) in torn.chunks_mut(SECTOR).enumerate() {
        let begin = index * SECTOR;
        if random.below(2) == 0 {
            for (at, byte) in sector.iter_mut().enumerate() {
                *byte = durable.get(begin + at).copied().unwrap_or(0);
            }
        }
    }
    torn
}

/// Compares what an opening finds with the model.
fn check(path: &Path, model: &Model, power: bool) -> Result<(), String> {
    let options = SegmentOptions::default().durability(Durability::ProcessCrash).segment_bytes(8 << 10);
    let mut ends = BTreeMap::new();
    for round in 0..2 {
        let medium = SegmentFiles::open(path, &options).map_err(|error| error.to_string())?;
        let found = medium.streams().map_err(|error| error.to_string())?;
        if round > 0 && found != ends {
            return Err(format!("another opening finds {found:?}, not {ends:?}"));
        }
        for (stream, range) in &found {
            let Some(expected) = model.streams.get(stream) else {
                return Err(format!("{stream:?} was never there"));
            };
            for position in range.clone() {
                let value = medium.read(*stream, position).map_err(|error| error.to_string())?;
                let known = expected.values.get(&position).map(Vec::as_slice).unwrap_or_default();
                let known =
                    if expected.removing_from.is_some() { known } else { &known[known.len().max(1) - 1..] };
                match value {
                    Some(Ok(value)) if known.iter().any(|known| **known == value) => {}
                    Some(Err(_)) if position >= expected.synced && power => {}
                    Some(Err(_)) if expected.removing_from.is_some_and(|from| position >= from) => {}
                    other => {
                        return Err(format!(
                            "{position} of {stream:?} ({range:?}) is {other:?}, not {known:?}"
                        ));
                    }
                }
            }
        }
        for (stream, expected) in &model.streams {
            let needed = expected.removing_from.map_or(expected.synced, |from| from.min(expected.synced));
            let there = found.get(stream).cloned().unwrap_or(0..0);
            let is_there = there.end >= needed && there.start <= expected.below;
            if !is_there && !expected.removing && needed > 0 {
                let below = expected.below;
                return Err(format!(
                    "{stream:?} has {there:?}, synced up to {needed}, removed below {below}"
                ));
            }
        }
        let superblock = medium.superblock().map_err(|error| error.to_string())?;
        if !model.superblocks.iter().any(|known| *known == superblock) {
            return Err(format!("a superblock of {} bytes comes from nowhere", superblock.len()));
        }
        ends = found;
    }
    // It goes on from the values that are there.
    let medium = SegmentFiles::open(path, &options).map_err(|error| error.to_string())?;
    for (stream, range) in &mut ends {
        for _ in 0..3 {
            medium.append(*stream, range.end, &[0xa5; 999]).map_err(|error| error.to_string())?;
            range.end += 1;
        }
        medium.sync(*stream).map_err(|error| error.to_string())?;
    }
    drop(medium);
    let medium = SegmentFiles::open(path, &options).map_err(|error| error.to_string())?;
    let found = medium.streams().map_err(|error| error.to_string())?;
    if found != ends {
        return Err(format!("after going on there is {found:?}, not {ends:?}"));
    }
    Ok(())
}

thread_local! {
    static CRASHES: RefCell<Option<Crashes>> = const { RefCell::new(None) };
}

/// This thread has reached a boundary. The opening that checks a crash reaches boundaries too.
fn reached(name: &'static str) {
    CRASHES.with(|crashes| {
        if let Ok(mut crashes) = crashes.try_borrow_mut()
            && let Some(crashes) = crashes.as_mut()
        {
            crashes.reached(name);
        }
    });
}

/// One life of a medium after the other, with the calls that a seed gives.
struct Life {
    live: PathBuf,
    options: SegmentOptions,
    medium: SegmentFiles,
    model: Rc<RefCell<Model>>,
    random: Random,
    power: bool,
}

impl Life {
    fn step(&mut self) {
        match self.random.below(20) {
            0..9 => self.append(),
            9..13 => {
                let stream = self.some_stream();
                self.medium.sync(stream).unwrap();
                self.synced(stream);
            }
            13 | 14 => self.write_superblock(),
            15 | 16 => self.remove_below(),
            17 => self.remove_from(),
            18 => self.remove(),
            _ => self.reopen(),
        }
    }

    fn some_stream(&mut self) -> StreamId {
        let model = self.model.borrow();
        let others: Vec<_> = model.streams.keys().copied().filter(|stream| *stream != LOG).collect();
        let chosen = self.random.below(2 * others.len() as u64 + 3);
        usize::try_from(chosen).ok().and_then(|chosen| others.get(chosen)).copied().unwrap_or(LOG)
    }

    fn append(&mut self) {
        let mut stream = self.some_stream();
        if self.random.below(12) == 0 {
            let mut model = self.model.borrow_mut();
            model.next_stream += 1;
            stream = StreamId(model.next_stream);
        }
        for _ in 0..=self.random.below(4) {
            let length = match self.random.below(30) {
                0 => 9_000,
                1..4 => 0,
                _ => self.random.below(2_500),
            };
            let (position, value) = {
                let mut model = self.model.borrow_mut();
                model.version += 1;
                let version = model.version;
                let expected = model.streams.entry(stream).or_default();
                let position = expected.values.last_key_value().map_or(0, |(position, _)| position + 1);
                let position = position.max(expected.synced).max(expected.below);
                let value: Vec<u8> = (0..length)
                    .map(|at| split_mix(version, at / 8).to_le_bytes()[0] ^ at.to_le_bytes()[0])
                    .collect();
                expected.values.insert(position, vec![value.clone()]);
                (position, value)
            };
            self.medium.append(stream, position, &value).unwrap();
            let read = self.medium.read(stream, position).unwrap().unwrap().unwrap();
            assert!(read == value);
        }
    }

    /// The written values of a stream count from here on.
    fn synced(&self, stream: StreamId) {
        let mut model = self.model.borrow_mut();
        if let Some(expected) = model.streams.get_mut(&stream) {
            expected.synced = expected.values.last_key_value().map_or(expected.synced, |(last, _)| last + 1);
        }
        let prefix = if stream == LOG { "segment.".to_owned() } else { format!("stream.{}", stream.0) };
        self.remember(
            &mut model,
            |name| if stream == LOG { name.starts_with(&prefix) } else { name == prefix },
        );
    }

    fn remember(&self, model: &mut Model, wanted: impl Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.live).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            if wanted(&name.to_string_lossy())
                && let Ok(content) = fs::read(entry.path())
            {
                model.durable.insert(name.into(), content);
            }
        }
    }

    fn write_superblock(&mut self) {
        let durable = self.random.below(2) == 0;
        let bytes =
            vec![self.random.below(256).to_le_bytes()[0]; usize::try_from(self.random.below(3_000)).unwrap()];
        self.model.borrow_mut().superblocks.push(bytes.clone());
        self.medium.write_superblock(&bytes, durable).unwrap();
        let mut model = self.model.borrow_mut();
        if durable || !self.power {
            model.superblocks = vec![bytes];
        }
        if durable {
            self.remember(&mut model, |name| name == "relive.super");
        }
    }

    fn remove_below(&mut self) {
        let below = {
            let mut model = self.model.borrow_mut();
            let Some(expected) = model.streams.get_mut(&LOG) else { return };
            let below = expected.below + self.random.below(expected.synced - expected.below + 1);
            expected.below = below;
            below
        };
        self.medium.remove_below(LOG, below).unwrap();
    }

    fn remove_from(&mut self) {
        let stream = self.some_stream();
        let from = {
            let mut model = self.model.borrow_mut();
            let Some(expected) = model.streams.get_mut(&stream) else { return };
            let end = expected.values.last_key_value().map_or(expected.synced, |(last, _)| last + 1);
            let from = end - self.random.below((end - expected.below).min(12) + 1);
            expected.removing_from = Some(from);
            from
        };
        self.medium.remove_from(stream, from).unwrap();
        if let Some(expected) = self.model.borrow_mut().streams.get_mut(&stream) {
            expected.values.split_off(&from);
            expected.removing_from = None;
            expected.synced = expected.synced.min(from);
        }
        self.synced(stream);
    }

    fn remove(&mut self) {
        let stream = self.some_stream();
        if stream == LOG {
            return;
        }
        if let Some(expected) = self.model.borrow_mut().streams.get_mut(&stream) {
            expected.removing = true;
        }
        self.medium.remove(stream).unwrap();
        self.model.borrow_mut().streams.remove(&stream);
    }

    fn reopen(&mut self) {
        self.medium.close().unwrap();
        self.all_is_stable();
        self.medium = SegmentFiles::open(&self.live, &self.options).unwrap();
        self.all_is_stable();
    }

    fn all_is_stable(&self) {
        let streams: Vec<_> = self.model.borrow().streams.keys().copied().collect();
        for stream in streams {
            self.synced(stream);
        }
        let mut model = self.model.borrow_mut();
        self.remember(&mut model, |name| name == "relive.super");
    }
}

fn run(seed: u64, power: bool) -> BTreeMap<&'static str, u64> {
    let root = tempfile::tempdir().unwrap();
    let live = root.path().join("live");
    let durability = if power { Durability::PowerLoss } else { Durability::ProcessCrash };
    let options = SegmentOptions::default().durability(durability).segment_bytes(8 << 10);
    let model = Rc::new(RefCell::new(Model { superblocks: vec![Vec::new()], ..Model::default() }));
    let crashes = Crashes {
        live: live.clone(),
        root: root.path().to_owned(),
        model: Rc::clone(&model),
        random: Random(seed, 1 << 32),
        count: 0,
        one_in: 6,
        power,
        failures: Vec::new(),
        seen: BTreeMap::new(),
    };
    CRASHES.with(|slot| *slot.borrow_mut() = Some(crashes));
    tracing::subscriber::with_default(OnBoundary(reached), || {
        let medium = SegmentFiles::open(&live, &options).unwrap();
        let mut life = Life { live, options, medium, model, random: Random(seed, 0), power };
        for _ in 0..150 {
            life.step();
        }
        life.reopen();
    });
    let crashes = CRASHES.with(|slot| slot.borrow_mut().take()).expect("it was put there");
    if let Some(first) = crashes.failures.first() {
        let kept = root.keep();
        panic!(
            "{} of {} crashes: {first}\nkept in {}\nRELIVE_SEGMENT_RUNS=1 RELIVE_SEGMENT_SEED={seed} cargo test -p relive-storage --test storage segment_crashes",
            crashes.failures.len(),
            crashes.count,
            kept.display()
        );
    }
    crashes.seen
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn runs(power: bool) {
    let count = number("RELIVE_SEGMENT_RUNS").unwrap_or(12);
    let first = number("RELIVE_SEGMENT_SEED").unwrap_or(1);
    let mut seen = BTreeMap::new();
    for seed in first..first + count {
        for (name, times) in run(seed, power) {
            *seen.entry(name).or_insert(0) += times;
        }
    }
    println!("{count} runs from seed {first}, with these boundaries: {seen:?}");
}

/// Invariant: prefix.
#[test]
fn what_was_synced_survives_the_death_of_the_process() {
    runs(false);
}

/// Invariant: prefix.
#[test]
fn what_was_synced_survives_the_loss_of_power() {
    runs(true);
}
