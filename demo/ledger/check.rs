//! Judges what the ledger says by the input alone, in plain arithmetic of its own. Uses nothing of
//! what it checks.

use std::collections::BTreeMap;

use crate::actors::{Statement, Total};
use crate::drill::Told;
use crate::input::{Day, Row};
use crate::money::Hellers;

/// How far the end of a day may be from a balance that the bank recorded: one crown, as banks
/// round.
const ROUNDING_HELLERS: u64 = 100;
/// How many findings are told in words.
const FINDINGS_MAX: usize = 10;

/// What was compared and found.
#[derive(Default)]
pub(crate) struct Verdict {
    /// Final balances with their numbers of bookings.
    pub(crate) balances: Compared,
    /// Balances at the end of a day: the sum of the input's amounts.
    pub(crate) ends_of_day: Compared,
    /// Sums of transfers, by bank.
    pub(crate) banks: Compared,
    /// Sums of all bookings, by day.
    pub(crate) days: Compared,
    /// Ends of day, as the accounts have them, that agree with a balance that the bank recorded on
    /// that day.
    pub(crate) as_recorded: usize,
    /// The first things that are wrong, in words.
    pub(crate) findings: Vec<String>,
}

/// How many there were and how many were wrong.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) checked: usize,
    pub(crate) wrong: usize,
}

/// What an account must have, by the input.
#[derive(Default)]
struct Expected {
    hellers: i64,
    bookings: u64,
    days: BTreeMap<Day, EndOfDay>,
}

#[derive(Default)]
struct EndOfDay {
    hellers: i64,
    /// All balances recorded on the day: which of them is the last is not known.
    recorded: Vec<Hellers>,
}

/// Compares.
pub(crate) fn check(rows: &[Row], told: &Told) -> Verdict {
    let mut accounts: BTreeMap<u32, Expected> = BTreeMap::new();
    let mut banks: BTreeMap<String, Total> = BTreeMap::new();
    let mut days: BTreeMap<Day, Total> = BTreeMap::new();
    for row in rows {
        let account = accounts.entry(row.account).or_default();
        account.hellers += row.hellers.0;
        account.bookings += 1;
        let day = account.days.entry(row.day).or_default();
        day.hellers = account.hellers;
        day.recorded.push(row.recorded);
        let bank = row.bank.clone().map(|bank| banks.entry(bank).or_default());
        for total in bank.into_iter().chain([days.entry(row.day).or_default()]) {
            total.hellers += row.hellers.0;
            total.count += 1;
        }
    }
    let mut verdict = Verdict::default();
    for (account, expected) in &accounts {
        verdict.account(*account, expected, told.accounts.get(account));
    }
    for (bank, expected) in &banks {
        let right = is_right(expected, told.banks.get(bank), &mut verdict.findings, &format!("bank/{bank}"));
        verdict.banks.add(right);
    }
    for (day, expected) in &days {
        let right = is_right(expected, told.days.get(day), &mut verdict.findings, &format!("day/{day}"));
        verdict.days.add(right);
    }
    verdict
}

impl Verdict {
    /// Whether nothing at all is wrong. What the bank recorded is not part of it: its rounding is
    /// its own.
    pub(crate) fn is_right(&self) -> bool {
        let compared = [&self.balances, &self.ends_of_day, &self.banks, &self.days];
        compared.iter().all(|compared| compared.wrong == 0)
    }

    fn account(&mut self, account: u32, expected: &Expected, found: Option<&Statement>) {
        let total = Total { hellers: expected.hellers, count: expected.bookings };
        let found_total = found.map(|found| Total { hellers: found.hellers, count: found.bookings });
        let who = format!("account/{account}");
        self.balances.add(is_right(&total, found_total.as_ref(), &mut self.findings, &who));
        let found = found.map(|found| &found.days);
        for (day, expected) in &expected.days {
            let found = found.and_then(|days| days.get(&day.0)).copied();
            self.ends_of_day.add(found == Some(expected.hellers));
            let Some(found) = found else { continue };
            let agrees = |recorded: &Hellers| recorded.0.abs_diff(found) <= ROUNDING_HELLERS;
            self.as_recorded += usize::from(expected.recorded.iter().any(agrees));
        }
        // Days that the input does not have.
        let more = found
            .map_or(0, |days| days.keys().filter(|day| !expected.days.contains_key(&Day(**day))).count());
        self.ends_of_day.checked += more;
        self.ends_of_day.wrong += more;
    }
}

impl Compared {
    fn add(&mut self, right: bool) {
        self.checked += 1;
        self.wrong += usize::from(!right);
    }
}

fn is_right(expected: &Total, found: Option<&Total>, findings: &mut Vec<String>, who: &str) -> bool {
    let right = found == Some(expected);
    if !right && findings.len() < FINDINGS_MAX {
        let describe = |total: &Total| format!("{} in {} bookings", Hellers(total.hellers), total.count);
        findings.push(format!(
            "{who}: expected {}, found {}",
            describe(expected),
            found.map_or_else(|| "nothing".to_owned(), describe)
        ));
    }
    right
}
