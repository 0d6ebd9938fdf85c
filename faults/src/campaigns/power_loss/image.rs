//! Chooses which of its possible contents a disk holds.

use std::collections::BTreeMap;
use std::fmt;

use super::disk::{Change, Disk, NamingWhat, What};
use super::files::Files;
use super::recording::Recording;
use crate::harness::random::Random;

/// How to choose what is left of the unsynced changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// Nothing.
    AllDropped,
    /// Everything.
    AllKept,
    /// Each change by a throw of a coin.
    AnySubset,
    /// The last change of each file only.
    OnlyLastKept,
    /// Everything but the first change of each file.
    FirstDropped,
    /// Everything, the last change of each file in part.
    LastTorn,
    /// Each change whole, in part, or not.
    AnyTorn,
    /// Everything of some files, nothing of others.
    FileByFile,
    /// All content, and no name that was not synced.
    NamesDropped,
}

/// All of them.
pub const STRATEGIES: [Strategy; 9] = [
    Strategy::AllDropped,
    Strategy::AllKept,
    Strategy::AnySubset,
    Strategy::OnlyLastKept,
    Strategy::FirstDropped,
    Strategy::LastTorn,
    Strategy::AnyTorn,
    Strategy::FileByFile,
    Strategy::NamesDropped,
];

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllDropped => "all dropped",
            Self::AllKept => "all kept",
            Self::AnySubset => "any subset",
            Self::OnlyLastKept => "only the last kept",
            Self::FirstDropped => "the first dropped",
            Self::LastTorn => "the last torn",
            Self::AnyTorn => "any torn",
            Self::FileByFile => "file by file",
            Self::NamesDropped => "names dropped",
        })
    }
}

/// The fate of one change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    StoreMedium,
    Torn,
    Dropped,
}

/// Chooses the contents and the names.
#[must_use]
pub fn choose(
    base: &Files,
    recording: &Recording,
    disk: &Disk,
    strategy: Strategy,
    random: &mut Random,
) -> Files {
    let contents: Vec<Vec<u8>> = disk
        .changes
        .iter()
        .enumerate()
        .map(|(file, changes)| {
            // Files of the base come first, in the order of their names.
            let before = base.files.values().nth(file).cloned().unwrap_or_default();
            content(before, changes, recording, strategy, random)
        })
        .collect();
    names(base, disk, strategy, random, &contents)
}

/// Chooses the names, given the contents.
fn names(base: &Files, disk: &Disk, strategy: Strategy, random: &mut Random, contents: &[Vec<u8>]) -> Files {
    let mut names: BTreeMap<String, usize> =
        base.files.keys().enumerate().map(|(file, name)| (name.clone(), file)).collect();
    let mut directories = base.directories.clone();
    let pending = disk.namings.iter().filter(|naming| !naming.durable).count() as u64;
    let first = random.below(pending + 1);
    let mut passed = 0;
    for naming in &disk.namings {
        let kept = naming.durable || {
            passed += 1;
            match strategy {
                Strategy::AllDropped | Strategy::NamesDropped => false,
                Strategy::AllKept | Strategy::LastTorn => true,
                Strategy::OnlyLastKept => passed == pending,
                Strategy::FirstDropped => passed > 1,
                Strategy::AnySubset | Strategy::AnyTorn => random.one_in(2),
                // Like a file system that keeps names in a journal.
                Strategy::FileByFile => passed <= first,
            }
        };
        match &naming.what {
            NamingWhat::Directory(name) if name == "." && !kept => return Files::default(),
            _ if !kept => {}
            NamingWhat::Made(name, file) => drop(names.insert(name.clone(), *file)),
            NamingWhat::Renamed(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            NamingWhat::Removed(name) => {
                names.remove(name);
                directories.retain(|there| there != name);
            }
            NamingWhat::Directory(name) => directories.push(name.clone()),
        }
    }
    // Files in a missing directory are missing.
    names.retain(|name, _| match name.rsplit_once('/') {
        Some((directory, _)) => directories.iter().any(|there| there == directory),
        None => true,
    });
    let files = names.into_iter().map(|(name, file)| (name, contents[file].clone())).collect();
    directories.retain(|name| name != ".");
    Files { files, directories }
}

fn content(
    before: Vec<u8>,
    changes: &[Change],
    recording: &Recording,
    strategy: Strategy,
    random: &mut Random,
) -> Vec<u8> {
    let pending: Vec<usize> = (0..changes.len()).filter(|at| !changes[*at].durable).collect();
    let all_of_file = random.one_in(2);
    let mut file = before;
    for (at, change) in changes.iter().enumerate() {
        let (first, last) = (pending.first() == Some(&at), pending.last() == Some(&at));
        let fate = match strategy {
            _ if change.durable => Fate::StoreMedium,
            Strategy::AllDropped => Fate::Dropped,
            Strategy::AllKept | Strategy::NamesDropped => Fate::StoreMedium,
            Strategy::AnySubset => *random.pick(&[Fate::StoreMedium, Fate::Dropped]),
            Strategy::OnlyLastKept => kept_if(last),
            Strategy::FirstDropped => kept_if(!first),
            Strategy::LastTorn if last => Fate::Torn,
            Strategy::LastTorn => Fate::StoreMedium,
            Strategy::AnyTorn => *random.pick(&[Fate::StoreMedium, Fate::Torn, Fate::Dropped]),
            Strategy::FileByFile => kept_if(all_of_file),
        };
        apply(&mut file, change, fate, recording, random);
    }
    file
}

fn kept_if(kept: bool) -> Fate {
    if kept { Fate::StoreMedium } else { Fate::Dropped }
}

fn apply(file: &mut Vec<u8>, change: &Change, fate: Fate, recording: &Recording, random: &mut Random) {
    if fate == Fate::Dropped {
        return;
    }
    match &change.what {
        What::Resized(length) => file.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0),
        What::Written { offset, content } => {
            let bytes = recording.content(content);
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            let mut at = start;
            // Sectors are whole, wherever in them the write begins.
            while at < start + bytes.len() {
                let end = ((at / SECTOR + 1) * SECTOR).min(start + bytes.len());
                if fate == Fate::StoreMedium || random.one_in(2) {
                    if file.len() < end {
                        file.resize(end, 0);
                    }
                    file[at..end].copy_from_slice(&bytes[at - start..end - start]);
                }
                at = end;
            }
        }
    }
}

/// The unit that a disk writes whole or not at all.
const SECTOR: usize = 512;
