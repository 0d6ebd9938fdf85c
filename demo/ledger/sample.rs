//! Makes a transactions file of the shape that `input` reads, for runs without one of the user's
//! own.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::input::{Day, days_in};
use crate::money::Hellers;
use crate::random::Random;

const ACCOUNTS: usize = 500;
const ROWS: usize = 24_000;
const ROWS_A_DAY: usize = 200;
const FIRST_DAY: (u32, u32, u32) = (93, 1, 1);
const BANKS: [&str; 8] = ["AB", "CD", "EF", "GH", "KL", "MN", "ST", "YZ"];
const HEADER: &str =
    r#""trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account""#;

/// How a row may come about: type, operation, purpose, whether another bank is part of it.
const CREDITS: [(&str, &str, &str, bool); 3] = [
    ("PRIJEM", "VKLAD", "", false),
    ("PRIJEM", "PREVOD Z UCTU", "DUCHOD", true),
    ("PRIJEM", "", "UROK", false),
];
const DEBITS: [(&str, &str, &str, bool); 4] = [
    ("VYDAJ", "VYBER", "", false),
    ("VYDAJ", "PREVOD NA UCET", "SIPO", true),
    ("VYBER", "VYBER", "", false),
    ("VYDAJ", "VYBER KARTOU", "", false),
];

/// Writes the sample of a seed. Each row carries the balance after it; the rows of one day are then
/// shuffled, as they are in no reliable order in real files either.
pub(crate) fn write(path: &Path, seed: u64) -> io::Result<()> {
    let mut random = Random::new(seed);
    let mut balances = [0_i64; ACCOUNTS];
    let mut day = FIRST_DAY;
    let mut text = format!("{HEADER}\r\n");
    for first in (0..ROWS).step_by(ROWS_A_DAY) {
        let mut rows: Vec<String> = (first..(first + ROWS_A_DAY).min(ROWS))
            .map(|row| transaction(row, day, &mut balances, &mut random))
            .collect();
        random.shuffle(&mut rows);
        text.extend(rows);
        day = next(day);
    }
    // Under its own name only when it is whole: a later run takes what it finds there.
    let unfinished = path.with_extension("unfinished");
    fs::write(&unfinished, text)?;
    fs::rename(unfinished, path)
}

fn transaction(
    row: usize,
    (year, month, day): (u32, u32, u32),
    balances: &mut [i64],
    random: &mut Random,
) -> String {
    // The first rows give each account one; after that low numbers are busier, so that some
    // accounts are hot.
    let account = if row < ACCOUNTS { row } else { random.index(ACCOUNTS).min(random.index(ACCOUNTS)) };
    let balance = &mut balances[account];
    let mut amount = 1 + i64::try_from(random.below(500_000)).expect("it is small");
    let is_debit = amount <= *balance && random.below(2) == 0;
    let (kind, operation, purpose, transfer) =
        if is_debit { DEBITS[random.index(DEBITS.len())] } else { CREDITS[random.index(CREDITS.len())] };
    if operation.is_empty() {
        // Interest is small change.
        amount = 1 + amount % 10_000;
    }
    *balance += if is_debit { -amount } else { amount };
    let (bank, partner) = if transfer {
        (BANKS[random.index(BANKS.len())], random.below(100_000_000).to_string())
    } else {
        ("", String::new())
    };
    let day = Day(year * 10_000 + month * 100 + day);
    let (amount, balance) = (Hellers(amount), Hellers(*balance));
    let mut line = String::new();
    write!(
        line,
        r#"{};{};{day};"{kind}";"{operation}";{amount};{balance};"{purpose}";{bank};{partner}"#,
        row + 1,
        account + 1,
    )
    .expect("a string takes everything");
    line.push_str("\r\n");
    line
}

fn next((year, month, day): (u32, u32, u32)) -> (u32, u32, u32) {
    if day < days_in(year, month) {
        (year, month, day + 1)
    } else if month < 12 {
        (year, month + 1, 1)
    } else {
        (year + 1, 1, 1)
    }
}
