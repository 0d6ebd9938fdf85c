//! What came of all images.

use std::collections::BTreeMap;
use std::fmt;

use super::image::Strategy;

/// A broken promise, with what repeats it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which image.
    pub image: u64,
    /// What is wrong.
    pub what: String,
    /// The command that makes this image again.
    pub repeat: String,
}

/// What came of all images.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// How many stores were recorded, each over some openings.
    pub recordings: u64,
    /// By strategy.
    pub images: BTreeMap<Strategy, u64>,
    /// Images of a disk on which an image was being recovered.
    pub of_recoveries: u64,
    /// Images that lack something that was not synced.
    pub lacking: u64,
    /// Messages acknowledged before the power went, over all images.
    pub acknowledged: u64,
    /// Messages that came back.
    pub recovered: u64,
    /// Messages that came back though nobody had acknowledged them.
    pub unknown_came_back: u64,
    /// Images whose log ended in a part of a commit.
    pub tails_cut: u64,
    /// Effects that agree with the lives of their actors.
    pub effects: u64,
    /// Images that did not open, with a typed error: each is a broken promise too.
    pub refused: u64,
    /// Broken promises.
    pub violations: Vec<Found>,
}

impl Table {
    /// How many images were opened.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.images.values().sum()
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: Self) {
        for (strategy, images) in other.images {
            *self.images.entry(strategy).or_default() += images;
        }
        self.recordings += other.recordings;
        self.of_recoveries += other.of_recoveries;
        self.lacking += other.lacking;
        self.acknowledged += other.acknowledged;
        self.recovered += other.recovered;
        self.unknown_came_back += other.unknown_came_back;
        self.tails_cut += other.tails_cut;
        self.effects += other.effects;
        self.refused += other.refused;
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:8} images after a loss of power, of {} recorded stores",
            self.total(),
            self.recordings
        )?;
        for (strategy, images) in &self.images {
            writeln!(f, "{images:8}   {strategy}")?;
        }
        writeln!(f, "{:8}   of them of a disk on which another one was being recovered", self.of_recoveries)?;
        writeln!(f, "{:8}   of them lack something that was not synced", self.lacking)?;
        writeln!(f, "{:8} messages acknowledged before", self.acknowledged)?;
        writeln!(f, "{:8} messages came back", self.recovered)?;
        writeln!(f, "{:8}   of them acknowledged by nobody", self.unknown_came_back)?;
        writeln!(f, "{:8} tails cut", self.tails_cut)?;
        writeln!(f, "{:8} effects that agree", self.effects)?;
        writeln!(f, "{:8} refused with a typed error", self.refused)?;
        write!(f, "{:8} violations", self.violations.len())?;
        for found in self.violations.iter().take(SHOWN) {
            write!(f, "\nimage {}: {}\n  {}", found.image, found.what, found.repeat)?;
        }
        Ok(())
    }
}

/// How many violations are told in full.
const SHOWN: usize = 20;
