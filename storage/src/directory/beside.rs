//! The directory beside that of a store, in which a conversion makes the store anew, and the step
//! that exchanges the two. Knows no file in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::io_error;
use crate::contract::error::StoreError;

/// The ending of the name of the directory in which a conversion makes a store anew.
const CONVERTING: &str = ".converting";

/// The directory in which a conversion makes the store of a directory anew; `None` for the root
/// directory, which has nothing beside it.
pub(crate) fn conversion_directory(directory: &Path) -> Option<PathBuf> {
    let mut name = directory.file_name()?.to_owned();
    name.push(CONVERTING);
    Some(directory.with_file_name(name))
}

/// Exchanges the names of two directories, in one step.
pub(crate) fn exchange(one: &Path, other: &Path) -> Result<(), StoreError> {
    change_names(one, other).map_err(io_error("exchange", one))
}

/// Finds out whether the file system of a directory can exchange two directories: it makes two
/// there and tries.
pub(crate) fn probe_exchange(directory: &Path) -> Result<(), StoreError> {
    let probes = ["relive.exchange.1", "relive.exchange.2"].map(|name| directory.join(name));
    for probe in &probes {
        fs::create_dir(probe).map_err(io_error("create", probe))?;
    }
    let [one, other] = &probes;
    let exchanged = change_names(one, other);
    // The probes go whatever came of it: what is left would stand in the new store.
    for probe in &probes {
        fs::remove_dir(probe).map_err(io_error("remove", probe))?;
    }
    exchanged.map_err(io_error("exchange", directory))
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn change_names(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| match error {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {
            let what = format!(
                "this file system can't exchange two directories in one step, which a conversion needs ({error})"
            );
            io::Error::new(io::ErrorKind::Unsupported, what)
        }
        error => error.into(),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn change_names(_one: &Path, _other: &Path) -> io::Result<()> {
    let what = "this system can't exchange two directories in one step, which a conversion needs";
    Err(io::Error::new(io::ErrorKind::Unsupported, what))
}
