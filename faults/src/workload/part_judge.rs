//! Holds what came back of the actors that go on, beside others that have stopped, against what was acknowledged and seen.

use super::actors::Tally;
use super::judge::{Outcome, Violation, ledger, life, seen};
use super::part::Part;
use super::plan::{Plan, Steps, numbers, share};
use super::witness::Witness;

/// Holds what came back of the actors that go on against what was acknowledged and seen.
///
/// # Errors
/// The first promise that was found broken.
pub fn judge_part(plan: &Plan, witness: &Witness, part: &Part) -> Result<Outcome, String> {
    let broken = |violation: Violation| violation.to_string();
    let mut outcome = Outcome::default();
    for (key, account) in &part.accounts {
        let actor = format!("account/{key}");
        let (acknowledged, issued) = (witness.acknowledged_of(*key), share(*key, witness.issued));
        let recovered = account.posted.count;
        if recovered < acknowledged {
            return Err(broken(Violation::Lost { account: *key, acknowledged, recovered }));
        }
        if recovered > issued {
            return Err(broken(Violation::Invented { account: *key, issued, recovered }));
        }
        outcome.recovered += recovered;
        begins(plan, witness, *key, &account.posted, &actor, |_| true)?;
        begins(plan, witness, *key, &account.confirmed, &actor, |steps| steps.confirm)?;
        life(&actor, &account.journal).map_err(broken)?;
        seen(&actor, &account.journal, witness, &mut outcome).map_err(broken)?;
    }
    for (key, audit) in &part.audits {
        let actor = format!("audit/{key}");
        for (account, tally) in &audit.tallies {
            begins(plan, witness, *account, tally, &actor, |steps| steps.tell)?;
        }
        life(&actor, &audit.journal).map_err(broken)?;
        seen(&actor, &audit.journal, witness, &mut outcome).map_err(broken)?;
    }
    if let Some(summary) = &part.summary {
        for (account, tally) in &summary.tallies {
            begins(plan, witness, *account, tally, "summary/all", |steps| steps.pass)?;
        }
        life("summary/all", &summary.journal).map_err(broken)?;
        seen("summary/all", &summary.journal, witness, &mut outcome).map_err(broken)?;
    }
    witness.effects.iter().try_for_each(|effects| ledger(effects, &part.store)).map_err(broken)?;
    Ok(outcome)
}

/// Holds that a tally is that of the first messages of an account that ask for something.
fn begins(
    plan: &Plan,
    witness: &Witness,
    account: u64,
    tally: &Tally,
    actor: &str,
    asks: impl Fn(Steps) -> bool,
) -> Result<(), String> {
    let sent = numbers(account, share(account, witness.issued));
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
