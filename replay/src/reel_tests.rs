//! What was carried stands in the place of what it repeats, and of nothing else.

use relive_storage::record::{Carried, Delivery, Event, EventKind, Released, Sender};
use relive_storage::{ActorId, Lsn, Ssn};

use super::*;
use crate::receptions::Beyond;

fn delivery(rsn: u64, clock: u64) -> Record {
    let (sender, message, payload) = (Sender::Outside, "add".into(), Default::default());
    let clock = relive_storage::Timestamp::from_micros(clock);
    Record::Delivery(Delivery {
        rsn: Rsn::new(rsn),
        sender,
        asked: false,
        message,
        payload,
        clock,
        seed: rsn,
    })
}

fn event(rsn: u64) -> Record {
    let (kind, name, outcome) = (EventKind::SideEffect, "charge".into(), Default::default());
    Record::Event(Event { rsn: Rsn::new(rsn), index: 0, kind, name, outcome, clock: None })
}

fn carried(rsn: u64, settled: u64) -> Record {
    Record::Carried(Carried { rsn: Rsn::new(rsn), settled: Rsn::new(settled) })
}

fn released(rsn: u64, ssn: u64) -> Record {
    let to = ActorId::new("till", "1").unwrap();
    Record::Released(Released { rsn: Rsn::new(rsn), to, ssn: Ssn::new(ssn), asked: true, content: 7 })
}

/// Reads frames: where each first stood, whether it is carried, how far the actor had handled, and
/// its record.
fn read(after: u64, frames: &[(u64, bool, u64, Record)]) -> Result<Tape, CorruptRecords> {
    let (mut reel, mut tape) = (Reel::with_evidence(), Tape::after(Rsn::new(after)));
    for (lsn, carried, handled, record) in frames {
        let (lsn, handled) = (Lsn::new(*lsn), Rsn::new(*handled));
        let mut records = vec![Positioned { lsn, record: record.clone() }];
        reel.add(&mut tape, *carried, (handled, handled), Some(&[]), &mut records);
    }
    reel.end().map(|()| tape)
}

fn rsns(tape: &Tape) -> Vec<u64> {
    tape.deliveries().iter().map(|delivery| delivery.rsn.get()).collect()
}

/// Whatever a cut has left of what was carried, the actor reads the same.
#[test]
fn a_tape_is_the_same_wherever_the_log_was_cut() {
    let frames = [
        (1, false, 0, delivery(1, 1)),
        (2, false, 1, delivery(2, 2)),
        (3, false, 1, event(2)),
        (4, false, 1, delivery(3, 4)),
        (1, true, 0, delivery(1, 1)),
        (2, true, 1, delivery(2, 2)),
        (3, true, 1, event(2)),
        (4, true, 1, delivery(3, 4)),
        (5, false, 1, carried(2, 0)),
        (6, false, 1, delivery(4, 6)),
    ];
    let whole = read(0, &frames).unwrap();
    assert_eq!(rsns(&whole), [1, 2, 3, 4]);
    for cut in 0..=4 {
        let tape = read(0, &frames[cut..]).unwrap();
        assert_eq!(tape.deliveries(), whole.deliveries(), "without {cut} frames");
        assert_eq!((&tape.events, tape.certain()), (&whole.events, Rsn::new(1)), "without {cut} frames");
    }
    assert!(read(0, &frames[5..]).is_err(), "what ends them does not hide that one is gone");
    assert_eq!(rsns(&read(1, &frames[5..]).unwrap()), [2, 3, 4], "the checkpoint has it");
}

/// A crash may have ended what carried the frames, and a cut may have taken what they repeat once
/// they were carried to their end.
#[test]
fn what_has_no_end_says_nothing() {
    let mut frames = vec![
        (1, false, 0, delivery(1, 1)),
        (2, false, 0, delivery(2, 2)),
        (1, true, 0, delivery(1, 1)),
        (4, false, 0, delivery(3, 4)),
    ];
    assert_eq!(rsns(&read(0, &frames).unwrap()), [1, 2, 3]);
    assert!(read(0, &frames[1..]).is_err() && read(0, &frames[2..]).is_err());
    for (lsn, clock) in [(1, 1), (2, 2), (4, 4)] {
        frames.push((lsn, true, 0, delivery(if lsn == 4 { 3 } else { lsn }, clock)));
    }
    assert!(read(0, &frames[1..]).is_err(), "still without an end");
    frames.push((8, false, 0, carried(1, 0)));
    for cut in 0..=4 {
        assert_eq!(rsns(&read(0, &frames[cut..]).unwrap()), [1, 2, 3], "without {cut} frames");
    }
}

/// Invariant: prefix. A copy that contradicts what it repeats is damage.
#[test]
fn a_copy_that_says_something_else_is_damage() {
    let frames = |copy| {
        let first = [(1, false, 0, delivery(1, 1)), (2, false, 0, event(1))];
        first.into_iter().chain(copy).chain([(5, false, 0, carried(1, 0))]).collect::<Vec<_>>()
    };
    assert!(read(0, &frames(vec![(1, true, 0, delivery(1, 1)), (2, true, 0, event(1))])).is_ok());
    for other in [
        vec![(1, true, 0, delivery(1, 9)), (2, true, 0, event(1))],
        vec![(1, true, 0, delivery(1, 1))],
        vec![(1, true, 0, delivery(1, 1)), (2, true, 0, event(1)), (3, true, 0, delivery(2, 1))],
    ] {
        let corrupt = read(0, &frames(other)).unwrap_err();
        assert!(corrupt.to_string().contains("is not what it was"), "{corrupt}");
    }
    assert!(read(0, &frames(vec![(1, true, 0, delivery(2, 1))])).is_err(), "it begins too late");
}

/// Invariant: no-orphan. What the actor had released is evidence, wherever the log begins, and what
/// others know of it stays.
#[test]
fn what_was_released_is_evidence() {
    let frames = [
        (1, false, 0, delivery(1, 1)),
        (2, false, 0, Record::Attempt(Rsn::new(1))),
        (1, true, 0, delivery(1, 1)),
        (2, true, 0, Record::Attempt(Rsn::new(1))),
    ];
    let with = |cut: usize, takes: bool| {
        let mut reel = if takes { Reel::with_evidence() } else { Reel::default() };
        let mut tape = Tape::default();
        let end = vec![carried(1, 1), released(1, 1), released(1, 2)];
        let frames = frames[cut..].iter().map(|(lsn, carried, handled, record)| {
            let record = record.clone();
            (*carried, *handled, vec![Positioned { lsn: Lsn::new(*lsn), record }])
        });
        let end = end.into_iter().map(|record| Positioned { lsn: Lsn::new(5), record });
        for (carried, handled, mut records) in frames.chain([(false, 0, end.collect())]) {
            let handled = Rsn::new(handled);
            reel.add(&mut tape, carried, (handled, handled), Some(&[]), &mut records);
        }
        reel.end().unwrap();
        let (attempts, settled) = (tape.attempts(Rsn::new(1)), tape.settled().get());
        (tape.received_beyond(&Default::default()), attempts, settled)
    };
    assert_eq!(with(0, true), (Beyond::Begun, 1, 1));
    assert_eq!(with(2, true), (Beyond::Begun, 0, 1), "who carried it had survived the try");
    assert_eq!(with(0, false), (Beyond::Nothing, 1, 1), "a restart tries the delivery again");
}

/// Invariant: prefix. What ends carried frames says nothing about deliveries behind them.
#[test]
fn an_end_that_goes_beyond_what_was_carried_is_damage() {
    for (end, is_damage) in [
        (carried(1, 1), false),
        (carried(2, 1), true),
        (carried(1, 2), true),
        (released(1, 1), false),
        (released(2, 1), true),
    ] {
        let (mut reel, mut tape) = (Reel::with_evidence(), Tape::default());
        let first = Positioned { lsn: Lsn::new(1), record: delivery(1, 1) };
        let ends = [carried(1, 0), end.clone()].map(|record| Positioned { lsn: Lsn::new(2), record });
        for (is_carried, records) in [(false, vec![first.clone()]), (true, vec![first]), (false, ends.into())]
        {
            let covers = (Rsn::NONE, Rsn::NONE);
            reel.add(&mut tape, is_carried, covers, Some(&[]), &mut records.clone());
        }
        assert_eq!(reel.end().is_err(), is_damage, "{end:?}");
    }
}

/// Nor does a copy that follows a damaged one, or follows a gap, hide what it leaves out.
#[test]
fn what_follows_a_damaged_copy_does_not_mend_it() {
    let ends_early = [
        (1, true, 0, delivery(1, 1)),
        (5, false, 0, carried(1, 0)),
        (1, true, 0, delivery(1, 1)),
        (8, false, 0, carried(1, 0)),
    ];
    let first = [(1, false, 0, delivery(1, 1)), (2, false, 0, delivery(2, 2))];
    for from in [0, 1] {
        let frames: Vec<_> = first[from..].iter().chain(&ends_early).cloned().collect();
        let corrupt = read(0, &frames).err().map(|corrupt| corrupt.rsn.get());
        assert_eq!(corrupt, Some(if from == 0 { 1 } else { 2 }), "without {from} frames");
    }
}

/// The rest of a log whose copy is damaged is read to its end, with what receivers have.
#[test]
fn after_a_damaged_copy_reading_goes_on() {
    let (mut reel, mut tape) = (Reel::with_evidence(), Tape::default());
    let mut add = |tape: &mut Tape, lsn, is_carried, record| {
        let mut records = vec![Positioned { lsn: Lsn::new(lsn), record }];
        reel.add(tape, is_carried, (Rsn::NONE, Rsn::NONE), Some(&[]), &mut records);
    };
    let received = |tape: &mut Tape, ssn| {
        let Record::Delivery(delivery) = delivery(ssn, 1) else { unreachable!("it is one") };
        tape.add_reception(&ActorId::new("till", "1").unwrap(), Ssn::new(ssn), &delivery);
    };
    add(&mut tape, 1, false, delivery(1, 1));
    add(&mut tape, 2, false, delivery(2, 1));
    received(&mut tape, 1);
    add(&mut tape, 1, true, delivery(1, 1));
    add(&mut tape, 3, false, carried(1, 0));
    received(&mut tape, 2);
    assert!(reel.end().unwrap_err().to_string().contains("is not what it was"));
}
