//! Sends trials, one after the other. A version that can handle the trials in quarantine takes them
//! out of it.

use relive::{AskError, Runtime};

use crate::harness::worker::till::{say, stopped};
use crate::workload::Line;
use crate::workload::trial::{LeftOut, Trial, Try, trier_of};

/// Sends trials.
pub(crate) struct Tries {
    next: Option<u64>,
    /// Whether the actors that take trials may stop.
    may_stop: bool,
}

impl Tries {
    /// Goes on with the trial of this number, or sends no trials without a number.
    pub(crate) fn new(next: Option<u64>, may_stop: bool) -> Self {
        Self { next, may_stop }
    }

    /// Takes every trial out of quarantine: retries it or drops it.
    pub(crate) async fn discharge(&self, runtime: &Runtime) -> Result<(), String> {
        if self.next.is_none() || self.may_stop {
            return Ok(());
        }
        for entry in runtime.quarantined() {
            let Some(number) = LeftOut::from(&*entry).trial else { continue };
            let retry = number % 5 != 0;
            say(&Line::Discharge { number, retry });
            let discharged = if retry {
                runtime.retry_quarantined(&entry).await.map(drop)
            } else {
                runtime.drop_quarantined(&entry).await
            };
            discharged.map_err(|refused| format!("trial {number} out of quarantine: {refused}"))?;
            say(&Line::Discharged(number));
        }
        Ok(())
    }

    /// Sends the next trial, and waits for its outcome.
    pub(crate) async fn next(&mut self, runtime: &Runtime) -> Result<(), String> {
        let Some(number) = self.next else { return Ok(()) };
        self.next = Some(number + 1);
        let actor = runtime.actor::<Trial>(&trier_of(number)).map_err(|error| error.to_string())?;
        say(&Line::Try(number));
        match actor.ask(Try { number }).await {
            Ok(answer) => say(&Line::Tried { number, answer: Some(answer) }),
            Err(AskError::Quarantined(_)) => say(&Line::Tried { number, answer: None }),
            Err(error) => match stopped(self.may_stop, error.unavailable()) {
                Some(line) => say(&line),
                None => return Err(format!("trial {number}: {error}")),
            },
        }
        Ok(())
    }
}
