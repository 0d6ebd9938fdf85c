//! The checkpoints' half of the contract.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::data::{block, checkpoint, id};
use super::medium::Medium;
use crate::contract::checkpoint_store::{Generation, Store};
use crate::contract::error::StoreError;
use crate::format::checkpoint::CheckpointHeader;
use crate::id::actor_id::ActorId;
use crate::id::position::Lsn;
use crate::limits::POSITION_MAX;

type Case = (&'static str, fn(&mut dyn Medium));

pub(super) const CASES: &[Case] = &[
    ("the_newest_two_checkpoints_are_kept", the_newest_two_checkpoints_are_kept),
    ("the_list_is_complete", the_list_is_complete),
    ("numbers_only_grow", numbers_only_grow),
    ("checkpoints_are_put_together", checkpoints_are_put_together),
    ("checkpoints_of_any_size_fit", checkpoints_of_any_size_fit),
    ("a_checkpoint_over_the_limit_changes_nothing", a_checkpoint_over_the_limit_changes_nothing),
    ("names_are_kept_as_they_are", names_are_kept_as_they_are),
    ("checkpoints_acknowledge_no_blocks", checkpoints_acknowledge_no_blocks),
    ("checkpoints_survive_cuts_and_reopenings", checkpoints_survive_cuts_and_reopenings),
    ("the_error_of_a_visitor_ends_the_list", the_error_of_a_visitor_ends_the_list),
];

fn the_newest_two_checkpoints_are_kept(medium: &mut dyn Medium) {
    let (alice, bob) = (id("alice"), id("bob"));
    let store = medium.open();
    assert_eq!(store.get(&alice, Generation::Newest).expect("get"), None);
    assert_eq!(store.get(&alice, Generation::Previous).expect("get"), None);
    put(&*store, &alice, 1, 10);
    expect_two(&*store, &alice, Some(1), None);
    put(&*store, &bob, 2, 10);
    put(&*store, &alice, 3, 10);
    expect_two(&*store, &alice, Some(3), Some(1));
    put(&*store, &alice, 4, 10);
    put(&*store, &alice, 5, 10);
    expect_two(&*store, &alice, Some(5), Some(4));
    expect_two(&*store, &bob, Some(2), None);
    drop(store);
    let store = medium.open();
    expect_two(&*store, &alice, Some(5), Some(4));
    put(&*store, &bob, 6, 10);
    expect_two(&*store, &bob, Some(6), Some(2));
    expect_two(&*store, &alice, Some(5), Some(4));
}

fn the_list_is_complete(medium: &mut dyn Medium) {
    const ACTORS: u64 = 1500;
    let store = medium.open();
    assert!(list(&*store).is_empty());
    let mut expected = BTreeMap::new();
    for number in 1..=ACTORS {
        let actor = id(&format!("actor {}", number % 1100));
        put(&*store, &actor, number, 3);
        expected.insert(actor.clone(), checkpoint(&actor, number, 3).header);
    }
    assert!(list(&*store) == expected, "the list is another");
    drop(store);
    assert!(list(&*medium.open()) == expected, "the list is another after reopening");
}

fn numbers_only_grow(medium: &mut dyn Medium) {
    let actor = id("alice");
    let store = medium.open();
    expect_misuse(&*store, &actor, 0);
    put(&*store, &actor, 7, 1);
    put(&*store, &id("bob"), 9, 1);
    for number in [0, 1, 7, 8, 9, u64::MAX] {
        expect_misuse(&*store, &actor, number);
    }
    drop(store);
    let store = medium.open();
    expect_misuse(&*store, &actor, 9);
    expect_two(&*store, &actor, Some(7), None);
    let high = POSITION_MAX - 1;
    put(&*store, &actor, high, 1);
    expect_misuse(&*store, &actor, high);
    expect_misuse(&*store, &actor, POSITION_MAX);
    expect_misuse(&*store, &actor, u64::MAX);
    expect_two(&*store, &actor, Some(high), Some(7));
}

fn checkpoints_are_put_together(medium: &mut dyn Medium) {
    let store = medium.open();
    let actors: Vec<_> = (0..100).map(|number| id(&number.to_string())).collect();
    for round in 0..3 {
        let numbered = actors.iter().zip(round * 100 + 1..);
        let group: Vec<_> = numbered.map(|(actor, number)| checkpoint(actor, number, 300)).collect();
        store.put(&group).expect("put");
        store.put(&[]).expect("put nothing");
        for (actor, number) in actors.iter().zip(round * 100 + 1..) {
            expect_two(&*store, actor, Some(number), (round > 0).then(|| number - 100));
        }
    }
    let twice = [checkpoint(&actors[0], 400, 1), checkpoint(&actors[0], 401, 1)];
    let falling = [checkpoint(&actors[0], 401, 1), checkpoint(&actors[1], 400, 1)];
    for refused in [twice, falling] {
        assert!(matches!(store.put(&refused), Err(StoreError::Misuse { .. })), "they were not refused");
    }
    let mut large = checkpoint(&actors[1], 401, 0);
    large.body = Bytes::from(vec![0; crate::limits::CHECKPOINT_BYTES_MAX + 1]);
    let refused = store.put(&[checkpoint(&actors[0], 400, 1), large]);
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "it was not refused");
    drop(store);
    let store = medium.open();
    assert_eq!(list(&*store).len(), 100);
    expect_two(&*store, &actors[0], Some(201), Some(101));
}

fn checkpoints_of_any_size_fit(medium: &mut dyn Medium) {
    let store = medium.open();
    let sizes = [0, 1, 65_000, 65_536, 200_000, 20_000_000];
    for (number, bytes) in (1..).zip(sizes) {
        let actor = id(&format!("of {bytes}"));
        let checkpoint = checkpoint(&actor, number, bytes);
        store.put(std::slice::from_ref(&checkpoint)).expect("put");
        let found = store.get(&actor, Generation::Newest).expect("get");
        assert!(found.as_ref() == Some(&checkpoint), "{bytes} bytes came back as others");
    }
    drop(store);
    let store = medium.open();
    for (number, bytes) in (1..).zip(sizes) {
        let actor = id(&format!("of {bytes}"));
        let found = store.get(&actor, Generation::Newest).expect("get");
        assert!(found == Some(checkpoint(&actor, number, bytes)), "{bytes} bytes came back as others");
    }
}

fn a_checkpoint_over_the_limit_changes_nothing(medium: &mut dyn Medium) {
    let actor = id("large");
    let store = medium.open();
    put(&*store, &actor, 1, 10);
    let mut large = checkpoint(&actor, 2, 0);
    large.body = Bytes::from(vec![0; crate::limits::CHECKPOINT_BYTES_MAX + 1]);
    match store.put(&[large]) {
        Err(StoreError::TooLarge { .. }) => {}
        other => panic!("it was not refused: {other:?}"),
    }
    expect_two(&*store, &actor, Some(1), None);
    put(&*store, &actor, 2, 10);
}

fn names_are_kept_as_they_are(medium: &mut dyn Medium) {
    let names = ["ä/ö", "\u{0}", "\u{10ffff}", "a\u{301}", "á", "/", "\n", "A", "a", " ", "e\u{202e}"];
    let store = medium.open();
    let long = "ß".repeat(128);
    let names = names.into_iter().chain([long.as_str()]);
    let actors: Vec<_> = names.map(id).collect();
    for (number, actor) in (1..).zip(&actors) {
        put(&*store, actor, number, 5);
    }
    drop(store);
    let store = medium.open();
    let listed = list(&*store);
    assert_eq!(listed.len(), actors.len());
    for (number, actor) in (1..).zip(&actors) {
        expect_two(&*store, actor, Some(number), None);
        assert_eq!(listed.get(actor), Some(&checkpoint(actor, number, 5).header));
    }
}

fn checkpoints_acknowledge_no_blocks(medium: &mut dyn Medium) {
    let store = medium.open();
    store.append(&block(0, 1, 0, 1)).expect("append");
    store.sync().expect("sync");
    store.append(&block(1, 1, 1, 1)).expect("append");
    put(&*store, &id("alice"), 1, 100_000);
    assert_eq!(store.extent().expect("extent").acknowledged, Lsn::new(1));
    store.sync().expect("sync");
    assert_eq!(store.extent().expect("extent").acknowledged, Lsn::new(2));
}

fn checkpoints_survive_cuts_and_reopenings(medium: &mut dyn Medium) {
    let actors = [id("alice"), id("bob"), id("carol")];
    let mut newest = BTreeMap::new();
    let mut number = 0;
    for round in 0_u64..4 {
        let store = medium.open();
        if round % 2 == 0 {
            assert!(list(&*store) == newest, "the list is another in round {round}");
        }
        for step in 0..6 {
            let lsn = round * 6 + step;
            store.append(&block(lsn, 1, lsn, 1)).expect("append");
            store.sync().expect("sync");
            number += 1;
            let actor = &actors[usize::try_from((number * number) % 3).expect("small")];
            put(&*store, actor, number, 10);
            newest.insert(actor.clone(), checkpoint(actor, number, 10).header);
            if step % 2 == 1 {
                store.cut(Lsn::new(lsn)).expect("cut");
            }
            assert!(list(&*store) == newest, "the list is another at {lsn}");
        }
    }
    assert!(list(&*medium.open()) == newest, "the list is another at the end");
}

fn the_error_of_a_visitor_ends_the_list(medium: &mut dyn Medium) {
    let store = medium.open();
    for number in 1..4 {
        put(&*store, &id(&number.to_string()), number, 1);
    }
    let mut visited = 0;
    let result = store.list(&mut |_| {
        visited += 1;
        ControlFlow::Break(())
    });
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(visited, 1);
    assert_eq!(list(&*store).len(), 3);
}

fn put(store: &dyn Store, actor: &ActorId, number: u64, bytes: usize) {
    store.put(&[checkpoint(actor, number, bytes)]).expect("put");
}

fn expect_misuse(store: &dyn Store, actor: &ActorId, number: u64) {
    match store.put(&[checkpoint(actor, number, 1)]) {
        Err(StoreError::Misuse { .. }) => {}
        other => panic!("checkpoint {number} was not refused: {other:?}"),
    }
}

fn expect_two(store: &dyn Store, actor: &ActorId, newest: Option<u64>, previous: Option<u64>) {
    for (generation, expected) in [(Generation::Newest, newest), (Generation::Previous, previous)] {
        let found = store.get(actor, generation).expect("get");
        let number = found.as_ref().map(|found| found.header.number.get());
        assert_eq!(number, expected, "the {generation:?} of {actor}");
        if let Some(found) = found {
            let written = checkpoint(actor, found.header.number.get(), found.body.len());
            assert!(found == written, "the {generation:?} of {actor} is another");
        }
    }
}

fn list(store: &dyn Store) -> BTreeMap<ActorId, CheckpointHeader> {
    let mut found = BTreeMap::new();
    let listed = store.list(&mut |header| {
        let twice = found.insert(header.actor.clone(), header);
        assert!(twice.is_none(), "an actor is listed twice");
        ControlFlow::Continue(())
    });
    listed.expect("list");
    found
}
