//! The data directory: the store, the sample when there is no other input, and a note of which
//! input the ledger is of.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::input::Input;
use crate::sample;

const STORE: &str = "store";
const SAMPLE: &str = "sample.csv";
const NOTE: &str = "input.txt";

/// A data directory, the user's own or a temporary one.
pub(crate) struct Directory {
    path: PathBuf,
    /// Removes it in the end, unless it is kept.
    temporary: RefCell<Option<TempDir>>,
}

/// Why a directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: expected an empty directory or a ledger's, found other files", path.display())]
    NotALedgers { path: PathBuf },
    #[error(
        "{}: this is the ledger of another input ({found}; the given one has {given}): give that one, or another --data",
        path.display()
    )]
    OtherInput { path: PathBuf, found: String, given: String },
    #[error("{}: this is the ledger of a file of your own: give it with --input", path.display())]
    NoSample { path: PathBuf },
}

impl Directory {
    /// Takes the user's directory, which may be missing, empty or a ledger's, or makes a temporary
    /// one.
    pub(crate) fn prepare(path: Option<&Path>) -> Result<Self, DirectoryError> {
        let Some(path) = path else {
            let temporary = TempDir::with_prefix("ledger-").map_err(in_path(&std::env::temp_dir()))?;
            return Ok(Self { path: temporary.path().to_owned(), temporary: RefCell::new(Some(temporary)) });
        };
        fs::create_dir_all(path).map_err(in_path(path))?;
        let is_empty = fs::read_dir(path).map_err(in_path(path))?.next().is_none();
        if !is_empty && !path.join(NOTE).exists() && !path.join(SAMPLE).exists() {
            return Err(DirectoryError::NotALedgers { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), temporary: RefCell::new(None) })
    }

    /// Where the runtime keeps its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// The sample that is here, or a new one of this seed.
    pub(crate) fn sample(&self, seed: u64) -> Result<PathBuf, DirectoryError> {
        let sample = self.path.join(SAMPLE);
        if !sample.exists() {
            if self.path.join(NOTE).exists() {
                let path = self.path.clone();
                return Err(DirectoryError::NoSample { path });
            }
            sample::write(&sample, seed).map_err(in_path(&sample))?;
        }
        Ok(sample)
    }

    /// Makes this the ledger of an input. Under the numbers of another input its rows would be
    /// taken for duplicates.
    pub(crate) fn claim(&self, input: &Input) -> Result<(), DirectoryError> {
        let path = self.path.join(NOTE);
        let given = format!("{} rows, fingerprint {:016x}", input.rows.len(), input.fingerprint);
        match fs::read_to_string(&path) {
            Ok(found) if found == given => Ok(()),
            Ok(found) => Err(DirectoryError::OtherInput { path: self.path.clone(), found, given }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(&path, given).map_err(in_path(&path))
            }
            Err(error) => Err(in_path(&path)(error)),
        }
    }

    /// Keeps a temporary directory for whoever looks into what went wrong, and says where it is.
    pub(crate) fn keep(&self) -> String {
        if let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
        }
        format!("The store is kept in {}.", self.store().display())
    }
}

fn in_path(path: &Path) -> impl Fn(io::Error) -> DirectoryError {
    move |source| DirectoryError::Io { path: path.to_owned(), source }
}
