//! The log's half of the contract.

use super::data::{block, block_of};
use super::medium::Medium;
use crate::contract::checkpoint_store::Store;
use crate::contract::error::StoreError;
use crate::format::block::Block;
use crate::id::position::{Epoch, Lsn};
use crate::limits::BLOCK_BYTES_MAX;

type Case = (&'static str, fn(&mut dyn Medium));

pub(super) const CASES: &[Case] = &[
    ("an_empty_store_says_so", an_empty_store_says_so),
    ("blocks_come_back_in_order", blocks_come_back_in_order),
    ("acknowledged_blocks_survive_a_reopening", acknowledged_blocks_survive_a_reopening),
    ("a_tail_that_nobody_was_told_about_is_replaced", a_tail_that_nobody_was_told_about_is_replaced),
    ("gaps_and_overlaps_are_refused", gaps_and_overlaps_are_refused),
    ("positions_past_the_end_of_the_range_are_refused", positions_past_the_end_of_the_range_are_refused),
    ("a_cut_keeps_what_is_needed", a_cut_keeps_what_is_needed),
    ("a_cut_never_removes_the_last_block", a_cut_never_removes_the_last_block),
    ("a_cut_never_begins_with_an_unsynced_block", a_cut_never_begins_with_an_unsynced_block),
    ("the_largest_block_fits", the_largest_block_fits),
    ("reads_pass_while_others_write", reads_pass_while_others_write),
];

fn an_empty_store_says_so(medium: &mut dyn Medium) {
    let store = medium.open();
    let extent = store.extent().expect("extent");
    assert_eq!((extent.start, extent.acknowledged), (Lsn::FIRST, Lsn::FIRST));
    assert_eq!(store.read(Lsn::FIRST).expect("read"), None);
    assert_eq!(store.read(Lsn::new(u64::MAX)).expect("read"), None);
    assert_eq!(store.cut(Lsn::new(7)).expect("cut"), Lsn::FIRST);
    store.sync().expect("sync of nothing");
    drop(store);
    let again = medium.open().extent().expect("extent");
    assert_eq!(again, extent, "the identity stays");
}

fn blocks_come_back_in_order(medium: &mut dyn Medium) {
    let store = medium.open();
    let blocks = [block(0, 3, 0, 1), block(3, 1, 0, 1), block(4, 10, 3, 2)];
    append(&*store, &blocks);
    assert_eq!(store.extent().expect("extent").acknowledged, Lsn::FIRST, "not before the sync");
    store.sync().expect("sync");
    let extent = store.extent().expect("extent");
    assert_eq!((extent.acknowledged, extent.epoch), (Lsn::new(14), Epoch::new(2)));
    expect_log(&*store, 0, &blocks);
    // A position inside of a block leads to the next one.
    expect_log(&*store, 1, &blocks[1..]);
    expect_log(&*store, 14, &[]);
}

fn acknowledged_blocks_survive_a_reopening(medium: &mut dyn Medium) {
    let blocks: Vec<_> = (0..20).map(|i| block(i * 2, 2, i * 2, 1)).collect();
    for (round, some) in blocks.chunks(5).enumerate() {
        let store = medium.open();
        expect_log(&*store, 0, &blocks[..round * 5]);
        for block in some {
            append(&*store, std::slice::from_ref(block));
            store.sync().expect("sync");
        }
    }
    let store = medium.open();
    assert_eq!(store.extent().expect("extent").acknowledged, Lsn::new(40));
    expect_log(&*store, 0, &blocks);
}

fn a_tail_that_nobody_was_told_about_is_replaced(medium: &mut dyn Medium) {
    let store = medium.open();
    append(&*store, &[block(0, 2, 0, 1)]);
    store.sync().expect("sync");
    append(&*store, &[block_of(2, 2, 300_000), block(3, 4, 2, 1), block(7, 1, 2, 1)]);
    drop(store);
    let store = medium.open();
    assert_eq!(store.extent().expect("extent").acknowledged, Lsn::new(2));
    let blocks = [block(0, 2, 0, 1), block(2, 1, 2, 2)];
    append(&*store, &blocks[1..]);
    store.sync().expect("sync");
    expect_log(&*store, 0, &blocks);
    drop(store);
    expect_log(&*medium.open(), 0, &blocks);
}

fn gaps_and_overlaps_are_refused(medium: &mut dyn Medium) {
    let store = medium.open();
    expect_misuse(&*store, &block(1, 1, 0, 1));
    append(&*store, &[block(0, 4, 0, 1)]);
    for first in [0, 1, 3, 5, 100] {
        expect_misuse(&*store, &block(first, 1, 0, 1));
    }
    store.sync().expect("misuse ends nothing");
    append(&*store, &[block(4, 1, 4, 1)]);
    store.sync().expect("sync");
    drop(store);
    let store = medium.open();
    for first in [0, 3, 4, 6] {
        expect_misuse(&*store, &block(first, 1, 0, 1));
    }
    append(&*store, &[block(5, 1, 5, 1)]);
}

fn positions_past_the_end_of_the_range_are_refused(medium: &mut dyn Medium) {
    let store = medium.open();
    append(&*store, &[block(0, 1, 0, 1)]);
    store.sync().expect("sync");
    expect_misuse(&*store, &block(u64::MAX - 1, 1, 0, 1));
    expect_misuse(&*store, &block(u64::MAX - 1, 3, 0, 1));
    expect_misuse(&*store, &block(u64::MAX, 1, 0, 1));
    assert_eq!(store.read(Lsn::new(u64::MAX)).expect("read"), None);
    assert_eq!(store.cut(Lsn::new(u64::MAX)).expect("cut"), Lsn::FIRST);
    expect_log(&*store, 0, &[block(0, 1, 0, 1)]);
}

fn a_cut_keeps_what_is_needed(medium: &mut dyn Medium) {
    let blocks: Vec<_> = (0..200).map(|i| block(i * 3, 3, i * 3, 1)).collect();
    let store = medium.open();
    append(&*store, &blocks);
    store.sync().expect("sync");
    assert_eq!(store.cut(Lsn::new(0)).expect("cut"), Lsn::new(0));
    assert_eq!(store.cut(Lsn::new(31)).expect("cut inside of a block"), Lsn::new(30));
    expect_log(&*store, 0, &blocks[10..]);
    assert_eq!(store.cut(Lsn::new(450)).expect("cut at a block"), Lsn::new(450));
    assert_eq!(store.cut(Lsn::new(450)).expect("the same cut"), Lsn::new(450));
    assert_eq!(store.cut(Lsn::new(30)).expect("an older cut"), Lsn::new(450));
    expect_log(&*store, 0, &blocks[150..]);
    drop(store);
    let store = medium.open();
    assert_eq!(store.extent().expect("extent").start, Lsn::new(450));
    expect_log(&*store, 0, &blocks[150..]);
    append(&*store, &[block(600, 1, 600, 1)]);
}

fn a_cut_never_removes_the_last_block(medium: &mut dyn Medium) {
    let store = medium.open();
    append(&*store, &[block(0, 3, 0, 1), block(3, 3, 0, 1)]);
    store.sync().expect("sync");
    for below in [6, 7, 1000] {
        assert_eq!(store.cut(Lsn::new(below)).expect("cut"), Lsn::new(3));
    }
    expect_log(&*store, 0, &[block(3, 3, 0, 1)]);
    append(&*store, &[block(6, 1, 6, 1)]);
    store.sync().expect("sync");
    drop(store);
    expect_log(&*medium.open(), 0, &[block(3, 3, 0, 1), block(6, 1, 6, 1)]);
}

fn a_cut_never_begins_with_an_unsynced_block(medium: &mut dyn Medium) {
    let store = medium.open();
    append(&*store, &[block(0, 3, 0, 1)]);
    store.sync().expect("sync");
    append(&*store, &[block(3, 3, 3, 1)]);
    assert_eq!(store.cut(Lsn::new(5)).expect("cut"), Lsn::FIRST);
}

fn the_largest_block_fits(medium: &mut dyn Medium) {
    let large = block_of(0, 0, BLOCK_BYTES_MAX);
    assert_eq!(large.bytes().len(), BLOCK_BYTES_MAX);
    let blocks = [large.clone(), block(large.header().next().get(), 1, 0, 1)];
    let store = medium.open();
    append(&*store, &blocks);
    store.sync().expect("sync");
    expect_log(&*store, 0, &blocks);
    drop(store);
    expect_log(&*medium.open(), 0, &blocks);
}

fn reads_pass_while_others_write(medium: &mut dyn Medium) {
    let store = medium.open();
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            for i in 0..100 {
                append(&*store, &[block(i, 1, i, 1)]);
                store.sync().expect("sync");
            }
        });
        while !writes.is_finished() {
            let end = store.extent().expect("extent").acknowledged;
            let blocks: Vec<_> = (0..end.get()).map(|i| block(i, 1, i, 1)).collect();
            for (at, block) in blocks.iter().enumerate() {
                let found = store.read(Lsn::new(at as u64)).expect("read");
                let found = found.and_then(|found| found.block.ok());
                assert_eq!(found.as_ref(), Some(block));
            }
        }
    });
}

fn append(store: &dyn Store, blocks: &[Block]) {
    for block in blocks {
        store.append(block).expect("append");
    }
}

fn expect_misuse(store: &dyn Store, block: &Block) {
    let first = block.header().first;
    match store.append(block) {
        Err(StoreError::Misuse { .. }) => {}
        other => panic!("a block at {first} was not refused: {other:?}"),
    }
}

/// Asserts that the log from a position on has exactly these blocks.
fn expect_log(store: &dyn Store, from: u64, blocks: &[Block]) {
    let mut from = Lsn::new(from);
    for block in blocks {
        let found = store.read(from).expect("read").expect("a block is missing");
        assert_eq!(found.damage(), None, "at {}", found.first);
        assert_eq!(found.first, block.header().first);
        assert!(found.block.as_ref() == Ok(block), "the block at {} is another", found.first);
        from = block.header().next();
    }
    let after = store.read(from).expect("read").map(|found| found.first);
    assert_eq!(after, None, "there is more than there should be");
}
