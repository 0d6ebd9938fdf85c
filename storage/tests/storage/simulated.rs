//! The simulated store keeps its documentation, and without a fault it is a store like any other.

use std::collections::BTreeSet;

use relive_storage::conformance::{Medium, block, check, checkpoint, id};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};
use relive_storage::{CheckpointStore, Generation, Log, Lsn, Store, StoreError};

struct Simulated {
    disk: SimulatedDisk,
    power_goes: bool,
}

impl Medium for Simulated {
    fn open(&mut self) -> Box<dyn Store> {
        if self.power_goes {
            self.disk.lose_power(Unsynced::Kept);
        }
        Box::new(self.disk.open())
    }
}

fn medium(power_goes: bool) -> Box<dyn Medium> {
    Box::new(Simulated { disk: SimulatedDisk::new(1), power_goes })
}

#[test]
fn without_a_fault_it_keeps_the_contract() {
    check(&mut || medium(false));
}

#[test]
fn it_keeps_the_contract_when_the_power_goes_and_takes_nothing() {
    check(&mut || medium(true));
}

/// Invariant: fail-stop.
#[test]
fn after_a_failure_for_good_nothing_is_written() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    disk.plan(Fault::FailForGood, Call::Append, 2);
    store.append(&block(0, 1, 0, 1)).unwrap();
    store.sync().unwrap();
    assert!(matches!(store.append(&block(1, 1, 1, 1)), Err(StoreError::Backend { .. })));
    assert!(matches!(store.append(&block(1, 1, 1, 1)), Err(StoreError::Poisoned { .. })));
    assert!(store.sync().is_err());
    assert!(store.put(&[checkpoint(&id("a"), 1, 1)]).is_err());
    assert_eq!(store.extent().unwrap().acknowledged, Lsn::new(1));
    let store = disk.open();
    store.append(&block(1, 1, 1, 2)).unwrap();
}

#[test]
fn a_failed_read_passes() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    disk.plan(Fault::Fail, Call::Any, 2);
    store.put(&[checkpoint(&id("a"), 1, 1)]).unwrap();
    assert!(store.get(&id("a"), Generation::Newest).is_err());
    assert!(store.get(&id("a"), Generation::Newest).unwrap().is_some());
    assert_eq!(disk.calls(Call::Any), 3);
    assert_eq!(disk.calls(Call::Get), 2);
}

#[test]
fn a_call_hangs_until_it_is_released() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    disk.plan(Fault::Hang, Call::Sync, 1);
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| store.sync());
        disk.wait_for_hang();
        store.append(&block(0, 1, 0, 1)).unwrap();
        disk.release();
        sync.join().unwrap().unwrap();
    });
}

/// Invariant: prefix. Every synced block is there, and every other one is gone.
#[test]
fn the_loss_of_power_takes_what_was_not_synced() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    store.append(&block(0, 2, 0, 1)).unwrap();
    store.sync().unwrap();
    store.append(&block(2, 2, 2, 1)).unwrap();
    assert!(store.read(Lsn::new(2)).unwrap().is_some());
    disk.plan(Fault::FORGET, Call::Sync, 2);
    assert!(store.sync().is_err());
    assert!(store.read(Lsn::FIRST).is_err());
    let store = disk.open();
    assert!(store.read(Lsn::FIRST).unwrap().is_some());
    assert_eq!(store.read(Lsn::new(2)).unwrap(), None);
    assert_eq!(store.extent().unwrap().acknowledged, Lsn::FIRST, "the mark is written beside the blocks");
}

/// Each unsynced block is there, gone or torn, whatever happens to its neighbours: all 27 cases of
/// three blocks.
#[test]
fn unsynced_blocks_survive_independently() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = SimulatedDisk::new(seed);
        let store = disk.open();
        for first in 0..3 {
            store.append(&block(first, 1, 0, 1)).unwrap();
        }
        disk.lose_power(Unsynced::Drawn);
        seen.insert(shape(&disk, 3));
    }
    assert_eq!(seen.len(), 27, "{seen:?}");
}

/// A letter for each of the first blocks: whole, torn or gone.
fn shape(disk: &SimulatedDisk, blocks: u64) -> String {
    let store = disk.open();
    let letter = |first| match store.read(Lsn::new(first)).unwrap() {
        Some(found) if found.first == Lsn::new(first) => {
            if found.damage().is_some() {
                't'
            } else {
                'w'
            }
        }
        _ => 'g',
    };
    (0..blocks).map(letter).collect()
}

#[test]
fn a_torn_append_leaves_half_a_block() {
    for (unsynced, expected) in [(Unsynced::Kept, "wt"), (Unsynced::Dropped, "wg")] {
        let disk = SimulatedDisk::new(1);
        let store = disk.open();
        store.append(&block(0, 1, 0, 1)).unwrap();
        store.sync().unwrap();
        disk.plan_next(Fault::Crash(Crash { moment: Moment::Torn, unsynced }), Call::Append);
        assert!(store.append(&block(1, 1, 1, 1)).is_err());
        assert_eq!(shape(&disk, 2), expected);
    }
}

/// An interrupted put lists any of its checkpoints, each whole; every other actor has the
/// checkpoint from before.
#[test]
fn a_torn_put_leaves_any_of_its_checkpoints() {
    let (a, b) = (id("a"), id("b"));
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let store = disk.open();
        store.put(&[checkpoint(&a, 1, 9), checkpoint(&b, 2, 9)]).unwrap();
        disk.plan_next(Fault::Crash(Crash { moment: Moment::Torn, unsynced: Unsynced::Drawn }), Call::Put);
        assert!(store.put(&[checkpoint(&a, 3, 9), checkpoint(&b, 4, 9)]).is_err());
        let store = disk.open();
        let found = [&a, &b].map(|actor| {
            let newest = store.get(actor, Generation::Newest).unwrap().unwrap();
            assert_eq!(newest, checkpoint(actor, newest.header.number.get(), 9));
            let previous = store.get(actor, Generation::Previous).unwrap();
            (newest.header.number.get(), previous.map(|previous| previous.header.number.get()))
        });
        seen.insert(found);
    }
    let old = [(1, None), (2, None)];
    let new = [(3, Some(1)), (4, Some(2))];
    assert_eq!(seen, BTreeSet::from([old, new, [old[0], new[1]], [new[0], old[1]]]));
}

#[test]
fn a_torn_cut_begins_anywhere_between() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        let disk = SimulatedDisk::new(seed);
        let store = disk.open();
        for first in 0..4 {
            store.append(&block(first, 1, first, 1)).unwrap();
            store.sync().unwrap();
        }
        disk.plan_next(Fault::Crash(Crash { moment: Moment::Torn, unsynced: Unsynced::Drawn }), Call::Cut);
        assert!(store.cut(Lsn::new(2)).is_err());
        let store = disk.open();
        let start = store.extent().unwrap().start;
        assert_eq!(store.read(Lsn::FIRST).unwrap().unwrap().first, start);
        seen.insert(start.get());
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2]));
}

/// Reads find the writes of a failed sync while the power is on, but no later sync ever covers
/// them.
#[test]
fn the_writes_of_a_failed_sync_are_lost_for_good() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    disk.plan(Fault::Fail, Call::Sync, 1);
    store.append(&block(0, 1, 0, 1)).unwrap();
    assert!(store.sync().is_err());
    store.sync().unwrap();
    assert!(store.read(Lsn::FIRST).unwrap().is_some());
    disk.lose_power(Unsynced::Dropped);
    assert_eq!(disk.open().read(Lsn::FIRST).unwrap(), None);
}

#[test]
fn a_full_device_takes_nothing_more_and_what_is_there_stays() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    store.append(&block(0, 1, 0, 1)).unwrap();
    store.sync().unwrap();
    disk.set_capacity(Some(disk.bytes() + 1));
    let full = store.append(&block(1, 1, 1, 1)).unwrap_err();
    assert!(full.to_string().contains("no space"), "{full}");
    assert!(store.sync().is_err());
    assert!(store.put(&[checkpoint(&id("a"), 1, 1)]).is_err());
    assert!(store.cut(Lsn::FIRST).is_err());
    assert_eq!(shape(&disk, 2), "wt");
    disk.set_capacity(None);
    let store = disk.open();
    store.append(&block(1, 1, 1, 2)).unwrap();
    store.sync().unwrap();
    assert_eq!(shape(&disk, 2), "ww");
}
