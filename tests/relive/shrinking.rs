//! Checkpoints, the cut of the log, the fallback to the checkpoint before, and actors that leave
//! memory.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relive::{ActorId, CheckpointPolicy, Durability, Rsn};
use relive_storage::{
    Block, Checkpoint, CheckpointHeader, CheckpointNumber, CheckpointStore, Extent, Generation, Log, Lsn,
    MemoryStore, StoreError, StoredBlock,
};

use crate::actors::{Deposit, Note, Transfer, account, builder, open_on, show};

/// A store whose newest checkpoints can't be read.
pub(crate) struct NewestDamaged(pub(crate) MemoryStore, pub(crate) AtomicBool);

impl Log for NewestDamaged {
    fn extent(&self) -> Result<Extent, StoreError> {
        self.0.extent()
    }
    fn append(&self, block: &Block) -> Result<(), StoreError> {
        self.0.append(block)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.0.sync()
    }
    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        self.0.read(from)
    }
    fn cut(&self, below: Lsn) -> Result<Lsn, StoreError> {
        self.0.cut(below)
    }
}

impl CheckpointStore for NewestDamaged {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.1.store(false, Ordering::SeqCst);
        self.0.put(checkpoints)
    }
    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        if generation == Generation::Newest && self.1.load(Ordering::SeqCst) {
            let (number, what) = (CheckpointNumber::new(0), "told to be".to_owned());
            return Err(StoreError::CorruptCheckpoint { actor: actor.clone(), number, what });
        }
        self.0.get(actor, generation)
    }
    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.0.list(visit)
    }
}

/// Invariant: checkpoint-covers-log. When the newest checkpoint is damaged the one before and the
/// log from it give the same state, with no, one or two checkpoints taken and the log cut as far as
/// it may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    for checkpoints in 1..5_usize {
        let store = MemoryStore::new();
        let runtime = open_on(store.clone()).await;
        let mut expected = Vec::new();
        for round in 0..4_i64 {
            for step in 0..30 {
                let cents = round * 100 + step;
                account(&runtime, "alice").tell(Deposit { cents }).await.unwrap().durable().await.unwrap();
                let _ = account(&runtime, "alice").tell(Transfer { to: "bob".into(), cents }).await.unwrap();
                expected.extend([cents, -cents]);
            }
            if usize::try_from(round).unwrap() < checkpoints {
                account(&runtime, "alice").checkpoint().await.unwrap();
                account(&runtime, "bob").checkpoint().await.unwrap();
                runtime.cut_log().await.unwrap();
            }
        }
        show(&runtime, "alice").await;
        runtime.crash().await;
        let damaged = NewestDamaged(store.reopen(), AtomicBool::new(true));
        let runtime = open_on(damaged).await;
        assert_eq!(show(&runtime, "alice").await.history, expected, "after {checkpoints} checkpoints");
        assert!(runtime.recovery().failed.is_empty());
        runtime.shutdown().await.unwrap();
    }
}

/// Invariant: bounded. The log stays within its budget, although one actor received only one
/// message, long ago.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_cut_and_an_idle_actor_does_not_hold_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let open = || {
        builder()
            .durability(Durability::ProcessCrash)
            .checkpoints(CheckpointPolicy::default().records(500))
            .log_bytes(8 << 20)
            .open(&path)
    };
    let runtime = open().await.unwrap();
    account(&runtime, "idle").ask(Deposit { cents: 42 }).await.unwrap();
    let text = "x".repeat(1_000);
    let mut logged = 0;
    let mut largest = 0;
    while logged < 64 << 20 {
        for key in 0..2 {
            let account = account(&runtime, &format!("busy-{key}"));
            for _ in 0..20 {
                drop(account.tell(Note { text: text.clone() }).await.unwrap());
                logged += text.len();
            }
        }
        largest = largest.max(runtime.log_bytes());
    }
    for key in 0..2 {
        show(&runtime, &format!("busy-{key}")).await;
    }
    while runtime.log_bytes() > 8 << 20 {
        tokio::task::yield_now().await;
    }
    // Over the budget the runtime accepts nothing, but it still logs what it accepted before: two
    // mailboxes of 2 MB.
    assert!(largest < 2 * (8 << 20), "{largest} bytes of log with a budget of 8 MiB");
    runtime.crash().await;
    let runtime = open().await.unwrap();
    assert!(runtime.recovery().bytes <= 9 << 20, "{} bytes read", runtime.recovery().bytes);
    assert_eq!(show(&runtime, "idle").await.history, [42]);
    runtime.shutdown().await.unwrap();
}

/// Invariant: checkpoint-covers-log. An opening does not load actors whose checkpoints hold
/// everything, but knows the part of the log that each fallback needs, and keeps it as long as the
/// fallback is one.
#[tokio::test(flavor = "multi_thread")]
async fn an_opening_keeps_the_fallbacks_of_passive_actors() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    for key in ["alice", "bob"] {
        for cents in 1..4 {
            account(&runtime, key).ask(Deposit { cents }).await.unwrap();
        }
        account(&runtime, key).checkpoint().await.unwrap();
    }
    let before = runtime.cut_log().await.unwrap();
    runtime.crash().await;
    let runtime = open_on(store.reopen()).await;
    assert_eq!((runtime.recovery().actors, runtime.recovery().replayed), (0, 0), "both stay passive");
    assert_eq!(runtime.cut_log().await.unwrap(), before, "their messages are the fallback");
    // Her next checkpoint is the fallback; his messages are needed still.
    account(&runtime, "alice").checkpoint().await.unwrap();
    let bobs = runtime.cut_log().await.unwrap();
    assert!(bobs > before);
    runtime.crash().await;
    let runtime = open_on(NewestDamaged(store.reopen(), AtomicBool::new(true))).await;
    assert_eq!(runtime.cut_log().await.unwrap(), bobs);
    for key in ["alice", "bob"] {
        assert_eq!(show(&runtime, key).await.history, [1, 2, 3], "{key}");
    }
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. An actor of an earlier opening holds the cut back, though no message has
/// reached it in this one: the runtime takes a checkpoint of it.
#[tokio::test(flavor = "multi_thread")]
async fn passive_actors_of_an_earlier_opening_do_not_hold_the_log() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    for key in 0..600 {
        account(&runtime, &format!("idle-{key}")).ask(Deposit { cents: key }).await.unwrap();
    }
    for key in 0..600 {
        account(&runtime, &format!("idle-{key}")).checkpoint().await.unwrap();
    }
    runtime.crash().await;
    let open = builder().checkpoints(CheckpointPolicy::default().records(500)).log_bytes(4 << 20);
    let runtime = open.open_on(Arc::new(store.reopen())).await.unwrap();
    assert_eq!(runtime.recovery().actors, 0);
    let before = runtime.cut_log().await.unwrap();
    let text = "x".repeat(4_000);
    let busy = account(&runtime, "busy");
    tokio::time::timeout(Duration::from_secs(60), async {
        while runtime.cut_log().await.unwrap() == before || runtime.stats().checkpoints < 600 {
            for _ in 0..100 {
                drop(busy.tell(Note { text: text.clone() }).await.unwrap());
            }
        }
    })
    .await
    .expect("the idle actors hold the log back");
    for key in [0, 300, 599] {
        assert_eq!(show(&runtime, &format!("idle-{key}")).await.history, [key]);
    }
    runtime.shutdown().await.unwrap();
}

/// Invariant: bounded. The runtime cuts a recovered log in parts, not only as a whole: it knows
/// what a cut frees of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovered_log_is_cut_in_parts() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    for key in ["early", "late"] {
        for _ in 0..100 {
            let note = Note { text: "x".repeat(4_000) };
            account(&runtime, key).tell(note).await.unwrap().durable().await.unwrap();
        }
    }
    let whole = runtime.log_bytes();
    runtime.crash().await;
    let runtime = open_on(store.reopen()).await;
    assert!(runtime.log_bytes() >= whole);
    for _ in 0..2 {
        account(&runtime, "early").checkpoint().await.unwrap();
    }
    runtime.cut_log().await.unwrap();
    assert!(runtime.log_bytes() < whole * 2 / 3, "{} of {whole} bytes are kept", runtime.log_bytes());
    assert_eq!(show(&runtime, "late").await.cents, 400_000);
    assert_eq!(show(&runtime, "early").await.cents, 400_000);
    runtime.shutdown().await.unwrap();
}

/// An idle actor leaves memory once its checkpoint is on stable storage, and comes back with its
/// next message.
#[tokio::test]
async fn idle_actors_leave_memory_and_come_back() {
    let store = MemoryStore::new();
    let idle = Duration::from_millis(100);
    let runtime = builder().passivate_after(idle).open_on(Arc::new(store.clone())).await.unwrap();
    for key in 0..50 {
        account(&runtime, &key.to_string()).ask(Deposit { cents: key }).await.unwrap();
    }
    while runtime.actors_in_memory() > 0 {
        tokio::time::sleep(idle / 2).await;
    }
    assert!(runtime.stats().checkpoints >= 50, "each left a checkpoint behind");
    for key in 0..50 {
        let account = account(&runtime, &key.to_string());
        assert_eq!(account.ask(Deposit { cents: 1 }).await.unwrap(), key + 1);
        assert_eq!(account.checkpoint().await.unwrap(), Rsn::new(2));
    }
    runtime.crash().await;
    let runtime = open_on(store.reopen()).await;
    assert_eq!(runtime.recovery().replayed, 0);
    assert_eq!(show(&runtime, "7").await.history, [7, 1]);
    runtime.shutdown().await.unwrap();
}
