//! The end of a store's life: two more openings without any kill, and the final judgement.

use std::process::Command;

use super::{Broken, Life, NEVER_CUT, broken};
use crate::campaigns::kill::table::Table;
use crate::harness::process::Process;
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
            let mut read_back = false;
            while let Some(line) = process.line("verifying")? {
                match line.parse().map_err(broken)? {
                    Line::Readback(readback) => {
                        read_back = true;
                        if self.killed
                            && !readback.failed.is_empty()
                            && readback.failed.iter().all(|failed| is_left_alone(failed))
                        {
                            table.left_alone += readback.failed.len() as u64;
                            self.epoch = readback.epoch;
                            continue;
                        }
                        judged += 1;
                        heard = heard.and(self.came_back(&readback, table));
                        self.epoch = readback.epoch;
                        self.view.epoch = readback.epoch;
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
            if !status.success() || !read_back {
                return Err(Broken { what: format!("verify ended with {status}"), errors });
            }
            self.killed = false;
        }
        for effect in self.view.effects.iter().flat_map(|effects| effects.values()) {
            table.effects += 1;
            table.effects_repeated += effect.times - 1;
        }
        self.effects.kill();
        Ok(())
    }
}

/// Whether an actor that a readback lists as failed is one that the opening left alone.
fn is_left_alone(failed: &str) -> bool {
    failed.split_once(' ').is_some_and(|(_, why)| why.starts_with(LEFT_ALONE))
}
