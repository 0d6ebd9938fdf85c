//! Each text says what failed, on what, what is true now and what to do, and leaves to the source
//! what the source says.

use std::error::Error;
use std::io;
use std::sync::Arc;

use super::*;

/// An error of each kind, with words that its text must contain: what failed and on what, what is
/// true now, what to do.
fn all() -> Vec<(StoreError, [&'static str; 3])> {
    let (path, what) = (PathBuf::from("/data/store/db"), "its checksum does not match".to_owned());
    let source = Arc::new(io::Error::other("no space left"));
    let (reason, action) = ("sled said no".to_owned(), "sync");
    let again = "open the store again";
    let copy = "from a copy";
    let ids = ("1".to_owned(), "2 (in its data)".to_owned());
    let actor = ActorId::new("account", "alice").unwrap();
    let number = CheckpointNumber::new(7);
    let acknowledged = "what was acknowledged is there";
    let because = "because of it";
    vec![
        (
            StoreError::Io { action, path: path.clone(), reason: source },
            ["sync /data/store/db", acknowledged, again],
        ),
        (StoreError::Backend { action, reason: reason.clone() }, ["sync: sled said no", acknowledged, again]),
        (StoreError::Poisoned { reason }, ["before (sled said no)", acknowledged, again]),
        (
            StoreError::Hung { action, after: Duration::from_secs(30) },
            ["not sync within 30s", acknowledged, again],
        ),
        (
            StoreError::Locked { path: path.clone(), holder: "process 5".to_owned() },
            ["/data/store/db is open in process 5", "nothing was changed", "stop the other"],
        ),
        (
            StoreError::NotAStore { path: path.clone(), found: "thesis".to_owned() },
            ["/data/store/db is not a relive store", "was changed", "give a new or empty directory"],
        ),
        (
            StoreError::NoStore { path: path.clone() },
            ["no relive store in /data/store/db", "nothing was changed", "give the directory of one"],
        ),
        (
            StoreError::NewerFormat { path: path.clone(), found: 9, supported: 2 },
            ["by /data/store/db the store has format 9", "none of its records", "use a newer version"],
        ),
        (
            StoreError::Missing { path: path.clone(), consequence: "all is in it" },
            ["/data/store/db of the store is missing", "none of its records", "put the file back"],
        ),
        (
            StoreError::Mixed { path, expected: ids.0, found: ids.1 },
            ["mixed in /data/store/db", "none of their records", "that belong together"],
        ),
        (
            StoreError::LostAcknowledged { acknowledged: Lsn::new(9), found: Lsn::new(5) },
            ["the log ends before", because, copy],
        ),
        (StoreError::CorruptLog { at: Lsn::new(5), what: what.clone() }, ["damaged at", because, copy]),
        (
            StoreError::CorruptCheckpoint { actor, number, what: what.clone() },
            ["of account/alice is damaged", because, copy],
        ),
        (StoreError::CorruptStore { what }, ["the store is damaged", because, copy]),
        (
            StoreError::TooLarge { what: "the checkpoint of account/alice".to_owned(), found: 9, limit: 5 },
            ["account/alice has 9 bytes", "nothing of it was written", "make it smaller"],
        ),
        (
            StoreError::Misuse { what: "a block at 5 leaves a gap".to_owned() },
            ["a block at 5 leaves a gap", "nothing was written", "keep to what the method asks for"],
        ),
    ]
}

#[test]
fn each_error_says_what_failed_on_what_what_is_true_now_and_what_to_do() {
    for (error, parts) in all() {
        let text = error.to_string();
        let mut from = 0;
        for part in parts {
            let at = text[from..].find(part);
            from += at.unwrap_or_else(|| panic!("{part:?} is not in its place in: {text}"));
        }
        assert_eq!(text.matches("; ").count(), 1, "what failed stands before what is true now: {text}");
    }
    let refused = ActorId::new("", "alice").unwrap_err();
    assert_eq!(StoreError::from(refused.clone()).to_string(), refused.to_string());
}

#[test]
fn no_error_repeats_its_source() {
    for (error, _) in all() {
        // Programs often print only the text, so it contains everything; then the error has no
        // source.
        assert!(error.source().is_none(), "{error}");
        if let StoreError::Io { reason, .. } = &error {
            assert!(error.to_string().contains(&reason.to_string()), "{error}");
            assert!(error.cause().contains(&reason.to_string()), "{}", error.cause());
        }
    }
}

/// An error can be the reason in another one, and the advice still stands there once.
#[test]
fn a_cause_has_no_advice() {
    for (error, [what, now, todo]) in all() {
        let cause = error.cause();
        assert!(!cause.contains(now) && !cause.contains(todo), "{cause}");
        let short = matches!(error, StoreError::Poisoned { .. });
        assert!(short || cause.contains(what), "{what:?} is not in: {cause}");
    }
}
