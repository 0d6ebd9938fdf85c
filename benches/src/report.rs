//! What the suite leaves in a directory: the table as Markdown, all figures as JSON, plots.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::plots;
use crate::round::Round;
use crate::row::Outcome;
use crate::table::Table;

/// What the file with all figures is called.
const ROUNDS: &str = "rounds.json";

/// All that is told.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) outcomes: &'a [Outcome],
    /// Every figure of every measurement.
    pub(crate) rounds: &'a [Round],
}

impl Report<'_> {
    /// The table, with what it was measured on.
    pub(crate) fn markdown(&self) -> String {
        format!("{}\n{}", self.machine, Table(self.outcomes))
    }

    /// Writes everything; gives the names of the files.
    pub(crate) fn write(&self, directory: &Path) -> Result<Vec<&'static str>> {
        fs::create_dir_all(directory).with_context(|| format!("can't make {}", directory.display()))?;
        fs::write(directory.join("ratios.md"), self.markdown())?;
        fs::write(directory.join(ROUNDS), serde_json::to_vec_pretty(self)?)?;
        let mut files = vec!["ratios.md", ROUNDS];
        files.extend(plots::draw(self.rounds, directory)?);
        Ok(files)
    }
}

/// Draws the plots of a directory again, from the figures in it; gives their names.
pub(crate) fn redraw(directory: &Path) -> Result<Vec<&'static str>> {
    #[derive(Deserialize)]
    struct Stored {
        rounds: Vec<Round>,
    }
    let file = directory.join(ROUNDS);
    let text = fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
    let stored: Stored = serde_json::from_slice(&text).with_context(|| format!("in {}", file.display()))?;
    plots::draw(&stored.rounds, directory)
}
