//! What a disk may hold when it loses power at some point of a recording: what it surely holds, and
//! what it perhaps holds. Where file systems promise more than POSIX, this model assumes only
//! POSIX:
//!
//! - Bytes and lengths are surely there once an `fsync` or `fdatasync` of their file has succeeded
//!   that began after their write. `sync_file_range` counts for nothing. Of any other write all,
//!   nothing or some sectors may be there, whatever came before or after it; each change of a
//!   length may be there or not.
//! - A failed sync loses what it should have made durable: the system may have dropped it, and no
//!   later sync of the same file brings it back.
//! - Names belong to their directory: the making, renaming or removal of a file is surely there
//!   once an `fsync` of the directory has succeeded, whatever syncs the file itself had. (ext4 and
//!   xfs would make the name of a new file durable with the file, and keep the changes of a
//!   directory in order.) A rename leaves the old name or the new one, never none.
//! - The store's own directory is a name too, in the directory above it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::files::Files;
use super::recording::{Entry, Recording};

/// The content of a file that may have several names in its life.
pub type FileId = usize;

/// One change of a file's content.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it was.
    pub what: What,
    /// It is surely there.
    pub durable: bool,
    ended: bool,
    /// A sync of this change has failed.
    lost: bool,
}

/// What a change was.
#[derive(Clone, Debug)]
pub enum What {
    /// Bytes of the recording were written.
    Written {
        /// Where in the file.
        offset: u64,
        /// Where in the recording.
        content: Range<usize>,
    },
    /// The length was set.
    Resized(u64),
}

/// One change of names.
#[derive(Clone, Debug)]
pub struct Naming {
    /// What it was.
    pub what: NamingWhat,
    /// It is surely there.
    pub durable: bool,
    directory: String,
}

/// What a change of names was.
#[derive(Clone, Debug)]
pub enum NamingWhat {
    /// A file got its first name.
    Made(String, FileId),
    /// A file got another name.
    Renamed(String, String, FileId),
    /// A name is gone.
    Removed(String),
    /// A directory was made.
    Directory(String),
}

/// The changes that the disk surely and perhaps holds.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// By file, in the order begun.
    pub changes: Vec<Vec<Change>>,
    /// Of all directories, in order.
    pub namings: Vec<Naming>,
    /// What the process sees.
    names: BTreeMap<String, FileId>,
    writes: BTreeMap<u64, (FileId, usize)>,
    syncs: BTreeMap<u64, Sync>,
}

/// What a sync under way makes durable when it succeeds.
#[derive(Clone, Debug)]
enum Sync {
    File(FileId, Vec<usize>),
    Directory(Vec<usize>),
}

impl Disk {
    /// The disk after the entries of a recording before `end`. All of `base` is surely there.
    #[must_use]
    pub fn at(base: &Files, recording: &Recording, end: usize) -> Self {
        let mut disk = Self::default();
        for name in base.files.keys() {
            disk.names.insert(name.clone(), disk.changes.len());
            disk.changes.push(Vec::new());
        }
        for entry in &recording.entries()[..end] {
            disk.take(entry);
        }
        disk
    }

    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::WriteBegins { id, name, offset, content } => {
                let what = What::Written { offset: *offset, content: content.clone() };
                let at = self.change(name, what, false);
                self.writes.insert(*id, at);
            }
            Entry::WriteEnded { id, done } => {
                let Some((file, at)) = self.writes.remove(id) else { return };
                let change = &mut self.changes[file][at];
                change.ended = true;
                if let What::Written { content, .. } = &mut change.what {
                    let done = usize::try_from(*done).unwrap_or(usize::MAX).min(content.len());
                    content.end = content.start + done;
                }
            }
            Entry::Resized { name, length } => drop(self.change(name, What::Resized(*length), true)),
            Entry::SyncBegins { id, name, .. } => drop(self.syncs.insert(*id, self.begin_sync(name))),
            Entry::SyncEnded { id } => self.end_sync(*id),
            Entry::Made { name } => {
                let file = self.changes.len();
                self.changes.push(Vec::new());
                self.names.insert(name.clone(), file);
                self.naming(name, NamingWhat::Made(name.clone(), file));
            }
            Entry::Renamed { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                    self.naming(to, NamingWhat::Renamed(from.clone(), to.clone(), file));
                }
            }
            Entry::Removed { name } => {
                self.names.remove(name);
                self.naming(name, NamingWhat::Removed(name.clone()));
            }
            Entry::DirectoryMade { name } => self.naming(name, NamingWhat::Directory(name.clone())),
            Entry::Failed { call, name } if call == "fsync" || call == "fdatasync" => {
                if let Some(file) = self.names.get(name) {
                    let pending = self.changes[*file].iter_mut().filter(|change| !change.durable);
                    pending.for_each(|change| change.lost = true);
                }
            }
            Entry::Failed { .. } | Entry::Said { .. } => {}
        }
    }

    fn change(&mut self, name: &str, what: What, ended: bool) -> (FileId, usize) {
        // A file that the recording never made is new to it all the same.
        let next = self.changes.len();
        let file = *self.names.entry(name.to_owned()).or_insert(next);
        if file == next {
            self.changes.push(Vec::new());
        }
        self.changes[file].push(Change { what, durable: false, ended, lost: false });
        (file, self.changes[file].len() - 1)
    }

    fn naming(&mut self, name: &str, what: NamingWhat) {
        let directory = directory_of(name);
        self.namings.push(Naming { what, durable: false, directory });
    }

    fn begin_sync(&self, name: &str) -> Sync {
        match self.names.get(name) {
            Some(file) => {
                let ended = self.changes[*file].iter().enumerate();
                let ended = ended.filter(|(_, change)| change.ended && !change.lost);
                Sync::File(*file, ended.map(|(at, _)| at).collect())
            }
            None => {
                let within = self.namings.iter().enumerate().filter(|(_, naming)| naming.directory == name);
                Sync::Directory(within.map(|(at, _)| at).collect())
            }
        }
    }

    fn end_sync(&mut self, id: u64) {
        match self.syncs.remove(&id) {
            Some(Sync::File(file, changes)) => {
                for at in changes {
                    self.changes[file][at].durable = true;
                }
            }
            Some(Sync::Directory(namings)) => {
                for at in namings {
                    self.namings[at].durable = true;
                }
            }
            None => {}
        }
    }
}

fn directory_of(name: &str) -> String {
    if name == "." {
        return "..".to_owned();
    }
    name.rsplit_once('/').map_or(".", |(directory, _)| directory).to_owned()
}
