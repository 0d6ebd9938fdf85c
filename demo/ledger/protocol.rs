//! What the two processes say to each other: a line of words each. Only writing and reading, no
//! behaviour.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::actors::{Book, Statement, Total};

/// From the parent to the ledger.
pub(crate) enum Request {
    /// Book a row. `row` counts the input's rows from 1, `number` those of the account.
    Book { row: usize, account: u32, number: u64, booking: Book },
    /// Tell what an account knows.
    Account(u32),
    /// Tell what a bank was sent.
    Bank(String),
    /// Tell what a day was sent.
    Day(u32),
}

/// From the ledger to the parent.
pub(crate) enum Report {
    /// Recovery has begun to read the log.
    Reading,
    /// Recovery has replayed so many actors.
    Replaying { actors: usize, of: usize },
    /// Recovery is done, rows may come.
    Ready(Recovered),
    /// All rows up to this one are on stable storage.
    Durable { row: usize, counted: Counted },
    /// What an account knows.
    Account { account: u32, statement: Statement },
    /// What a bank was sent.
    Bank { bank: String, total: Total },
    /// What a day was sent.
    Day { day: u32, total: Total },
}

/// What recovery did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recovered {
    /// Records read of the log.
    pub(crate) records: u64,
    pub(crate) actors: usize,
    pub(crate) replayed: u64,
    pub(crate) took: Duration,
}

/// What the ledger has counted in its present life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) deliveries: u64,
    pub(crate) commits: u64,
    pub(crate) checkpoints: u64,
    /// Duplicates dropped, of rows and of messages between actors.
    pub(crate) duplicates: u64,
    /// Duplicates dropped, of rows alone.
    pub(crate) duplicate_rows: u64,
}

impl Counted {
    pub(crate) fn add(&mut self, more: &Self) {
        self.deliveries += more.deliveries;
        self.commits += more.commits;
        self.checkpoints += more.checkpoints;
        self.duplicates += more.duplicates;
        self.duplicate_rows += more.duplicate_rows;
    }
}

/// A line that is none of this protocol's: a bug in this example.
#[derive(Debug, thiserror::Error)]
#[error("not a line of the protocol: {line:?}")]
pub(crate) struct Malformed {
    line: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Book { row, account, number, booking: Book { day, hellers, bank } } => {
                let bank = bank.as_deref().unwrap_or("-");
                write!(f, "book {row} {account} {number} {day} {hellers} {bank}")
            }
            Self::Account(account) => write!(f, "account {account}"),
            Self::Bank(bank) => write!(f, "bank {bank}"),
            Self::Day(day) => write!(f, "day {day}"),
        }
    }
}

impl FromStr for Request {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        parse(line, |words| {
            Some(match words.text()? {
                "book" => Self::Book {
                    row: words.value()?,
                    account: words.value()?,
                    number: words.value()?,
                    booking: Book {
                        day: words.value()?,
                        hellers: words.value()?,
                        bank: Some(words.text()?).filter(|bank| *bank != "-").map(str::to_owned),
                    },
                },
                "account" => Self::Account(words.value()?),
                "bank" => Self::Bank(words.value()?),
                "day" => Self::Day(words.value()?),
                _ => return None,
            })
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => write!(f, "reading"),
            Self::Replaying { actors, of } => write!(f, "replaying {actors} {of}"),
            Self::Ready(Recovered { records, actors, replayed, took }) => {
                write!(f, "ready {records} {actors} {replayed} {}", took.as_micros())
            }
            Self::Durable { row, counted } => write!(
                f,
                "durable {row} {} {} {} {} {}",
                counted.deliveries,
                counted.commits,
                counted.checkpoints,
                counted.duplicates,
                counted.duplicate_rows
            ),
            Self::Account { account, statement } => {
                write!(f, "account {account} {} {}", statement.hellers, statement.bookings)?;
                for (day, hellers) in &statement.days {
                    write!(f, " {day} {hellers}")?;
                }
                Ok(())
            }
            Self::Bank { bank, total } => write!(f, "bank {bank} {} {}", total.hellers, total.count),
            Self::Day { day, total } => write!(f, "day {day} {} {}", total.hellers, total.count),
        }
    }
}

impl FromStr for Report {
    type Err = Malformed;

    fn from_str(line: &str) -> Result<Self, Malformed> {
        parse(line, |words| {
            Some(match words.text()? {
                "reading" => Self::Reading,
                "replaying" => Self::Replaying { actors: words.value()?, of: words.value()? },
                "ready" => Self::Ready(Recovered {
                    records: words.value()?,
                    actors: words.value()?,
                    replayed: words.value()?,
                    took: Duration::from_micros(words.value()?),
                }),
                "durable" => Self::Durable {
                    row: words.value()?,
                    counted: Counted {
                        deliveries: words.value()?,
                        commits: words.value()?,
                        checkpoints: words.value()?,
                        duplicates: words.value()?,
                        duplicate_rows: words.value()?,
                    },
                },
                "account" => Self::Account { account: words.value()?, statement: words.statement()? },
                "bank" => Self::Bank { bank: words.value()?, total: words.total()? },
                "day" => Self::Day { day: words.value()?, total: words.total()? },
                _ => return None,
            })
        })
    }
}

fn parse<T>(line: &str, read: impl FnOnce(&mut Words<'_>) -> Option<T>) -> Result<T, Malformed> {
    let mut words = Words(line.split(' '));
    match read(&mut words) {
        Some(value) if words.0.next().is_none() => Ok(value),
        _ => Err(Malformed { line: line.to_owned() }),
    }
}

struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn text(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn value<T: FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    fn total(&mut self) -> Option<Total> {
        Some(Total { hellers: self.value()?, count: self.value()? })
    }

    fn statement(&mut self) -> Option<Statement> {
        let Total { hellers, count } = self.total()?;
        let mut statement = Statement { hellers, bookings: count, ..Statement::default() };
        while let Some(day) = self.text() {
            statement.days.insert(day.parse().ok()?, self.value()?);
        }
        Some(statement)
    }
}
