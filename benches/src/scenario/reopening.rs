//! A measurement by two processes over one store: the first one writes and ends without a word, the
//! second one opens. Knows neither what is written nor what is measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::{Data, on_tokio};
use crate::child::Child;
use crate::figures::Figures;

/// The two processes.
#[derive(Args)]
pub(super) struct Reopening {
    /// Which process this is; `all` starts the two others.
    #[arg(long, value_enum, default_value_t = Step::All)]
    step: Step,
    /// The store between the two steps.
    #[arg(long, required_if_eq_any([("step", "write"), ("step", "open")]))]
    store: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    All,
    Write,
    Open,
}

/// How long each step may take.
const STEP_LIMIT: Duration = Duration::from_secs(300);

impl Reopening {
    /// Runs the steps of the measurement `name`, or the one that this process is. `options` are the
    /// arguments that both take.
    pub(super) fn run(
        &self,
        data: &Data,
        name: &str,
        options: &[String],
        write: impl AsyncFnOnce(&Path) -> Result<Figures>,
        open: impl AsyncFnOnce(&Path) -> Result<Figures>,
    ) -> Result<Figures> {
        match (self.step, &self.store) {
            (Step::All, _) => {
                let directory = data.temporary()?;
                let store = self.store.clone().unwrap_or_else(|| directory.path().join("store"));
                let child = |step: &str| {
                    let step =
                        [name.to_owned(), format!("--step={step}"), format!("--store={}", store.display())];
                    Child::start(&[&step, options].concat(), None)?.figures(STEP_LIMIT)
                };
                let written = child("write")?;
                Ok(written.and(child("open")?))
            }
            (Step::Write, Some(store)) => on_tokio(write(store)),
            (Step::Open, Some(store)) => on_tokio(open(store)),
            (_, None) => anyhow::bail!("a step alone needs a store"),
        }
    }
}
