//! The clock of a runtime: what handlers see of it, live and in a replay, when it stands, jumps
//! ahead and goes back.

use std::path::Path;
use std::time::Duration;

use relive::testing::ManualClock;
use relive::{Actor, Clock, Context, Durability, Handle, Message, Runtime, Timestamp};
use serde::{Deserialize, Serialize};

use crate::medium;

/// Remembers when it was told something.
#[derive(Serialize, Deserialize, Default)]
struct Diary {
    times: Vec<Timestamp>,
}

impl Actor for Diary {
    const KIND: &'static str = "diary";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

#[derive(Serialize, Deserialize)]
struct Note {}

impl Message for Note {
    const NAME: &'static str = "note";
    type Reply = Vec<Timestamp>;
}

impl Handle<Note> for Diary {
    async fn handle(&mut self, _: Note, cx: &mut Context<'_>) -> Vec<Timestamp> {
        self.times.push(cx.now());
        self.times.clone()
    }
}

async fn open(path: &Path, clock: &ManualClock) -> Runtime {
    let builder = medium::runtime().actor::<Diary>(|diary| diary.handles::<Note>()).clock(clock.clone());
    builder.durability(Durability::ProcessCrash).open(path).await.unwrap()
}

async fn note(runtime: &Runtime) -> Vec<Timestamp> {
    runtime.actor::<Diary>("a").unwrap().ask(Note {}).await.unwrap()
}

/// Invariant: one-step. The blocks have the time of the runtime's clock, and a replay has the same,
/// whatever the clock shows by then.
#[tokio::test(flavor = "multi_thread")]
async fn handlers_see_the_clock_of_the_runtime_and_a_replay_the_same() {
    let root = tempfile::tempdir().unwrap();
    let start = Timestamp::from_micros(1_000_000);
    let clock = ManualClock::new(start);
    let runtime = open(root.path(), &clock).await;
    assert_eq!(runtime.now(), start);
    assert_eq!(note(&runtime).await, [start]);
    clock.advance(Duration::from_secs(5));
    let later = start.plus(Duration::from_secs(5));
    assert_eq!(note(&runtime).await, [start, later]);
    clock.set(Timestamp::from_micros(7));
    let back = Timestamp::from_micros(7);
    assert_eq!(note(&runtime).await, [start, later, back], "also when it goes back");
    runtime.crash().await;
    clock.set(Timestamp::from_micros(u64::MAX));
    let runtime = open(root.path(), &clock).await;
    assert_eq!(runtime.recovery().replayed, 3);
    assert_eq!(note(&runtime).await, [start, later, back, clock.now()]);
    runtime.shutdown().await.unwrap();
}

/// Time limits of the runtime itself are real: a clock that stands still holds nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stands_still_holds_nothing_up() {
    let root = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::default());
    let runtime = open(root.path(), &clock).await;
    note(&runtime).await;
    let actor = runtime.actor::<Diary>("a").unwrap();
    actor.ask(Note {}).timeout(Duration::from_secs(60)).await.unwrap();
    actor.checkpoint().await.unwrap();
    assert_eq!(runtime.shutdown().await.unwrap().left, []);
}
