//! The drill: feeds the rows, kills the ledger at the planned moments, starts it again, goes on,
//! and asks it at the end for all that it knows. Judges nothing; that is `check`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::actors::{Book, Statement, Total};
use crate::input::{Day, Row};
use crate::life::{Life, Start, Trouble};
use crate::plan::{Kill, Moment};
use crate::protocol::{Counted, Recovered, Report, Request};
use crate::screen::{Screen, count};

/// Requests sent without an answer, at most. Their lines fit the pipe (a line has less than 100
/// bytes, a pipe 64 KiB), so that sending one never waits for a ledger that hangs.
const UNDER_WAY_MAX: usize = 512;

/// What was done and counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) rows_fed_again: usize,
    pub(crate) kills_at_rows: usize,
    pub(crate) kills_in_recovery: usize,
    /// Summed over all lives, each up to its last acknowledgement.
    pub(crate) counted: Counted,
    pub(crate) feeding: Duration,
    /// The part of `feeding` from each start of the ledger until it was ready.
    pub(crate) restarting: Duration,
}

/// What the ledger says that it knows.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) accounts: BTreeMap<u32, Statement>,
    pub(crate) banks: BTreeMap<String, Total>,
    pub(crate) days: BTreeMap<Day, Total>,
}

/// Does it all.
pub(crate) fn run(
    start: &Start,
    rows: &[Row],
    plan: &[Kill],
    screen: &Screen,
) -> Result<(Tally, Told), Trouble> {
    let began = Instant::now();
    let mut drill = Drill::begin(start, rows, screen)?;
    for kill in plan {
        drill.feed_until(kill.row)?;
        drill.kill(kill)?;
    }
    drill.feed_until(rows.len())?;
    drill.wait_until_under_way(0)?;
    let mut tally = drill.end()?;
    tally.feeding = began.elapsed();
    let told = ask_for_all(start, rows, screen)?;
    Ok((tally, told))
}

struct Drill<'a> {
    start: &'a Start,
    rows: &'a [Row],
    screen: &'a Screen,
    life: Life,
    /// Rows fed to this life and those before, of which the first `acknowledged` are on stable
    /// storage.
    fed: usize,
    acknowledged: usize,
    this_life: Counted,
    tally: Tally,
}

impl<'a> Drill<'a> {
    fn begin(start: &'a Start, rows: &'a [Row], screen: &'a Screen) -> Result<Self, Trouble> {
        let began = Instant::now();
        let mut life = Life::start(start)?;
        let recovered = wait_until_ready(&mut life)?;
        if recovered.records > 0 {
            screen.line(&format!("a ledger is here already: {}", describe(&recovered)));
        }
        Ok(Self {
            start,
            rows,
            screen,
            life,
            fed: 0,
            acknowledged: 0,
            this_life: Counted::default(),
            tally: Tally { restarting: began.elapsed(), ..Tally::default() },
        })
    }

    fn feed_until(&mut self, row: usize) -> Result<(), Trouble> {
        while self.fed < row {
            self.wait_until_under_way(UNDER_WAY_MAX - 1)?;
            while let Some(report) = self.life.try_next()? {
                self.take(&report)?;
            }
            let row = &self.rows[self.fed];
            self.fed += 1;
            self.life.send(&booking(self.fed, row))?;
        }
        Ok(())
    }

    /// Waits until at most so many rows are not acknowledged.
    fn wait_until_under_way(&mut self, rows: usize) -> Result<(), Trouble> {
        while self.fed - self.acknowledged > rows {
            let report = self.life.next()?;
            self.take(&report)?;
        }
        Ok(())
    }

    fn take(&mut self, report: &Report) -> Result<(), Trouble> {
        let next = self.acknowledged + 1;
        match report {
            Report::Durable { row, counted } if *row == next && next <= self.fed => {
                self.acknowledged = next;
                self.this_life = *counted;
                self.screen.acknowledged(next);
                Ok(())
            }
            other => Err(unexpected(other, &format!("that row {next} is durable"))),
        }
    }

    /// Kills the ledger without waiting for anything, here and in the recoveries that the plan
    /// names, brings it back, and goes back to the first row that is not acknowledged.
    fn kill(&mut self, kill: &Kill) -> Result<(), Trouble> {
        let fed = self.fed;
        self.end_life(Life::kill)?;
        self.tally.kills_at_rows += 1;
        let began = Instant::now();
        let mut killed = format!(
            "at row {}, {} rows not acknowledged, {} deliveries logged so far",
            count(fed),
            count(fed - self.acknowledged),
            count(self.tally.counted.deliveries),
        );
        for moment in &kill.in_recovery {
            self.tell_kill(&killed, "killed again before it was back");
            killed = self.kill_in_recovery(*moment)?;
            self.tally.kills_in_recovery += 1;
        }
        let began_last = Instant::now();
        self.life = Life::start(self.start)?;
        let recovered = wait_until_ready(&mut self.life)?;
        let back = format!("back in {:.0?}: {}", began_last.elapsed(), describe(&recovered));
        self.tell_kill(&killed, &back);
        self.tally.restarting += began.elapsed();
        self.tally.rows_fed_again += fed - self.acknowledged;
        self.fed = self.acknowledged;
        Ok(())
    }

    fn tell_kill(&self, killed: &str, then: &str) {
        let kill = self.tally.kills_at_rows + self.tally.kills_in_recovery;
        self.screen.line(&format!("kill {kill:>3} {killed}; {then}"));
    }

    /// Starts the ledger and kills it at a moment of its recovery. It is fast: the kill may come
    /// after that moment, so what is told is what it had reported when it was dead.
    fn kill_in_recovery(&mut self, moment: Moment) -> Result<String, Trouble> {
        let mut life = Life::start(self.start)?;
        let mut reached = "in recovery, before an actor was replayed".to_owned();
        loop {
            let report = life.next()?;
            let come = progress(&report, &mut reached)?;
            let is_now = match (moment, come) {
                (_, Stage::Ready) | (Moment::Reading, _) => true,
                (Moment::Replayed { percent }, Stage::Replaying(so_far)) => so_far >= percent,
                (Moment::Replayed { .. }, Stage::Reading) => false,
            };
            if is_now {
                break;
            }
        }
        for report in life.kill()? {
            progress(&report, &mut reached)?;
        }
        Ok(reached)
    }

    /// Lets the ledger shut down in good order, so that nothing is on its way between actors any
    /// more.
    fn end(mut self) -> Result<Tally, Trouble> {
        self.end_life(Life::end)?;
        Ok(self.tally)
    }

    fn end_life(
        &mut self,
        end: impl FnOnce(&mut Life) -> Result<Vec<Report>, Trouble>,
    ) -> Result<(), Trouble> {
        for report in end(&mut self.life)? {
            self.take(&report)?;
        }
        self.tally.counted.add(&std::mem::take(&mut self.this_life));
        Ok(())
    }
}

/// Starts the ledger once more, from what is on disk, and asks each actor what it knows.
fn ask_for_all(start: &Start, rows: &[Row], screen: &Screen) -> Result<Told, Trouble> {
    let questions = questions(rows);
    let mut life = Life::start(start)?;
    let recovered = wait_until_ready(&mut life)?;
    screen.line(&format!("asked after a last restart: {}", describe(&recovered)));
    let mut told = Told::default();
    for (asked, question) in questions.iter().enumerate() {
        while asked - told.answers() >= UNDER_WAY_MAX {
            told.take(life.next()?)?;
        }
        life.send(question)?;
    }
    while told.answers() < questions.len() {
        told.take(life.next()?)?;
    }
    match life.end()?.first() {
        None => Ok(told),
        Some(more) => Err(unexpected(more, "nothing more")),
    }
}

impl Told {
    fn answers(&self) -> usize {
        self.accounts.len() + self.banks.len() + self.days.len()
    }

    fn take(&mut self, report: Report) -> Result<(), Trouble> {
        // An answer that comes twice adds nothing to the answers, so it ends in a wait that is
        // given up.
        match report {
            Report::Account { account, statement } => drop(self.accounts.insert(account, statement)),
            Report::Bank { bank, total } => drop(self.banks.insert(bank, total)),
            Report::Day { day, total } => drop(self.days.insert(Day(day), total)),
            other => return Err(unexpected(&other, "an answer")),
        }
        Ok(())
    }
}

fn questions(rows: &[Row]) -> Vec<Request> {
    let accounts: BTreeSet<u32> = rows.iter().map(|row| row.account).collect();
    let banks: BTreeSet<&String> = rows.iter().filter_map(|row| row.bank.as_ref()).collect();
    let days: BTreeSet<Day> = rows.iter().map(|row| row.day).collect();
    let accounts = accounts.into_iter().map(Request::Account);
    let banks = banks.into_iter().cloned().map(Request::Bank);
    let days = days.into_iter().map(|day| Request::Day(day.0));
    accounts.chain(banks).chain(days).collect()
}

fn booking(row: usize, content: &Row) -> Request {
    Request::Book {
        row,
        account: content.account,
        number: content.number,
        booking: Book { day: content.day.0, hellers: content.hellers.0, bank: content.bank.clone() },
    }
}

fn wait_until_ready(life: &mut Life) -> Result<Recovered, Trouble> {
    loop {
        match life.next()? {
            Report::Ready(recovered) => return Ok(recovered),
            Report::Reading | Report::Replaying { .. } => {}
            other => return Err(unexpected(&other, "how recovery goes")),
        }
    }
}

/// How far a recovery has come.
enum Stage {
    Reading,
    /// This part of the actors, in percent.
    Replaying(usize),
    Ready,
}

fn progress(report: &Report, reached: &mut String) -> Result<Stage, Trouble> {
    Ok(match report {
        Report::Reading => Stage::Reading,
        Report::Replaying { actors, of } => {
            *reached = format!("in recovery, when {} of {} actors were replayed", count(*actors), count(*of));
            Stage::Replaying(actors * 100 / of.max(&1))
        }
        Report::Ready(_) => {
            "just after recovery".clone_into(reached);
            Stage::Ready
        }
        other => return Err(unexpected(other, "how recovery goes")),
    })
}

fn describe(recovered: &Recovered) -> String {
    format!(
        "{} records read, {} actors recovered, {} deliveries replayed in {:.0?}",
        count(recovered.records),
        count(recovered.actors),
        count(recovered.replayed),
        recovered.took
    )
}

fn unexpected(report: &Report, expected: &str) -> Trouble {
    Trouble::Protocol { what: format!("expected {expected}, found {:?}", report.to_string()) }
}
