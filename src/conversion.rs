//! Moves a store from one medium to another while no runtime has it open. Knows only which options
//! suit a runtime.

use std::path::Path;

use relive_storage::{MediumKind, StoreError, StoreOptions};
use relive_storage_sled::convert_store;

/// Moves the store of a directory to another medium. A crash at any moment leaves the store whole
/// on one of the two. Does nothing when the store is on that medium already.
///
/// The content of the store stays the same, and no actor handles anything meanwhile. No runtime may
/// have the store open. The conversion needs as much free disk space as the store takes. It blocks
/// its thread while it reads the store twice and writes it once, so call it in
/// `tokio::task::spawn_blocking` from async code. `docs/media.md` has the steps.
///
/// # Errors
/// [`StoreError::NoStore`], [`StoreError::Locked`] (it is open), damage in the store, and errors of
/// the system. The store is unchanged and on its old medium then, except after an error in the very
/// last step, which leaves it whole on one of the two. You may call it again after each error.
/// [`convert_store`] has the list.
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
