//! The contract of a backend, executable. A backend adopts it by a [`Medium`] and one call of [`check`] in a test.
//!
//! Each case gets a medium of its own, does the same to every backend, and panics with what it saw when a promise of
//! [`Log`](crate::Log) or [`CheckpointStore`](crate::CheckpointStore) is broken.

mod cases_checkpoints;
mod cases_log;
mod content;
mod data;
mod medium;

pub use content::Content;
pub use data::{block, block_of, checkpoint, id};
pub use medium::Medium;

/// Runs every case, each on a medium fresh from `make`.
///
/// # Panics
/// When the backend breaks the contract; the message names the case.
pub fn check(make: &mut dyn FnMut() -> Box<dyn Medium>) {
    for (name, case) in cases_log::CASES.iter().chain(cases_checkpoints::CASES) {
        tracing::info!(name, "conformance");
        let mut medium = make();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut *medium)));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            panic!("the contract is broken in {name}: {}", text.unwrap_or_default());
        }
    }
}
