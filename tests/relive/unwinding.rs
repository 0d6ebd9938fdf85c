//! Class 30: users' code that unwinds in unexpected places. No caller hangs, every actor has a turn
//! that runs it, and every error is true.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relive::{
    Actor, ActorId, AskError, Builder, CheckpointError, Context, FailureCause, HaltReason, Handle, Lsn,
    Message, OpenError, Runtime, Unavailable,
};
use relive_storage::{
    Block, Checkpoint, CheckpointHeader, CheckpointStore, Extent, Generation, Log, MemoryStore, StoreError,
    StoredBlock,
};
use serde::{Deserialize, Serialize, Serializer};

use crate::actors::{Deposit, account, open_on};
use crate::{actors, medium};

/// Whether the states of this test panic while they are dropped, or encoded.
static DROPS: AtomicBool = AtomicBool::new(false);
static ENCODES: AtomicBool = AtomicBool::new(false);

#[derive(Deserialize, Default)]
struct Bomb {
    sum: u64,
}

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        assert!(!ENCODES.load(Ordering::Relaxed), "the state is not encoded");
        let mut state = serializer.serialize_struct("Bomb", 1)?;
        state.serialize_field("sum", &self.sum)?;
        state.end()
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!DROPS.load(Ordering::Relaxed) || std::thread::panicking(), "the state is not dropped");
    }
}

impl Actor for Bomb {
    const KIND: &'static str = "bomb";
    fn create(key: &str) -> Self {
        assert!(key != "uncreatable", "there is no such actor");
        Self::default()
    }
}

/// Panics in `drop`.
struct Local;

impl Drop for Local {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a local of a handler is dropped");
    }
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
enum How {
    Add,
    Panic,
    PayloadPanics,
    LocalPanics,
    LocalPanicsWhenHalted,
    Encodes,
}

#[derive(Serialize, Deserialize)]
struct Do(How);

impl Message for Do {
    const NAME: &'static str = "do";
    type Reply = u64;
}

impl Handle<Do> for Bomb {
    async fn handle(&mut self, Do(how): Do, _cx: &mut Context<'_>) -> u64 {
        match how {
            How::Add => {}
            How::Panic => panic!("told to"),
            How::PayloadPanics => std::panic::panic_any(Local),
            How::LocalPanics => drop(Local),
            How::LocalPanicsWhenHalted => {
                let _local = Local;
                tokio::task::yield_now().await;
            }
            How::Encodes => {
                ENCODES.store(true, Ordering::Relaxed);
            }
        }
        self.sum += 1;
        self.sum
    }
}

fn builder() -> Builder {
    medium::runtime().actor::<Bomb>(|bomb| bomb.handles::<Do>())
}

async fn ask(runtime: &Runtime, key: &str, how: How) -> Result<u64, AskError<Do>> {
    let bomb = runtime.actor::<Bomb>(key).unwrap();
    bomb.ask(Do(how)).timeout(Duration::from_secs(30)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn class_30_code_that_unwinds_anywhere_leaves_nobody_waiting() {
    let store = MemoryStore::new();
    let mut seen = 0;
    let runtime = builder().open_on(Arc::new(store.clone())).await.unwrap();
    for (how, why) in [
        (How::Panic, "told to"),
        (How::PayloadPanics, "a panic without a message"),
        (How::LocalPanics, "a local of a handler"),
        (How::LocalPanicsWhenHalted, "awaited something outside"),
    ] {
        for drops in [false, true] {
            DROPS.store(drops, Ordering::Relaxed);
            match ask(&runtime, "a", how).await {
                Err(AskError::Quarantined(entry)) => {
                    assert!(entry.reason.contains(why), "{how:?}: {entry:?}");
                }
                other => panic!("{how:?}: {other:?}"),
            }
            seen += 1;
            assert_eq!(ask(&runtime, "a", How::Add).await.unwrap(), seen);
        }
    }
    assert!(runtime.failed_actors().is_empty());

    // An actor fails whose `create` panics, and its error says so.
    for _ in 0..2 {
        let error = ask(&runtime, "uncreatable", How::Add).await.unwrap_err();
        let Some(Unavailable::Actor(failure)) = error.unavailable() else { panic!("{error}") };
        assert!(failure.to_string().contains("`create` panicked: there is no such actor"), "{failure}");
    }

    // A state that does not encode costs log.
    ask(&runtime, "a", How::Encodes).await.unwrap();
    let refused = runtime.actor::<Bomb>("a").unwrap().checkpoint().await.unwrap_err();
    assert!(
        matches!(&refused, CheckpointError::NotTaken { reason, .. } if reason.contains("not encoded")),
        "{refused}"
    );
    assert_eq!(ask(&runtime, "a", How::Add).await.unwrap(), seen + 2);
    let left = runtime.shutdown().await.unwrap().left;
    assert_eq!(left.len(), 1, "{left:?}");
    ENCODES.store(false, Ordering::Relaxed);

    let told = Arc::new(AtomicBool::new(false));
    let telling = Arc::clone(&told);
    let progress = move |_| {
        telling.store(true, Ordering::Relaxed);
        panic!("the callback panics");
    };
    let runtime = builder().on_progress(progress).open_on(Arc::new(store.reopen())).await.unwrap();
    assert!(told.load(Ordering::Relaxed));
    assert_eq!(ask(&runtime, "a", How::Add).await.unwrap(), seen + 3, "the log had it all");
    runtime.shutdown().await.unwrap();
    DROPS.store(false, Ordering::Relaxed);
}

/// A store that panics when it reads a checkpoint, as long as its flag is set.
struct Panicking {
    store: MemoryStore,
    panics: Arc<AtomicBool>,
}

impl Log for Panicking {
    fn extent(&self) -> Result<Extent, StoreError> {
        self.store.extent()
    }
    fn append(&self, block: &Block) -> Result<(), StoreError> {
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

impl CheckpointStore for Panicking {
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        self.store.put(checkpoints)
    }
    fn get(&self, actor: &ActorId, generation: Generation) -> Result<Option<Checkpoint>, StoreError> {
        assert!(!self.panics.load(Ordering::Relaxed), "no checkpoint is read");
        self.store.get(actor, generation)
    }
    fn list(&self, visit: &mut dyn FnMut(CheckpointHeader) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.store.list(visit)
    }
}

/// A panic during the load of an actor is the failure of that actor, and a panic during an opening
/// is the failure of the opening. relive reports neither as the end of a runtime or an error of the
/// store.
#[tokio::test(flavor = "multi_thread")]
async fn class_30_a_panic_of_a_load_is_told_as_what_it_is() {
    let store = MemoryStore::new();
    let runtime = open_on(store.clone()).await;
    for key in ["alice", "bob"] {
        account(&runtime, key).ask(Deposit { cents: 5 }).await.unwrap();
    }
    runtime.shutdown().await.unwrap();

    let (store, panics) = (store.reopen(), Arc::new(AtomicBool::new(false)));
    let runtime = open_on(Panicking { store: store.clone(), panics: Arc::clone(&panics) }).await;
    panics.store(true, Ordering::Relaxed);
    let error = account(&runtime, "alice").ask(Deposit { cents: 1 }).await.unwrap_err();
    let Some(Unavailable::Actor(failure)) = error.unavailable() else { panic!("{error}") };
    assert_eq!(failure.cause, FailureCause::Replay, "{failure}");
    assert!(
        matches!(&failure.halt.reason, HaltReason::Unwound { panic } if panic == "no checkpoint is read"),
        "{failure}"
    );
    panics.store(false, Ordering::Relaxed);
    account(&runtime, "bob").ask(Deposit { cents: 1 }).await.unwrap();
    assert!(runtime.failed().is_none());
    runtime.crash().await;

    panics.store(true, Ordering::Relaxed);
    let panicking = Panicking { store: store.reopen(), panics };
    let error = actors::builder().open_on(Arc::new(panicking)).await.unwrap_err();
    assert!(matches!(&error, OpenError::Panicked { panic } if panic == "no checkpoint is read"), "{error}");
}
