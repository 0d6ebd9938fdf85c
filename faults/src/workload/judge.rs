//! Holds what came back against what was acknowledged and seen. A pure function, for every kind of fault.
//!
//! What is checked, by the name of the promise: *prefix* (of each account's messages a prefix has come back, with all that
//! was acknowledged, and nothing that was never sent), *exactly-once inside* and *fifo* (the tallies of all actors are
//! those of the model, whose digests count order and number), *no-orphan* (whatever an answer or an effect has shown is
//! in the recovered life of its actor), *state* (the lives of all actors compute, step by step, and what was seen of them
//! once is as it was), *effects once* (each effect that a recovered delivery asks for was done, under one key with one
//! payload), *single writer* (epochs grow).

use std::collections::BTreeMap;

use super::journal::{Journal, KEPT, What};
use super::model::Model;
use super::outside::answer_without_ledger;
use super::plan::{ACCOUNTS, Plan, share};
use super::survey::Survey;
use super::trial::is_trial;
use super::witness::{EffectKey, Effects, Witness};

/// What came back, when nothing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that came back.
    pub recovered: u64,
    /// Those of them that nobody had acknowledged.
    pub unknown_came_back: u64,
    /// Messages that were sent, not acknowledged, and did not come back.
    pub unknown_did_not: u64,
    /// What answers had shown, and is as it was.
    pub seen_again: u64,
    /// What answers had shown, and lies before what the actors keep.
    pub seen_too_old: u64,
    /// Effects that were done, and agree with the life that asked for them.
    pub effects: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Something acknowledged did not come back.
    #[error("prefix: {acknowledged} messages of account/{account} were acknowledged, {recovered} came back")]
    Lost {
        /// The account.
        account: u64,
        /// How many of its messages were acknowledged.
        acknowledged: u64,
        /// How many came back.
        recovered: u64,
    },
    /// Something came back that was never sent.
    #[error("prefix: {issued} messages were sent to account/{account}, {recovered} came back")]
    Invented {
        /// The account.
        account: u64,
        /// How many were sent to it.
        issued: u64,
        /// How many came back.
        recovered: u64,
    },
    /// An actor is not what its messages make of it.
    #[error("state: {actor} should have {expected}, it has {found}")]
    State {
        /// The actor.
        actor: String,
        /// What the model says.
        expected: String,
        /// What came back.
        found: String,
    },
    /// The life of an actor does not compute.
    #[error("state: the life of {actor} does not compute at {rsn}: {what}")]
    Life {
        /// The actor.
        actor: String,
        /// The delivery.
        rsn: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Something that was seen is not part of what came back.
    #[error("no-orphan: {what} has shown {actor} at {rsn}, it came back at {recovered}")]
    Orphan {
        /// The actor.
        actor: String,
        /// What was seen.
        rsn: u64,
        /// How far it came back.
        recovered: u64,
        /// What had shown it.
        what: &'static str,
    },
    /// Something that was seen is not as it was.
    #[error("state: an answer has shown {actor} at {rsn} as {seen:016x}, now it was {found:016x}")]
    Changed {
        /// The actor.
        actor: String,
        /// The delivery.
        rsn: u64,
        /// What was shown.
        seen: u64,
        /// What came back.
        found: u64,
    },
    /// An effect came with two payloads.
    #[error("effects once: {key} came with the payload {first:016x} and with {second:016x}")]
    EffectTwice {
        /// The effect.
        key: EffectKey,
        /// What came first.
        first: u64,
        /// What came later.
        second: u64,
    },
    /// A recovered delivery asked for an effect that the outside never saw.
    #[error("effects once: {key} was asked for and never done")]
    EffectMissing {
        /// The effect.
        key: EffectKey,
    },
    /// One effect of one message came under two keys.
    #[error("effects once: {what} came under {first} and under {second}")]
    EffectUnderTwoKeys {
        /// Which effect of which message.
        what: String,
        /// What it came under first.
        first: Box<EffectKey>,
        /// What else it came under.
        second: Box<EffectKey>,
    },
    /// An effect is not what the life of its actor says.
    #[error("effects once: {key} has {what} {found:016x}, by the life of its actor it is {expected:016x}")]
    EffectDiffers {
        /// The effect.
        key: EffectKey,
        /// Payload or answer.
        what: &'static str,
        /// By the actor.
        expected: u64,
        /// By the ledger.
        found: u64,
    },
    /// An opening has an epoch that is not above that of the ones before.
    #[error("single writer: the epoch {found} follows {before}")]
    Epoch {
        /// The highest before.
        before: u64,
        /// This one.
        found: u64,
    },
    /// A delivery on which no handler ever failed was left out.
    #[error("a harmless delivery is in quarantine: {what}")]
    Quarantined {
        /// Which, and why.
        what: String,
    },
    /// An actor has failed.
    #[error("an actor has failed: {what}")]
    Failed {
        /// What it says.
        what: String,
    },
}

/// Holds what came back against what was acknowledged and seen.
///
/// # Errors
/// [`Violation`]: the first promise that was found broken.
pub fn judge(plan: &Plan, witness: &Witness, survey: &Survey) -> Result<Outcome, Violation> {
    if let Some(what) = survey.failed.first() {
        return Err(Violation::Failed { what: what.clone() });
    }
    if let Some(what) = survey.quarantined.first() {
        return Err(Violation::Quarantined { what: what.clone() });
    }
    if survey.epoch <= witness.epoch {
        return Err(Violation::Epoch { before: witness.epoch, found: survey.epoch });
    }
    let mut outcome = Outcome::default();
    prefix(witness, survey, &mut outcome)?;
    tallies(plan, survey)?;
    for (actor, journal) in survey.journals() {
        life(&actor, journal)?;
        seen(&actor, journal, witness, &mut outcome)?;
    }
    effects(plan, witness, survey, &mut outcome)?;
    Ok(outcome)
}

fn prefix(witness: &Witness, survey: &Survey, outcome: &mut Outcome) -> Result<(), Violation> {
    let mut accounts = survey.accounts.iter();
    for account in 0..ACCOUNTS {
        let recovered = accounts.next().map_or(0, |account| account.posted.count);
        let (acknowledged, issued) = (witness.acknowledged_of(account), share(account, witness.issued));
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

fn tallies(plan: &Plan, survey: &Survey) -> Result<(), Violation> {
    let received: Vec<u64> = survey.accounts.iter().map(|account| account.posted.count).collect();
    let model = Model::after(plan, &received);
    let same = |actor: String, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        if expected == found { Ok(()) } else { Err(Violation::State { actor, expected, found }) }
    };
    for (account, key) in survey.accounts.iter().zip(0..) {
        let expected = (key as u64, &model.posted[key], &model.confirmed[key]);
        let found = (account.account, &account.posted, &account.confirmed);
        same(format!("account/{key}"), &expected, &found)?;
    }
    let nothing = BTreeMap::new();
    for (audit, key) in survey.audits.iter().zip(0..) {
        same(format!("audit/{key}"), model.audits.get(&key).unwrap_or(&nothing), &audit.tallies)?;
    }
    same("summary/all".to_owned(), &model.summary, &survey.summary.tallies)
}

/// Computes the life of an actor again, as far as it is kept.
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

/// Holds the life of an actor against what was seen of it.
pub(crate) fn seen(
    actor: &str,
    journal: &Journal,
    witness: &Witness,
    outcome: &mut Outcome,
) -> Result<(), Violation> {
    let actor = actor.to_owned();
    let first = journal.first_kept();
    for ((_, rsn), shown) in witness.seen.range((actor.clone(), 0)..=(actor.clone(), u64::MAX)) {
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

/// Holds the ledger against itself: each effect came under one key, with one payload.
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

fn effects(plan: &Plan, witness: &Witness, survey: &Survey, outcome: &mut Outcome) -> Result<(), Violation> {
    witness.effects.iter().try_for_each(|effects| ledger(effects, &survey.store))?;
    for (account, key) in survey.accounts.iter().zip(0..) {
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
                let (store, actor) = (survey.store.clone(), actor.clone());
                let key = EffectKey { store, actor, rsn, index: index as u64 };
                effect(witness, key, entry.payload_of(before, rsn, index), *answer)?;
                outcome.effects += 1;
            }
        }
    }
    let of_the_workload = |key: &EffectKey| key.store == survey.store && !is_trial(&key.actor);
    for (key, effect) in witness.effects.iter().flatten().filter(|(key, _)| of_the_workload(key)) {
        let life = survey.journals().find(|(actor, _)| *actor == key.actor).map(|(_, journal)| journal);
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

/// Holds one effect that a life tells of against the ledger.
fn effect(witness: &Witness, key: EffectKey, payload: u64, answer: u64) -> Result<(), Violation> {
    let Some(effects) = &witness.effects else {
        let expected = answer_without_ledger(&key.to_string(), payload);
        return if answer == expected {
            Ok(())
        } else {
            Err(Violation::EffectDiffers { key, what: "the answer", expected: answer, found: expected })
        };
    };
    match effects.get(&key) {
        None => Err(Violation::EffectMissing { key }),
        Some(effect) if effect.payload != payload => {
            let found = effect.payload;
            Err(Violation::EffectDiffers { key, what: "the payload", expected: payload, found })
        }
        Some(effect) if effect.answer != answer => {
            Err(Violation::EffectDiffers { key, what: "the answer", expected: answer, found: effect.answer })
        }
        Some(_) => Ok(()),
    }
}
