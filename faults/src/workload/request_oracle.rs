//! Compares what clerks and vaults know with what the outside knows of the requests.
//!
//! The checks, by the name of the promise: *prefix* (an answered request is there, one that was
//! refused or never sent is not), *same reply* (what a client was told is what the clerk did, for
//! ever), *exactly-once inside* (a clerk has handled a request once, a vault has paid it once, and
//! both have the same payment), *timers* (each firing once, none early, none lost, none after the
//! timer was taken away), *queries* (no count goes back), *effects once* (who has won a race is
//! what the outside was told).

use std::collections::BTreeMap;

use super::clerk::{ClerkState, Deed, Drawn, VaultState, is_clerk};
use super::client_view::{ClientView, EffectKey};
use super::effect_oracle::effect;
use super::order::{Order, REUSED, TICKS, clerk_of, vault_of};
use super::plan::Plan;
use super::violation::{Outcome, Violation};

/// What came back of clerks and vaults.
#[derive(Clone, Copy, Debug)]
pub struct Offices<'a> {
    /// Which store.
    pub store: &'a str,
    /// Clerks, by actor.
    pub clerks: &'a BTreeMap<String, ClerkState>,
    /// Vaults, by whether they wait for their outputs alone.
    pub vaults: &'a BTreeMap<bool, VaultState>,
    /// Whether none of them has stopped.
    pub whole: bool,
}

fn wrong(promise: &'static str, number: u64, what: impl Into<String>) -> Violation {
    Violation::Request { promise, number, what: what.into() }
}

/// Compares what came back with what the outside knows.
///
/// # Errors
/// [`Violation`]: the first broken promise.
pub fn judge_requests(
    plan: &Plan,
    view: &ClientView,
    found: Offices<'_>,
    outcome: &mut Outcome,
) -> Result<(), Violation> {
    let requests = &view.requests;
    for (number, reply) in &requests.answered {
        let Some(clerk) = found.clerks.get(&actor_of(*number)) else { continue };
        let deed =
            clerk.deeds.get(number).ok_or_else(|| wrong("prefix", *number, "answered, and not there"))?;
        if deed.reply(*number) != *reply {
            return Err(wrong(
                "same reply",
                *number,
                format!("the client was told {reply:016x}, not {deed:?}"),
            ));
        }
    }
    for (actor, clerk) in found.clerks {
        if let Some(number) = clerk.strays.first() {
            return Err(wrong("timers", *number, format!("{actor} has heard a timer that it never set")));
        }
        for (number, deed) in &clerk.deeds {
            let refused = requests.refused.contains(number) || *number >= REUSED;
            if refused || *number > requests.issued || actor_of(*number) != *actor {
                return Err(wrong(
                    "prefix",
                    *number,
                    format!("refused or never sent, and {actor} has done it"),
                ));
            }
            one(plan, view, &found, *number, deed)?;
            outcome.deeds += 1;
        }
    }
    for (eager, vault) in found.vaults {
        let numbers = vault.paid.keys().chain(vault.rung.keys());
        for number in numbers.filter(|_| found.whole) {
            if !found.clerks.get(&actor_of(*number)).is_some_and(|clerk| clerk.deeds.contains_key(number)) {
                return Err(wrong(
                    "no-orphan",
                    *number,
                    format!("no clerk knows what vault {eager} did for it"),
                ));
            }
        }
    }
    counts(view, &found)?;
    effects(view, &found)
}

/// The clerk of a request.
#[must_use]
pub fn actor_of(number: u64) -> String {
    let (key, eager) = clerk_of(number);
    format!("{}/{key}", if eager { "eager-clerk" } else { "clerk" })
}

/// Checks one deed.
fn one(
    plan: &Plan,
    view: &ClientView,
    found: &Offices<'_>,
    number: u64,
    deed: &Deed,
) -> Result<(), Violation> {
    if deed.times != 1 {
        return Err(wrong("exactly-once inside", number, format!("it was handled {} times", deed.times)));
    }
    if deed.order != plan.order(number) {
        return Err(wrong("prefix", number, format!("{:?} was done", deed.order)));
    }
    if let Some(before) = view.requests.deeds.get(&number)
        && (before.reply(number) != deed.reply(number) || !deed.firings.starts_with(&before.firings))
    {
        return Err(wrong("state", number, format!("{before:?} has become {deed:?}")));
    }
    paid(found, number, deed)?;
    timers(found, number, deed)?;
    if let Some(told) = deed.told {
        let (key, eager) = clerk_of(number);
        let actor = format!("{}/{key}", if eager { "eager-clerk" } else { "clerk" });
        let key = EffectKey { store: found.store.to_owned(), actor, rsn: deed.rsn, index: TOLD };
        effect(view, key, deed.payload(number), told)?;
    }
    Ok(())
}

/// The index of the effect that tells who has won: the ask and the sleep come before it.
const TOLD: u64 = 2;

/// Checks the payments of a deed against the vaults.
fn paid(found: &Offices<'_>, number: u64, deed: &Deed) -> Result<(), Violation> {
    let asked = deed.order.draws(number);
    if deed.drawn.len() != asked.len() {
        return Err(wrong("state", number, format!("{} asks have {:?}", asked.len(), deed.drawn)));
    }
    for (eager, drawn) in asked.iter().zip(&deed.drawn) {
        let fits = match drawn {
            Drawn::Paid(_) | Drawn::Stopped => true,
            Drawn::TimedOut => matches!(deed.order, Order::DrawWithin(_)),
            Drawn::Slept => matches!(deed.order, Order::Race(_)),
            Drawn::Failed(_) => false,
        };
        if !fits {
            return Err(wrong("exactly-once inside", number, format!("an ask gave {drawn:?}")));
        }
        let Some(vault) = found.vaults.get(eager).filter(|_| found.whole) else { continue };
        let payments = vault.paid.get(&number).map(Vec::as_slice).unwrap_or_default();
        let agrees = match (payments, drawn) {
            ([payment], Drawn::Paid(serial)) => payment == serial,
            ([_], _) => true,
            _ => false,
        };
        if !agrees {
            let what = format!("the clerk has {drawn:?}, vault {eager} has the payments {payments:?}");
            return Err(wrong("exactly-once inside", number, what));
        }
    }
    Ok(())
}

/// Checks the firings of the timer of a deed.
fn timers(found: &Offices<'_>, number: u64, deed: &Deed) -> Result<(), Violation> {
    let Deed { order, firings, revoked, .. } = deed;
    if let Some(early) = firings.iter().find(|rang| rang.due > rang.now) {
        return Err(wrong("timers", number, format!("it has fired early: {early:?}")));
    }
    if let Some((rsn, _)) = revoked
        && firings.iter().any(|rang| rang.rsn > *rsn)
    {
        return Err(wrong("timers", number, format!("it has fired after {rsn} took it away: {firings:?}")));
    }
    let (times, ended) = (firings.len(), revoked.is_some());
    let (at_most, done) = match order {
        Order::Remind(_) => (1, times == 1),
        Order::Tick(_) => (TICKS, times == TICKS && *revoked == firings.last().map(|rang| (rang.rsn, true))),
        Order::Revoke(..) => (1, ended && revoked.is_some_and(|(_, was_set)| was_set == (times == 0))),
        _ => (0, true),
    };
    if times > at_most || (found.whole && !done) {
        return Err(wrong(
            "timers",
            number,
            format!("{order:?} has fired {times} times, revoked: {revoked:?}"),
        ));
    }
    if let (Order::Post(_), true) = (order, found.whole) {
        let eager = vault_of(number)[0];
        let rung = found.vaults.get(&eager).and_then(|vault| vault.rung.get(&number));
        if rung != Some(&1) {
            return Err(wrong("timers", number, format!("it has sent to vault {eager} {rung:?} times")));
        }
    }
    Ok(())
}

/// Checks that no count is below what a query has shown.
fn counts(view: &ClientView, found: &Offices<'_>) -> Result<(), Violation> {
    let clerks = found.clerks.iter().map(|(actor, clerk)| (actor.clone(), clerk.count));
    let vaults = found.vaults.iter().map(|(eager, vault)| (vault_name(*eager), vault.count));
    for (actor, count) in clerks.chain(vaults) {
        let shown = view.requests.shown.get(&actor).copied().unwrap_or_default();
        if count < shown {
            return Err(Violation::QueryTakenBack { actor, shown, found: count });
        }
    }
    Ok(())
}

/// The name of a vault.
#[must_use]
pub fn vault_name(eager: bool) -> String {
    format!("{}/{}", if eager { "eager-vault" } else { "vault" }, super::clerk::VAULT)
}

/// Checks that a clerk knows each effect that had happened before the opening.
fn effects(view: &ClientView, found: &Offices<'_>) -> Result<(), Violation> {
    let of_clerks = |key: &EffectKey| key.store == found.store && is_clerk(&key.actor);
    for (key, effect) in view.effects.iter().flatten().filter(|(key, _)| of_clerks(key)) {
        let Some(clerk) = found.clerks.get(&key.actor).filter(|_| effect.before_opening) else { continue };
        let number = effect.what.split_once('#').and_then(|(_, rest)| rest.split_once('.'));
        let number: u64 = number.and_then(|(number, _)| number.parse().ok()).unwrap_or_default();
        let deed = clerk.deeds.get(&number);
        if deed.is_none_or(|deed| deed.rsn != key.rsn || deed.told.is_none()) {
            let (actor, rsn) = (key.actor.clone(), key.rsn);
            let recovered = deed.map_or(0, |deed| deed.rsn);
            return Err(Violation::Orphan { actor, rsn, recovered, what: "an effect" });
        }
    }
    Ok(())
}
