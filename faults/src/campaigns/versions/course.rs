//! What the versions add to the lives of a store: each worker has another version, and the campaign
//! checks what the worker says against that version.

use std::collections::BTreeSet;

use super::Pretence;
use super::draw::{Past, draw};
use super::fates::Fates;
use super::table::Counts;
use crate::campaigns::kill::course::Course;
use crate::harness::random::Random;
use crate::workload::part::{LEFT_ALONE, REPLAY, UNDECIDED};
use crate::workload::plan::{ACCOUNTS, share};
use crate::workload::version::Difference;
use crate::workload::{ClientView, Line, Outcome, Part, Readback, Version};

/// The versions of one campaign.
#[derive(Debug)]
pub struct Versions {
    pretence: Option<Pretence>,
    /// The version of the present worker.
    version: Version,
    fates: Fates,
    /// The number up to which actors have handled all messages, and the log tells so.
    covered: u64,
    /// Whether the last worker has shut down with all actors.
    shut_down: bool,
    /// Actors that have stopped in this life.
    stopped: BTreeSet<String>,
    counts: Counts,
}

impl Versions {
    /// The versions of a campaign that may pretend something.
    #[must_use]
    pub fn new(pretence: Option<Pretence>) -> Self {
        Self {
            pretence,
            version: Version::default(),
            fates: Fates::default(),
            covered: 0,
            shut_down: false,
            stopped: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// The counts.
    #[must_use]
    pub fn into_counts(self) -> Counts {
        self.counts
    }

    /// The version that the supervisor takes the present worker for.
    fn taken_for(&self) -> Version {
        match self.pretence {
            Some(Pretence::AllAreGood) => Version::default(),
            _ => self.version.clone(),
        }
    }
}

impl Course for Versions {
    fn store(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        *self = Self { counts, ..Self::new(self.pretence) };
    }

    fn store_arguments(&self) -> Vec<String> {
        vec!["--trials".to_owned()]
    }

    fn checkpoint_records(&self, random: &mut Random, drawn: u64) -> u64 {
        // Often only the log's budget and a shutdown ask for checkpoints, so that openings replay
        // many old messages.
        if random.one_in(3) { drawn } else { 1_000_000 }
    }

    fn draw(&mut self, random: &mut Random, view: &ClientView) -> (Vec<String>, bool) {
        let past = Past { acknowledged: view.acknowledged, covered: self.covered, shut_down: self.shut_down };
        self.version = draw(random, past);
        if let (Some(Pretence::DiffersOnNew), Some(differs)) = (self.pretence, &mut self.version.differs) {
            (differs.what, differs.upto) = (Difference::OtherAudit, u64::MAX);
        }
        self.stopped.clear();
        self.fates.live();
        let good = self.version.is_good().then_some("good");
        for name in self.version.names().into_iter().chain(good) {
            *self.counts.lives.entry(name).or_default() += 1;
        }
        let version = serde_json::to_string(&self.version).expect("it is text, numbers and flags");
        let next = self.fates.next().to_string();
        let told = ["--version", &version, "--trials-from", &next].map(str::to_owned);
        (told.into(), random.one_in(4))
    }

    fn hear(&mut self, line: &Line, _witness: &ClientView) -> Result<(), String> {
        let trials = &mut self.counts.trials;
        match line {
            Line::Opened { replayed, .. } if self.shut_down => {
                self.counts.nothing_to_replay += 1;
                if *replayed > 0 {
                    return Err(format!("a shutdown has left {replayed} deliveries to be replayed"));
                }
            }
            Line::LeftOut(entries) => self.fates.quarantine(entries, true, &self.stopped)?,
            Line::Covered(number) => self.covered = self.covered.max(*number),
            Line::Try(number) => {
                trials.sent += 1;
                self.fates.send(*number, &self.version);
            }
            Line::Tried { number, answer } => {
                let count = if answer.is_some() { &mut trials.handled } else { &mut trials.left_out };
                *count += 1;
                self.fates.told(*number, *answer)?;
            }
            Line::Discharge { number, retry } => self.fates.discharge(*number, *retry)?,
            Line::Discharged(number) => {
                let retried = self.fates.discharged(*number)?;
                *(if retried { &mut trials.retried } else { &mut trials.dropped }) += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn stops(&mut self, actor: &str, why: &str) -> Result<(), String> {
        let version = self.taken_for();
        let mut words = why.split([' ', '/']);
        // Actors leave out a delivery that fails live, and nothing here is damaged or unwinds: so
        // no other cause may occur.
        let cause = words.next().is_some_and(|cause| [REPLAY, UNDECIDED].contains(&cause));
        let may_stop = cause && version.may_stop(actor);
        if !may_stop && !why.starts_with(LEFT_ALONE) {
            return Err(format!("{actor} has stopped in a life with the version {version}: {why}"));
        }
        if self.stopped.insert(actor.to_owned()) {
            let word = why.split(' ').next().unwrap_or_default();
            *self.counts.stopped.entry(word.to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn part_came_back(&mut self, part: &Part, outcome: &Outcome) -> Result<(), String> {
        self.fates.quarantine(&part.left_out, false, &self.stopped)?;
        self.counts.parts += 1;
        self.counts.seen_again += outcome.seen_again;
        Ok(())
    }

    fn came_back(&mut self, readback: &Readback, view: &ClientView) -> Result<(), String> {
        let received = |account: u64| {
            let account = usize::try_from(account).ok().and_then(|at| readback.accounts.get(at));
            account.map_or(0, |account| account.posted.count)
        };
        // The worker asked each actor twice, so the log has everything before the first question as
        // handled.
        let all = |number: u64| (0..ACCOUNTS).all(|account| share(account, number) <= received(account));
        while all(self.covered + 1) {
            self.covered += 1;
        }
        view.effects.iter().try_for_each(|effects| self.fates.came_back(readback, effects))
    }

    fn ended(&mut self, closed: bool) {
        self.shut_down = closed && self.stopped.is_empty();
        self.counts.shut_down += u64::from(closed);
    }

    fn present(&self) -> String {
        format!("; the version: {}", self.version)
    }
}
