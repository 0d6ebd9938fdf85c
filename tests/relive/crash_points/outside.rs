//! What survives the crash of a simulated process: the ledger of side effects, and a record of what
//! handlers did. And the actor whose handlers write there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use relive::{Actor, Builder, Context, Discipline, Either, Handle, Message, RestartPolicy};
use serde::{Deserialize, Serialize};

use crate::medium;

/// All runs under way, by number.
static OUTSIDE: Mutex<BTreeMap<u64, Outside>> = Mutex::new(BTreeMap::new());
static RUNS: AtomicU64 = AtomicU64::new(0);

/// What one run did outside of its store.
#[derive(Default)]
pub(crate) struct Outside {
    /// Each side effect in the order done: under which key, by which operation, with which outcome.
    pub(crate) charges: Vec<(String, u32, u64)>,
    /// How often an operation that fails at first was tried.
    tries: BTreeMap<u32, u32>,
    /// The operations whose handlers wait outside.
    waiting: BTreeSet<u32>,
    /// Those that may go on.
    let_go: BTreeSet<u32>,
    /// Which actor handled which operation, live or in a replay.
    handled: BTreeSet<(String, u32)>,
}

/// The number of a run. Dropping it removes the outside of the run.
pub(crate) struct RunNumber(pub(crate) u64);

impl RunNumber {
    pub(crate) fn new() -> Self {
        Self(RUNS.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Outside) -> T) -> T {
        outside(self.0, look)
    }

    /// Whether the handler of an operation waits outside.
    pub(crate) fn is_waiting(&self, id: u32) -> bool {
        self.with(|outside| outside.waiting.contains(&id))
    }

    /// Lets the handler of an operation go on, also before it waits.
    pub(crate) fn let_go(&self, id: u32) {
        self.with(|outside| outside.let_go.insert(id));
    }

    pub(crate) fn was_handled(&self, key: &str, id: u32) -> bool {
        self.with(|outside| outside.handled.contains(&(key.to_owned(), id)))
    }
}

impl Drop for RunNumber {
    fn drop(&mut self) {
        OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

fn outside<T>(run: u64, look: impl FnOnce(&mut Outside) -> T) -> T {
    look(OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_default())
}

/// What an actor has done, in order.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
pub(crate) struct Node {
    pub(crate) entries: Vec<Entry>,
}

/// One thing that an actor has done, for the operation of this number.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Told(u32),
    Passed(u32),
    Took(u32),
    /// With the outcome, and with a draw.
    Charged(u32, u64, u64),
    Stumbled(u32),
    /// In a try that gave nothing up: a try that gives something up must change nothing.
    HeldOn(u32),
    /// It was asked by the other one.
    Gave(u32),
    /// With the reply of the other one: how much that had done.
    Asked(u32, u64),
    /// What the winner has given: the reply of the other one, or 0 for the sleep.
    Raced(u32, u64),
    Set(u32),
    /// Whether a timer was set.
    Cancelled(u32, bool),
    /// The timer that this operation had set.
    Rang(u32),
}

impl Actor for Node {
    const KIND: &'static str = "node";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

message!(pub(crate) Tell { pub(crate) run: u64, pub(crate) id: u32 }, "tell", ());
message!(pub(crate) Pass { pub(crate) run: u64, pub(crate) id: u32, pub(crate) to: String }, "pass", ());
message!(pub(crate) Take { pub(crate) run: u64, pub(crate) id: u32 }, "take", ());
message!(pub(crate) Charge { pub(crate) run: u64, pub(crate) id: u32 }, "charge", (u64, u64));
message!(pub(crate) Stumble { pub(crate) run: u64, pub(crate) id: u32 }, "stumble", ());
message!(pub(crate) GiveUp { pub(crate) run: u64, pub(crate) id: u32 }, "give-up", ());
message!(pub(crate) Ask { pub(crate) run: u64, pub(crate) id: u32, pub(crate) to: String }, "ask", u64);
message!(pub(crate) Give { pub(crate) run: u64, pub(crate) id: u32, pub(crate) waits: bool }, "give", u64);
message!(pub(crate) Race { pub(crate) run: u64, pub(crate) id: u32, pub(crate) to: String, pub(crate) waits: bool }, "race", u64);
message!(pub(crate) Set { pub(crate) run: u64, pub(crate) id: u32 }, "set", ());
message!(pub(crate) Cancel { pub(crate) run: u64, pub(crate) id: u32 }, "cancel", bool);
message!(pub(crate) Ring { pub(crate) run: u64, pub(crate) id: u32 }, "ring", ());
message!(pub(crate) Look {}, "look", Node);

impl Node {
    fn did(&mut self, entry: Entry, run: u64, id: u32, cx: &Context<'_>) {
        self.entries.push(entry);
        outside(run, |outside| outside.handled.insert((cx.actor().key().to_owned(), id)));
    }
}

impl Handle<Tell> for Node {
    async fn handle(&mut self, message: Tell, cx: &mut Context<'_>) {
        self.did(Entry::Told(message.id), message.run, message.id, cx);
    }
}

impl Handle<Pass> for Node {
    async fn handle(&mut self, message: Pass, cx: &mut Context<'_>) {
        let Pass { run, id, to } = message;
        cx.to::<Self>(&to).send(Take { run, id }).unwrap();
        self.did(Entry::Passed(id), run, id, cx);
    }
}

impl Handle<Take> for Node {
    async fn handle(&mut self, message: Take, cx: &mut Context<'_>) {
        self.did(Entry::Took(message.id), message.run, message.id, cx);
    }
}

impl Handle<Charge> for Node {
    async fn handle(&mut self, message: Charge, cx: &mut Context<'_>) -> (u64, u64) {
        let Charge { run, id } = message;
        let charge = |key| async move {
            outside(run, |outside| {
                let outcome = outside.charges.len() as u64 + 1;
                outside.charges.push((key, id, outcome));
                outcome
            })
        };
        let outcome = cx.keyed_side_effect("charge", charge).await;
        let draw = cx.random();
        self.did(Entry::Charged(id, outcome, draw), run, id, cx);
        (outcome, draw)
    }
}

impl Handle<Stumble> for Node {
    async fn handle(&mut self, message: Stumble, cx: &mut Context<'_>) {
        let Stumble { run, id } = message;
        self.did(Entry::Stumbled(id), run, id, cx);
        if tried(run, id) == 1 {
            // Bypasses the hook that prints, since this happens thousands of times.
            std::panic::resume_unwind(Box::new(Bomb));
        }
    }
}

impl Handle<GiveUp> for Node {
    async fn handle(&mut self, message: GiveUp, cx: &mut Context<'_>) {
        let GiveUp { run, id } = message;
        if tried(run, id) == 1 {
            self.did(Entry::Told(id), run, id, cx);
            let mut never = std::pin::pin!(cx.side_effect("never", std::future::pending::<()>));
            let polled = std::future::poll_fn(|task| Poll::Ready(never.as_mut().poll(task).is_ready())).await;
            assert!(!polled, "it is never done");
        } else {
            self.did(Entry::HeldOn(id), run, id, cx);
        }
    }
}

impl Handle<Give> for Node {
    async fn handle(&mut self, Give { run, id, waits }: Give, cx: &mut Context<'_>) -> u64 {
        if waits {
            cx.side_effect("wait", || until_let_go(run, id)).await;
        }
        self.did(Entry::Gave(id), run, id, cx);
        self.entries.len() as u64
    }
}

impl Handle<Ask> for Node {
    async fn handle(&mut self, Ask { run, id, to }: Ask, cx: &mut Context<'_>) -> u64 {
        let reply =
            cx.to::<Self>(&to).ask(Give { run, id, waits: false }).await.expect("the other one gives");
        self.did(Entry::Asked(id, reply), run, id, cx);
        reply
    }
}

impl Handle<Race> for Node {
    async fn handle(&mut self, Race { run, id, to, waits }: Race, cx: &mut Context<'_>) -> u64 {
        let ask = cx.to::<Self>(&to).ask(Give { run, id, waits }).into_future();
        let won = match cx.race(ask, cx.sleep(NAP)).await {
            Either::First(reply) => reply.expect("the other one gives"),
            Either::Second(()) => 0,
        };
        self.did(Entry::Raced(id, won), run, id, cx);
        won
    }
}

impl Handle<Set> for Node {
    async fn handle(&mut self, Set { run, id }: Set, cx: &mut Context<'_>) {
        cx.timer("t").after(TIMER).to_self::<Self>().send(Ring { run, id }).unwrap();
        self.did(Entry::Set(id), run, id, cx);
    }
}

impl Handle<Cancel> for Node {
    async fn handle(&mut self, Cancel { run, id }: Cancel, cx: &mut Context<'_>) -> bool {
        let was_set = cx.cancel_timer("t");
        self.did(Entry::Cancelled(id, was_set), run, id, cx);
        was_set
    }
}

impl Handle<Ring> for Node {
    async fn handle(&mut self, Ring { run, id }: Ring, cx: &mut Context<'_>) {
        assert!(cx.timer_firing().is_some_and(|firing| firing.due <= cx.now()), "it fires early");
        self.did(Entry::Rang(id), run, id | RANG, cx);
    }
}

/// Waits until the run lets the handler of an operation go on.
async fn until_let_go(run: u64, id: u32) {
    outside(run, |outside| outside.waiting.insert(id));
    while !outside(run, |outside| outside.let_go.contains(&id)) {
        tokio::task::yield_now().await;
    }
}

/// How long a sleep takes: much less than a timer.
pub(crate) const NAP: Duration = Duration::from_millis(1);

/// When a timer fires, after it was set.
pub(crate) const TIMER: Duration = Duration::from_secs(1);

/// Added to the number of the operation that has set a timer, for that timer's firing.
pub(crate) const RANG: u32 = 1 << 31;

/// Counts a try.
fn tried(run: u64, id: u32) -> u32 {
    outside(run, |outside| {
        let tries = outside.tries.entry(id).or_default();
        *tries += 1;
        *tries
    })
}

/// The payload of the panics here, which itself panics in `drop`.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("told to stumble twice"));
    }
}

impl Handle<Look> for Node {
    async fn handle(&mut self, _message: Look, _cx: &mut Context<'_>) -> Self {
        self.clone()
    }
}

/// A runtime that knows the actor, and in which nothing happens by time, except by that of a clock.
pub(crate) fn builder(discipline: Discipline) -> Builder {
    let kinds = medium::runtime().actor::<Node>(|node| {
        node.handles::<Tell>()
            .handles::<Pass>()
            .handles::<Take>()
            .handles::<Charge>()
            .handles::<Stumble>()
            .handles::<GiveUp>()
            .handles::<Look>()
            .handles::<Ask>()
            .handles::<Give>()
            .handles::<Race>()
            .handles::<Set>()
            .handles::<Cancel>()
            .handles::<Ring>()
            .discipline(discipline)
    });
    kinds.restarts(RestartPolicy::default().backoff(Duration::ZERO))
}

/// The actor under code that can handle nothing.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Unable(Node);

impl Actor for Unable {
    const KIND: &'static str = Node::KIND;

    fn create(_key: &str) -> Self {
        Self(Node::default())
    }
}

macro_rules! unable {
    ($($message:ty)*) => {$(
        impl Handle<$message> for Unable {
            async fn handle(
                &mut self,
                _message: $message,
                _cx: &mut Context<'_>,
            ) -> <$message as Message>::Reply {
                std::panic::resume_unwind(Box::new(Bomb))
            }
        }
    )*};
}

unable! { Tell Pass Take Charge Stumble GiveUp Look }

/// A runtime whose code can handle none of the messages.
pub(crate) fn unable_builder() -> Builder {
    let kinds = medium::runtime().actor::<Unable>(|node| {
        node.handles::<Tell>()
            .handles::<Pass>()
            .handles::<Take>()
            .handles::<Charge>()
            .handles::<Stumble>()
            .handles::<GiveUp>()
            .handles::<Look>()
    });
    kinds.restarts(RestartPolicy::default().tries(1).backoff(Duration::ZERO))
}
