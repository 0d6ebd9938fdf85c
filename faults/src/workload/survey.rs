//! What came back: everything that all actors know once all that is owed among them has arrived, and what the opening
//! reported.

use relive::{Actor, AskError, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

use super::actors::{Account, Audit, Peek, ShowAccount, ShowAudit, ShowSummary, Summary};
use super::journal::Journal;
use super::plan::{ACCOUNTS, AUDITS};

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
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
    /// Whether the opening went with care, because the one before had ended too early.
    pub with_care: bool,
    /// Actors that could not be restored, or have failed since.
    pub failed: Vec<String>,
    /// Deliveries in quarantine. No handler of the workload ever fails, so there must be none.
    pub quarantined: Vec<String>,
    /// All accounts.
    pub accounts: Vec<Account>,
    /// All audits.
    pub audits: Vec<Audit>,
    /// The summary.
    pub summary: Summary,
}

impl Survey {
    /// The lives of all actors, by name.
    pub fn journals(&self) -> impl Iterator<Item = (String, &Journal)> {
        let accounts =
            self.accounts.iter().enumerate().map(|(key, a)| (format!("account/{key}"), &a.journal));
        let audits = self.audits.iter().enumerate().map(|(key, a)| (format!("audit/{key}"), &a.journal));
        let summary = std::iter::once(("summary/all".to_owned(), &self.summary.journal));
        accounts.chain(audits).chain(summary)
    }
}

/// Asks all actors, in the order of the messages between them, so that everything that the till had sent has come
/// through when the last one answers. Nothing else may be sending meanwhile.
///
/// # Errors
/// What an actor answers when it can't: it has failed, or the runtime has.
pub async fn survey(runtime: &Runtime) -> Result<Survey, String> {
    let report = runtime.recovery();
    let mut found = Survey {
        store: report.store.to_string(),
        epoch: report.epoch.get(),
        records: report.records,
        replayed: report.replayed,
        torn_tail: report.torn_tail.clone(),
        with_care: report.with_care,
        ..Survey::default()
    };
    // A question stands behind all that was in the mailbox, and is answered after what is sent because of that is in
    // the mailboxes of others: so one round carries everything from the accounts to the summary and back.
    for account in 0..ACCOUNTS {
        ask::<Account, _>(runtime, account.to_string(), Peek {}).await?;
    }
    for audit in 0..AUDITS {
        ask::<Audit, _>(runtime, audit.to_string(), Peek {}).await?;
    }
    found.summary = ask::<Summary, _>(runtime, "all".to_owned(), ShowSummary {}).await?;
    for account in 0..ACCOUNTS {
        found.accounts.push(ask::<Account, _>(runtime, account.to_string(), ShowAccount {}).await?);
    }
    for audit in 0..AUDITS {
        found.audits.push(ask::<Audit, _>(runtime, audit.to_string(), ShowAudit {}).await?);
    }
    let quarantined = runtime.quarantined();
    let quarantined = quarantined.iter().map(|q| format!("{} at {}: {}", q.actor, q.rsn, q.reason));
    found.quarantined = quarantined.collect();
    found.failed = runtime.failed_actors().iter().map(ToString::to_string).collect();
    Ok(found)
}

async fn ask<A: Handle<M>, M: Message>(
    runtime: &Runtime,
    key: String,
    message: M,
) -> Result<M::Reply, String> {
    let actor = runtime.actor::<A>(&key).map_err(|error| format!("{}/{key}: {error}", A::KIND))?;
    let answer = actor.ask(message).await;
    answer.map_err(|error: AskError<M>| format!("{}/{key} was asked: {error}", <A as Actor>::KIND))
}
