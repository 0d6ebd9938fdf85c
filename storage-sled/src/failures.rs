//! Decides what an error or a panic of sled means: damaged data, or a failure of the system. Knows
//! sled's errors by their type and, where sled passes them on as text, by that text.
//!
//! sled reports damage as an error of its own, as an I/O error that no system call returned, or by
//! a panic. The error of a failed system call keeps its number in all three, so an error without a
//! number comes from the data. That holds for calls that only read; a panic in the middle of a
//! write says too little.

use std::panic::{AssertUnwindSafe, catch_unwind};

use relive_storage::medium_support::Poison;
use relive_storage::{ErrorKind, StoreError};

/// Makes a call into sled that only reads.
pub(crate) fn reading<T>(
    poison: &Poison,
    action: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    guarded(poison, action, work).map_err(in_reading)
}

/// Makes a call into sled that may change stored data. After a failed one nothing writes to sled
/// any more.
pub(crate) fn writing<T>(
    poison: &Poison,
    action: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let outcome = guarded(poison, action, work);
    if let Err(error) = &outcome {
        match error.kind() {
            ErrorKind::Corrupt => poison.set(error),
            _ => poison.note(error),
        }
    }
    outcome
}

/// Turns a panic into an error that ends the opening: nobody knows what the panic left.
fn guarded<T>(
    poison: &Poison,
    action: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let error = panicked(action, &text.unwrap_or_default());
        poison.set(&error);
        Err(error)
    })
}

/// Converts an error of sled.
pub(crate) fn backend(action: &'static str) -> impl Fn(sled::Error) -> StoreError {
    move |error| match error {
        sled::Error::Corruption { at, .. } => {
            let place = at.map_or_else(String::new, |at| format!(", at {at:?} of its file"));
            damaged(action, &format!("corruption{place}"))
        }
        sled::Error::Io(error) if !is_of_the_system(&format!("{error:?}")) => {
            damaged(action, &error.to_string())
        }
        error => StoreError::Backend { action, reason: error.to_string() },
    }
}

/// What a panic of sled means, by its text.
fn panicked(action: &'static str, text: &str) -> StoreError {
    let reason = format!("it panicked: {text}");
    let text = text.to_lowercase();
    if text.contains("corrupt") && !is_of_the_system(&text) {
        return damaged(action, &reason);
    }
    StoreError::Backend { action, reason }
}

/// What an error means in a call that only reads: damage, unless it comes from the system.
fn in_reading(error: StoreError) -> StoreError {
    match error {
        StoreError::Backend { action, reason } if !is_of_the_system(&reason) => damaged(action, &reason),
        error => error,
    }
}

fn damaged(action: &str, reason: &str) -> StoreError {
    StoreError::CorruptStore {
        what: format!("sled could not {action}: its data are not as it left them ({reason})"),
    }
}

/// Whether sled's text is about a call that the system refused or did only in part, or about a
/// thread that does not exist.
fn is_of_the_system(text: &str) -> bool {
    let text = text.to_lowercase();
    let without = ["io thread unexpectedly panicked", "failed to spawn", "failed to write whole buffer"];
    let numbers = ["os { code: ", "os error "].iter().flat_map(|before| text.split(before).skip(1));
    let mut numbers = numbers.map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().unwrap_or(0)
    });
    without.iter().any(|words| text.contains(words))
        || numbers.any(|number: i32| !OF_DAMAGE.contains(&number))
}

/// The system's answers to a read beyond every file, and to the name of a missing file: sled makes
/// such calls after it has read damaged data.
const OF_DAMAGE: [i32; 2] = [EINVAL, ENOENT];
const EINVAL: i32 = 22;
const ENOENT: i32 = 2;

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    fn read(error: sled::Error) -> StoreError {
        in_reading(backend("read")(error))
    }

    #[test]
    fn what_the_system_refused_is_no_damage() {
        // Input/output error, no space, too many open files; as they come, and as sled copies them.
        for number in [5, 28, 24] {
            let error = sled::Error::Io(Error::from_raw_os_error(number));
            assert!(!read(error.clone()).is_corrupt(), "{number}");
            assert!(!read(error.clone().clone()).is_corrupt(), "{number}");
            assert!(!in_reading(panicked("read", &format!("called unwrap on {error:?}"))).is_corrupt());
            assert!(!in_reading(panicked("read", &format!("corrupt? {error}"))).is_corrupt());
        }
        let part = sled::Error::Io(Error::new(ErrorKind::WriteZero, "failed to write whole buffer"));
        assert!(!read(part.clone()).is_corrupt());
        let broken = sled::Error::ReportableBug("IO thread unexpectedly panicked. please report".to_owned());
        assert!(!read(broken).is_corrupt());
    }

    #[test]
    fn what_sled_found_is_damage() {
        for kind in [ErrorKind::Other, ErrorKind::InvalidData, ErrorKind::UnexpectedEof] {
            let error = || sled::Error::Io(Error::new(kind, "encountered torn segment"));
            assert!(backend("append")(error()).is_corrupt(), "{kind}");
            assert!(read(error().clone()).is_corrupt(), "{kind}");
        }
        for number in OF_DAMAGE {
            assert!(read(sled::Error::Io(Error::from_raw_os_error(number))).is_corrupt(), "{number}");
        }
        assert!(backend("append")(sled::Error::Corruption { at: None, bt: () }).is_corrupt());
        assert!(read(sled::Error::ReportableBug("failed to retrieve META page".to_owned())).is_corrupt());
        assert!(read(sled::Error::CollectionNotFound(b"log".into())).is_corrupt());
    }

    /// Invariant: fail-stop.
    #[test]
    fn a_panic_is_an_error_and_ends_the_opening() {
        let poison = Poison::default();
        let outcome =
            reading(&poison, "read", || -> Result<(), StoreError> { panic!("index out of bounds") });
        assert!(outcome.unwrap_err().is_corrupt());
        assert!(poison.check().is_err());
    }

    #[test]
    fn a_panic_in_a_write_is_damage_only_when_it_says_so() {
        assert!(!panicked("append", "index out of bounds").is_corrupt());
        assert!(panicked("append", "called unwrap on Corruption { at: None }").is_corrupt());
        assert!(in_reading(panicked("read", "index out of bounds")).is_corrupt());
    }
}
