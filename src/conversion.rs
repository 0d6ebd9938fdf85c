//! Moving a store from one medium to another, before a runtime is opened on it. Knows no more of it than which options suit a
//! runtime.

use std::path::Path;

use relive_storage::{MediumKind, StoreError, StoreOptions, convert_store};

/// Moves the store of a directory to another medium, so that a crash at any moment leaves it whole on one of the two. Does
/// nothing when it is on that one already.
///
/// Everything in it stays as it was, and nothing in it is handled meanwhile. No runtime may have it open. It needs as much
/// disk space again as the store has until it is through, and blocks its thread for as long as reading the store twice and
/// writing it once takes: call it in `tokio::task::spawn_blocking` where that matters. `docs/media.md` says more.
///
/// # Errors
/// [`StoreError::NoStore`], [`StoreError::Locked`] (it is open), all damage that is found, and whatever the system refuses:
/// the store is as it was then, on the medium on which it was, but for an error in the very last step, after which it is whole
/// on one of the two. Calling it again is right after each of them. [`convert_store`] has the list.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("data");
/// use relive::{Medium, Runtime};
///
/// Runtime::builder().medium(Medium::Sled).open(&path).await?.shutdown().await?;
/// relive::convert(&path, Medium::SegmentFiles)?;
/// let runtime = Runtime::builder().medium(Medium::SegmentFiles).open(&path).await?;
/// # runtime.shutdown().await?;
/// # Ok(()) }
/// ```
pub fn convert(path: impl AsRef<Path>, to: MediumKind) -> Result<(), StoreError> {
    convert_store(path, to, &StoreOptions::default())
}
