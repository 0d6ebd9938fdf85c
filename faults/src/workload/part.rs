//! What came back of the actors that go on, when others have stopped. The questions have the order
//! of a readback, which is the case in which no actor has stopped.

use std::collections::BTreeMap;

use relive::{Actor, AskError, Handle, Message, Runtime, Unavailable};
use serde::{Deserialize, Serialize};

use super::actors::{Account, Audit, Peek, ShowAccount, ShowAudit, ShowSummary, Summary};
use super::clerk::{ClerkState, VaultState};
pub use super::failure::{LEFT_ALONE, REPLAY, UNDECIDED, reason};
use super::journal::Journal;
use super::offices::offices;
use super::plan::{ACCOUNTS, AUDITS};
use super::trial::{ECHO, LeftOut, ShowTrial, TRIERS, Trial};

/// What came back of the actors that go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which store.
    pub store: String,
    /// Stopped actors, with the reason.
    pub stopped: BTreeMap<String, String>,
    /// Deliveries in quarantine.
    pub left_out: Vec<LeftOut>,
    /// Accounts, by key.
    pub accounts: BTreeMap<u64, Account>,
    /// Audits, by key.
    pub audits: BTreeMap<u64, Audit>,
    /// The summary.
    pub summary: Option<Summary>,
    /// The actors that take trials, by key; empty if the readback did not ask them.
    pub trials: BTreeMap<String, Trial>,
    /// Clerks, by actor.
    pub clerks: BTreeMap<String, ClerkState>,
    /// Vaults, by whether they wait for their outputs alone.
    pub vaults: BTreeMap<bool, VaultState>,
}

impl Part {
    /// The lives of the actors that go on, by name.
    pub fn journals(&self) -> impl Iterator<Item = (String, &Journal)> {
        let accounts = self.accounts.iter().map(|(key, a)| (format!("account/{key}"), &a.journal));
        let audits = self.audits.iter().map(|(key, a)| (format!("audit/{key}"), &a.journal));
        let summary = self.summary.iter().map(|summary| ("summary/all".to_owned(), &summary.journal));
        accounts.chain(audits).chain(summary)
    }
}

/// Deliveries in quarantine.
#[must_use]
pub fn left_out(runtime: &Runtime) -> Vec<LeftOut> {
    runtime.quarantined().iter().map(|entry| LeftOut::from(&**entry)).collect()
}

/// Asks all actors, in the order of the messages between them, so that all messages have arrived
/// when the last actor answers. No other client may send meanwhile. Notes the actors that have
/// stopped. With `trials` also asks the actors that take trials.
///
/// # Errors
/// Any other refusal.
pub async fn part(runtime: &Runtime, trials: bool) -> Result<Part, String> {
    let mut found = Part { store: runtime.recovery().store.to_string(), ..Part::default() };
    let stopped = &mut found.stopped;
    // A question stands behind everything in the mailbox. When an actor answers it, all messages
    // that follow from the earlier ones are in the mailboxes of their receivers. So one round
    // carries everything from the accounts to the summary and back.
    for account in 0..ACCOUNTS {
        ask::<Account, _>(runtime, &account.to_string(), Peek {}, stopped).await?;
    }
    for audit in 0..AUDITS {
        ask::<Audit, _>(runtime, &audit.to_string(), Peek {}, stopped).await?;
    }
    found.summary = ask::<Summary, _>(runtime, "all", ShowSummary {}, stopped).await?;
    for key in 0..ACCOUNTS {
        let account = ask::<Account, _>(runtime, &key.to_string(), ShowAccount {}, stopped).await?;
        found.accounts.extend(account.map(|account| (key, account)));
    }
    for key in 0..AUDITS {
        let audit = ask::<Audit, _>(runtime, &key.to_string(), ShowAudit {}, stopped).await?;
        found.audits.extend(audit.map(|audit| (key, audit)));
    }
    if trials {
        for key in (0..TRIERS).map(|key| key.to_string()).chain([ECHO.to_owned()]) {
            let trial = ask::<Trial, _>(runtime, &key, ShowTrial {}, stopped).await?;
            found.trials.extend(trial.map(|trial| (key, trial)));
        }
    }
    let offices = offices(runtime, stopped).await?;
    (found.clerks, found.vaults) = (offices.clerks, offices.vaults);
    for failure in runtime.failed_actors() {
        found.stopped.insert(failure.actor.to_string(), reason(&failure));
    }
    found.left_out = left_out(runtime);
    Ok(found)
}

async fn ask<A: Handle<M>, M: Message>(
    runtime: &Runtime,
    key: &str,
    message: M,
    stopped: &mut BTreeMap<String, String>,
) -> Result<Option<M::Reply>, String> {
    let actor = runtime.actor::<A>(key).map_err(|error| format!("{}/{key}: {error}", A::KIND))?;
    match actor.ask(message).await {
        Ok(reply) => Ok(Some(reply)),
        Err(error) => match error.unavailable() {
            Some(Unavailable::Actor(failure)) => {
                stopped.insert(failure.actor.to_string(), reason(failure));
                Ok(None)
            }
            _ => Err(asked::<A, M>(&error)),
        },
    }
}

fn asked<A: Actor, M: Message>(error: &AskError<M>) -> String {
    format!("{} was asked: {error}", A::KIND)
}
