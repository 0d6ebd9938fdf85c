//! Actors that run programs: asks, queries, sleeps, side effects, messages, joins and races, as a
//! message says. What a program did shows in the actor's state.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relive::{
    Actor, ActorRef, Answer, AskFailure, Builder, Context, Discipline, Either, Handle, Message, Query,
    QueryFailure, Runtime, Unavailable,
};
use serde::{Deserialize, Serialize};

/// One instruction. Each gives a number, which the actor adds to what it has learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// Gives this number.
    Give(u64),
    /// Asks another node to run a program. Gives what that has learned by it.
    Ask(String, Vec<Op>),
    /// The same, but gives up after so many milliseconds.
    AskWithin(String, Vec<Op>, u64),
    /// Queries another node: how much it has learned. Gives that.
    Query(String),
    /// The same, but gives up after so many milliseconds.
    QueryWithin(String, u64),
    /// Tells another node to run a program.
    Tell(String, Vec<Op>),
    /// Sets a timer of this name, which has another node run a program after so many milliseconds.
    Later(String, String, Vec<Op>, u64),
    /// Counts under this name outside, and gives the number.
    Effect(String, u64),
    /// Waits outside until the name has been counted by somebody else.
    Await(String),
    /// Asks, from outside and in a side effect, the node that [`outside`] has registered under this
    /// name. Gives the reply, or 3,000,000 for a deadlock.
    Outside(String, Vec<Op>),
    /// Sleeps for milliseconds.
    Sleep(u64),
    /// Both at once.
    Join(Box<Op>, Box<Op>),
    /// The one that comes first.
    Race(Box<Op>, Box<Op>),
    /// All at once.
    All(Vec<Op>),
    /// The first of all.
    Any(Vec<Op>),
    /// This one, given up after so many milliseconds.
    Within(Box<Op>, u64),
    /// Sleeps until so many milliseconds after the clock of what was learned last.
    SleepUntil(u64),
    /// One after the other.
    Then(Vec<Op>),
    /// Panics the first so many times.
    Panic(String, u64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// What each of its instructions gave.
    pub(crate) learned: Vec<u64>,
    /// Why its asks got no reply.
    pub(crate) failures: Vec<AskFailure>,
    /// What the answers to its queries were: of which node, and how much that had learned.
    pub(crate) shown: Vec<(String, u64)>,
    /// Why its queries got no answer.
    pub(crate) unanswered: Vec<QueryFailure>,
}

impl Actor for Node {
    const KIND: &'static str = "node";

    fn create(_: &str) -> Self {
        Self { learned: Vec::new(), failures: Vec::new(), shown: Vec::new(), unanswered: Vec::new() }
    }
}

/// Runs a program. The reply is the sum of what its instructions gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run(pub(crate) Vec<Op>);

impl Message for Run {
    const NAME: &'static str = "run";
    type Reply = u64;
}

/// The state.
#[derive(Serialize, Deserialize)]
pub(crate) struct Show;

impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = Node;
}

/// How much a node has learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HowMuch;

impl Query for HowMuch {
    const NAME: &'static str = "how much";
    type Answer = u64;
}

impl Answer<HowMuch> for Node {
    fn answer(&self, _: HowMuch) -> u64 {
        self.learned.len() as u64
    }
}

impl Handle<Show> for Node {
    async fn handle(&mut self, _: Show, _: &mut Context<'_>) -> Node {
        self.clone()
    }
}

impl Handle<Run> for Node {
    async fn handle(&mut self, Run(program): Run, cx: &mut Context<'_>) -> u64 {
        let notes = Mutex::new(Notes::default());
        let mut sum = 0_u64;
        for op in &program {
            let gave = run(cx, op, &notes).await;
            self.learned.push(gave);
            let Notes { failures, shown, unanswered } = std::mem::take(&mut *note(&notes));
            self.failures.extend(failures);
            self.shown.extend(shown);
            self.unanswered.extend(unanswered);
            sum = sum.wrapping_add(gave);
        }
        // What is larger is no result, but the number of a program.
        sum % (1 << 32)
    }
}

type Giving<'a> = Pin<Box<dyn Future<Output = u64> + Send + 'a>>;

/// What one instruction leaves beside what it gave.
#[derive(Default)]
struct Notes {
    failures: Vec<AskFailure>,
    shown: Vec<(String, u64)>,
    unanswered: Vec<QueryFailure>,
}

fn note(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run<'a>(cx: &'a Context<'_>, op: &'a Op, notes: &'a Mutex<Notes>) -> Giving<'a> {
    let failed = |failure: AskFailure| {
        note(notes).failures.push(failure);
        1_000_000
    };
    let came = |of: &str, answer: Result<u64, QueryFailure>| match answer {
        Ok(much) => {
            note(notes).shown.push((of.to_owned(), much));
            much
        }
        Err(failure) => {
            note(notes).unanswered.push(failure);
            2_000_000
        }
    };
    Box::pin(async move {
        match op {
            Op::Give(number) => *number,
            Op::Ask(to, program) => {
                let asked = cx.to::<Node>(to).ask(Run(program.clone())).await;
                asked.unwrap_or_else(failed)
            }
            Op::AskWithin(to, program, millis) => {
                let ask = cx.to::<Node>(to).ask(Run(program.clone()));
                ask.timeout(Duration::from_millis(*millis)).await.unwrap_or_else(failed)
            }
            Op::Query(of) => came(of, cx.to::<Node>(of).query(HowMuch).await),
            Op::QueryWithin(of, millis) => {
                let query = cx.to::<Node>(of).query(HowMuch);
                came(of, query.timeout(Duration::from_millis(*millis)).await)
            }
            Op::Tell(to, program) => {
                cx.to::<Node>(to).send(Run(program.clone())).unwrap();
                0
            }
            Op::Later(name, to, program, millis) => {
                let timer = cx.timer(name).after(Duration::from_millis(*millis));
                timer.to::<Node>(to).send(Run(program.clone())).unwrap();
                0
            }
            Op::Effect(name, number) => {
                cx.side_effect("count", || async {
                    count(name);
                    *number
                })
                .await
            }
            Op::Await(name) => {
                cx.side_effect("await", || until_counted(name)).await;
                0
            }
            Op::Outside(name, program) => {
                cx.side_effect("outside", || async {
                    let node = outside().get(name).cloned().unwrap();
                    match node.ask(Run(program.clone())).await {
                        Ok(reply) => reply,
                        Err(error) => match error.unavailable() {
                            Some(Unavailable::Deadlock { .. }) => 3_000_000,
                            _ => 4_000_000,
                        },
                    }
                })
                .await
            }
            Op::Sleep(millis) => {
                cx.sleep(Duration::from_millis(*millis)).await;
                cx.now().as_micros() % 2
            }
            Op::Join(a, b) => {
                let (a, b) = cx.join(run(cx, a, notes), run(cx, b, notes)).await;
                a.wrapping_mul(3).wrapping_add(b)
            }
            Op::Race(a, b) => match cx.race(run(cx, a, notes), run(cx, b, notes)).await {
                Either::First(a) => a.wrapping_mul(5),
                Either::Second(b) => b.wrapping_mul(7),
            },
            Op::All(all) => {
                let all = cx.join_all(all.iter().map(|op| run(cx, op, notes))).await;
                all.iter().fold(0_u64, |sum, gave| sum.wrapping_mul(3).wrapping_add(*gave))
            }
            Op::Any(all) => {
                let first = cx.race_all(all.iter().map(|op| run(cx, op, notes))).await;
                first.map_or(0, |(at, gave)| gave.wrapping_add(at as u64))
            }
            Op::Within(op, millis) => {
                let given = Duration::from_millis(*millis);
                cx.timeout(given, run(cx, op, notes)).await.unwrap_or(2_000_000)
            }
            Op::SleepUntil(millis) => {
                cx.sleep_until(cx.now().plus(Duration::from_millis(*millis))).await;
                cx.now().as_micros() % 2
            }
            Op::Then(all) => {
                let mut sum = 0_u64;
                for op in all {
                    sum = sum.wrapping_add(run(cx, op, notes).await);
                }
                sum
            }
            Op::Panic(name, times) => {
                assert!(count(name) > *times, "{TOLD_TO_PANIC}");
                0
            }
        }
    })
}

/// What a program says when it panics as it was told.
pub(crate) const TOLD_TO_PANIC: &str = "told to panic";

static COUNTS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// The nodes that side effects ask from outside, by name.
pub(crate) fn outside() -> MutexGuard<'static, BTreeMap<String, ActorRef<Node>>> {
    static NODES: Mutex<BTreeMap<String, ActorRef<Node>>> = Mutex::new(BTreeMap::new());
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts outside, and returns how often that was.
pub(crate) fn count(name: &str) -> u64 {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(name.to_owned()).or_default();
    *count += 1;
    *count
}

/// How often a name was counted.
pub(crate) fn counted(name: &str) -> u64 {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
}

/// Waits until a name was counted.
pub(crate) async fn until_counted(name: &str) {
    while counted(name) == 0 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn builder() -> Builder {
    builder_with(Discipline::BeforeHandling)
}

/// With nodes that wait for this.
pub(crate) fn builder_with(discipline: Discipline) -> Builder {
    Runtime::builder().actor::<Node>(|node| {
        node.handles::<Run>().handles::<Show>().answers::<HowMuch>().discipline(discipline)
    })
}

pub(crate) fn node(runtime: &Runtime, key: &str) -> relive::ActorRef<Node> {
    runtime.actor(key).unwrap()
}

pub(crate) async fn show(runtime: &Runtime, key: &str) -> Node {
    node(runtime, key).ask(Show).await.unwrap()
}

/// What another node runs.
pub(crate) fn ask(to: &str, program: Vec<Op>) -> Op {
    Op::Ask(to.to_owned(), program)
}
