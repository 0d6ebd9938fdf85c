//! A library that is loaded ahead of the C library (`LD_PRELOAD`) into a process under test. It
//! stands in for the calls by which a store's files are changed, records them, and lets some of
//! them fail. What it does is told by the environment:
//!
//! | variable | meaning |
//! | --- | --- |
//! | `RELIVE_INTERPOSER_DIRECTORY` | the directory of the store; calls about other files pass |
//! | `RELIVE_INTERPOSER_RECORD` | the file that the calls are appended to (`record.rs` says how) |
//! | `RELIVE_INTERPOSER_FAULTS` | which calls fail, and how (`plan.rs` says how) |
//!
//! It knows calls, no stores. A process that writes through a mapping, or by calls that it does not
//! stand in for, would go around it; the user of a recording holds what it says against the files,
//! and so notices.

mod calls;
mod files;
mod plan;
mod record;

use std::sync::{OnceLock, RwLock};

use files::Files;
use plan::Plan;
use record::Record;

/// What is known of the process that this is loaded into.
pub(crate) struct Interposer {
    pub(crate) files: Files,
    pub(crate) plan: Plan,
    pub(crate) record: Option<Record>,
    /// Held for reading while a call is made and written down, for writing by the one that ends the
    /// process.
    pub(crate) gate: RwLock<()>,
}

static INTERPOSER: OnceLock<Interposer> = OnceLock::new();

/// The one of this process, made at its first call.
pub(crate) fn interposer() -> &'static Interposer {
    INTERPOSER.get_or_init(|| Interposer {
        files: Files::new(std::env::var_os("RELIVE_INTERPOSER_DIRECTORY")),
        plan: Plan::parse(&std::env::var("RELIVE_INTERPOSER_FAULTS").unwrap_or_default()),
        record: std::env::var_os("RELIVE_INTERPOSER_RECORD").map(Record::open),
        gate: RwLock::new(()),
    })
}
