//! The errors of stable storage. Each says what failed, on what, what is true now, and what to do.
//! A text leaves out what the error's source says: a print of the whole chain shows the source
//! after it.

use std::path::PathBuf;
use std::time::Duration;

use crate::contract::medium_kind::MediumKind;
use crate::id::actor_id::{ActorId, NameError};
use crate::id::position::{CheckpointNumber, Lsn};

/// What to do about an error; stable across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The failure is temporary: try the same call again later.
    Retry,
    /// The store takes nothing more: close it, remove the cause, open it again. Everything
    /// acknowledged is still there.
    Reopen,
    /// The caller passed something that the store can't take. Nothing changed.
    Input,
    /// Stored data is damaged or missing, and no reopening repairs it. relive changed nothing
    /// because of it. Restore the files, or give the data up knowingly.
    Corrupt,
    /// A bug in relive.
    Bug,
}

/// An error of stable storage.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused a file operation.
    #[error(
        "could not {action} {path}: {reason}; what was acknowledged is there: remove the cause, then open the store again"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The answer of the system. The text contains it, so the error has no source.
        reason: std::sync::Arc<std::io::Error>,
    },
    /// The backend failed in a write, a sync or a read.
    #[error(
        "the backend failed to {action}: {reason}; what was acknowledged is there, and nothing more is taken: remove the cause, then open the store again"
    )]
    Backend {
        /// What was tried.
        action: &'static str,
        /// What the backend said, or the message of its panic.
        reason: String,
    },
    /// An earlier write or sync failed, so the store takes nothing more in this opening.
    #[error(
        "the store has failed before ({reason}); what was acknowledged is there, and nothing more is taken: remove the cause, then open the store again"
    )]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The backend did not answer in time.
    #[error(
        "the backend did not {action} within {after:?}; whether it still will is unknown, what was acknowledged is there, and nothing more is taken: find out what holds the disk up, then open the store again, in another process if it is still locked"
    )]
    Hung {
        /// What was tried.
        action: &'static str,
        /// How long the caller waited.
        after: Duration,
    },
    /// Another process, or another handle in this one, has the directory open.
    #[error(
        "the store {path} is open in {holder}, and only one may have it open; nothing was changed: stop the other or use another directory"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The holder, as far as it is known.
        holder: String,
    },
    /// The directory holds something, but not a store.
    #[error(
        "{path} is not a relive store and is not empty ({found}); nothing in it was changed: give a new or empty directory"
    )]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// The directory holds no store.
    #[error("there is no relive store in {path}; nothing was changed: give the directory of one")]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store of the directory is on another medium.
    #[error(
        "the store {path} is on {found}, and was to be opened on {asked}; nothing was changed: open it on {found}, or convert it"
    )]
    OtherMedium {
        /// The directory.
        path: PathBuf,
        /// The medium that it is on.
        found: MediumKind,
        /// The medium that the caller asked for.
        asked: MediumKind,
    },
    /// The store was written by a newer version.
    #[error(
        "by {path} the store has format {found}, and this version of relive reads up to {supported}; none of its records was changed: use a newer version"
    )]
    NewerFormat {
        /// The file of the store that says so.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// A file of the store is missing.
    #[error(
        "{path} of the store is missing: {consequence}; none of its records was changed: put the file back, or restore the whole store from a copy"
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What relive can't know without it.
        consequence: &'static str,
    },
    /// The files in the directory do not belong together.
    #[error(
        "files of two stores are mixed in {path}: it is the store {expected}, and {found} was found too; none of their records was changed: put files together that belong together"
    )]
    Mixed {
        /// The directory.
        path: PathBuf,
        /// The id in the file that says which store it is.
        expected: String,
        /// The other id, and where it was found.
        found: String,
    },
    /// Acknowledged records are gone from the end of the log.
    #[error(
        "the log ends before {found}, but everything before {acknowledged} was acknowledged: acknowledged records are lost; nothing was changed because of it: restore the store's files from a copy"
    )]
    LostAcknowledged {
        /// Everything before this was acknowledged.
        acknowledged: Lsn,
        /// The first position that is not there.
        found: Lsn,
    },
    /// A part of the log can't be read, or does not fit the parts before and after it.
    #[error(
        "the log is damaged at {at}: {what}; nothing was changed because of it: restore the store's files from a copy"
    )]
    CorruptLog {
        /// Where.
        at: Lsn,
        /// What is wrong there.
        what: String,
    },
    /// A checkpoint can't be read.
    #[error(
        "{number} of {actor} is damaged: {what}; nothing was removed because of it, and the one before it serves with the log if both are whole: if not, restore the store's files from a copy"
    )]
    CorruptCheckpoint {
        /// Whose.
        actor: ActorId,
        /// Which.
        number: CheckpointNumber,
        /// What is wrong.
        what: String,
    },
    /// The list of checkpoints, or another part that the whole store depends on, is damaged.
    #[error("the store is damaged: {what}; nothing was changed because of it: restore its files from a copy")]
    CorruptStore {
        /// What is wrong.
        what: String,
    },
    /// A value that the caller passed is over its limit.
    #[error(
        "{what} has {found} bytes, at most {limit} are allowed; nothing of it was written: make it smaller"
    )]
    TooLarge {
        /// What.
        what: String,
        /// Its size in bytes.
        found: usize,
        /// Its limit in bytes.
        limit: usize,
    },
    /// A name is not a valid one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The caller broke the contract of the interface.
    #[error(
        "misuse of the store: {what}; nothing was written: keep to what the method asks for, or report it if relive itself made the call"
    )]
    Misuse {
        /// What was done.
        what: String,
    },
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Locked { .. } => ErrorKind::Retry,
            Self::Io { .. } | Self::Backend { .. } | Self::Poisoned { .. } | Self::Hung { .. } => {
                ErrorKind::Reopen
            }
            Self::NotAStore { .. }
            | Self::NoStore { .. }
            | Self::OtherMedium { .. }
            | Self::NewerFormat { .. }
            | Self::TooLarge { .. }
            | Self::Name(_) => ErrorKind::Input,
            Self::Missing { .. }
            | Self::Mixed { .. }
            | Self::LostAcknowledged { .. }
            | Self::CorruptLog { .. }
            | Self::CorruptCheckpoint { .. }
            | Self::CorruptStore { .. } => ErrorKind::Corrupt,
            Self::Misuse { .. } => ErrorKind::Bug,
        }
    }

    /// What failed, on what and why; it leaves out what is true now and what to do. For a log, or
    /// as the reason in another error.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Io { action, path, reason } => format!("could not {action} {}: {reason}", path.display()),
            Self::Backend { action, reason } => format!("the backend failed to {action}: {reason}"),
            Self::Poisoned { reason } => reason.clone(),
            other => {
                let text = other.to_string();
                text.rsplit_once("; ").map_or_else(|| text.clone(), |(cause, _)| cause.to_owned())
            }
        }
    }

    /// Whether the stored data caused it, and not the operation.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.kind() == ErrorKind::Corrupt
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
