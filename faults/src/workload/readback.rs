//! What came back: everything that all actors know once all messages between them have arrived, and
//! what the opening reported.

use std::collections::BTreeMap;

use relive::Runtime;
use serde::{Deserialize, Serialize};

use super::actors::{Account, Audit, Summary};
use super::clerk::{ClerkState, VaultState};
use super::journal::Journal;
use super::part::{Part, part};
use super::trial::{LeftOut, Trial, is_trial};

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readback {
    /// Which store.
    pub store: String,
    /// How often it has been opened.
    pub epoch: u64,
    /// Records read at the opening.
    pub records: u64,
    /// Deliveries replayed at the opening.
    pub replayed: u64,
    /// The tail that the opening cut, if it did.
    pub torn_tail: Option<String>,
    /// Whether the opening was in probation, because the one before had ended too early.
    pub in_probation: bool,
    /// Actors that could not be restored, or have failed since.
    pub failed: Vec<String>,
    /// Deliveries in quarantine, except trials. No handler of the workload ever fails, so there
    /// must be none.
    pub quarantined: Vec<String>,
    /// All accounts.
    pub accounts: Vec<Account>,
    /// All audits.
    pub audits: Vec<Audit>,
    /// The summary.
    pub summary: Summary,
    /// The actors that take trials, by key; empty if the readback did not ask them.
    pub trials: BTreeMap<String, Trial>,
    /// Clerks, by actor.
    pub clerks: BTreeMap<String, ClerkState>,
    /// Vaults, by whether they wait for their outputs alone.
    pub vaults: BTreeMap<bool, VaultState>,
    /// Trials in quarantine.
    pub trial_left_out: Vec<LeftOut>,
}

impl Readback {
    /// The lives of all actors, by name.
    pub fn journals(&self) -> impl Iterator<Item = (String, &Journal)> {
        let accounts =
            self.accounts.iter().enumerate().map(|(key, a)| (format!("account/{key}"), &a.journal));
        let audits = self.audits.iter().enumerate().map(|(key, a)| (format!("audit/{key}"), &a.journal));
        let summary = std::iter::once(("summary/all".to_owned(), &self.summary.journal));
        accounts.chain(audits).chain(summary)
    }
}

/// Asks all actors for everything that they know, after all messages of the till have arrived; see
/// [`part()`]. With `trials` also asks the actors that take trials.
///
/// # Errors
/// The refusal of an actor: it has failed, or the runtime has.
pub async fn read_back(runtime: &Runtime, trials: bool) -> Result<Readback, String> {
    let Part { store, stopped, left_out, accounts, audits, summary, trials, clerks, vaults } =
        part(runtime, trials).await?;
    let report = runtime.recovery();
    let (trial_left_out, left_out) = left_out.into_iter().partition(|entry| is_trial(&entry.actor));
    let left_out: Vec<LeftOut> = left_out;
    Ok(Readback {
        store,
        epoch: report.epoch.get(),
        records: report.records,
        replayed: report.replayed,
        torn_tail: report.torn_tail.clone(),
        in_probation: report.in_probation,
        failed: stopped.iter().map(|(actor, why)| format!("{actor} {why}")).collect(),
        quarantined: left_out.iter().map(ToString::to_string).collect(),
        accounts: accounts.into_values().collect(),
        audits: audits.into_values().collect(),
        summary: summary.unwrap_or_default(),
        trials,
        clerks,
        vaults,
        trial_left_out,
    })
}
