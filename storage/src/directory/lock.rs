//! The lock that lets one handle have a directory open: it says who holds it, and remembers that
//! the directory once held a store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::files::{io_error, is_no_file};
use super::holders::{Held, is_at, locked};
use crate::contract::error::StoreError;
use crate::id::position::StoreId;

/// The lock of a directory, held until this is dropped. The system frees it when the process dies.
#[derive(Debug)]
pub struct Lock {
    // Declared first, so dropped first: the process forgets the lock before it closes the file, and
    // an opening in between waits.
    _held: Held,
    file: Arc<File>,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a directory. When the lock file names this very process, the call waits
    /// for a while: a handle that was just dropped may hold the lock a moment longer, and a child
    /// that was just forked holds it until it runs its program.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another handle has it; [`StoreError::Io`].
    pub fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(LOCK_FILE);
        loop {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = Arc::new(options.open(&path).map_err(io_error("open", &path))?);
            wait(&file, &path, directory)?;
            // A conversion may have put another directory in the place of the one in which the file
            // was opened. Then this lock does not guard the directory at the path, so try again.
            if is_at(&file, &path).map_err(io_error("open", &path))? {
                let held = Held::remember(&file).map_err(io_error("open", &path))?;
                // The note keeps the store that it names: without the identity file nothing else
                // says that there was one.
                let lock = Self { _held: held, file, path };
                let store = lock.store()?;
                lock.write(store)?;
                return Ok(lock);
            }
        }
    }

    /// Shares the lock of a directory with the handle of this process that has it open: the lock is
    /// free when both have released it, so that nobody takes it in between.
    pub(crate) fn share(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(LOCK_FILE);
        let found = File::open(&path).and_then(|file| Held::file(&file)).map_err(io_error("open", &path))?;
        let Some(file) = found else {
            let what = format!("the lock of {} was to be shared, and nobody holds it", directory.display());
            return Err(StoreError::Misuse { what });
        };
        let held = Held::remember(&file).map_err(io_error("open", &path))?;
        Ok(Self { _held: held, file, path })
    }

    /// The store that was created under this lock, if any ever was.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn store(&self) -> Result<Option<StoreId>, StoreError> {
        Ok(Note::read(&self.file, &self.path)?.store)
    }

    /// Writes into the lock file that the directory holds a store, and syncs that.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remember(&self, store: StoreId) -> Result<(), StoreError> {
        self.write(Some(store))?;
        self.file.sync_all().map_err(io_error("sync", &self.path))
    }

    fn write(&self, store: Option<StoreId>) -> Result<(), StoreError> {
        // The text has a fixed length, so that a shorter number leaves no digit of a longer one
        // behind.
        let mut text = format!("process {:10}\n", std::process::id());
        if let Some(store) = store {
            text.push_str(&format!("store {store}\n"));
        }
        let mut file = &*self.file;
        let written = file.seek(SeekFrom::Start(0));
        let written = written.and_then(|_| file.write_all(text.as_bytes()));
        written.map_err(io_error("write", &self.path))
    }
}

/// The lock of a directory that the holder only reads.
#[derive(Debug)]
pub(super) struct ReadOnlyLock {
    _file: File,
}

impl ReadOnlyLock {
    /// Takes the lock of a directory as [`Lock::acquire`] does, and writes nothing. `None` when
    /// there is no such file.
    pub(super) fn locked(directory: &Path) -> Result<Option<Self>, StoreError> {
        let path = directory.join(LOCK_FILE);
        match File::open(&path) {
            Ok(file) => {
                wait(&file, &path, directory)?;
                Ok(Some(Self { _file: file }))
            }
            Err(error) if is_no_file(&error) => Ok(None),
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }
}

/// Waits until this open file has the lock of the file.
fn wait(file: &File, path: &Path, directory: &Path) -> Result<(), StoreError> {
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(io_error("lock", path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // Read anew each time: the lock may have gone to another process meanwhile.
        let noted = Note::read(file, path)?.process;
        if noted != Some(std::process::id()) || since.elapsed() >= OWN_LINGER {
            let ours = Held::is(file).map_err(io_error("open", path))?;
            return Err(locked(directory, noted, ours));
        }
        std::thread::sleep(OWN_LINGER / 100);
    }
}

/// The store that a directory's lock file remembers. Takes no lock.
pub(crate) fn remembered(directory: &Path) -> Result<Option<StoreId>, StoreError> {
    let path = directory.join(LOCK_FILE);
    match File::open(&path) {
        Ok(file) => Ok(Note::read(&file, &path)?.store),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", &path)(error)),
    }
}

/// What the lock file says. The reader is lenient: the content is advice, and the lock itself is
/// the system's.
#[derive(Default)]
struct Note {
    process: Option<u32>,
    store: Option<StoreId>,
}

impl Note {
    fn read(mut file: &File, path: &Path) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(0));
        let read = read.and_then(|_| file.take(NOTE_BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(io_error("read", path))?;
        let mut note = Self::default();
        for line in String::from_utf8_lossy(&bytes).lines() {
            match line.split_once(' ') {
                Some(("process", id)) => note.process = id.trim().parse().ok(),
                Some(("store", id)) => note.store = u128::from_str_radix(id, 16).ok().map(StoreId::new),
                _ => {}
            }
        }
        Ok(note)
    }
}

/// The handle that has the store open holds it.
pub(crate) const LOCK_FILE: &str = "relive.lock";
const OWN_LINGER: Duration = Duration::from_secs(1);
const NOTE_BYTES_MAX: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::exchange;

    /// The lock that counts is that of the directory at the path when the lock is taken, not when
    /// the file was opened.
    #[test]
    fn an_opening_that_waits_for_an_exchanged_directory_gets_the_lock_of_the_new_one() {
        let root = tempfile::tempdir().unwrap();
        let [path, new] = ["store", "new"].map(|name| root.path().join(name));
        for directory in [&path, &new] {
            std::fs::create_dir(directory).unwrap();
        }
        let old_lock = Lock::acquire(&path).unwrap();
        let new_lock = Lock::acquire(&new).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::acquire(&path)
        });
        std::thread::sleep(OWN_LINGER / 10);
        exchange(&path, &new).unwrap();
        drop((old_lock, new_lock));
        let waited = waiting.join().unwrap().unwrap();
        assert!(matches!(Lock::acquire(&path), Err(StoreError::Locked { .. })));
        drop(Lock::acquire(&new).unwrap());
        drop(waited);
        Lock::acquire(&path).unwrap();
    }

    #[test]
    fn a_lock_that_is_shared_is_free_when_both_let_it_go() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Lock::share(root.path()), Err(StoreError::Io { .. })));
        let lock = Lock::acquire(root.path()).unwrap();
        let shared = Lock::share(root.path()).unwrap();
        drop(lock);
        assert!(matches!(Lock::acquire(root.path()), Err(StoreError::Locked { .. })));
        drop(shared);
        drop(Lock::acquire(root.path()).unwrap());
        assert!(matches!(Lock::share(root.path()), Err(StoreError::Misuse { .. })));
    }
}
