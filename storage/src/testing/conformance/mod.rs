//! The contract of a backend, executable. A test of a backend implements [`Medium`] and calls
//! [`check`].
//!
//! Each case gets a medium of its own and makes the same calls on every backend. When the backend
//! breaks a promise of [`Log`](crate::Log) or [`CheckpointStore`](crate::CheckpointStore), the case
//! panics and says what it saw.

mod cases_checkpoints;
mod cases_log;
mod content;
mod data;
mod medium;
mod medium_cases;

pub use content::Content;
pub use data::{block, block_of, checkpoint, id};
pub use medium::Medium;
pub use medium_cases::{MediumUnderTest, check_medium};

/// Runs every case, each on a medium fresh from `make`.
///
/// # Panics
/// When the backend breaks the contract; the message names the case.
pub fn check(make: &mut dyn FnMut() -> Box<dyn Medium>) {
    for (name, case) in cases_log::CASES.iter().chain(cases_checkpoints::CASES) {
        let mut medium = make();
        run(name, || case(&mut *medium));
    }
}

/// Runs a case, and names it when it panics.
fn run(name: &str, case: impl FnOnce()) {
    tracing::info!(name, "conformance");
    if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(case)) {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        panic!("the contract is broken in {name}: {}", text.unwrap_or_default());
    }
}
