//! The medium of the stores in these tests: the default one, or the one that `RELIVE_TEST_MEDIUM`
//! names, so that all tests can run on every medium.
//!
//! `RELIVE_TEST_MEDIUM="segment files" cargo test -p relive --test relive -- --skip crash_points`

use relive::{Builder, Medium, Runtime};

/// The medium that the environment names.
pub(crate) fn asked() -> Option<Medium> {
    let name = std::env::var("RELIVE_TEST_MEDIUM").ok()?;
    let found = [Medium::Sled, Medium::SegmentFiles].into_iter().find(|medium| medium.to_string() == name);
    Some(found.unwrap_or_else(|| panic!("there is no medium {name}")))
}

/// A builder of a runtime on that medium.
pub(crate) fn runtime() -> Builder {
    match asked() {
        Some(medium) => Runtime::builder().medium(medium),
        None => Runtime::builder(),
    }
}
