//! The states that the actors must have: arithmetic on how many messages each account has received,
//! without actors, messages or a runtime.

use std::collections::BTreeMap;

use super::actors::Tally;
use super::plan::{ACCOUNTS, Plan, audit_of, numbers};

/// The states that the actors must have once no message is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What the till sent, by account.
    pub posted: Vec<Tally>,
    /// What came back from the summary, by account.
    pub confirmed: Vec<Tally>,
    /// By audit, by account.
    pub audits: BTreeMap<u64, BTreeMap<u64, Tally>>,
    /// By account.
    pub summary: BTreeMap<u64, Tally>,
}

impl Model {
    /// The states after each account has received the given number of messages.
    #[must_use]
    pub fn after(plan: &Plan, received: &[u64]) -> Self {
        let mut model = Self {
            posted: Vec::new(),
            confirmed: Vec::new(),
            audits: BTreeMap::new(),
            summary: BTreeMap::new(),
        };
        for (account, received) in (0..ACCOUNTS).zip(received) {
            let (mut posted, mut confirmed) = (Tally::default(), Tally::default());
            for number in numbers(account, *received) {
                let (steps, content) = (plan.steps(number), plan.content(number));
                posted.add(number, content);
                if steps.tell {
                    let audit = model.audits.entry(audit_of(account)).or_default();
                    audit.entry(account).or_default().add(number, content);
                }
                if steps.pass {
                    model.summary.entry(account).or_default().add(number, content);
                }
                if steps.confirm {
                    confirmed.add(number, content);
                }
            }
            model.posted.push(posted);
            model.confirmed.push(confirmed);
        }
        model
    }
}
