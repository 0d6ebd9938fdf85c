//! A handler whose changes count only when it returns `Ok`: an `Err` leaves nothing but itself,
//! live and in every replay, whatever crashes when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relive::testing::ManualClock;
use relive::{
    Actor, ActorRef, Builder, Context, Discipline, Durability, Handle, KindBuilder, Runtime, Timestamp,
};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};
use serde::{Deserialize, Serialize};

use crate::medium;

/// Money, and what has come to it.
#[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq)]
struct Pot<const EAGER: bool> {
    cents: i64,
    came: Vec<String>,
}

impl<const EAGER: bool> Actor for Pot<EAGER> {
    const KIND: &'static str = if EAGER { "eager-pot" } else { "strict-pot" };

    fn create(_: &str) -> Self {
        Self::default()
    }
}

// Takes money out, sends it to another pot, sets one timer and cancels another. Asks in between, if
// it is to. Fails at its end, if it is to.
message!(Move { cents: i64, to: String, asks: bool, fails: bool }, "move", Result<i64, String>);
message!(Credit { cents: i64, text: String }, "credit", i64);
message!(Look {}, "look", (i64, Vec<String>));
// Sets a timer of its own that beats each second.
message!(Begin {}, "begin", ());
// Such a beat: it sets its timer anew, far away. The first ones fail.
message!(Beat {}, "beat", Result<(), String>);

/// Far away.
const NEVER: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

impl<const EAGER: bool> Handle<Move> for Pot<EAGER> {
    async fn handle(&mut self, message: Move, cx: &mut Context<'_>) -> Result<i64, String> {
        let Move { cents, to, asks, fails } = message;
        self.cents -= cents;
        self.came.push(format!("moved {cents}"));
        let credit = |part: i64, text: &str| Credit { cents: part, text: text.to_owned() };
        cx.to::<Self>(&to).send(credit(cents / 2, "first half")).unwrap();
        if asks {
            cx.to::<Self>(&to).ask(credit(0, "asked")).await.unwrap();
        }
        cx.to::<Self>(&to).send(credit(cents - cents / 2, "second half")).unwrap();
        cx.timer("late").after(SECOND).to_self::<Self>().send(credit(0, "late")).unwrap();
        cx.cancel_timer("beat");
        if fails { Err(format!("{cents} can't be moved")) } else { Ok(self.cents) }
    }
}

impl<const EAGER: bool> Handle<Credit> for Pot<EAGER> {
    async fn handle(&mut self, Credit { cents, text }: Credit, _: &mut Context<'_>) -> i64 {
        self.cents += cents;
        self.came.push(text);
        self.cents
    }
}

impl<const EAGER: bool> Handle<Look> for Pot<EAGER> {
    async fn handle(&mut self, _: Look, _: &mut Context<'_>) -> (i64, Vec<String>) {
        (self.cents, self.came.clone())
    }
}

impl<const EAGER: bool> Handle<Begin> for Pot<EAGER> {
    async fn handle(&mut self, _: Begin, cx: &mut Context<'_>) {
        cx.timer("beat").every(SECOND).to_self::<Self>().send(Beat {}).unwrap();
    }
}

impl<const EAGER: bool> Handle<Beat> for Pot<EAGER> {
    async fn handle(&mut self, _: Beat, cx: &mut Context<'_>) -> Result<(), String> {
        self.came.push("beat".to_owned());
        cx.to::<Self>("beats").send(Credit { cents: 1, text: "beat".to_owned() }).unwrap();
        cx.timer("beat").after(NEVER).to_self::<Self>().send(Beat {}).unwrap();
        if cx.timer_firing().unwrap().due.as_micros() < 3_000_000 {
            Err("not yet".to_owned())
        } else {
            Ok(())
        }
    }
}

fn kind<const EAGER: bool>(pot: KindBuilder<Pot<EAGER>>) -> KindBuilder<Pot<EAGER>> {
    let discipline = if EAGER { Discipline::BeforeOutput } else { Discipline::BeforeHandling };
    let pot = pot.handles_or_undo::<Move>().handles_or_undo::<Beat>();
    pot.handles::<Credit>().handles::<Look>().handles::<Begin>().discipline(discipline)
}

fn builder(clock: &ManualClock) -> Builder {
    let builder = medium::runtime().durability(Durability::ProcessCrash).clock(clock.clone());
    builder.actor::<Pot<true>>(kind).actor::<Pot<false>>(kind)
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_micros(1_000_000))
}

async fn open(path: &Path, clock: &ManualClock) -> Runtime {
    builder(clock).open(path).await.unwrap()
}

fn pot<const EAGER: bool>(runtime: &Runtime, key: &str) -> ActorRef<Pot<EAGER>> {
    runtime.actor(key).unwrap()
}

async fn look<const EAGER: bool>(runtime: &Runtime, key: &str) -> (i64, Vec<String>) {
    pot::<EAGER>(runtime, key).ask(Look {}).await.unwrap()
}

/// How the pots a and b look, in one opening after the other: after the end of the process, and
/// from a checkpoint.
async fn for_ever<const EAGER: bool>(mut runtime: Runtime, path: &Path, clock: &ManualClock) -> Looks {
    let looks = async |runtime: &Runtime| {
        let (b, a) = (look::<EAGER>(runtime, "b").await, look::<EAGER>(runtime, "a").await);
        (a, b)
    };
    let first = looks(&runtime).await;
    for checkpointed in [false, true, true] {
        if checkpointed {
            pot::<EAGER>(&runtime, "a").checkpoint().await.unwrap();
        }
        runtime.crash().await;
        drop(runtime);
        runtime = open(path, clock).await;
        assert_eq!(runtime.recovery().failed.len(), 0);
        assert_eq!(looks(&runtime).await, first, "checkpointed: {checkpointed}");
    }
    runtime.shutdown().await.unwrap();
    first
}

type Looks = ((i64, Vec<String>), (i64, Vec<String>));

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// An `Err` takes back the state, the messages and the timers. An `Ok` after it counts, and its
/// messages have the next numbers.
#[tokio::test]
async fn an_err_leaves_nothing_but_itself() {
    async fn check<const EAGER: bool>() {
        let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
        let path = directory.path().join("store");
        let runtime = open(&path, &clock).await;
        let a = pot::<EAGER>(&runtime, "a");
        a.ask(Credit { cents: 100, text: "pay".to_owned() }).await.unwrap();
        let to = || "b".to_owned();
        let moved = |cents, fails| a.ask(Move { cents, to: to(), asks: false, fails });
        assert_eq!(moved(10, true).await.unwrap(), Err("10 can't be moved".to_owned()));
        assert_eq!(moved(20, false).await.unwrap(), Ok(80));
        assert_eq!(moved(30, true).await.unwrap(), Err("30 can't be moved".to_owned()));
        let (a, b) = for_ever::<EAGER>(runtime, &path, &clock).await;
        assert_eq!(a, (80, texts(&["pay", "moved 20"])));
        assert_eq!(b, (20, texts(&["first half", "second half"])));
    }
    check::<false>().await;
    check::<true>().await;
}

/// What has left with a request stays; what follows it does not.
#[tokio::test]
async fn what_has_left_with_a_request_stays() {
    async fn check<const EAGER: bool>() {
        let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
        let path = directory.path().join("store");
        let runtime = open(&path, &clock).await;
        let a = pot::<EAGER>(&runtime, "a");
        let moved = |cents, fails| a.ask(Move { cents, to: "b".to_owned(), asks: true, fails });
        assert_eq!(moved(10, true).await.unwrap(), Err("10 can't be moved".to_owned()));
        assert_eq!(moved(20, false).await.unwrap(), Ok(-20));
        let (a, b) = for_ever::<EAGER>(runtime, &path, &clock).await;
        assert_eq!(a, (-20, texts(&["moved 20"])));
        assert_eq!(b, (25, texts(&["first half", "asked", "first half", "asked", "second half"])));
    }
    check::<false>().await;
    check::<true>().await;
}

/// A timer that fires has fired, also when its handler fails: a periodic one goes on. What the
/// handler set under its name is taken back.
#[tokio::test]
async fn a_firing_stays_fired() {
    async fn check<const EAGER: bool>() {
        let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
        let path = directory.path().join("store");
        let runtime = open(&path, &clock).await;
        let a = pot::<EAGER>(&runtime, "a");
        a.ask(Begin {}).await.unwrap();
        let moved = a.ask(Move { cents: 10, to: "b".to_owned(), asks: false, fails: true });
        assert!(moved.await.unwrap().is_err(), "it cancels the beat, and sets another timer");
        // The first firing fails. A later one sets the timer anew, for ever.
        for _ in 0..1000 {
            clock.advance(SECOND);
            if look::<EAGER>(&runtime, "beats").await.0 != 0 {
                break;
            }
        }
        let (a, b) = for_ever::<EAGER>(runtime, &path, &clock).await;
        assert_eq!((a, b), ((0, texts(&["beat"])), (0, Vec::new())));
    }
    check::<false>().await;
    check::<true>().await;
}

/// The power goes at every call of a small run. What is sent again under the same keys leaves each
/// time what the run without a crash leaves.
#[test]
fn every_call_of_a_small_run() {
    let moves =
        [(10, false, true), (20, true, true), (30, true, false), (40, false, false), (50, false, true)];
    async fn run<const EAGER: bool>(
        runtime: &Runtime,
        moves: &[(i64, bool, bool)],
    ) -> Option<Vec<Result<i64, String>>> {
        let mut replies = Vec::new();
        for (cents, asks, fails) in moves {
            let moved = Move { cents: *cents, to: "b".to_owned(), asks: *asks, fails: *fails };
            replies
                .push(pot::<EAGER>(runtime, "a").ask(moved).idempotency_key(&format!("{cents}")).await.ok()?);
        }
        Some(replies)
    }
    async fn check<const EAGER: bool>(moves: &[(i64, bool, bool)]) -> usize {
        let on = async |disk: &SimulatedDisk| builder(&clock()).open_on(Arc::new(disk.open())).await;
        let end = async |runtime: &Runtime| {
            let replies = run::<EAGER>(runtime, moves).await.unwrap();
            (replies, look::<EAGER>(runtime, "a").await, look::<EAGER>(runtime, "b").await)
        };
        let disk = SimulatedDisk::new(0);
        let runtime = on(&disk).await.unwrap();
        let expected = end(&runtime).await;
        runtime.crash().await;
        let (calls, mut cases) = (disk.calls(Call::Any), 0);
        for nth in 1..=calls {
            for moment in [Moment::Before, Moment::Torn, Moment::After] {
                for unsynced in [Unsynced::Dropped, Unsynced::Kept] {
                    let disk = SimulatedDisk::new(nth);
                    disk.plan(Fault::Crash(Crash { moment, unsynced }), Call::Any, nth);
                    if let Ok(runtime) = on(&disk).await {
                        run::<EAGER>(&runtime, moves).await;
                        runtime.crash().await;
                    }
                    disk.plan_nothing();
                    disk.lose_power(unsynced);
                    let runtime = on(&disk).await.unwrap();
                    assert_eq!(end(&runtime).await, expected, "call {nth} {moment:?} {unsynced:?}");
                    runtime.crash().await;
                    cases += 1;
                }
            }
        }
        cases
    }
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cases = tokio.block_on(async { check::<false>(&moves).await + check::<true>(&moves).await });
    assert!(cases > 100, "{cases} cases");
}
