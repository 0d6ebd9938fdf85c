//! Actors in chains, of two kinds: `eager` ones wait for their outputs alone, `strict` ones for
//! each delivery. And what callers and side effects have seen of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use relive::{Actor, ActorRef, Builder, Context, Discipline, Handle, KindBuilder, Message, Runtime};
use serde::{Deserialize, Serialize};

use crate::medium;

/// What one run did outside of its store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    /// Which link handled which message, live or in a replay.
    pub(crate) handled: Vec<(String, u64)>,
    /// Which link did a side effect, for which message, as the how manieth of its messages.
    pub(crate) effects: Vec<(String, u64, u64)>,
}

static OUTSIDE: Mutex<BTreeMap<u64, Outside>> = Mutex::new(BTreeMap::new());
static RUNS: AtomicU64 = AtomicU64::new(0);

fn outside<T>(run: u64, look: impl FnOnce(&mut Outside) -> T) -> T {
    look(OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_default())
}

/// A new run.
pub(crate) fn new_run() -> u64 {
    RUNS.fetch_add(1, Ordering::Relaxed)
}

/// What a run did outside.
pub(crate) fn seen(run: u64) -> Outside {
    outside(run, |outside| outside.clone())
}

/// How often a link has handled a message, live or in a replay.
pub(crate) fn handled(run: u64, link: &str, id: u64) -> usize {
    let handled = seen(run).handled;
    handled.iter().filter(|(by, which)| by == link && *which == id).count()
}

/// What a link has done.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// One less with each message sent on, one more with each that came from a link.
    pub(crate) balance: i64,
    /// The messages handled.
    pub(crate) history: Vec<u64>,
    /// By the other link, in order.
    pub(crate) sent: BTreeMap<String, Vec<u64>>,
    pub(crate) received: BTreeMap<String, Vec<u64>>,
    /// What its asks gave.
    pub(crate) learned: Vec<u64>,
}

/// A link of a chain.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Link<const EAGER: bool>(State);

pub(crate) type Eager = Link<true>;
pub(crate) type Strict = Link<false>;

impl<const EAGER: bool> Actor for Link<EAGER> {
    const KIND: &'static str = if EAGER { "eager" } else { "strict" };

    fn create(_: &str) -> Self {
        Self::default()
    }
}

/// How a message goes on to the next link.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub(crate) enum On {
    Tell,
    Ask,
}

/// A message through a chain. The reply says how many messages the link has handled with it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(crate) struct Pass {
    pub(crate) run: u64,
    pub(crate) id: u64,
    pub(crate) from: Option<String>,
    /// The links to come. The first letter of each says its kind.
    pub(crate) path: Vec<String>,
    pub(crate) on: On,
    /// The last link does something outside.
    pub(crate) acts: bool,
}

impl Message for Pass {
    const NAME: &'static str = "pass";
    type Reply = u64;
}

/// The state.
#[derive(Serialize, Deserialize)]
pub(crate) struct Show;

impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = State;
}

/// Panics at its first try, after it has sent something on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stumble {
    pub(crate) run: u64,
    pub(crate) id: u64,
}

impl Message for Stumble {
    const NAME: &'static str = "stumble";
    type Reply = u64;
}

impl<const EAGER: bool> Handle<Show> for Link<EAGER> {
    async fn handle(&mut self, _: Show, _: &mut Context<'_>) -> State {
        self.0.clone()
    }
}

impl<const EAGER: bool> Handle<Stumble> for Link<EAGER> {
    async fn handle(&mut self, Stumble { run, id }: Stumble, cx: &mut Context<'_>) -> u64 {
        let link = cx.actor().key().to_owned();
        outside(run, |outside| outside.handled.push((link.clone(), id)));
        self.0.history.push(id);
        assert!(handled(run, &link, id) > 1, "told to stumble");
        self.0.history.len() as u64
    }
}

impl<const EAGER: bool> Handle<Pass> for Link<EAGER> {
    async fn handle(&mut self, message: Pass, cx: &mut Context<'_>) -> u64 {
        let Pass { run, id, from, mut path, on, acts } = message;
        let (link, state) = (cx.actor().key().to_owned(), &mut self.0);
        outside(run, |outside| outside.handled.push((link.clone(), id)));
        state.history.push(id);
        let count = state.history.len() as u64;
        if let Some(from) = from {
            state.received.entry(from).or_default().push(id);
            state.balance += 1;
        }
        if path.is_empty() {
            if acts {
                let act = || async move { outside(run, |outside| outside.effects.push((link, id, count))) };
                cx.side_effect("act", act).await;
            }
            return count;
        }
        let next = path.remove(0);
        state.sent.entry(next.clone()).or_default().push(id);
        state.balance -= 1;
        let pass = Pass { run, id, from: Some(link), path, on, acts };
        match (on, next.starts_with('e')) {
            (On::Tell, true) => cx.to::<Eager>(&next).send(pass).unwrap(),
            (On::Tell, false) => cx.to::<Strict>(&next).send(pass).unwrap(),
            (On::Ask, true) => self.0.learned.push(cx.to::<Eager>(&next).ask(pass).await.unwrap_or_default()),
            (On::Ask, false) => {
                self.0.learned.push(cx.to::<Strict>(&next).ask(pass).await.unwrap_or_default());
            }
        }
        count
    }
}

fn kind<const EAGER: bool>(link: KindBuilder<Link<EAGER>>) -> KindBuilder<Link<EAGER>> {
    let discipline = if EAGER { Discipline::BeforeOutput } else { Discipline::BeforeHandling };
    link.handles::<Pass>().handles::<Show>().handles::<Stumble>().discipline(discipline)
}

pub(crate) fn builder() -> Builder {
    medium::runtime().actor::<Eager>(kind).actor::<Strict>(kind)
}

pub(crate) fn eager(runtime: &Runtime, key: &str) -> ActorRef<Eager> {
    runtime.actor(key).unwrap()
}

pub(crate) fn strict(runtime: &Runtime, key: &str) -> ActorRef<Strict> {
    runtime.actor(key).unwrap()
}

/// A message of which the first link is not in the path.
pub(crate) fn pass(run: u64, id: u64, path: &[&str]) -> Pass {
    let path = path.iter().map(|link| (*link).to_owned()).collect();
    Pass { run, id, from: None, path, on: On::Tell, acts: false }
}

/// The state of a link of either kind.
pub(crate) async fn show(runtime: &Runtime, link: &str) -> State {
    let shown = if link.starts_with('e') {
        eager(runtime, link).ask(Show).await.ok()
    } else {
        strict(runtime, link).ask(Show).await.ok()
    };
    shown.expect("a link shows its state")
}
