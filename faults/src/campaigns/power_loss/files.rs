//! The files of a store's directory with their content, in memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// The files of a directory, and the directories in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The files, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The directories.
    pub directories: Vec<String>,
}

impl Files {
    /// Makes the files.
    ///
    /// # Errors
    /// As the file system.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        for name in &self.directories {
            fs::create_dir_all(directory.join(name))?;
        }
        for (name, content) in &self.files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap_or(directory))?;
            fs::write(path, content)?;
        }
        Ok(())
    }

    /// Reads the files of a directory.
    ///
    /// # Errors
    /// As the file system.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        files.add(directory, "")?;
        Ok(files)
    }

    /// The first thing in which other files differ; `None` when they are the same.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        for name in self.files.keys().chain(other.files.keys()) {
            match (self.files.get(name), other.files.get(name)) {
                (Some(one), Some(other)) if one == other => {}
                (Some(one), Some(other)) => {
                    let at = one.iter().zip(other).position(|(one, other)| one != other);
                    return Some(format!("{name}: {} and {} bytes, first at {at:?}", one.len(), other.len()));
                }
                (one, _) => {
                    return Some(format!(
                        "{name} is there in the {} only",
                        if one.is_some() { "first" } else { "second" }
                    ));
                }
            }
        }
        None
    }

    fn add(&mut self, directory: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.add(&entry.path(), &format!("{name}/"))?;
                self.directories.push(name);
            } else {
                self.files.insert(name, fs::read(entry.path())?);
            }
        }
        Ok(())
    }
}
