//! The end of a store's life: it is opened twice more without any kill, and judged.

use std::process::Command;

use super::{Broken, Life, NEVER_CUT, broken};
use crate::kill::table::Table;
use crate::process::Process;
use crate::workload::Line;
use crate::workload::part::LEFT_ALONE;

impl Life<'_> {
    /// Opens the store twice more without killing anybody, and judges it.
    ///
    /// # Errors
    /// A broken promise.
    pub fn end(mut self, table: &mut Table) -> Result<(), Broken> {
        let mut judged = 0;
        while judged < 2 {
            self.mark_effects()?;
            let mut command = Command::new(&self.setup.program);
            command.arg("verify");
            self.with_store(&mut command);
            if self.log_bytes == NEVER_CUT {
                command.arg("--replay-from-start");
            }
            let process = Process::start(&mut command)?;
            let mut heard = Ok(());
            let mut surveyed = false;
            while let Some(line) = process.line("verifying")? {
                match line.parse().map_err(broken)? {
                    Line::Survey(survey) => {
                        surveyed = true;
                        if self.killed
                            && !survey.failed.is_empty()
                            && survey.failed.iter().all(|failed| is_left_alone(failed))
                        {
                            table.left_alone += survey.failed.len() as u64;
                            self.epoch = survey.epoch;
                            continue;
                        }
                        judged += 1;
                        heard = heard.and(self.came_back(&survey, table));
                        self.epoch = survey.epoch;
                        self.witness.epoch = survey.epoch;
                    }
                    Line::Replayed { deliveries } => {
                        table.replayed_from_start += 1;
                        table.replayed += deliveries;
                    }
                    other => return Err(broken(format!("verify said {other}"))),
                }
            }
            let (status, errors) = process.end()?;
            heard.map_err(|Broken { what, .. }| Broken { what, errors: errors.clone() })?;
            if !status.success() || !surveyed {
                return Err(Broken { what: format!("verify ended with {status}"), errors });
            }
            self.killed = false;
        }
        for effect in self.witness.effects.iter().flat_map(|effects| effects.values()) {
            table.effects += 1;
            table.effects_repeated += effect.times - 1;
        }
        self.effects.kill();
        Ok(())
    }
}

/// Whether an actor, of which a survey says that it has failed, is one that was left alone.
fn is_left_alone(failed: &str) -> bool {
    failed.split_once(' ').is_some_and(|(_, why)| why.starts_with(LEFT_ALONE))
}
