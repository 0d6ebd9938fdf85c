//! Finds or builds the library that a process loads ahead of the C library, and puts it into the
//! environment of a process.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The built library.
#[derive(Clone, Debug)]
pub struct Interposer(PathBuf);

impl Interposer {
    /// Builds the library with the cargo that built this program, or finds it built.
    ///
    /// # Errors
    /// The library does not build.
    pub fn build() -> io::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            "relive-interposer",
            "--message-format",
            "json",
        ]);
        // This program's own workspace has the library as a member.
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let files = messages.filter(|message| message["target"]["name"] == "relive_interposer");
        let mut files = files.filter_map(|message| message["filenames"][0].as_str().map(PathBuf::from));
        files.next_back().map(Self).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            io::Error::other(format!("relive-interposer does not build: {errors}"))
        })
    }

    /// Makes the library intercept the calls of a process that concern files in `store`.
    pub fn stand_before(&self, command: &mut Command, store: &Path, record: Option<&Path>, faults: &str) {
        command.env("LD_PRELOAD", &self.0).env("RELIVE_INTERPOSER_DIRECTORY", store);
        command.env("RELIVE_INTERPOSER_FAULTS", faults);
        if let Some(record) = record {
            command.env("RELIVE_INTERPOSER_RECORD", record);
        }
    }
}
