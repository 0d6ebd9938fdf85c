//! The files of a store in memory, so that damage is a function from bytes to bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::harness::medium::is_same;

/// Contents by name. The name of a directory ends in a slash and has no content. The only directory
/// of a store is the one for sled's large values, and it is empty, because relive makes no such
/// values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image(pub(super) BTreeMap<String, Vec<u8>>);

impl Image {
    /// Reads a directory.
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                assert_eq!(fs::read_dir(entry.path())?.count(), 0, "{name} holds files");
                files.insert(format!("{name}/"), Vec::new());
            } else {
                files.insert(name, fs::read(entry.path())?);
            }
        }
        Ok(Self(files))
    }

    /// Reads the directory of an open store at rest, whose threads may still prepare files. Reads
    /// until two readings agree, so the result is the state at one moment.
    pub(super) fn read_open(directory: &Path) -> io::Result<Self> {
        loop {
            match (Self::read(directory), Self::read(directory)) {
                (Ok(one), Ok(other)) if one == other => return Ok(one),
                (Err(error), _) | (_, Err(error)) if error.kind() != ErrorKind::NotFound => {
                    return Err(error);
                }
                _ => {}
            }
        }
    }

    /// Writes a new directory.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        for (name, content) in &self.0 {
            let path = directory.join(name);
            if name.ends_with('/') { fs::create_dir(path)? } else { fs::write(path, content)? }
        }
        Ok(())
    }

    /// The content of a file; nothing when there is none.
    pub(super) fn content(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The file of another image that is the same one.
    pub(super) fn counterpart(&self, name: &str) -> Option<&String> {
        self.0.keys().find(|found| is_same(found, name))
    }
}
