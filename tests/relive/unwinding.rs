//! Class 30: users' code that unwinds where one does not expect any. No caller hangs, no actor is left without anybody to
//! run it, and what is told is true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relive::storage::MemoryStore;
use relive::{Actor, Builder, Context, Handle, Message, Refused, Runtime};
use serde::{Deserialize, Serialize, Serializer};

use crate::medium;

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

/// Panics when it is dropped.
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

async fn ask(runtime: &Runtime, key: &str, how: How) -> Result<u64, Refused> {
    let asking = runtime.actor::<Bomb>(key).unwrap().ask(Do(how)).timeout(Duration::from_secs(30)).await;
    asking.map_err(|error| error.reason().cloned().unwrap())
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
                Err(Refused::Quarantined(entry)) => assert!(entry.reason.contains(why), "{how:?}: {entry:?}"),
                other => panic!("{how:?}: {other:?}"),
            }
            seen += 1;
            assert_eq!(ask(&runtime, "a", How::Add).await.unwrap(), seen);
        }
    }
    assert!(runtime.failed_actors().is_empty());

    // An actor that can't be created fails, and says so.
    for _ in 0..2 {
        let Err(Refused::Actor(failure)) = ask(&runtime, "uncreatable", How::Add).await else { panic!() };
        assert!(failure.to_string().contains("`create` panicked: there is no such actor"), "{failure}");
    }

    // A state that can't be encoded costs log.
    ask(&runtime, "a", How::Encodes).await.unwrap();
    let refused = runtime.actor::<Bomb>("a").unwrap().checkpoint().await.unwrap_err();
    assert!(
        matches!(&refused, Refused::Checkpoint { reason, .. } if reason.contains("not encoded")),
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
