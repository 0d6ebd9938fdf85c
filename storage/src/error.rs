//! What can go wrong with stable storage: what failed, on what, what is true now, what to do.

use std::path::PathBuf;
use std::time::Duration;

use crate::position::{CheckpointNumber, Lsn};
use crate::{ActorId, NameError};

/// What to do about an error; stable across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing is wrong for good: try the same call again later.
    Retry,
    /// The store takes nothing more: close it, remove the cause, open it again. What was acknowledged is there.
    Reopen,
    /// The caller gave something that can't be taken. Nothing was changed.
    Input,
    /// Stored data is damaged or missing. Nothing was changed; restore the files or give the data up knowingly.
    Corrupt,
    /// A bug in relive.
    Bug,
}

/// An error of stable storage.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused a file operation.
    #[error("could not {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: std::sync::Arc<std::io::Error>,
    },
    /// The backend failed in a write, a sync or a read.
    #[error("the backend failed to {action}: {reason}; the store takes nothing more until it is reopened")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// What the backend said, or the message of its panic.
        reason: String,
    },
    /// An earlier write or sync failed, so nothing is taken any more.
    #[error(
        "the store has failed before ({reason}) and takes nothing more: reopen it, what was acknowledged is there"
    )]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// The backend did not answer in time.
    #[error(
        "the backend did not {action} within {after:?}; its outcome is unknown and the store takes nothing more: reopen it"
    )]
    Hung {
        /// What was tried.
        action: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// Another process, or another handle in this one, has the directory open.
    #[error(
        "the store {path} is open in {holder}; only one may have it open: stop the other or use another directory"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, as far as known.
        holder: String,
    },
    /// The directory holds something, but not a store.
    #[error(
        "{path} is not a relive store and is not empty ({found}): give a new or empty directory, nothing was changed"
    )]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What was found in it.
        found: String,
    },
    /// The store was written by a newer version.
    #[error(
        "the store {path} has format {found}, this version reads up to {supported}: use a newer relive, nothing was changed"
    )]
    NewerFormat {
        /// The directory, or the part of the store that says so.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// A file of the store is missing.
    #[error("{path} of the store is missing: {consequence}; restore the file, nothing was changed")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What can't be known without it.
        consequence: &'static str,
    },
    /// The files in the directory do not belong together.
    #[error(
        "the store in {path} carries the id {found}, its side files say {expected}: files of two stores were mixed, nothing was changed"
    )]
    Mixed {
        /// The directory.
        path: PathBuf,
        /// The id that the side file holds.
        expected: String,
        /// The id that the data holds.
        found: String,
    },
    /// Acknowledged records are gone from the end of the log.
    #[error(
        "the log ends before {found}, but everything before {acknowledged} was acknowledged: acknowledged records are lost, restore the store's files; nothing was changed"
    )]
    LostAcknowledged {
        /// Everything before this was acknowledged.
        acknowledged: Lsn,
        /// The first position that is not there.
        found: Lsn,
    },
    /// A part of the log can't be read, or is not what stands before and after it.
    #[error("the log is damaged at {at}: {what}; restore the store's files, nothing was changed")]
    CorruptLog {
        /// Where.
        at: Lsn,
        /// What is wrong there.
        what: String,
    },
    /// A checkpoint can't be read.
    #[error(
        "{number} of {actor} is damaged: {what}; the one before it and the log still serve when they are whole"
    )]
    CorruptCheckpoint {
        /// Whose.
        actor: ActorId,
        /// Which.
        number: CheckpointNumber,
        /// What is wrong.
        what: String,
    },
    /// The list of checkpoints or another part that holds for the whole store is damaged.
    #[error("the store is damaged: {what}; restore its files, nothing was changed")]
    CorruptStore {
        /// What is wrong.
        what: String,
    },
    /// Something given is over its limit.
    #[error("{what} has {found} bytes, at most {limit} are allowed: nothing was written")]
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
    /// The caller broke the contract of the seam.
    #[error("misuse of the store: {what}; nothing was written")]
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
            Self::NotAStore { .. } | Self::NewerFormat { .. } | Self::TooLarge { .. } | Self::Name(_) => {
                ErrorKind::Input
            }
            Self::Missing { .. }
            | Self::Mixed { .. }
            | Self::LostAcknowledged { .. }
            | Self::CorruptLog { .. }
            | Self::CorruptCheckpoint { .. }
            | Self::CorruptStore { .. } => ErrorKind::Corrupt,
            Self::Misuse { .. } => ErrorKind::Bug,
        }
    }

    /// Whether the data, not the operation, is at fault.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.kind() == ErrorKind::Corrupt
    }
}
