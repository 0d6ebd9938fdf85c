//! A shutdown has an end, whatever handlers do: they wait for ever, end just in time, keep each
//! other busy, or never give their thread back. Everything acknowledged is there afterwards, and
//! goes on where it was.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use relive::{Actor, ActorRef, Builder, Context, Durability, Handle, Runtime, ShutdownReport};
use relive_storage::MemoryStore;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::actors::{happen, happened};
use crate::medium;

/// The gates that a test has opened, by name. Side effects wait for them.
static OPEN: LazyLock<watch::Sender<BTreeSet<String>>> = LazyLock::new(watch::Sender::default);

/// The idempotency keys that side effects ran under, each with what it was for.
static KEYS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

fn open_gate(name: &str) {
    OPEN.send_modify(|open| {
        open.insert(name.to_owned());
    });
}

async fn gate(name: &str) {
    OPEN.subscribe().wait_for(|open| open.contains(name)).await.map(drop).unwrap();
}

fn keys_of(what: &str) -> Vec<String> {
    let keys = KEYS.lock().unwrap();
    keys.iter().filter(|(for_what, _)| for_what == what).map(|(_, key)| key.clone()).collect()
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
struct Clerk {
    seen: Vec<u64>,
    /// The last of the messages that actors send each other without end, each with the next number.
    last: u64,
    out_of_order: bool,
}

impl Actor for Clerk {
    const KIND: &'static str = "clerk";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

message!(Note { number: u64 }, "note", ());
message!(Show {}, "show", Clerk);
// Sends a note to another.
message!(Forward { to: String, number: u64 }, "forward", ());
// Does something outside, then waits outside until the gate opens.
message!(Wait { gate: String, number: u64 }, "wait", u64);
// Keeps its thread until the gate opens.
message!(Loop { gate: String }, "loop", ());
// Goes back and forth without end; between an actor and itself too.
message!(Volley { number: u64, from: String }, "volley", ());

impl Handle<Note> for Clerk {
    async fn handle(&mut self, message: Note, _cx: &mut Context<'_>) {
        self.seen.push(message.number);
    }
}

impl Handle<Show> for Clerk {
    async fn handle(&mut self, _message: Show, _cx: &mut Context<'_>) -> Self {
        self.clone()
    }
}

impl Handle<Forward> for Clerk {
    async fn handle(&mut self, message: Forward, cx: &mut Context<'_>) {
        cx.to::<Self>(&message.to).send(Note { number: message.number }).unwrap();
    }
}

impl Handle<Wait> for Clerk {
    async fn handle(&mut self, message: Wait, cx: &mut Context<'_>) -> u64 {
        let Wait { gate: name, number } = message;
        let before = format!("{name}-before");
        self.seen.push(cx.side_effect("before", || async move { happen(&before) }).await);
        let waits = |key: String| async move {
            KEYS.lock().unwrap().push((name.clone(), key));
            gate(&name).await;
            number
        };
        let number = cx.keyed_side_effect("wait", waits).await;
        self.seen.push(number);
        number
    }
}

impl Handle<Loop> for Clerk {
    async fn handle(&mut self, message: Loop, cx: &mut Context<'_>) {
        let never_pending = || async move {
            happen(&message.gate);
            while !OPEN.borrow().contains(&message.gate) {
                std::thread::yield_now();
            }
        };
        cx.side_effect("loop", never_pending).await;
        self.seen.push(0);
    }
}

impl Handle<Volley> for Clerk {
    async fn handle(&mut self, message: Volley, cx: &mut Context<'_>) {
        let me = cx.actor().key().to_owned();
        // Each of two sees every second number.
        let step = if message.from == me { 1 } else { 2 };
        self.out_of_order |= message.number != self.last + step && self.last > 0;
        self.last = message.number;
        cx.to::<Self>(&message.from).send(Volley { number: message.number + 1, from: me }).unwrap();
    }
}

/// Where a store is; both are opened again after a shutdown.
enum Place {
    Directory(TempDir),
    Memory(Mutex<MemoryStore>),
}

impl Place {
    fn all() -> [Self; 2] {
        [Self::Directory(tempfile::tempdir().unwrap()), Self::Memory(Mutex::new(MemoryStore::new()))]
    }

    async fn open(&self) -> Runtime {
        self.open_with(|builder| builder).await
    }

    async fn open_with(&self, set: impl FnOnce(Builder) -> Builder) -> Runtime {
        let builder = medium::runtime().actor::<Clerk>(|clerk| {
            let clerk = clerk.handles::<Note>().handles::<Show>().handles::<Forward>();
            clerk.handles::<Wait>().handles::<Loop>().handles::<Volley>()
        });
        let builder = set(builder.durability(Durability::ProcessCrash));
        match self {
            Self::Directory(directory) => builder.open(directory.path().join("store")).await.unwrap(),
            Self::Memory(store) => {
                let reopened = store.lock().unwrap().reopen();
                *store.lock().unwrap() = reopened.clone();
                builder.open_on(std::sync::Arc::new(reopened)).await.unwrap()
            }
        }
    }

    /// A name of a gate that no other test has.
    fn gate(&self, name: &str) -> String {
        match self {
            Self::Directory(_) => format!("{name} on a disk"),
            Self::Memory(_) => format!("{name} in memory"),
        }
    }
}

fn clerk(runtime: &Runtime, key: &str) -> ActorRef<Clerk> {
    runtime.actor(key).unwrap()
}

async fn show(runtime: &Runtime, key: &str) -> Clerk {
    clerk(runtime, key).ask(Show {}).await.unwrap()
}

async fn note(runtime: &Runtime, key: &str, number: u64) {
    clerk(runtime, key).ask(Note { number }).await.unwrap();
}

fn left(report: &ShutdownReport) -> Vec<&str> {
    report.left.iter().map(|left| left.actor.key()).collect()
}

/// Longer than any step of a test, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

/// Invariants: log-before-handle, exactly-once inside. A handler that waits for ever ends with the
/// deadline. The report says what it waited in. All others take their checkpoints. After the next
/// opening its side effect runs again, under the same key, and one that was done does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_for_ever_is_given_up_and_runs_again() {
    for place in Place::all() {
        let (gate, time) = (place.gate("for ever"), Duration::from_secs(2));
        let runtime = place.open().await;
        note(&runtime, "stuck", 1).await;
        let wait = Wait { gate: gate.clone(), number: 2 };
        let stuck = clerk(&runtime, "stuck");
        let receipts = (stuck.tell(wait).await.unwrap(), stuck.tell(Note { number: 3 }).await.unwrap());
        receipts.0.durable().await.unwrap();
        until(|| keys_of(&gate).len() == 1).await;
        // The log takes in what comes while the handler waits.
        receipts.1.durable().await.unwrap();
        let told = clerk(&runtime, "stuck").tell(Note { number: 4 }).await.unwrap();
        told.durable().await.unwrap();
        clerk(&runtime, "friend").ask(Forward { to: "stuck".into(), number: 5 }).await.unwrap();
        note(&runtime, "other", 6).await;
        let began = Instant::now();
        let report = runtime.shutdown_within(time).await.unwrap();
        let took = began.elapsed();
        assert!(took >= time / 2 && took < LONG, "{took:?}");
        assert_eq!(left(&report), ["stuck"], "all others have checkpoints");
        assert!(report.left[0].reason.contains("its handler waits"), "{}", report.left[0].reason);
        let [waiting] = &report.waiting[..] else { panic!("{:?}", report.waiting) };
        assert_eq!((waiting.actor.key(), waiting.rsn.get(), &*waiting.message), ("stuck", 2, "wait"));
        assert!(waiting.waited >= time / 2, "{:?}", waiting.waited);
        assert_eq!(waiting.unlogged, 0, "{waiting:?}");
        let runtime = place.open().await;
        until(|| keys_of(&gate).len() == 2).await;
        open_gate(&gate);
        let mut seen = show(&runtime, "stuck").await.seen;
        while !seen.contains(&5) {
            seen = show(&runtime, "stuck").await.seen;
        }
        assert_eq!(seen, [1, 1, 2, 3, 4, 5], "what the log has, once and in order");
        assert_eq!(show(&runtime, "other").await.seen, [6]);
        let keys = keys_of(&gate);
        assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
        assert_eq!(happened(&format!("{gate}-before")), 1, "its outcome is on record");
        assert_eq!(runtime.shutdown_within(LONG).await.unwrap(), ShutdownReport::default());
    }
}

/// A handler that ends before its part of the time is up has ended: its caller has the answer, and
/// nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_in_time_leaves_nothing() {
    for place in Place::all() {
        let gate = place.gate("in time");
        let runtime = place.open().await;
        let (asked, wait) = (clerk(&runtime, "a"), Wait { gate: gate.clone(), number: 2 });
        let answer = tokio::spawn(async move { asked.ask(wait).await });
        until(|| keys_of(&gate).len() == 1).await;
        let (began, ending) = (Instant::now(), tokio::spawn(runtime.shutdown_within(LONG * 4)));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!ending.is_finished() && !answer.is_finished());
        open_gate(&gate);
        assert_eq!(ending.await.unwrap().unwrap(), ShutdownReport::default());
        assert_eq!(answer.await.unwrap().unwrap(), 2);
        assert!(began.elapsed() < LONG, "a part that is done early leaves its time");
        let runtime = place.open().await;
        assert_eq!(runtime.recovery().replayed, 0);
        assert_eq!(show(&runtime, "a").await.seen, [1, 2]);
        assert_eq!(keys_of(&gate).len(), 1);
        runtime.shutdown().await.unwrap();
    }
}

/// Invariants: exactly-once inside, fifo. Actors that keep themselves or each other busy don't keep
/// a shutdown from its end, and go on with the next number.
#[tokio::test(flavor = "multi_thread")]
async fn actors_that_never_come_to_rest_are_shut_down_and_go_on() {
    for place in Place::all() {
        let mut before = 0;
        for round in 0..3 {
            let runtime = place.open().await;
            if round == 0 {
                let volley = |from: &str| Volley { number: 1, from: from.to_owned() };
                clerk(&runtime, "alone").ask(volley("alone")).await.unwrap();
                clerk(&runtime, "one").ask(volley("two")).await.unwrap();
            }
            while show(&runtime, "alone").await.last <= before || show(&runtime, "two").await.last <= before {
            }
            let report = runtime.shutdown_within(Duration::from_secs(2)).await.unwrap();
            assert_eq!(report, ShutdownReport::default(), "round {round}");
            let runtime = place.open().await;
            assert_eq!(runtime.recovery().replayed, 0, "round {round}");
            before = 0;
            for key in ["alone", "one", "two"] {
                let clerk = show(&runtime, key).await;
                assert!(!clerk.out_of_order, "{key} in round {round}");
                before = before.max(clerk.last);
            }
            runtime.crash().await;
        }
    }
}

/// With no time nothing is waited for. The store is closed in order all the same, and the report
/// names everybody whom the next opening replays.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_without_time_closes_the_store_at_once() {
    for place in Place::all() {
        let gate = place.gate("no time");
        let runtime = place.open().await;
        for (key, number) in [("b", 1), ("a", 2)] {
            note(&runtime, key, number).await;
        }
        let wait = Wait { gate: gate.clone(), number: 3 };
        clerk(&runtime, "c").tell(wait).await.unwrap().durable().await.unwrap();
        until(|| keys_of(&gate).len() == 1).await;
        let began = Instant::now();
        let report = runtime.shutdown_within(Duration::ZERO).await.unwrap();
        assert!(began.elapsed() < LONG);
        assert_eq!(left(&report), ["a", "b", "c"]);
        assert_eq!(report.left[0].reason, "the time for it was up");
        assert_eq!(report.waiting.len(), 1);
        open_gate(&gate);
        let runtime = place.open().await;
        assert_eq!(runtime.recovery().replayed, 2);
        assert_eq!((show(&runtime, "a").await.seen, show(&runtime, "b").await.seen), (vec![2], vec![1]));
        assert_eq!(show(&runtime, "c").await.seen, [1, 3]);
        let keys = keys_of(&gate);
        assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
        runtime.shutdown().await.unwrap();
    }
}

/// A part of the time stays for the checkpoints of all the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_waits_takes_no_checkpoint_from_the_others() {
    let (place, gate) = (Place::Memory(Mutex::new(MemoryStore::new())), "crowd");
    let runtime = place.open().await;
    let wait = Wait { gate: gate.to_owned(), number: 2 };
    clerk(&runtime, "stuck").tell(wait).await.unwrap().durable().await.unwrap();
    for actor in 0..2_000 {
        drop(clerk(&runtime, &format!("{actor}")).tell(Note { number: actor }).await.unwrap());
    }
    let report = runtime.shutdown_within(Duration::from_secs(20)).await.unwrap();
    assert_eq!(left(&report), ["stuck"]);
    open_gate(gate);
    let runtime = place.open().await;
    assert_eq!(show(&runtime, "1999").await.seen, [1_999]);
    assert_eq!(show(&runtime, "stuck").await.seen, [1, 2]);
    runtime.shutdown().await.unwrap();
}

/// A handler that keeps its thread holds nobody longer than the time: with a deadline, and with a
/// limit for each part. The store is closed, so the next opening gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_keeps_its_thread_is_left_to_itself() {
    for place in Place::all() {
        for deadline in [true, false] {
            let (gate, key) = (place.gate(&format!("loop {deadline}")), format!("{deadline}"));
            let limit = Duration::from_millis(300);
            let runtime = place.open_with(|builder| builder.shutdown_timeout(limit)).await;
            let looping = Loop { gate: gate.clone() };
            clerk(&runtime, &key).tell(looping).await.unwrap().durable().await.unwrap();
            until(|| happened(&gate) == 1).await;
            note(&runtime, "other", 1).await;
            let began = Instant::now();
            let report = if deadline {
                runtime.shutdown_within(Duration::from_secs(1)).await.unwrap()
            } else {
                runtime.shutdown().await.unwrap()
            };
            assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
            assert_eq!(left(&report), [&*key]);
            assert_eq!(report.left[0].reason, "its handler has not ended");
            assert_eq!(report.waiting, []);
            // While it still runs: nothing of it reaches the store any more.
            let runtime = place.open().await;
            open_gate(&gate);
            assert_eq!(show(&runtime, &key).await.seen, [0]);
            assert_eq!(happened(&gate), 2, "its outcome was not on record");
            runtime.shutdown().await.unwrap();
        }
    }
}

/// In a tokio of one thread a handler that keeps the thread keeps everybody from running. The
/// shutdown has a thread of its own, so a caller elsewhere hears of its end, and the store is
/// closed.
#[test]
fn a_host_of_one_thread_that_is_kept_busy_does_not_hold_the_store() {
    let (place, gate) = (Place::Directory(tempfile::tempdir().unwrap()), "one thread");
    let tokio = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let host = tokio();
    let runtime = host.block_on(place.open());
    let (looping, actor) = (Loop { gate: gate.to_owned() }, clerk(&runtime, "a"));
    let hosting = std::thread::spawn(move || {
        host.block_on(async {
            drop(actor.tell(looping).await.unwrap());
            until(|| happened(gate) == 2).await;
        });
    });
    tokio().block_on(async {
        until(|| happened(gate) == 1).await;
        let report = runtime.shutdown_within(Duration::from_millis(300)).await.unwrap();
        assert_eq!(left(&report), ["a"]);
        let runtime = place.open().await;
        open_gate(gate);
        assert_eq!(show(&runtime, "a").await.seen, [0]);
        runtime.shutdown().await.unwrap();
    });
    hosting.join().unwrap();
}

/// All callers share one shutdown. A deadline shortens one that is under way, and the first caller
/// need not be there any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_shortens_the_shutdown_that_all_callers_share() {
    for place in Place::all() {
        let (gate, hour) = (place.gate("shared"), Duration::from_secs(3_600));
        let runtime = place.open_with(|builder| builder.shutdown_timeout(hour)).await;
        let wait = Wait { gate: gate.clone(), number: 2 };
        clerk(&runtime, "stuck").tell(wait).await.unwrap().durable().await.unwrap();
        until(|| keys_of(&gate).len() == 1).await;
        let (first, gone) = (tokio::spawn(runtime.shutdown()), tokio::spawn(runtime.shutdown()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!first.is_finished());
        gone.abort();
        let later = tokio::spawn(runtime.clone().shutdown_within(hour));
        let began = Instant::now();
        let report = runtime.shutdown_within(Duration::from_millis(300)).await.unwrap();
        assert!(began.elapsed() < LONG);
        assert_eq!(left(&report), ["stuck"]);
        assert_eq!(first.await.unwrap().unwrap(), report);
        assert_eq!(later.await.unwrap().unwrap(), report);
        assert_eq!(runtime.shutdown().await.unwrap(), report, "it is kept");
        open_gate(&gate);
        let runtime = place.open().await;
        assert_eq!(show(&runtime, "stuck").await.seen, [1, 2]);
        runtime.shutdown().await.unwrap();
    }
}
