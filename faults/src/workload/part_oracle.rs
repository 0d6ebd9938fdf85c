//! Compares what came back of the actors that go on, while others have stopped, with what was
//! acknowledged and seen.

use super::actors::Tally;
use super::client_view::ClientView;
use super::oracle::{Outcome, Violation, ledger, life, seen};
use super::part::Part;
use super::plan::{Plan, Steps, numbers, share};
use super::request_oracle::{Offices, judge_requests};

/// Compares what came back of the actors that go on with what was acknowledged and seen.
///
/// # Errors
/// The first broken promise.
pub fn judge_part(plan: &Plan, view: &ClientView, part: &Part) -> Result<Outcome, String> {
    let broken = |violation: Violation| violation.to_string();
    let mut outcome = Outcome::default();
    for (key, account) in &part.accounts {
        let actor = format!("account/{key}");
        let (acknowledged, issued) = (view.acknowledged_of(*key), share(*key, view.issued));
        let recovered = account.posted.count;
        if recovered < acknowledged {
            return Err(broken(Violation::Lost { account: *key, acknowledged, recovered }));
        }
        if recovered > issued {
            return Err(broken(Violation::Invented { account: *key, issued, recovered }));
        }
        outcome.recovered += recovered;
        begins(plan, view, *key, &account.posted, &actor, |_| true)?;
        begins(plan, view, *key, &account.confirmed, &actor, |steps| steps.confirm)?;
        life(&actor, &account.journal).map_err(broken)?;
        seen(&actor, &account.journal, view, &mut outcome).map_err(broken)?;
    }
    for (key, audit) in &part.audits {
        let actor = format!("audit/{key}");
        for (account, tally) in &audit.tallies {
            begins(plan, view, *account, tally, &actor, |steps| steps.tell)?;
        }
        life(&actor, &audit.journal).map_err(broken)?;
        seen(&actor, &audit.journal, view, &mut outcome).map_err(broken)?;
    }
    if let Some(summary) = &part.summary {
        for (account, tally) in &summary.tallies {
            begins(plan, view, *account, tally, "summary/all", |steps| steps.pass)?;
        }
        life("summary/all", &summary.journal).map_err(broken)?;
        seen("summary/all", &summary.journal, view, &mut outcome).map_err(broken)?;
    }
    let whole = !part.stopped.keys().any(|actor| actor.contains("clerk/") || actor.contains("vault/"));
    let found = Offices { store: &part.store, clerks: &part.clerks, vaults: &part.vaults, whole };
    judge_requests(plan, view, found, &mut outcome).map_err(broken)?;
    view.effects.iter().try_for_each(|effects| ledger(effects, &part.store)).map_err(broken)?;
    Ok(outcome)
}

/// Checks that a tally is that of the first messages of an account that ask for something.
fn begins(
    plan: &Plan,
    view: &ClientView,
    account: u64,
    tally: &Tally,
    actor: &str,
    asks: impl Fn(Steps) -> bool,
) -> Result<(), String> {
    let sent = numbers(account, share(account, view.issued));
    let mut expected = Tally::default();
    let count = usize::try_from(tally.count).unwrap_or(usize::MAX);
    for number in sent.filter(|number| asks(plan.steps(*number))).take(count) {
        expected.add(number, plan.content(number));
    }
    if expected == *tally {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:?} of account/{account}"), format!("{tally:?}"));
    Err(Violation::State { actor: actor.to_owned(), expected, found }.to_string())
}
