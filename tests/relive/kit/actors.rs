//! The actors of these tests, and the world outside of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relive::{Actor, Builder, Context, Discipline, Handle, Message, Runtime, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// What happens outside of the runtime.
#[derive(Clone, Default)]
pub(crate) struct World {
    /// How many messages were handled, replays included.
    pub(crate) handled: Arc<AtomicU64>,
    /// What handlers have noted, each with the time that they saw.
    pub(crate) notes: Arc<Mutex<Vec<(String, Timestamp)>>>,
    /// Lets side effects end.
    pub(crate) gate: Arc<Gate>,
}

pub(crate) struct Gate(pub(crate) Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl World {
    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::SeqCst)
    }

    pub(crate) fn notes(&self) -> Vec<(String, Timestamp)> {
        self.notes.lock().unwrap().clone()
    }

    fn note(&self, what: &str, cx: &Context<'_>) {
        self.notes.lock().unwrap().push((what.to_owned(), cx.now()));
    }
}

/// Passes things on. A quick one waits for its outputs alone.
#[derive(Serialize, Deserialize)]
pub(crate) struct Passing<const QUICK: bool> {
    seen: u64,
}

pub(crate) type Link = Passing<false>;
pub(crate) type Quick = Passing<true>;

impl<const QUICK: bool> Actor for Passing<QUICK> {
    const KIND: &'static str = if QUICK { "quick" } else { "link" };

    fn create(_: &str) -> Self {
        Self { seen: 0 }
    }
}

/// Goes on to the next link until nothing is left.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hop(pub(crate) u64);

impl Message for Hop {
    const NAME: &'static str = "hop";
    type Reply = u64;
}

impl<const QUICK: bool> Handle<Hop> for Passing<QUICK> {
    async fn handle(&mut self, Hop(left): Hop, cx: &mut Context<'_>) -> u64 {
        self.seen += 1;
        cx.dependency::<World>().handled.fetch_add(1, Ordering::SeqCst);
        if left > 0 {
            cx.to::<Self>(&left.to_string()).send(Hop(left - 1)).unwrap();
        }
        self.seen
    }
}

/// Sends itself to the other of two links for ever.
#[derive(Serialize, Deserialize)]
pub(crate) struct PingPong;

impl Message for PingPong {
    const NAME: &'static str = "ping-pong";
    type Reply = ();
}

impl Handle<PingPong> for Link {
    async fn handle(&mut self, _: PingPong, cx: &mut Context<'_>) {
        let other = if cx.actor().key() == "ping" { "pong" } else { "ping" };
        cx.to::<Self>(other).send(PingPong).unwrap();
    }
}

/// Waits for a side effect that the test ends, then goes on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Call;

impl Message for Call {
    const NAME: &'static str = "call";
    type Reply = ();
}

impl Handle<Call> for Link {
    async fn handle(&mut self, _: Call, cx: &mut Context<'_>) {
        let gate = Arc::clone(&cx.dependency::<World>().gate);
        cx.side_effect("call", || async move { gate.0.acquire().await.unwrap().forget() }).await;
        cx.to::<Self>("after").send(Hop(3)).unwrap();
    }
}

/// Sleeps, notes that, then goes on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sleep(pub(crate) u32);

impl Message for Sleep {
    const NAME: &'static str = "sleep";
    type Reply = ();
}

impl Handle<Sleep> for Link {
    async fn handle(&mut self, Sleep(minutes): Sleep, cx: &mut Context<'_>) {
        cx.sleep(MINUTE * minutes).await;
        cx.dependency::<World>().note(&format!("slept {minutes}"), cx);
        cx.to::<Self>("after").send(Hop(3)).unwrap();
    }
}

/// Asks another link to sleep.
#[derive(Serialize, Deserialize)]
pub(crate) struct AskToSleep;

impl Message for AskToSleep {
    const NAME: &'static str = "ask-to-sleep";
    type Reply = ();
}

impl Handle<AskToSleep> for Link {
    async fn handle(&mut self, _: AskToSleep, cx: &mut Context<'_>) {
        cx.to::<Self>("sleeper").ask(Sleep(10)).await.unwrap();
        cx.dependency::<World>().note("heard", cx);
    }
}

/// Sets a timer, which notes that and sets the next one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Remind {
    pub(crate) name: String,
    pub(crate) minutes: u32,
    pub(crate) again: Vec<u32>,
}

impl Message for Remind {
    const NAME: &'static str = "remind";
    type Reply = ();
}

impl Handle<Remind> for Link {
    async fn handle(&mut self, Remind { name, minutes, again }: Remind, cx: &mut Context<'_>) {
        let timer = cx.timer(&name).after(MINUTE * minutes).to_self::<Self>();
        timer.send(Due { name: name.clone(), again }).unwrap();
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Due {
    name: String,
    again: Vec<u32>,
}

impl Message for Due {
    const NAME: &'static str = "due";
    type Reply = ();
}

impl Handle<Due> for Link {
    async fn handle(&mut self, Due { name, mut again }: Due, cx: &mut Context<'_>) {
        cx.dependency::<World>().note(&name, cx);
        if let Some(minutes) = again.pop() {
            let timer = cx.timer(&name).after(MINUTE * minutes).to_self::<Self>();
            timer.send(Due { name: name.clone(), again }).unwrap();
        }
    }
}

/// Sets a timer with a period, whose firings note how many were missed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) fires: bool,
}

impl Message for Tick {
    const NAME: &'static str = "tick";
    type Reply = ();
}

impl Handle<Tick> for Link {
    async fn handle(&mut self, Tick { fires }: Tick, cx: &mut Context<'_>) {
        if fires {
            let missed = cx.timer_firing().unwrap().missed;
            cx.dependency::<World>().note(&format!("missed {missed}"), cx);
        } else {
            cx.timer("tick").every(MINUTE).to_self::<Self>().send(Tick { fires: true }).unwrap();
        }
    }
}

/// Panics.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fail;

impl Message for Fail {
    const NAME: &'static str = "fail";
    type Reply = ();
}

impl Handle<Fail> for Link {
    async fn handle(&mut self, _: Fail, _: &mut Context<'_>) {
        panic!("told to");
    }
}

/// Draws, and says its key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Draw;

impl Message for Draw {
    const NAME: &'static str = "draw";
    type Reply = (u64, String);
}

impl Handle<Draw> for Link {
    async fn handle(&mut self, _: Draw, cx: &mut Context<'_>) -> (u64, String) {
        (cx.random(), cx.idempotency_key())
    }
}

pub(crate) fn builder(world: &World) -> Builder {
    Runtime::builder()
        .provide(world.clone())
        .actor::<Link>(|link| {
            let link = link.handles::<Hop>().handles::<PingPong>().handles::<Call>().handles::<Sleep>();
            let link = link.handles::<AskToSleep>().handles::<Remind>().handles::<Due>().handles::<Tick>();
            link.handles::<Fail>().handles::<Draw>()
        })
        .actor::<Quick>(|quick| quick.handles::<Hop>().discipline(Discipline::BeforeOutput))
}
