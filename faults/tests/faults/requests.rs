//! The oracle of requests to clerks: it accepts what is whole, and notices each kind of falsehood.
//! Kills and other faults are the campaigns'.

use relive_faults::workload::clerk::{Deed, Drawn};
use relive_faults::workload::order::{Order, REUSED};
use relive_faults::workload::request_oracle::actor_of;
use relive_faults::workload::{ClientView, Line, Readback, RequestView, Violation};

use crate::workload::{judged, whole};

/// The first deed of a kind.
fn find(readback: &Readback, is: impl Fn(&Deed) -> bool) -> u64 {
    let deeds = readback.clerks.values().flat_map(|clerk| &clerk.deeds);
    *deeds.into_iter().find(|(_, deed)| is(deed)).expect("each kind occurs").0
}

fn deed(readback: &mut Readback, number: u64) -> &mut Deed {
    readback.clerks.get_mut(&actor_of(number)).unwrap().deeds.get_mut(&number).unwrap()
}

fn is_paid(deed: &Deed) -> bool {
    matches!(deed.drawn[..], [Drawn::Paid(_)])
}

/// Changes what is whole, and expects the oracle to name a promise.
fn noticed(
    (view, readback): &(ClientView, Readback),
    promise: &str,
    change: impl Fn(&mut ClientView, &mut Readback),
) {
    let (mut view, mut readback) = (view.clone(), readback.clone());
    change(&mut view, &mut readback);
    let violation = judged(&view, &readback).unwrap_err();
    assert!(violation.to_string().starts_with(promise), "expected {promise:?}: {violation}");
}

#[test]
fn each_false_request_is_noticed() {
    let both = whole();
    let (view, readback) = &both;
    let outcome = judged(view, readback).unwrap();
    assert!(outcome.deeds > 150 && view.requests.answered.len() > 150, "{outcome:?}");
    assert!(view.requests.repeated > 0 && !view.requests.refused.is_empty());
    let paid = find(readback, is_paid);
    noticed(&both, "prefix", |_, readback| {
        readback.clerks.get_mut(&actor_of(paid)).unwrap().deeds.remove(&paid);
    });
    noticed(&both, "prefix", |view, _| view.requests.issued = 1);
    noticed(&both, "prefix", |view, readback| {
        view.requests.answered.clear();
        deed(readback, paid).order = Order::Race(1_000_000);
    });
    noticed(&both, "prefix", |view, readback| {
        let deeds = &mut readback.clerks.get_mut(&actor_of(paid)).unwrap().deeds;
        let reused = deeds[&paid].clone();
        deeds.insert(paid + REUSED, reused);
        view.requests.issued = u64::MAX;
    });
    noticed(&both, "same reply", |view, _| *view.requests.answered.get_mut(&paid).unwrap() ^= 1);
    noticed(&both, "exactly-once inside", |_, readback| deed(readback, paid).times = 2);
    noticed(&both, "exactly-once inside", |_, readback| {
        readback
            .vaults
            .values_mut()
            .filter_map(|vault| vault.paid.get_mut(&paid))
            .for_each(|paid| paid.push(9));
    });
    noticed(&both, "exactly-once inside", |_, readback| {
        readback.vaults.values_mut().for_each(|vault| drop(vault.paid.remove(&paid)));
    });
    noticed(&both, "exactly-once inside", |view, readback| {
        view.requests.answered.clear();
        view.requests.deeds.clear();
        deed(readback, paid).drawn = vec![Drawn::Failed("nothing explains it".to_owned())];
    });
    noticed(&both, "no-orphan", |view, readback| {
        view.requests.answered.clear();
        readback.clerks.values_mut().for_each(|clerk| clerk.deeds.clear());
    });
    noticed(&both, "state", |view, _| view.requests.deeds.get_mut(&paid).unwrap().rsn += 1);
    noticed(&both, "queries", |view, readback| {
        let count = readback.vaults[&true].count + 1;
        view.requests.shown.insert("eager-vault/all".to_owned(), count);
    });
}

/// The winner of a race is what the outside was told, also when no client has its reply.
#[test]
fn another_winner_than_the_outside_was_told_is_noticed() {
    let both = whole();
    let race = find(&both.1, |deed| deed.told.is_some() && is_paid(deed));
    noticed(&both, "effects once", |view, readback| {
        view.requests.answered.clear();
        view.requests.deeds.clear();
        deed(readback, race).drawn = vec![Drawn::Slept];
    });
}

#[test]
fn each_false_firing_is_noticed() {
    let both = whole();
    let readback = &both.1;
    let remind = find(readback, |deed| matches!(deed.order, Order::Remind(_)));
    let tick = find(readback, |deed| matches!(deed.order, Order::Tick(_)));
    let post = find(readback, |deed| matches!(deed.order, Order::Post(_)));
    let revoked = find(readback, |deed| {
        matches!(deed.order, Order::Revoke(..)) && deed.revoked.is_some_and(|(_, was_set)| was_set)
    });
    noticed(&both, "timers", |view, readback| {
        view.requests.deeds.clear();
        deed(readback, remind).firings.clear();
    });
    noticed(&both, "timers", |_, readback| {
        let firings = &mut deed(readback, remind).firings;
        firings.push(firings[0]);
    });
    noticed(&both, "timers", |view, readback| {
        view.requests.deeds.clear();
        deed(readback, remind).firings[0].due = u64::MAX;
    });
    noticed(&both, "timers", |view, readback| {
        view.requests.deeds.clear();
        deed(readback, tick).firings.pop();
    });
    noticed(&both, "timers", |_, readback| {
        let mut late = deed(readback, remind).firings[0];
        let deed = deed(readback, revoked);
        late.rsn = deed.revoked.unwrap().0 + 1;
        deed.firings.push(late);
    });
    noticed(&both, "timers", |_, readback| deed(readback, revoked).revoked = None);
    for times in [None, Some(2)] {
        noticed(&both, "timers", |_, readback| {
            for vault in readback.vaults.values_mut() {
                match times {
                    Some(times) => drop(vault.rung.get_mut(&post).map(|rung| *rung = times)),
                    None => drop(vault.rung.remove(&post)),
                }
            }
        });
    }
    noticed(&both, "timers", |_, readback| {
        readback.clerks.values_mut().next().unwrap().strays.push(remind);
    });
}

/// What contradicts an earlier line is noticed when it is heard, before any readback.
#[test]
fn another_reply_and_a_query_that_goes_back_are_noticed() {
    let mut view = RequestView::default();
    let shown = |count| Line::Shown { actor: "vault/all".to_owned(), count };
    for line in [Line::Request(3), Line::Answered { number: 3, reply: 7 }, shown(4), shown(4)] {
        view.hear(&line).unwrap();
    }
    view.hear(&Line::Answered { number: 3, reply: 7 }).unwrap();
    assert_eq!((view.repeated, view.next()), (1, 1));
    let other = view.hear(&Line::Answered { number: 3, reply: 8 }).unwrap_err();
    assert!(other.starts_with("same reply"), "{other}");
    let back = view.hear(&shown(3)).unwrap_err();
    assert!(back.starts_with("queries"), "{back}");
}

/// A violation says which request it is about.
#[test]
fn a_violation_names_its_request() {
    let violation = Violation::Request { promise: "timers", number: 7, what: "it is lost".to_owned() };
    assert_eq!(violation.to_string(), "timers: request 7: it is lost");
}
