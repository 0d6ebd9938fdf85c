//! The wrapper that injects faults does what it says, and without a fault it is a store like any other.

use relive_storage::conformance::{Medium, block, check, checkpoint, id};
use relive_storage::faulty_store::{Call, Fault, FaultyStore};
use relive_storage::{CheckpointStore, Generation, Log, Lsn, MemoryStore, Store, StoreError};

struct Faulty(MemoryStore);

impl Medium for Faulty {
    fn open(&mut self) -> Box<dyn Store> {
        self.0 = self.0.reopen();
        Box::new(FaultyStore::new(self.0.clone()))
    }
}

#[test]
fn without_a_fault_it_keeps_the_contract() {
    check(&mut || Box::new(Faulty(MemoryStore::new())));
}

/// Invariant: fail-stop.
#[test]
fn after_a_failure_for_good_nothing_is_written() {
    let store = FaultyStore::new(MemoryStore::new());
    store.faults().plan(Fault::FailForGood, Call::Append, 2);
    store.append(&block(0, 1, 0, 1)).unwrap();
    store.sync().unwrap();
    assert!(matches!(store.append(&block(1, 1, 1, 1)), Err(StoreError::Backend { .. })));
    assert!(matches!(store.append(&block(1, 1, 1, 1)), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.sync(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(store.put(&[checkpoint(&id("a"), 1, 1)]), Err(StoreError::Poisoned { .. })));
    assert!(store.read(Lsn::FIRST).unwrap().is_some());
}

#[test]
fn a_single_failure_passes() {
    let store = FaultyStore::new(MemoryStore::new());
    store.faults().plan(Fault::Fail, Call::Any, 2);
    store.put(&[checkpoint(&id("a"), 1, 1)]).unwrap();
    assert!(store.get(&id("a"), Generation::Newest).is_err());
    assert!(store.get(&id("a"), Generation::Newest).unwrap().is_some());
    assert_eq!(store.faults().calls(Call::Any), 3);
    assert_eq!(store.faults().calls(Call::Get), 2);
}

#[test]
fn a_call_hangs_until_it_is_released() {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.faults();
    faults.plan(Fault::Hang, Call::Sync, 1);
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| store.sync());
        faults.wait_for_hang();
        store.append(&block(0, 1, 0, 1)).unwrap();
        faults.release();
        sync.join().unwrap().unwrap();
    });
}

/// Invariant: prefix. What was synced is there, what was not is gone.
#[test]
fn the_loss_of_power_takes_what_was_not_synced() {
    let store = FaultyStore::new(MemoryStore::new());
    store.append(&block(0, 2, 0, 1)).unwrap();
    store.sync().unwrap();
    store.append(&block(2, 2, 2, 1)).unwrap();
    assert!(store.read(Lsn::new(2)).unwrap().is_some());
    store.faults().plan(Fault::Forget, Call::Sync, 2);
    assert!(store.sync().is_err());
    assert!(store.read(Lsn::FIRST).is_err());
    let inner = store.into_inner().reopen();
    assert_eq!(inner.extent().unwrap().acknowledged, Lsn::new(2));
    assert!(inner.read(Lsn::FIRST).unwrap().is_some());
    assert_eq!(inner.read(Lsn::new(2)).unwrap(), None);
}

/// The same of the memory itself.
#[test]
fn a_crash_of_the_memory_takes_what_was_not_synced() {
    let store = MemoryStore::new();
    store.append(&block(0, 2, 0, 1)).unwrap();
    store.sync().unwrap();
    store.append(&block(2, 2, 2, 1)).unwrap();
    let died = store.reopen();
    assert!(died.read(Lsn::new(2)).unwrap().is_some(), "the death of the process takes nothing");
    assert!(matches!(store.sync(), Err(StoreError::Poisoned { .. })));
    died.crash();
    assert!(died.extent().is_err());
    let store = died.reopen();
    assert_eq!(store.read(Lsn::new(2)).unwrap(), None);
    store.append(&block(2, 1, 2, 2)).unwrap();
}
