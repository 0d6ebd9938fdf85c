//! Random programs of asks, queries, races, limits in time, sleeps, timers, side effects and
//! messages, on a disk that loses power at random calls: each program runs once, and a replay
//! learns what the run has learned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use relive::{ActorFailure, Discipline, RestartPolicy, Runtime};
use relive_storage::frame::split_mix;
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};

use crate::programs::{Node, Op, Run, TOLD_TO_PANIC, builder_with, node};

/// The nodes that programs run on.
const NODES: u64 = 4;
/// The first number by which a program is known.
const PROGRAM: u64 = 1 << 32;

/// Draws random programs.
struct Random {
    seed: u64,
    drawn: u64,
    programs: u64,
    /// The programs that must run, with their nodes.
    sure: BTreeMap<u64, String>,
}

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        split_mix(self.seed, self.drawn) % end
    }

    fn key(&mut self) -> String {
        self.below(NODES).to_string()
    }

    /// A program for a node. It begins with the number by which it is known.
    fn program(&mut self, node: &str, depth: u64, is_sure: bool) -> Vec<Op> {
        let number = PROGRAM + self.programs;
        self.programs += 1;
        if is_sure {
            self.sure.insert(number, node.to_owned());
        }
        let ops = if depth == 0 { 0 } else { self.below(4) };
        let mut program = vec![Op::Give(number)];
        program.extend((0..ops).map(|_| self.op(depth, is_sure)));
        program
    }

    fn op(&mut self, depth: u64, is_sure: bool) -> Op {
        let to = self.key();
        let name = format!("random.{}.{}.{}", self.seed, self.drawn, self.programs);
        match self.below(if depth == 0 { 7 } else { 18 }) {
            0 => Op::Give(1),
            1 => Op::Effect(name, 2),
            2 => Op::Sleep(self.below(3)),
            3 => Op::Panic(name, self.below(2)),
            4 => Op::Query(to),
            5 => Op::QueryWithin(to, self.below(4)),
            6 => Op::SleepUntil(self.below(3)),
            7 | 8 => {
                let program = self.program(&to, depth - 1, is_sure);
                Op::Ask(to, program)
            }
            9 => {
                let program = self.program(&to, depth - 1, is_sure);
                Op::AskWithin(to, program, self.below(4))
            }
            10 => {
                let program = self.program(&to, depth - 1, is_sure);
                Op::Tell(to, program)
            }
            11 => {
                let program = self.program(&to, depth - 1, is_sure);
                Op::Later(name, to, program, self.below(3))
            }
            12 => Op::Join(self.boxed(depth, is_sure), self.boxed(depth, is_sure)),
            // What has not begun when a race is won never begins.
            13 => Op::Race(self.boxed(depth, false), self.boxed(depth, false)),
            14 => Op::All((0..=self.below(3)).map(|_| self.op(depth - 1, is_sure)).collect()),
            15 => Op::Any((0..=self.below(3)).map(|_| self.op(depth - 1, false)).collect()),
            // What has not begun when the time is over never begins.
            16 => Op::Within(self.boxed(depth, false), self.below(4)),
            _ => Op::Then((0..=self.below(3)).map(|_| self.op(depth - 1, is_sure)).collect()),
        }
    }

    fn boxed(&mut self, depth: u64, is_sure: bool) -> Box<Op> {
        Box::new(self.op(depth - 1, is_sure))
    }
}

async fn open(disk: &SimulatedDisk, discipline: Discipline) -> Option<Runtime> {
    let restarts = RestartPolicy::default().backoff(Duration::ZERO).tries(u32::MAX);
    builder_with(discipline).restarts(restarts).open_on(Arc::new(disk.open())).await.ok()
}

/// Opens, and does `work`, until no actor has stopped. A program that is told to panic may do so
/// for the first time when an opening goes on with it, or later, when what it waits for has come;
/// others have what it sent by then, so its actor stops, and the next opening tries again.
async fn on_whole<T>(
    disk: &SimulatedDisk,
    discipline: Discipline,
    work: impl AsyncFn(&Runtime) -> Result<T, String>,
) -> (Runtime, T) {
    loop {
        let runtime = open(disk, discipline).await.unwrap();
        let outcome = work(&runtime).await;
        let failed = runtime.failed_actors();
        match outcome {
            Ok(value) if failed.is_empty() => return (runtime, value),
            Ok(_) => {}
            Err(reason) => assert!(!failed.is_empty(), "{reason}"),
        }
        let told = |failure: &Arc<ActorFailure>| failure.to_string().contains(TOLD_TO_PANIC);
        assert!(failed.iter().all(told), "{failed:?}");
        // Each program panics so often, and no more.
        runtime.crash().await;
    }
}

/// Sends the programs, as a producer does that begins anew after a crash. `None` when the store
/// fails.
async fn feed(runtime: &Runtime, programs: &[(String, Vec<Op>)]) -> Option<()> {
    let mut producer = runtime.producer("feed").unwrap();
    let mut receipts = Vec::new();
    for (to, program) in programs {
        receipts.push(producer.tell(&node(runtime, to), Run(program.clone())).await.ok()?);
    }
    for receipt in receipts {
        receipt.durable().await.ok()?;
    }
    Some(())
}

/// The states of all nodes, or why a node does not show it.
async fn states(runtime: &Runtime) -> Result<Vec<Node>, String> {
    let mut states = Vec::new();
    for key in 0..NODES {
        let shown = node(runtime, &key.to_string()).ask(crate::programs::Show).await;
        states.push(shown.map_err(|error| error.to_string())?);
    }
    Ok(states)
}

/// Waits until all programs that must run have run.
async fn until_done(runtime: &Runtime, sure: &BTreeMap<u64, String>) -> Result<Vec<Node>, String> {
    loop {
        let states = states(runtime).await?;
        let has =
            |(number, to): (&u64, &String)| states[to.parse::<usize>().unwrap()].learned.contains(number);
        if sure.iter().all(has) {
            return Ok(states);
        }
        if !runtime.failed_actors().is_empty() {
            return Err(format!("{:?}", runtime.failed_actors()));
        }
        tokio::task::yield_now().await;
    }
}

/// Each program has run at most once, and on its own node.
fn check_once(states: &[Node], sure: &BTreeMap<u64, String>) {
    let mut runs = BTreeMap::<u64, u64>::new();
    for (key, state) in states.iter().enumerate() {
        for number in state.learned.iter().filter(|number| **number >= PROGRAM && **number < PROGRAM << 1) {
            *runs.entry(*number).or_default() += 1;
            assert!(sure.get(number).is_none_or(|to| *to == key.to_string()), "{number} ran on {key}");
        }
    }
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
}

/// Whether each state goes on from the one before.
fn check_goes_on(before: &[Node], after: &[Node]) {
    for (key, (before, after)) in before.iter().zip(after).enumerate() {
        let goes_on =
            after.learned.starts_with(&before.learned) && after.failures.starts_with(&before.failures);
        let goes_on = goes_on
            && after.shown.starts_with(&before.shown)
            && after.unanswered.starts_with(&before.unanswered);
        assert!(goes_on, "node {key} had learned\n{before:?}, then\n{after:?}");
    }
}

/// Invariant: no-orphan. What an answer has shown is there, once all nodes rest.
fn check_shown(states: &[Node]) {
    for (key, state) in states.iter().enumerate() {
        for (of, much) in &state.shown {
            let is = states[of.parse::<usize>().unwrap()].learned.len() as u64;
            assert!(*much <= is, "node {key} was shown {much} of node {of}, which has learned {is}");
        }
    }
}

async fn run(seed: u64) {
    let mut random = Random { seed, drawn: 0, programs: 0, sure: BTreeMap::new() };
    let mut programs = Vec::new();
    for _ in 0..=random.below(4) {
        let to = random.key();
        let program = random.program(&to, 3, true);
        programs.push((to, program));
    }
    let discipline =
        if seed.is_multiple_of(2) { Discipline::BeforeOutput } else { Discipline::BeforeHandling };
    let disk = SimulatedDisk::new(seed);
    let mut known: Option<Vec<Node>> = None;
    for _ in 0..random.below(4) {
        let moment = match random.below(3) {
            0 => Moment::Before,
            1 => Moment::Torn,
            _ => Moment::After,
        };
        let fault = Fault::Crash(Crash { moment, unsynced: Unsynced::Drawn });
        disk.plan(fault, Call::Any, disk.calls(Call::Any) + 1 + random.below(60));
        if let Some(runtime) = open(&disk, discipline).await {
            if feed(&runtime, &programs).await.is_some()
                && let Ok(states) = states(&runtime).await
            {
                // What an ask has shown stays.
                known.iter().for_each(|before| check_goes_on(before, &states));
                known = Some(states);
            }
            runtime.crash().await;
        }
        disk.plan_nothing();
        disk.lose_power(Unsynced::Drawn);
    }
    let (runtime, live) = on_whole(&disk, discipline, async |runtime| {
        feed(runtime, &programs).await.ok_or("a node takes no program")?;
        until_done(runtime, &random.sure).await
    })
    .await;
    known.iter().for_each(|before| check_goes_on(before, &live));
    check_once(&live, &random.sure);
    runtime.crash().await;
    disk.lose_power(Unsynced::Drawn);
    let (_, replayed) = on_whole(&disk, discipline, async |runtime| {
        let replayed = states(runtime).await?;
        let left = runtime.shutdown().await.unwrap().left;
        if left.is_empty() { Ok(replayed) } else { Err(format!("{left:?}")) }
    })
    .await;
    check_goes_on(&live, &replayed);
    let (runtime, restored) = on_whole(&disk, discipline, states).await;
    assert_eq!(runtime.recovery().replayed, 0);
    check_goes_on(&replayed, &restored);
    check_once(&restored, &random.sure);
    check_shown(&restored);
    runtime.shutdown().await.unwrap();
}

/// Invariants: one-step, exactly-once inside, divergence-stops. `RELIVE_PROGRAM_RUNS=10000` is the
/// long form; `RELIVE_PROGRAM_SEED` begins at another seed.
#[test]
fn random_programs_learn_the_same_for_ever() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let first = number("RELIVE_PROGRAM_SEED").unwrap_or(1);
    for seed in first..first + number("RELIVE_PROGRAM_RUNS").unwrap_or(60) {
        println!("seed {seed}: RELIVE_PROGRAM_RUNS=1 RELIVE_PROGRAM_SEED={seed} repeats it");
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        tokio.block_on(run(seed));
    }
}
