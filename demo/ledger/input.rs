//! Reads the transactions file, whole and strictly, before anything of it is sent. Knows columns,
//! not actors.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::money::Hellers;

/// The columns that are read; others, and any order of them, are allowed.
const COLUMNS: [&str; 7] = ["trans_id", "account_id", "date", "type", "amount", "balance", "bank"];

/// The longest name of a bank.
const BANK_BYTES_MAX: usize = 16;

/// A day, as the number YYMMDD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day(pub(crate) u32);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// One transaction.
pub(crate) struct Row {
    pub(crate) account: u32,
    /// Which row of its account it is, from 1: its number on the channel from the feed to the
    /// account.
    pub(crate) number: u64,
    pub(crate) day: Day,
    /// What the balance changes by.
    pub(crate) hellers: Hellers,
    /// The balance that the bank recorded after it.
    pub(crate) recorded: Hellers,
    /// The other bank, when it is a transfer.
    pub(crate) bank: Option<String>,
}

/// A transactions file that is well-formed from end to end.
pub(crate) struct Input {
    pub(crate) rows: Vec<Row>,
    /// A hash of the file's bytes (64-bit FNV-1a): to know it again, not to keep anybody from
    /// forging it.
    pub(crate) fingerprint: u64,
}

/// Why a file can't be fed. Nothing of it was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}, line 1: expected a column named {name:?}, found {found}", path.display())]
    NoColumn { path: PathBuf, name: &'static str, found: String },
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    Row { path: PathBuf, line: u64, expected: String, found: String },
    #[error("{}, line {line}, column {column} ({name}): expected {expected}, found {found:?}", path.display())]
    Field {
        path: PathBuf,
        line: u64,
        /// Counted from 1.
        column: usize,
        name: &'static str,
        expected: String,
        found: String,
    },
    #[error("{}: expected at least one row below the header, found none", path.display())]
    Empty { path: PathBuf },
}

impl Input {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, InputError> {
        let bytes =
            fs::read(path).map_err(|source| InputError::Unreadable { path: path.to_owned(), source })?;
        let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(bytes.as_slice());
        let header = reader.headers().map_err(|error| in_csv(path, &bytes, &error))?;
        let places = places(path, header)?;
        let mut rows = Vec::new();
        let mut seen = Seen::default();
        for record in reader.records() {
            let record = record.map_err(|error| in_csv(path, &bytes, &error))?;
            let fields = Fields {
                path,
                places: &places,
                file: &bytes,
                at: record.position().map_or(0, csv::Position::byte),
                record,
            };
            rows.push(row(&fields, &mut seen)?);
        }
        if rows.is_empty() {
            return Err(InputError::Empty { path: path.to_owned() });
        }
        Ok(Self { rows, fingerprint: fnv1a(&bytes) })
    }
}

/// What earlier rows have settled about later ones.
#[derive(Default)]
struct Seen {
    /// Where the row of each id begins.
    ids: HashMap<u64, u64>,
    accounts: HashMap<u32, (u64, Day)>,
    moved: i64,
}

/// The fields of one row, by name.
struct Fields<'a> {
    path: &'a Path,
    places: &'a HashMap<&'static str, usize>,
    file: &'a [u8],
    /// Where the row begins in the file.
    at: u64,
    record: StringRecord,
}

impl Fields<'_> {
    fn text(&self, name: &'static str) -> &str {
        self.record.get(self.places[name]).unwrap_or_default()
    }

    fn wrong(&self, name: &'static str, expected: impl Into<String>) -> InputError {
        InputError::Field {
            path: self.path.to_owned(),
            line: line_at(self.file, self.at),
            column: self.places[name] + 1,
            name,
            expected: expected.into(),
            found: self.text(name).to_owned(),
        }
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, InputError> {
        parse(self.text(name)).ok_or_else(|| self.wrong(name, expected))
    }
}

fn row(fields: &Fields<'_>, seen: &mut Seen) -> Result<Row, InputError> {
    let transaction = fields.parsed("trans_id", "a whole number", unsigned::<u64>)?;
    if let Some(earlier) = seen.ids.insert(transaction, fields.at) {
        let earlier = line_at(fields.file, earlier);
        let expected = format!("an id of its own, not that of line {earlier}");
        return Err(fields.wrong("trans_id", expected));
    }
    let account = fields.parsed("account_id", "a whole number below 2^32", unsigned::<u32>)?;
    let day = fields.parsed("date", "a day as YYMMDD", parse_day)?;
    let (number, latest) = seen.accounts.entry(account).or_insert((0, day));
    if day < *latest {
        // An account's end of a day is what it has when its next day begins, so its days must come
        // in order.
        let expected = format!("a day not before {latest}, which account {account} has reached");
        return Err(fields.wrong("date", expected));
    }
    (*number, *latest) = (*number + 1, day);
    let number = *number;
    let sign = fields.parsed("type", "PRIJEM, VYDAJ or VYBER", |text| match text {
        "PRIJEM" => Some(1),
        "VYDAJ" | "VYBER" => Some(-1),
        _ => None,
    })?;
    let amount = fields.parsed("amount", "crowns above 0 with two decimals", |text| {
        Hellers::parse(text).filter(|hellers| hellers.0 > 0)
    })?;
    // If the sum of all amounts fits, every balance and every total does.
    seen.moved = seen
        .moved
        .checked_add(amount.0)
        .ok_or_else(|| fields.wrong("amount", "amounts that sum up to less than 2^63 hellers"))?;
    let recorded = fields.parsed("balance", "crowns with two decimals", Hellers::parse)?;
    let bank = fields.parsed("bank", "nothing, or 1 to 16 letters and digits", parse_bank)?;
    Ok(Row { account, number, day, hellers: Hellers(sign * amount.0), recorded, bank })
}

/// Digits only: `str::parse` would take a `+` too.
fn unsigned<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn parse_day(text: &str) -> Option<Day> {
    let number = unsigned::<u32>(text).filter(|_| text.len() == 6)?;
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    (1..=days_in(year, month)).contains(&day).then_some(Day(number))
}

/// Days of a month of the 20th century; 0 for a month that there is not.
pub(crate) fn days_in(year: u32, month: u32) -> u32 {
    match month {
        // 1900 was no leap year.
        2 if year.is_multiple_of(4) && year != 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

fn parse_bank(text: &str) -> Option<Option<String>> {
    let fits = text.len() <= BANK_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| (!text.is_empty()).then(|| text.to_owned()))
}

fn places(path: &Path, header: &StringRecord) -> Result<HashMap<&'static str, usize>, InputError> {
    let mut places = HashMap::new();
    for name in COLUMNS {
        let place = header.iter().position(|column| column == name);
        let place = place.ok_or_else(|| InputError::NoColumn {
            path: path.to_owned(),
            name,
            found: header.iter().collect::<Vec<_>>().join(", "),
        })?;
        places.insert(name, place);
    }
    Ok(places)
}

fn in_csv(path: &Path, file: &[u8], error: &csv::Error) -> InputError {
    let (expected, found) = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            (format!("{expected_len} columns"), len.to_string())
        }
        csv::ErrorKind::Utf8 { err, .. } => {
            ("UTF-8".to_owned(), format!("other bytes in column {}", err.field() + 1))
        }
        _ => ("a row of values separated by semicolons".to_owned(), error.to_string()),
    };
    InputError::Row {
        path: path.to_owned(),
        line: error.position().map_or(1, |position| line_at(file, position.byte())),
        expected,
        found,
    }
}

/// The line of a row that begins at an offset, from 1. The reader's own count is one short where
/// lines end in CR LF: to it the LF belongs to what follows.
fn line_at(file: &[u8], row: u64) -> u64 {
    let row = usize::try_from(row).unwrap_or(file.len()).min(file.len());
    let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let content = row + file[row..].iter().take_while(is_end).count();
    1 + file[..content].iter().filter(|byte| **byte == b'\n').count() as u64
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
