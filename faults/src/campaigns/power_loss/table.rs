//! The results of all images.

use std::collections::BTreeMap;
use std::fmt;

use super::image::Strategy;
use crate::harness::campaign::{Found, Report, Results};

/// The results of all images.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// How many stores the campaign recorded, each over several openings.
    pub recordings: u64,
    /// How many images each strategy made.
    pub images: BTreeMap<Strategy, u64>,
    /// Images of a disk that lost power during the recovery of another image.
    pub of_recoveries: u64,
    /// Images that lack an unsynced change.
    pub lacking: u64,
    /// Messages acknowledged before the power went, over all images.
    pub acknowledged: u64,
    /// Messages that came back.
    pub recovered: u64,
    /// Messages that came back without an acknowledgement.
    pub unknown_came_back: u64,
    /// Images whose log ended in a part of a commit.
    pub tails_cut: u64,
    /// Effects that agree with the lives of their actors.
    pub effects: u64,
    /// Images whose opening failed with a typed error: each is a broken promise too.
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
}

impl Results for Table {
    fn add(&mut self, other: Self) {
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
        let row = |name: &str, count: u64| (name.to_owned(), count);
        let mut rows = vec![row("recorded stores", self.recordings), row("images", self.total())];
        rows.extend(self.images.iter().map(|(strategy, images)| (format!("  {strategy}"), *images)));
        rows.extend([
            row("  of a disk on which another one was being recovered", self.of_recoveries),
            row("  that lack something that was not synced", self.lacking),
            row("  refused with a typed error", self.refused),
            row("acknowledged before", self.acknowledged),
            row("came back", self.recovered),
            row("  of them acknowledged to nobody", self.unknown_came_back),
            row("tails cut", self.tails_cut),
            row("effects that agree", self.effects),
        ]);
        Report { rows: &rows, violations: &self.violations }.fmt(f)
    }
}
