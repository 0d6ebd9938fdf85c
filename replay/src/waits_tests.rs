//! What a handler may learn and drop, and what stops it.

use relive_storage::Rsn;

use super::*;

fn id(key: &str) -> ActorId {
    ActorId::new("account", key).unwrap()
}

fn waits() -> Waits<'static> {
    let timers = TimerChanges::new(Default::default());
    static PAY: Name = Name::from_static("pay");
    Waits::new(&PAY, Timestamp::default(), Outbound::default(), timers)
}

fn event(index: u32, kind: EventKind, name: &str) -> Event {
    let clock = Some(Timestamp::from_micros(9));
    Event { rsn: Rsn::new(1), index, kind, name: name.into(), outcome: Bytes::new(), clock }
}

fn reason(waits: &Waits<'_>) -> HaltReason {
    match waits.look() {
        Look::Halted(reason) => reason,
        Look::Waits | Look::Free => panic!("it has not halted"),
    }
}

/// Invariant: divergence-stops. A handler learns what it waits for, of that kind, and nothing
/// else.
#[test]
fn only_what_is_waited_for_is_learned() {
    let from = id("bob");
    let other = EventKind::Reply { from: id("carol"), ssn: Ssn::new(1) };
    let later = EventKind::Reply { from: from.clone(), ssn: Ssn::new(2) };
    let reply = EventKind::Reply { from: from.clone(), ssn: Ssn::new(1) };
    let waits = waits();
    assert_eq!(waits.begin_side_effect("charge".into()), Some(0));
    assert_eq!(waits.begin_ask(&from, "debit".into(), &Bytes::new()), Some(1));
    assert_eq!(waits.begin_sleep(|now| now), Some(2));
    let total = (Name::from_static("total"), TypeId::of::<()>());
    assert_eq!(waits.begin_query(&from, total.clone(), &Bytes::new()), Some(3));
    for (index, kind, name) in [
        (0, EventKind::SideEffect, "refund"),
        (0, EventKind::Elapsed, "charge"),
        (1, EventKind::SideEffect, "debit"),
        (1, other, "debit"),
        (1, later, "debit"),
        (1, reply.clone(), "credit"),
        (1, EventKind::Answer, "debit"),
        (2, EventKind::AskFailed, "sleep"),
        (3, EventKind::SideEffect, "total"),
        (3, EventKind::AskFailed, "total"),
        (3, EventKind::Answer, "sum"),
        (4, EventKind::SideEffect, "charge"),
    ] {
        assert!(waits.learn(event(index, kind.clone(), name)).is_err(), "{index} {kind:?} {name}");
    }
    assert_eq!(waits.learn(event(1, reply.clone(), "debit")), Ok(()));
    assert!(waits.learn(event(1, reply, "debit")).is_err(), "once");
    assert_eq!(waits.now(), Timestamp::from_micros(9), "the clock of what it learned last");
    assert_eq!(waits.learn(event(2, EventKind::Elapsed, "sleep")), Ok(()));
    assert_eq!(waits.learn(event(3, EventKind::Answer, "total")), Ok(()));
    assert!(waits.learn(event(3, EventKind::Answer, "total")).is_err(), "once too");
    assert!(
        waits.take(0).is_none()
            && waits.take(3).is_some()
            && waits.take(1).is_some()
            && waits.take(1).is_none()
    );
}

/// What stopped a handler is what happened first, not what followed from that; and a handler
/// that has halted begins nothing more.
#[test]
fn the_first_reason_of_a_halt_counts() {
    let waits = waits();
    waits.begin_side_effect("charge".into()).unwrap();
    let foreign = HaltReason::ForeignAwait { message: "pay".to_owned(), beside: None };
    waits.halt(foreign.clone());
    waits.dropped(0);
    assert_eq!(reason(&waits), foreign);
    assert_eq!(waits.begin_side_effect("charge".into()), None);
    assert_eq!(waits.begin_ask(&id("bob"), "debit".into(), &Bytes::new()), None);
    assert_eq!(waits.begin_sleep(|now| now), None);
    let total = (Name::from_static("total"), TypeId::of::<()>());
    assert_eq!(waits.begin_query(&id("bob"), total, &Bytes::new()), None);
}

/// A handler that drops what it has begun is stopped at once, unless it lost a race of ours.
#[test]
fn what_is_dropped_halts_unless_it_lost_a_race() {
    let waits = waits();
    let lost = waits.begin_side_effect("charge".into()).unwrap();
    waits.discard(|| waits.dropped(lost));
    assert!(matches!(waits.look(), Look::Free));
    let given_up = waits.begin_side_effect("refund".into()).unwrap();
    waits.dropped(given_up);
    let HaltReason::GivenUp { name, .. } = reason(&waits) else { panic!("{:?}", reason(&waits)) };
    assert_eq!(name, "side effect 1 \"refund\"");
}

/// A handler that does not go on has sent what left with its last request, and no number is
/// given for the rest.
#[test]
fn an_abandoned_handler_gives_its_numbers_back() {
    let waits = waits();
    waits.send(id("bob"), "note".into(), Bytes::new());
    waits.begin_ask(&id("carol"), "debit".into(), &Bytes::new()).unwrap();
    waits.send(id("bob"), "note".into(), Bytes::new());
    let (released, outbound, _) = waits.abandon();
    let released: Vec<_> = released.iter().map(|sent| (sent.to.key(), sent.ssn.get())).collect();
    assert_eq!(released, [("bob", 1), ("carol", 1)]);
    assert_eq!(outbound, Outbound::default());
}
