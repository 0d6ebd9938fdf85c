//! Compares what came back with what was acknowledged and seen. A pure function, for every kind of
//! fault.
//!
//! The checks, by the name of the promise: *prefix* (of each account's messages a prefix has come
//! back, with all acknowledged ones, and nothing that was never sent), *exactly-once inside* and
//! *fifo* (the tallies of all actors equal those of the model, whose digests depend on order and
//! number), *no-orphan* (the recovered life of an actor contains everything that an answer or an
//! effect has shown of it), *state* (the lives of all actors compute, step by step, and agree with
//! everything seen of them before), *effects once* (each effect that a recovered delivery asks for
//! has happened, under one key with one payload), *single writer* (epochs grow).

use std::collections::BTreeMap;

use super::clerk::is_clerk;
use super::client_view::{ClientView, EffectKey, Effects};
use super::effect_oracle::effect;
use super::journal::{Journal, KEPT, What};
use super::model::Model;
use super::plan::{ACCOUNTS, Plan, share};
use super::readback::Readback;
use super::request_oracle::{Offices, judge_requests};
use super::trial::is_trial;
pub use super::violation::{Outcome, Violation};

/// Compares what came back with what was acknowledged and seen.
///
/// # Errors
/// [`Violation`]: the first broken promise.
pub fn judge(plan: &Plan, view: &ClientView, readback: &Readback) -> Result<Outcome, Violation> {
    if let Some(what) = readback.failed.first() {
        return Err(Violation::Failed { what: what.clone() });
    }
    if let Some(what) = readback.quarantined.first() {
        return Err(Violation::Quarantined { what: what.clone() });
    }
    if readback.epoch <= view.epoch {
        return Err(Violation::Epoch { before: view.epoch, found: readback.epoch });
    }
    let mut outcome = Outcome::default();
    prefix(view, readback, &mut outcome)?;
    tallies(plan, readback)?;
    for (actor, journal) in readback.journals() {
        life(&actor, journal)?;
        seen(&actor, journal, view, &mut outcome)?;
    }
    effects(plan, view, readback, &mut outcome)?;
    let (store, clerks, vaults) = (&readback.store, &readback.clerks, &readback.vaults);
    judge_requests(plan, view, Offices { store, clerks, vaults, whole: true }, &mut outcome)?;
    Ok(outcome)
}

fn prefix(view: &ClientView, readback: &Readback, outcome: &mut Outcome) -> Result<(), Violation> {
    let mut accounts = readback.accounts.iter();
    for account in 0..ACCOUNTS {
        let recovered = accounts.next().map_or(0, |account| account.posted.count);
        let (acknowledged, issued) = (view.acknowledged_of(account), share(account, view.issued));
        if recovered < acknowledged {
            return Err(Violation::Lost { account, acknowledged, recovered });
        }
        if recovered > issued {
            return Err(Violation::Invented { account, issued, recovered });
        }
        outcome.recovered += recovered;
        outcome.unknown_came_back += recovered - acknowledged;
        outcome.unknown_did_not += issued - recovered;
    }
    Ok(())
}

fn tallies(plan: &Plan, readback: &Readback) -> Result<(), Violation> {
    let received: Vec<u64> = readback.accounts.iter().map(|account| account.posted.count).collect();
    let model = Model::after(plan, &received);
    let same = |actor: String, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        if expected == found { Ok(()) } else { Err(Violation::State { actor, expected, found }) }
    };
    for (account, key) in readback.accounts.iter().zip(0..) {
        let expected = (key as u64, &model.posted[key], &model.confirmed[key]);
        let found = (account.account, &account.posted, &account.confirmed);
        same(format!("account/{key}"), &expected, &found)?;
    }
    let nothing = BTreeMap::new();
    for (audit, key) in readback.audits.iter().zip(0..) {
        same(format!("audit/{key}"), model.audits.get(&key).unwrap_or(&nothing), &audit.tallies)?;
    }
    same("summary/all".to_owned(), &model.summary, &readback.summary.tallies)
}

/// Computes the kept part of an actor's life again.
pub(crate) fn life(actor: &str, journal: &Journal) -> Result<(), Violation> {
    let wrong = |rsn, what: String| Err(Violation::Life { actor: actor.to_owned(), rsn, what });
    let kept = journal.kept.len() as u64;
    if kept != journal.rsn.min(KEPT as u64) {
        return wrong(journal.rsn, format!("{kept} deliveries are kept"));
    }
    if journal.first_kept() == 1 && journal.before != 0 {
        return wrong(0, "it began with something".to_owned());
    }
    for (rsn, before, entry) in journal.entries() {
        let expected = entry.folded(before, rsn);
        if entry.chain != expected {
            return wrong(rsn, format!("expected {expected:016x}, found {:016x}", entry.chain));
        }
    }
    match journal.kept.back() {
        Some(last) if last.chain != journal.chain => wrong(journal.rsn, "its end is another".to_owned()),
        _ => Ok(()),
    }
}

/// Compares the life of an actor with what the outside has seen of it.
pub(crate) fn seen(
    actor: &str,
    journal: &Journal,
    view: &ClientView,
    outcome: &mut Outcome,
) -> Result<(), Violation> {
    let actor = actor.to_owned();
    let first = journal.first_kept();
    for ((_, rsn), shown) in view.seen.range((actor.clone(), 0)..=(actor.clone(), u64::MAX)) {
        let (rsn, seen) = (*rsn, *shown);
        if rsn > journal.rsn {
            return Err(Violation::Orphan { actor, rsn, recovered: journal.rsn, what: "an answer" });
        }
        let Some(at) = rsn.checked_sub(first) else {
            outcome.seen_too_old += 1;
            continue;
        };
        let entry = usize::try_from(at).ok().and_then(|at| journal.kept.get(at));
        let found = entry.map_or(0, |entry| entry.chain);
        if found != seen {
            return Err(Violation::Changed { actor, rsn, seen, found });
        }
        outcome.seen_again += 1;
    }
    Ok(())
}

/// Checks the ledger by itself: each effect came under one key, with one payload.
///
/// # Errors
/// [`Violation`]
pub fn ledger(effects: &Effects, store: &str) -> Result<(), Violation> {
    let mut keys: BTreeMap<&str, &EffectKey> = BTreeMap::new();
    for (key, effect) in effects.iter().filter(|(key, _)| key.store == store) {
        if let Some(second) = effect.conflict {
            let first = effect.payload;
            return Err(Violation::EffectTwice { key: key.clone(), first, second });
        }
        if let Some(first) = keys.insert(&effect.what, key) {
            let (what, first, second) = (effect.what.clone(), Box::new(first.clone()), Box::new(key.clone()));
            return Err(Violation::EffectUnderTwoKeys { what, first, second });
        }
    }
    Ok(())
}

fn effects(
    plan: &Plan,
    view: &ClientView,
    readback: &Readback,
    outcome: &mut Outcome,
) -> Result<(), Violation> {
    view.effects.iter().try_for_each(|effects| ledger(effects, &readback.store))?;
    for (account, key) in readback.accounts.iter().zip(0..) {
        let actor = format!("account/{key}");
        for (rsn, before, entry) in account.journal.entries() {
            let posted = (entry.what == What::Posted).then(|| plan.steps(entry.number));
            let drew = (entry.random.is_some(), entry.now.is_some());
            if drew != posted.map_or((false, false), |steps| (steps.random, steps.now)) {
                let what = format!("it drew {drew:?} of random number and clock");
                return Err(Violation::Life { actor, rsn, what });
            }
            let asked = posted.map_or(0, |steps| steps.effects);
            if entry.answers.len() as u64 != u64::from(asked) {
                let what = format!("{asked} effects were asked for, {} answers came", entry.answers.len());
                return Err(Violation::Life { actor, rsn, what });
            }
            for (index, answer) in entry.answers.iter().enumerate() {
                let (store, actor) = (readback.store.clone(), actor.clone());
                let key = EffectKey { store, actor, rsn, index: index as u64 };
                effect(view, key, entry.payload_of(before, rsn, index), *answer)?;
                outcome.effects += 1;
            }
        }
    }
    let of_the_workload =
        |key: &EffectKey| key.store == readback.store && !is_trial(&key.actor) && !is_clerk(&key.actor);
    for (key, effect) in view.effects.iter().flatten().filter(|(key, _)| of_the_workload(key)) {
        let life = readback.journals().find(|(actor, _)| *actor == key.actor).map(|(_, journal)| journal);
        let recovered = life.map_or(0, |journal| journal.rsn);
        if effect.before_opening && key.rsn > recovered {
            let (actor, rsn) = (key.actor.clone(), key.rsn);
            return Err(Violation::Orphan { actor, rsn, recovered, what: "an effect" });
        }
        let first = life.map_or(0, Journal::first_kept);
        let entry = key.rsn.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let entry = entry.and_then(|at| life?.kept.get(at));
        if let Some(entry) = entry
            && key.index >= entry.answers.len() as u64
        {
            let what = format!("the outside was asked for effect {} of it", key.index);
            return Err(Violation::Life { actor: key.actor.clone(), rsn: key.rsn, what });
        }
    }
    Ok(())
}
