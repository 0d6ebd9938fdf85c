//! Back-pressure: what is accepted and not in the log yet counts against the budget of the log.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use relive::{ActorId, Durability, Refused};
use relive_storage::{
    Block, Checkpoint, CheckpointHeader, CheckpointStore, Extent, Generation, Log, Lsn, MemoryStore,
    StoreError, StoredBlock,
};

use crate::actors::{Note, account, builder, show};

/// A device that stands still while its gate is closed.
#[derive(Clone)]
struct Gated {
    store: MemoryStore,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Gated {
    fn new() -> Self {
        Self { store: MemoryStore::new(), gate: Arc::new((Mutex::new(true), Condvar::new())) }
    }

    fn set(&self, open: bool) {
        *self.gate.0.lock().unwrap() = open;
        self.gate.1.notify_all();
    }
}

impl Log for Gated {
    fn extent(&self) -> Result<Extent, StoreError> {
        self.store.extent()
    }
    fn append(&self, block: &Block) -> Result<(), StoreError> {
        drop(self.gate.1.wait_while(self.gate.0.lock().unwrap(), |open| !*open).unwrap());
        self.store.append(block)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.store.sync()
    }
    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        self.store.read(from)
    }
    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.store.cut(below)
    }
}

impl CheckpointStore for Gated {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.store.put(checkpoints)
    }
    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        self.store.get(actor, generation)
    }
    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.store.list(visit)
    }
}

const BUDGET: u64 = 1 << 20;
const TEXT_BYTES: usize = 1_000;
const ACTORS: u64 = 4_000;

/// Invariant: bounded. While the disk stands still, senders to many actors wait before their
/// messages are accepted, not after: so the log has no more to take than its budget when the disk
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn senders_wait_for_a_disk_that_stands_still_before_their_messages_are_accepted() {
    let device = Gated::new();
    let runtime = builder().log_bytes(BUDGET).open_on(Arc::new(device.clone())).await.unwrap();
    let note = || Note { text: "x".repeat(TEXT_BYTES) };
    device.set(false);
    let mut accepted = 0;
    while accepted < ACTORS {
        let to = account(&runtime, &accepted.to_string());
        // With no time to wait, a message is accepted at once or not at all.
        match to.tell(note()).timeout(Duration::ZERO).await {
            Ok(_) => accepted += 1,
            Err(refused) => {
                assert!(matches!(refused.reason, Refused::Timeout), "{}", refused.reason);
                break;
            }
        }
    }
    let bytes = accepted * TEXT_BYTES as u64;
    device.set(true);
    assert!(bytes <= BUDGET, "{bytes} bytes were accepted while nothing could be logged");
    assert!(2 * bytes > BUDGET, "only {bytes} bytes were accepted of {BUDGET}");
    // All senders get through once the log takes what was accepted.
    let mut largest = 0;
    for number in accepted..ACTORS {
        drop(account(&runtime, &number.to_string()).tell(note()).await.unwrap());
        largest = largest.max(runtime.log_bytes());
    }
    for number in 0..ACTORS {
        let account = show(&runtime, &number.to_string()).await;
        assert_eq!(account.cents, i64::try_from(TEXT_BYTES).unwrap(), "actor {number}");
        largest = largest.max(runtime.log_bytes());
    }
    assert!(2 * largest < 3 * BUDGET, "{largest} bytes of log with a budget of {BUDGET}");
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. Many senders to many actors at the same time, on a disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_to_many_actors_does_not_carry_the_log_over_its_budget() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let opening = builder().durability(Durability::ProcessCrash).log_bytes(BUDGET).open(&path);
    let runtime = Arc::new(opening.await.unwrap());
    let senders = [0, 1, 2, 3, 4, 5, 6, 7].map(|sender| {
        let runtime = Arc::clone(&runtime);
        tokio::spawn(async move {
            let mut largest = 0;
            for number in (sender..2 * ACTORS).step_by(8) {
                let note = Note { text: "x".repeat(TEXT_BYTES) };
                drop(account(&runtime, &number.to_string()).tell(note).await.unwrap());
                largest = largest.max(runtime.log_bytes());
            }
            largest
        })
    });
    for sender in senders {
        let largest = sender.await.unwrap();
        assert!(2 * largest < 3 * BUDGET, "{largest} bytes of log with a budget of {BUDGET}");
    }
    runtime.shutdown().await.unwrap();
}
