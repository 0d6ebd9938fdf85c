//! Deadlock, termination and garbage: against everything that can be tried, against a system that
//! goes on at random, and on the figures of the field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use relive_protocols::stable_property::{
    Activity, Core, Cut, Deadlock, FOUND_MAX, Message, Process, UnknownProcess, Wait, Why,
};

use crate::random::Random;

type Set = BTreeSet<usize>;

/// A system that can go on: its state is what a cut at this moment has.
#[derive(Clone, Debug)]
struct System {
    processes: Vec<Process<usize>>,
    messages: Vec<Message<usize>>,
    /// The answers that are not sent yet: by whom, to whom.
    owed: BTreeSet<(usize, usize)>,
}

/// How likely, in sixths, a process waits, is busy, has a timer, gets a message.
type Likely = [usize; 4];

impl System {
    /// Up to `most` processes in any state, with answers and other messages in transit.
    fn random(random: &mut Random, most: usize, [waits, busy, timer, message]: Likely) -> Self {
        let count = 1 + random.below(most);
        let subset = |random: &mut Random, sixths| (0..count).filter(|_| random.below(6) < sixths).collect();
        let mut system = Self { processes: Vec::new(), messages: Vec::new(), owed: BTreeSet::new() };
        for _ in 0..count {
            let density = 1 + random.below(3);
            let activity = match (random.below(6) < waits, random.below(6) < busy) {
                (true, true) => Activity::Waits(Wait::All(subset(random, density))),
                (true, false) => Activity::Waits(Wait::One(subset(random, density))),
                (false, true) => Activity::Busy,
                (false, false) => Activity::Idle,
            };
            let (has_timer, is_root) = (random.below(6) < timer, random.below(6) == 0);
            system.processes.push(Process { activity, has_timer, references: subset(random, 1), is_root });
        }
        for (to, from) in (0..count).flat_map(|to| (0..count).map(move |from| (to, from))) {
            if random.below(6) < message && random.below(count) == 0 {
                let is_answer = random.below(2) == 0 && system.awaited(to).contains(&from);
                let from = Some(from).filter(|_| is_answer || random.below(4) > 0);
                system.messages.push(Message { from, to, is_answer, references: subset(random, 1) });
            }
        }
        for to in 0..count {
            let others = system.open(to).unwrap_or_default().1;
            system.owed.extend(others.into_iter().map(|from| (from, to)));
        }
        system
    }

    fn cut(&self) -> Cut<usize> {
        let processes = self.processes.iter().cloned().enumerate().collect();
        Cut::new(processes, self.messages.clone()).expect("all that is named is there")
    }

    /// Whom a process waits for, as it says itself.
    fn awaited(&self, process: usize) -> Set {
        match &self.processes[process].activity {
            Activity::Waits(Wait::All(others) | Wait::One(others)) => others.clone(),
            _ => Set::new(),
        }
    }

    fn is_busy(&self, process: usize) -> bool {
        let activity = &self.processes[process].activity;
        *activity == Activity::Busy || matches!(activity, Activity::Waits(Wait::All(all)) if all.is_empty())
    }

    /// Of whom the awaited answer is in transit.
    fn answered(&self, to: usize) -> Set {
        let answers = self.messages.iter().filter(|message| message.is_answer && message.to == to);
        answers.filter_map(|message| message.from).filter(|from| self.awaited(to).contains(from)).collect()
    }

    /// Of whom no awaited answer is in transit, and whether one of several has to answer.
    fn open(&self, process: usize) -> Option<(bool, Set)> {
        let (awaited, answered) = (self.awaited(process), self.answered(process));
        match &self.processes[process].activity {
            Activity::Waits(Wait::One(_)) => answered.is_empty().then_some((true, awaited)),
            Activity::Waits(Wait::All(_)) => Some((false, &awaited - &answered)),
            _ => None,
        }
    }

    /// Whether nobody of a set is freed when everybody else is.
    fn holds_itself(&self, set: &Set) -> bool {
        set.iter().all(|&member| match self.open(member) {
            None => false,
            Some((true, others)) => others.is_subset(set),
            Some((false, others)) => !others.is_disjoint(set),
        })
    }

    /// Whether each of a set waits for each, directly or by way of members.
    fn is_connected(&self, set: &Set) -> bool {
        set.iter().all(|&start| {
            let mut reached = Set::from([start]);
            for _ in set {
                let next: Set =
                    reached.iter().filter_map(|&at| self.open(at)).flat_map(|(_, on)| on).collect();
                reached.extend(&next & set);
            }
            reached == *set
        })
    }
}

/// Fails with what is needed to look into it.
#[track_caller]
fn check(holds: bool, seed: u64, of: &dyn Debug) {
    assert!(holds, "seed {seed}: {of:#?}");
}

fn subsets(count: usize) -> impl Iterator<Item = Set> {
    (1..1_usize << count).map(move |bits| (0..count).filter(|at| bits >> at & 1 == 1).collect())
}

/// All that the verdict claims: members, cores, and each edge of the evidence.
fn check_deadlock(system: &System, deadlock: &Deadlock<usize>, seed: u64) {
    let held: Vec<Set> = subsets(system.processes.len()).filter(|set| system.holds_itself(set)).collect();
    let expected: Set = held.iter().flatten().copied().collect();
    check(deadlock.blocked.keys().eq(&expected), seed, &(deadlock, system));
    check_waits(system, &deadlock.blocked, seed);
    let connected: Vec<&Set> = held.iter().filter(|set| system.is_connected(set)).collect();
    let is_largest = |set: &Set| !connected.iter().any(|other| set.is_subset(other) && *other != set);
    let mut expected: Vec<&Set> = connected.iter().copied().filter(|set| is_largest(set)).collect();
    expected.sort();
    let cores: Vec<Set> = deadlock.cores.iter().map(|core| core.waits.keys().copied().collect()).collect();
    check(cores.iter().eq(expected), seed, &(deadlock, system));
    for core in &deadlock.cores {
        check_waits(system, &core.waits, seed);
        check_shape(core, seed);
    }
}

/// The waits are those of the system, for members alone, and nobody in them is freed from outside.
fn check_waits(system: &System, waits: &BTreeMap<usize, Wait<usize>>, seed: u64) {
    let members = waits.keys().copied().collect();
    for (&process, wait) in waits {
        let (is_one, open) = system.open(process).expect("who is deadlocked waits");
        let is_right = match wait {
            Wait::One(others) => is_one && *others == open && open.is_subset(&members),
            Wait::All(others) => !is_one && !others.is_empty() && *others == &open & &members,
        };
        check(is_right, seed, &(process, waits, system));
    }
}

/// A knot has a choice; a cycle is one, and none through its first member is shorter.
fn check_shape(core: &Core<usize>, seed: u64) {
    let has_choice = core.waits.values().any(|wait| matches!(wait, Wait::One(others) if others.len() != 1));
    check(core.cycle.is_none() == has_choice, seed, core);
    let Some(cycle) = &core.cycle else { return };
    let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else { panic!("seed {seed}: {core:#?}") };
    let inside = |at: usize| match &core.waits[&at] {
        Wait::All(others) | Wait::One(others) => others.clone(),
    };
    check(core.waits.keys().next() == Some(first) && inside(*last).contains(first), seed, core);
    check(cycle.windows(2).all(|pair| inside(pair[0]).contains(&pair[1])), seed, core);
    let (mut reached, mut steps) = (inside(*first), 1);
    while !reached.contains(first) {
        (reached, steps) = (reached.into_iter().flat_map(inside).collect(), steps + 1);
    }
    check(cycle.len() == steps, seed, core);
}

/// The verdict and its evidence, against each subset of the processes of 10,000 random systems.
#[test]
fn deadlock_is_what_nobody_can_free() {
    let mut seen = [0; 4];
    for seed in 0..10_000 {
        let system = System::random(&mut Random::new(seed), 6, [5, 3, 1, 1]);
        let deadlock = system.cut().deadlock();
        check_deadlock(&system, &deadlock, seed);
        let members: usize = deadlock.cores.iter().map(|core| core.waits.len()).sum();
        let (is_none, is_wider) = (deadlock.cores.is_empty(), members < deadlock.blocked.len());
        let has_knot = deadlock.cores.iter().any(|core| core.cycle.is_none());
        let has_cycle = deadlock.cores.iter().any(|core| core.cycle.as_ref().is_some_and(|it| it.len() > 1));
        let is = [is_none, has_knot, has_cycle, is_wider && deadlock.cores.len() > 1];
        seen.iter_mut().zip(is).for_each(|(count, is)| *count += usize::from(is));
    }
    assert!(seen.iter().all(|&count| count > 250), "too few of a kind: {seen:?}");
}

type Name = &'static str;

fn all<const N: usize>(others: [Name; N]) -> Process<Name> {
    Process::new(Activity::Waits(Wait::All(others.into())))
}

fn one<const N: usize>(others: [Name; N]) -> Process<Name> {
    Process::new(Activity::Waits(Wait::One(others.into())))
}

fn answer(from: Name, to: Name) -> Message<Name> {
    Message { from: Some(from), to, is_answer: true, references: BTreeSet::new() }
}

fn deadlock<const N: usize>(all: [(Name, Process<Name>); N], sent: Vec<Message<Name>>) -> Deadlock<Name> {
    Cut::new(all.into(), sent).expect("all that is named is there").deadlock()
}

/// Two dining philosophers, each with one fork; a third one waits behind them and is no core.
#[test]
fn philosophers_starve() {
    let [ann, bob, cem] = [["bob"], ["ann"], ["bob"]].map(all);
    let deadlock = deadlock([("ann", ann), ("bob", bob), ("cem", cem)], vec![]);
    assert_eq!(deadlock.blocked.keys().copied().collect::<Vec<_>>(), ["ann", "bob", "cem"]);
    assert_eq!((deadlock.cores.len(), deadlock.cores[0].waits.len()), (1, 2));
    assert_eq!(deadlock.cores[0].cycle, Some(vec!["ann", "bob"]));
}

/// Who waits for itself, or for one of nobody, is a deadlock of one; for all of nobody is none.
#[test]
fn one_alone_deadlocks() {
    let alone = deadlock([("a", all(["a"])), ("b", Process::new(Activity::Idle))], vec![]);
    assert_eq!(alone.cores[0].cycle, Some(vec!["a"]));
    let nobody = deadlock([("a", one([]))], vec![]);
    assert_eq!((nobody.blocked.len(), &nobody.cores[0].cycle), (1, &None));
    assert!(deadlock([("a", all([]))], vec![]).blocked.is_empty());
}

/// A cycle is none when one of its answers is in transit, and is one when another message is.
#[test]
fn an_answer_in_transit_breaks_a_cycle() {
    let ring = || [("a", all(["b"])), ("b", all(["c"])), ("c", all(["a"]))];
    assert_eq!(deadlock(ring(), vec![]).cores[0].cycle, Some(vec!["a", "b", "c"]));
    assert!(deadlock(ring(), vec![answer("c", "b")]).blocked.is_empty());
    let other = Message { is_answer: false, ..answer("c", "b") };
    assert_eq!(deadlock(ring(), vec![other]).blocked.len(), 3);
    // Not of one for whom it waits.
    assert_eq!(deadlock(ring(), vec![answer("b", "c")]).blocked.len(), 3);
}

/// Who waits for one of several is free when one of them is, and in a knot when none is.
#[test]
fn one_live_alternative_is_enough() {
    let with = |c| [("a", one(["b", "c"])), ("b", all(["a"])), ("c", c)];
    assert!(deadlock(with(Process::new(Activity::Idle)), vec![]).blocked.is_empty());
    let knot = deadlock(with(one(["a", "b"])), vec![]);
    assert_eq!((knot.cores.len(), &knot.cores[0].cycle), (1, &None));
    assert_eq!(knot.cores[0].waits["c"], Wait::One(["a", "b"].into()));
    assert!(deadlock(with(one(["a", "b"])), vec![answer("b", "a")]).blocked.is_empty());
}

/// A deadlock that waits for another one is reported beside it: it stays when that is broken up.
#[test]
fn a_core_behind_a_core_is_found() {
    let [a, z] = [("a", all(["a"])), ("z", all(["x"]))];
    let deadlock = deadlock([a, ("x", one(["y", "z"])), ("y", all(["x", "a"])), z], vec![]);
    let cores: Vec<Vec<_>> = deadlock.cores.iter().map(|core| core.waits.keys().copied().collect()).collect();
    assert_eq!(cores, [vec!["a"], vec!["x", "y", "z"]]);
}

/// A long chain and a long ring take neither the stack nor quadratic time.
#[test]
fn long_waits_are_followed() {
    const COUNT: usize = 50_000;
    for last in [COUNT - 1, 0] {
        let wait = |at: usize| Wait::All([if at + 1 == COUNT { last } else { at + 1 }].into());
        let processes = (0..COUNT).map(|at| (at, Process::new(Activity::Waits(wait(at)))));
        let deadlock = Cut::new(processes.collect(), vec![]).unwrap().deadlock();
        assert_eq!((deadlock.blocked.len(), deadlock.cores.len()), (COUNT, 1));
        assert_eq!(deadlock.cores[0].cycle.as_ref().map(Vec::len), Some(COUNT - last));
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Act(usize),
    Receive(usize),
    Fire(usize),
    Outside(usize),
}

impl System {
    /// One of all that may happen: a process that waits takes nothing but awaited answers.
    fn event(&self, is_closed: bool, random: &mut Random) -> Option<Event> {
        let is_idle = |at: usize| self.processes[at].activity == Activity::Idle;
        let mut events = Vec::new();
        for (at, process) in self.processes.iter().enumerate() {
            events.extend(self.is_busy(at).then_some(Event::Act(at)));
            events.extend((process.has_timer && is_idle(at)).then_some(Event::Fire(at)));
            events.extend((process.is_root && !is_closed).then_some(Event::Outside(at)));
        }
        for (at, Message { from, to, is_answer, .. }) in self.messages.iter().enumerate() {
            let is_awaited = *is_answer && from.is_some_and(|from| self.awaited(*to).contains(&from));
            events.extend((is_awaited || is_idle(*to)).then_some(Event::Receive(at)));
        }
        (!events.is_empty()).then(|| events[random.below(events.len())])
    }

    fn send(&mut self, from: usize, to: usize, is_answer: bool, references: Set) {
        self.messages.push(Message { from: Some(from), to, is_answer, references });
    }

    fn take(&mut self, event: Event, random: &mut Random) {
        match event {
            Event::Outside(to) => {
                let roots = (0..self.processes.len()).filter(|&at| self.processes[at].is_root);
                let references = roots.filter(|_| random.below(2) == 0).collect();
                self.messages.push(Message { from: None, to, is_answer: false, references });
            }
            Event::Fire(at) => self.processes[at].activity = Activity::Busy,
            Event::Receive(at) => self.receive(at),
            Event::Act(at) => self.act(at, random),
        }
    }

    fn receive(&mut self, at: usize) {
        let message = self.messages.swap_remove(at);
        let awaited = self.awaited(message.to);
        let process = &mut self.processes[message.to];
        process.references.extend(message.references.iter().chain(&message.from).chain(&awaited));
        if let Activity::Waits(Wait::All(others)) = &mut process.activity {
            others.retain(|other| Some(*other) != message.from);
            if !others.is_empty() {
                return;
            }
        }
        process.activity = Activity::Busy;
        // Those who are too late keep the name, and what they have sent is no awaited answer.
        for other in awaited {
            if self.owed.remove(&(other, message.to)) {
                self.processes[other].references.insert(message.to);
            }
        }
        self.messages.iter_mut().for_each(|late| late.is_answer &= late.to != message.to);
    }

    /// A busy process does one of the things that a process may do.
    fn act(&mut self, at: usize, random: &mut Random) {
        let mut known = self.processes[at].references.clone();
        known.insert(at);
        known.extend(self.owed.iter().filter(|(from, _)| *from == at).map(|(_, to)| *to));
        let mut some = || known.iter().copied().filter(|_| random.below(3) == 0).collect::<Set>();
        let (references, others) = (some(), some());
        let other = others.first().copied();
        match random.below(8) {
            0 => self.send(at, other.unwrap_or(at), false, references),
            1 if !others.is_empty() => {
                for &to in &others {
                    self.send(at, to, false, [at].into());
                    self.owed.insert((to, at));
                }
                let wait = if random.below(2) == 0 { Wait::All(others) } else { Wait::One(others) };
                self.processes[at].activity = Activity::Waits(wait);
            }
            2 | 3 => {
                let Some(&(from, to)) = self.owed.iter().find(|(from, _)| *from == at) else { return };
                self.owed.remove(&(from, to));
                self.send(at, to, true, references);
            }
            4 => self.processes[at].has_timer ^= true,
            5 if self.processes.len() < 9 => {
                let new = self.processes.len();
                self.processes[at].references.insert(new);
                self.processes.push(Process::new(Activity::Idle));
            }
            6 => self.processes[at].references.retain(|name| Some(*name) != other),
            _ => self.processes[at].activity = Activity::Idle,
        }
    }
}

/// What is deadlocked, terminated or garbage stays so, whatever happens next.
#[test]
fn what_is_stable_stays() {
    let mut held = [0; 3];
    for seed in 0..2_400 {
        let mut random = Random::new(seed);
        let is_closed = random.below(2) == 0;
        let likely = [[4, 3, 1, 1], [1, 1, 0, 1], [0, 0, 0, 0]][random.below(3)];
        let mut system = System::random(&mut random, 6, likely);
        let cut = system.cut();
        let (blocked, garbage) = (cut.deadlock().blocked, cut.garbage().garbage);
        let waits = (0..system.processes.len()).any(|at| system.open(at).is_some());
        let is_over = system.event(true, &mut random).is_none() && !waits;
        check(cut.termination().is_terminated() == is_over, seed, &system);
        let holds = [!blocked.is_empty(), !garbage.is_empty(), is_over];
        held.iter_mut().zip(holds).for_each(|(count, holds)| *count += usize::from(holds));
        for _ in 0..40 {
            let Some(event) = system.event(is_closed, &mut random) else { break };
            system.take(event, &mut random);
            let cut = system.cut();
            let (freed, reached) = (cut.deadlock().blocked, cut.garbage().garbage);
            check(blocked.keys().all(|at| freed.contains_key(at)), seed, &(event, &blocked, &system));
            check(reached.is_superset(&garbage), seed, &(event, &garbage, &system));
        }
    }
    assert!(held.iter().all(|&count| count > 200), "too few of a kind: {held:?}");
}

/// Whether a process acts for this reason, or has the name of another in this way.
fn leads(system: &System, from: usize, to: usize, why: Why) -> bool {
    let incoming =
        |is: &dyn Fn(&Message<usize>) -> bool| system.messages.iter().any(|m| m.to == from && is(m));
    match why {
        Why::Root => from == to && system.processes[from].is_root,
        Why::Busy => from == to && system.is_busy(from),
        Why::Timer => from == to && system.processes[from].has_timer,
        Why::Incoming => from == to && incoming(&|_| true),
        Why::State => system.processes[from].references.contains(&to),
        Why::Message => incoming(&|message| message.from == Some(to) || message.references.contains(&to)),
        Why::Wait => system.awaited(from).contains(&to) || system.awaited(to).contains(&from),
    }
}

/// The verdict and each way, against a closure that goes one step further until nothing is new.
#[test]
fn garbage_is_what_nobody_reaches() {
    for seed in 0..5_000 {
        let system = System::random(&mut Random::new(seed), 9, [2, 1, 1, 1]);
        let verdict = system.cut().garbage();
        let all = 0..system.processes.len();
        let acts = [Why::Root, Why::Busy, Why::Timer, Why::Incoming];
        let acts = |at: &usize| acts.into_iter().any(|why| leads(&system, *at, *at, why));
        let knows = |from, to| [Why::State, Why::Message, Why::Wait].map(|why| leads(&system, from, to, why));
        let mut kept: Set = all.clone().filter(acts).collect();
        let mut distance: BTreeMap<usize, usize> = kept.iter().map(|&at| (at, 1)).collect();
        for steps in 2..=all.len() {
            let is_known = |to: &usize| kept.iter().any(|&from| knows(from, *to).contains(&true));
            kept.extend(all.clone().filter(is_known).collect::<Vec<_>>());
            kept.iter().for_each(|&at| _ = distance.entry(at).or_insert(steps));
        }
        for at in 0..system.processes.len() {
            check(verdict.garbage.contains(&at) != kept.contains(&at), seed, &(at, &system));
            let Some(way) = verdict.why_kept(&at) else { continue };
            let is_step = |pair: &[(usize, Why)]| leads(&system, pair[0].0, pair[1].0, pair[1].1);
            let is_way = leads(&system, way[0].0, way[0].0, way[0].1) && way.windows(2).all(is_step);
            let is_short = way.len() == distance[&at] && way[way.len() - 1].0 == at;
            check(is_way && is_short, seed, &(way, &system));
        }
    }
}

/// A system with a token in transit has not terminated, nor one with a wait or a timer.
#[test]
fn all_that_is_left_is_named() {
    let idle = || Process::new(Activity::Idle);
    let token = Message { is_answer: false, ..answer("p", "q") };
    let system = [("p", idle()), ("q", idle())];
    assert!(Cut::new(system.clone().into(), vec![]).unwrap().termination().is_terminated());
    let channels = Cut::new(system.into(), vec![token.clone(), token]).unwrap().termination().channels;
    assert_eq!((channels.count, channels.first), (1, vec![(Some("p"), "q")]));
    let [timed, busy] = [Process { has_timer: true, ..idle() }, Process::new(Activity::Busy)];
    let system = [("a", timed), ("b", all(["b"])), ("c", busy)];
    let left = Cut::new(system.into(), vec![]).unwrap().termination();
    assert_eq!([left.timers.first, left.waiting.first, left.busy.first], [["a"], ["b"], ["c"]]);
    let many = (0..20).map(|at| (at, Process::new(Activity::Busy))).collect();
    let busy = Cut::new(many, vec![]).unwrap().termination().busy;
    assert_eq!((busy.count, busy.first), (20, (0..FOUND_MAX).collect()));
}

/// The reasons for which a process is kept, and the ways to it.
#[test]
fn a_process_is_kept_for_a_reason() {
    let knows = |name| Process { references: [name].into(), ..Process::new(Activity::Idle) };
    let gift = Message { is_answer: false, references: ["d"].into(), ..answer("a", "c") };
    let system = [
        ("a", Process { activity: Activity::Busy, ..knows("b") }),
        ("b", knows("a")),
        ("c", knows("c")),
        ("d", knows("d")),
        // Nobody knows e but f, which owes it an answer.
        ("e", all(["f"])),
        ("f", Process { has_timer: true, ..knows("f") }),
        ("x", all(["y"])),
        ("y", all(["x"])),
    ];
    let verdict = Cut::new(system.into(), vec![gift]).unwrap().garbage();
    assert_eq!(verdict.garbage, ["x", "y"].into());
    let way = |name| verdict.why_kept(&name).unwrap();
    assert_eq!(way("b"), [("a", Why::Busy), ("b", Why::State)]);
    assert_eq!(way("d"), [("c", Why::Incoming), ("d", Why::Message)]);
    assert_eq!(way("e"), [("f", Why::Timer), ("e", Why::Wait)]);
    assert_eq!((verdict.why_kept(&"x"), verdict.why_kept(&"nobody")), (None, None));
}

/// A verdict about less than everybody would be none.
#[test]
fn a_name_without_a_process_is_refused() {
    let idle = || Process::new(Activity::Idle);
    let new = |process, messages| Cut::new([("a", process)].into(), messages).map(|_| ());
    let refused = Err(UnknownProcess("b"));
    assert_eq!(new(all(["b"]), vec![]), refused);
    assert_eq!(new(Process { references: ["b"].into(), ..idle() }, vec![]), refused);
    assert_eq!(new(idle(), vec![answer("a", "b")]), refused);
    assert_eq!(new(idle(), vec![answer("b", "a")]), refused);
    assert_eq!(new(idle(), vec![Message { references: ["b"].into(), ..answer("a", "a") }]), refused);
    assert_eq!(new(idle(), vec![Message { from: None, ..answer("a", "a") }]), Ok(()));
}
