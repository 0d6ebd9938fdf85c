//! One way to damage a store, as text, so that it can be given to another process and be repeated by hand.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What is done to one file of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Delete,
    Truncate(u64),
    /// Inverts a bit.
    Flip(u64, u8),
    /// Writes zeros over a page, as a write that never reached the disk.
    Zero(u64),
    /// Puts an older copy in its place.
    Older,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) file: String,
    pub(crate) damage: Damage,
}

impl Case {
    pub(crate) fn encode(&self) -> String {
        let file = &self.file;
        match self.damage {
            Damage::Delete => format!("{file} delete 0 0"),
            Damage::Truncate(length) => format!("{file} truncate {length} 0"),
            Damage::Flip(at, bit) => format!("{file} flip {at} {bit}"),
            Damage::Zero(at) => format!("{file} zero {at} 0"),
            Damage::Older => format!("{file} older 0 0"),
        }
    }

    pub(crate) fn decode(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let at = words[2].parse().unwrap();
        let damage = match words[1] {
            "delete" => Damage::Delete,
            "truncate" => Damage::Truncate(at),
            "flip" => Damage::Flip(at, words[3].parse().unwrap()),
            "zero" => Damage::Zero(at),
            "older" => Damage::Older,
            other => panic!("no damage is called {other}"),
        };
        let file = words[0].to_owned();
        Self { file, damage }
    }

    /// Damages a file of `store`; `older` is an older copy of all of them.
    pub(crate) fn inflict(&self, store: &Path, older: &Path) {
        let path = store.join(&self.file);
        let open = || OpenOptions::new().read(true).write(true).open(&path).unwrap();
        match self.damage {
            Damage::Delete => fs::remove_file(&path).unwrap(),
            Damage::Truncate(length) => open().set_len(length).unwrap(),
            Damage::Flip(at, bit) => {
                let file = open();
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
            }
            Damage::Zero(at) => open().write_all_at(&[0; 4096], at).unwrap(),
            Damage::Older => drop(fs::copy(older.join(&self.file), &path).unwrap()),
        }
    }
}

/// The cases for one file: many places spread evenly, shifted by a fixed generator so that they are not all aligned.
pub(crate) fn cases(file: &str, bytes: u64, used: u64, has_older: bool) -> Vec<Case> {
    let mut found = vec![Damage::Delete];
    if has_older {
        found.push(Damage::Older);
    }
    let mut random = 0x5eed_u64 ^ bytes;
    let mut shift = |step: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % step.max(1)
    };
    let (flips, lengths, zeros) = match file {
        "db" => (120, 30, 40),
        "relive.store" | "conf" => (28, 8, 0),
        _ => (32, 8, 0),
    };
    let used = used.max(1);
    for index in 0..flips.min(used) {
        let step = used / flips.min(used);
        let at = (index * step + shift(step)).min(used - 1);
        found.push(Damage::Flip(at, index.to_le_bytes()[0] % 8));
    }
    for index in 0..lengths.min(used) {
        let step = used / lengths.min(used);
        found.push(Damage::Truncate(index * step + shift(step)));
    }
    for index in 0..zeros.min(used / 4096) {
        let pages = used / 4096;
        let step = pages / zeros.min(pages);
        found.push(Damage::Zero((index * step + shift(step)) * 4096));
    }
    let cases = found.into_iter();
    let cases = cases.map(|damage| Case { file: file.to_owned(), damage });
    cases.collect()
}
