//! Deadlock, termination and garbage on a consistent cut, each verdict with its evidence. Knows a
//! description of the cut, which the caller builds from states and channels. Takes no cut itself,
//! and ends, wakes or removes nothing.
//!
//! A property is *stable* when it stays true once it is true. A consistent cut need not have been
//! the state of the system at any moment, but the system could have gone through it on its way from
//! the state in which the recording began to the one in which it ended. So, of a stable property:
//!
//! - it holds on the cut: then it holds of the system now, and ever after;
//! - it does not hold on the cut: then it did not when the recording began. It may by now.
//!
//! # Assumptions
//!
//! The cut is consistent, has every process, and its channels hold all that was sent before it and
//! not received. A snapshot by markers gives that, and so does a position in one log. A verdict is
//! stable as long as nothing happens that its description rules out:
//!
//! | verdict | why it is stable | what would end it |
//! | --- | --- | --- |
//! | [deadlock](Cut::deadlock) | only deadlocked processes could free it, and none of them acts | a wait that is given up or times out, the end or restart of a member, an answer by someone else than those waited for |
//! | [termination](Cut::termination) | a process acts only on a message or a timer, and none is left | a message from outside: terminated means until the outside world acts |
//! | [garbage](Cut::garbage) | names spread only by messages, and nobody who acts has one to give | a process computes a name instead of being given it, or the outside world writes to one that is no root |
//!
//! # Source
//!
//! - Chandy and Lamport, *Distributed Snapshots*, ACM TOCS 3(1), 1985: theorem 1 in section 4 (the
//!   cut lies on a way of the system) and section 5 (what that says of stable properties).
//! - Knapp, *Deadlock Detection in Distributed Databases*, ACM Computing Surveys 19(4), 1987 (the
//!   AND, OR and AND-OR models); Holt, *Some Deadlock Properties of Computer Systems*, ACM
//!   Computing Surveys 4(3), 1972 (knots).
//! - Kafura, Washabaugh and Nelson, *Garbage Collection of Actors*, OOPSLA/ECOOP 1990.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::{fmt, iter};

/// How many processes or channels [`Found`] names.
pub const FOUND_MAX: usize = 8;

/// Whom a process waits for. It handles nothing but their answers until it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait<P> {
    /// It goes on when all of them have answered (the AND model). At once when there are none.
    All(BTreeSet<P>),
    /// It goes on when one of them has answered (the OR model). Never when there are none.
    One(BTreeSet<P>),
}

/// What a process does on the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity<P> {
    /// It goes on without a message: it handles one, or waits for something that is no process. A
    /// wait that a deadline ends belongs here, because it needs nobody else to end.
    Busy,
    /// It does nothing until a message comes or its timer fires.
    Idle,
    /// It waits for others. Its timer, if it has one, does not end the wait.
    Waits(Wait<P>),
}

/// A process on the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process<P> {
    /// What it does.
    pub activity: Activity<P>,
    /// Whether a timer of it is set.
    pub has_timer: bool,
    /// Whose names its state holds. Those of a wait need not be repeated, at either side.
    pub references: BTreeSet<P>,
    /// Whether the outside world has its name, and so may write to it at any time.
    pub is_root: bool,
}

impl<P> Process<P> {
    /// A process without a timer and references, that is no root.
    #[must_use]
    pub fn new(activity: Activity<P>) -> Self {
        Self { activity, has_timer: false, references: BTreeSet::new(), is_root: false }
    }
}

/// A message in transit: sent before the cut and not received on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<P> {
    /// The sender, `None` for the outside world.
    pub from: Option<P>,
    /// The receiver.
    pub to: P,
    /// Whether it is an answer for which the receiver waits.
    pub is_answer: bool,
    /// Whose names it carries. That of the sender goes with it in any case.
    pub references: BTreeSet<P>,
}

/// The cut names this process and does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProcess<P>(pub P);

impl<P: fmt::Debug> fmt::Display for UnknownProcess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cut names {:?} and does not have it; it needs every process, idle ones too", self.0)
    }
}

impl<P: fmt::Debug> std::error::Error for UnknownProcess<P> {}

/// A consistent cut, of which the three verdicts are asked.
#[derive(Clone, Debug)]
pub struct Cut<P> {
    /// In order. Below, a process is its place in here.
    names: Vec<P>,
    processes: Vec<Process<P>>,
    messages: Vec<Message<P>>,
    waits: Vec<OpenWait>,
    /// Whom each can reach directly.
    links: Vec<Vec<(usize, Why)>>,
    /// Why each acts, if it does.
    acts: Vec<Option<Why>>,
}

/// What is left of a wait when the answers in transit have come.
#[derive(Clone, Debug, Default)]
struct OpenWait {
    on: BTreeSet<usize>,
    /// To wait for one of a single process is to wait for all, and makes a simpler core.
    needs_one: bool,
}

impl<P: Clone + Ord> Cut<P> {
    /// A cut of these processes, with what all channels hold.
    ///
    /// # Errors
    /// [`UnknownProcess`] when a wait, a message or a reference names a process that is missing.
    /// Describe one of which nothing is known as busy and a root.
    pub fn new(
        processes: BTreeMap<P, Process<P>>,
        messages: Vec<Message<P>>,
    ) -> Result<Self, UnknownProcess<P>> {
        let (names, processes): (Vec<P>, Vec<Process<P>>) = processes.into_iter().unzip();
        let place = |name: &P| names.binary_search(name).map_err(|_| UnknownProcess(name.clone()));
        let mut links = vec![Vec::new(); names.len()];
        let mut acts = vec![None; names.len()];
        let mut answers = BTreeSet::new();
        for message in &messages {
            let (from, to) = (message.from.as_ref().map(place).transpose()?, place(&message.to)?);
            acts[to] = Some(Why::Incoming);
            for name in message.references.iter().chain(&message.from) {
                links[to].push((place(name)?, Why::Message));
            }
            answers.extend(from.filter(|_| message.is_answer).map(|from| (to, from)));
        }
        let mut waits = vec![OpenWait::default(); names.len()];
        for (at, process) in processes.iter().enumerate() {
            // Who waits for nobody goes on.
            let is_busy = [Activity::Busy, Activity::Waits(Wait::All([].into()))].contains(&process.activity);
            let why = [(process.is_root, Why::Root), (is_busy, Why::Busy), (process.has_timer, Why::Timer)];
            acts[at] = why.into_iter().find(|(is, _)| *is).map(|(_, why)| why).or(acts[at]);
            for name in &process.references {
                links[at].push((place(name)?, Why::State));
            }
            let Activity::Waits(wait) = &process.activity else { continue };
            let (Wait::All(others) | Wait::One(others)) = wait;
            let mut on = others.iter().map(place).collect::<Result<BTreeSet<_>, _>>()?;
            // Who waits knows whom it asked, and who is asked knows whom to answer.
            for &other in &on {
                links[at].push((other, Why::Wait));
                links[other].push((at, Why::Wait));
            }
            on.retain(|other| !answers.contains(&(at, *other)));
            let is_one = matches!(wait, Wait::One(_));
            if !is_one || on.len() == others.len() {
                waits[at] = OpenWait { needs_one: is_one && on.len() != 1, on };
            }
        }
        Ok(Self { names, processes, messages, waits, links, acts })
    }

    /// The processes that can never go on, whatever the others do.
    ///
    /// A process *can be freed* when it does not wait, waits for all of a set that can be freed, or
    /// waits for one of a set of which one can be freed. Answers in transit count as received. The
    /// least fixed point spreads from the processes that do not wait; the rest is deadlocked.
    /// An idle process is free: an answer that it forgot, or a request that got lost, is no
    /// deadlock. The time is linear in processes and waits, but for sorting. To find the cores
    /// takes as much for each level of cores within cores; there is one unless waits are mixed.
    ///
    /// ```
    /// use relive_protocols::stable_property::{Activity, Cut, Process, Wait};
    ///
    /// // Each of two philosophers holds a fork and waits for that of the other.
    /// let waits = |other| Process::new(Activity::Waits(Wait::All([other].into())));
    /// let cut = Cut::new([("ann", waits("bob")), ("bob", waits("ann"))].into(), vec![])?;
    /// let deadlock = cut.deadlock();
    /// assert_eq!(deadlock.blocked.len(), 2);
    /// assert_eq!(deadlock.cores[0].cycle, Some(vec!["ann", "bob"]));
    /// # Ok::<(), relive_protocols::stable_property::UnknownProcess<&str>>(())
    /// ```
    #[must_use]
    pub fn deadlock(&self) -> Deadlock<P> {
        let blocked = self.blocked(&(0..self.names.len()).collect::<Vec<_>>());
        let (mut cores, mut sets) = (Vec::new(), vec![blocked.clone()]);
        while let Some(set) = sets.pop() {
            for component in self.components(&set) {
                let blocked = self.blocked(&component);
                let is_core = blocked.len() == component.len();
                if is_core { cores.push(component) } else { sets.push(blocked) }
            }
        }
        assert_eq!(blocked.is_empty(), cores.is_empty(), "who is deadlocked waits for a core");
        cores.sort_unstable();
        let cores = cores.iter().map(|core| {
            let is_knot = core.iter().any(|&member| self.waits[member].needs_one);
            let cycle = || self.cycle(core).into_iter().map(|at| self.name(at)).collect();
            Core { waits: self.named(core), cycle: (!is_knot).then(cycle) }
        });
        Deadlock { blocked: self.named(&blocked), cores: cores.collect() }
    }

    /// Whom of the members each waits for.
    fn named(&self, members: &[usize]) -> BTreeMap<P, Wait<P>> {
        let named = |(&member, inside): (&usize, Vec<usize>)| {
            let others = inside.into_iter().map(|at| self.name(members[at])).collect();
            let is_one = matches!(self.processes[member].activity, Activity::Waits(Wait::One(_)));
            (self.name(member), if is_one { Wait::One(others) } else { Wait::All(others) })
        };
        members.iter().zip(self.inside(members)).map(named).collect()
    }

    /// Whether nobody has anything to do any more: all are idle, no channel holds a message and no
    /// timer is set. A process that waits has not finished, whether or not it is deadlocked.
    ///
    /// ```
    /// use relive_protocols::stable_property::{Activity, Cut, Message, Process};
    ///
    /// // Both are idle, but the token is on its way.
    /// let idle = || Process::new(Activity::Idle);
    /// let token = Message { from: Some("p"), to: "q", is_answer: false, references: [].into() };
    /// let cut = Cut::new([("p", idle()), ("q", idle())].into(), vec![token])?;
    /// let termination = cut.termination();
    /// assert!(!termination.is_terminated());
    /// assert_eq!((termination.busy.count, termination.channels.first), (0, vec![(Some("p"), "q")]));
    /// # Ok::<(), relive_protocols::stable_property::UnknownProcess<&str>>(())
    /// ```
    #[must_use]
    pub fn termination(&self) -> Termination<P> {
        let found = |is: fn(&Process<P>) -> bool| {
            Found::of((0..self.names.len()).filter(|&at| is(&self.processes[at])).map(|at| self.name(at)))
        };
        let channels: BTreeSet<_> = self.messages.iter().map(|sent| (&sent.from, &sent.to)).collect();
        Termination {
            busy: found(|process| matches!(process.activity, Activity::Busy)),
            waiting: found(|process| matches!(process.activity, Activity::Waits(_))),
            timers: found(|process| process.has_timer),
            channels: Found::of(channels.into_iter().map(|(from, to)| (from.clone(), to.clone()))),
        }
    }

    /// The processes that can never act again, so that nobody would notice their end.
    ///
    /// A process acts when it is busy, has a timer or a message in transit to it, or is a root. It
    /// knows the names in its state and in the messages in transit to it, and a wait makes both
    /// sides known to each other. Garbage is what does not act and what no process that acts knows,
    /// directly or by way of others. The time is linear in processes, references and messages, but
    /// for sorting.
    ///
    /// By the definition of the paper, a process that acts is garbage too when it can never
    /// exchange messages with a root. Here every process may have effects outside, so it is kept
    /// until it rests (Wang and Varela, *Distributed Garbage Collection for Mobile Actor Systems*,
    /// GPC 2006).
    ///
    /// ```
    /// use relive_protocols::stable_property::{Activity, Cut, Process, Why};
    ///
    /// let knows = |name| Process { references: [name].into(), ..Process::new(Activity::Idle) };
    /// let root = Process { is_root: true, ..knows("used") };
    /// // Two who know each other, and nobody else knows them.
    /// let processes = [("door", root), ("used", knows("door")), ("x", knows("y")), ("y", knows("x"))];
    /// let garbage = Cut::new(processes.into(), vec![])?.garbage();
    /// assert_eq!(garbage.garbage, ["x", "y"].into());
    /// assert_eq!(garbage.why_kept(&"used"), Some(vec![("door", Why::Root), ("used", Why::State)]));
    /// assert_eq!(garbage.why_kept(&"x"), None);
    /// # Ok::<(), relive_protocols::stable_property::UnknownProcess<&str>>(())
    /// ```
    #[must_use]
    pub fn garbage(&self) -> Garbage<P> {
        let mut kept: Vec<_> = self.acts.iter().enumerate().map(|(at, why)| Some((at, (*why)?))).collect();
        // In order of distance, so that the ways are the shortest ones.
        let mut queue: VecDeque<_> = (0..kept.len()).filter(|&at| kept[at].is_some()).collect();
        while let Some(at) = queue.pop_front() {
            for &(next, why) in &self.links[at] {
                if kept[next].is_none() {
                    kept[next] = Some((at, why));
                    queue.push_back(next);
                }
            }
        }
        let garbage = (0..kept.len()).filter(|&at| kept[at].is_none()).map(|at| self.name(at)).collect();
        let kept = kept.iter().enumerate().filter_map(|(at, by)| Some((at, (*by)?)));
        let kept = kept.map(|(at, (by, why))| (self.name(at), (self.name(by), why)));
        Garbage { garbage, kept: kept.collect() }
    }

    fn name(&self, at: usize) -> P {
        self.names[at].clone()
    }
}

/// The verdict on deadlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock<P> {
    /// The deadlocked processes, each with the deadlocked ones it waits for. May be empty.
    pub blocked: BTreeMap<P, Wait<P>>,
    /// What has to be broken up, ordered by first members. Each process in `blocked` waits for a
    /// member of one of them, directly or by way of others.
    pub cores: Vec<Core<P>>,
}

/// A set of processes that is deadlocked by itself, even if all others could be freed, and in which
/// each waits for each, directly or by way of others. As large as such a set can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core<P> {
    /// The members, and whom of the members each waits for.
    pub waits: BTreeMap<P, Wait<P>>,
    /// When all wait for all, or for the only one: the shortest cycle from the first member. Each
    /// waits for the next, the last for the first. `None` when the core is a knot: some wait for
    /// one of several, and all of these are members.
    pub cycle: Option<Vec<P>>,
}

/// The verdict on termination: what is left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termination<P> {
    /// Those who are busy.
    pub busy: Found<P>,
    /// Those who wait for others.
    pub waiting: Found<P>,
    /// Those who have a timer.
    pub timers: Found<P>,
    /// The channels that hold something: from whom, `None` for the outside world, and to whom.
    pub channels: Found<(Option<P>, P)>,
}

impl<P> Termination<P> {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        self.busy.count + self.waiting.count + self.timers.count + self.channels.count == 0
    }
}

/// How many there are, and some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// How many there are.
    pub count: usize,
    /// The first ones, in order, at most [`FOUND_MAX`].
    pub first: Vec<T>,
}

impl<T> Found<T> {
    fn of(mut all: impl Iterator<Item = T>) -> Self {
        let first: Vec<T> = all.by_ref().take(FOUND_MAX).collect();
        Self { count: first.len() + all.count(), first }
    }
}

/// The verdict on garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage<P> {
    /// The processes that are garbage.
    pub garbage: BTreeSet<P>,
    /// The others, each with the process that knows it, and how. One that acts has itself there.
    pub kept: BTreeMap<P, (P, Why)>,
}

/// Why a process is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is a root.
    Root,
    /// It is busy.
    Busy,
    /// It has a timer.
    Timer,
    /// A message is on its way to it.
    Incoming,
    /// The state of the process before it holds its name.
    State,
    /// A message that the process before it will receive holds its name.
    Message,
    /// The process before it waits for it, or it for that one.
    Wait,
}

impl<P: Clone + Ord> Garbage<P> {
    /// The shortest way to a process from one that can act, the process itself at the end. `None`
    /// when it is garbage, or not on the cut.
    #[must_use]
    pub fn why_kept(&self, process: &P) -> Option<Vec<(P, Why)>> {
        let (mut at, mut way) = (process, Vec::new());
        loop {
            let (before, why) = self.kept.get(at)?;
            way.push((at.clone(), *why));
            if before == at {
                way.reverse();
                return Some(way);
            }
            at = before;
        }
    }
}

/// The graph of who waits for whom among some members, which are in order. Others count as free.
/// Inside a function, a member is its place among the members.
impl<P> Cut<P> {
    /// Whom of the members each member waits for.
    fn inside(&self, members: &[usize]) -> Vec<Vec<usize>> {
        let place = |other: &usize| members.binary_search(other).ok();
        members.iter().map(|&member| self.waits[member].on.iter().filter_map(place).collect()).collect()
    }

    /// Which members can't be freed.
    fn blocked(&self, members: &[usize]) -> Vec<usize> {
        let inside = self.inside(members);
        let mut waiters = vec![Vec::new(); members.len()];
        let mut missing = Vec::with_capacity(members.len());
        for (at, &member) in members.iter().enumerate() {
            inside[at].iter().for_each(|&other| waiters[other].push(at));
            let (wait, inside) = (&self.waits[member], inside[at].len());
            missing.push(if wait.needs_one { usize::from(inside == wait.on.len()) } else { inside });
        }
        let mut freed: Vec<usize> = (0..members.len()).filter(|&at| missing[at] == 0).collect();
        while let Some(at) = freed.pop() {
            for &waiter in &waiters[at] {
                // At zero it was freed before.
                if missing[waiter] > 0 {
                    missing[waiter] -= 1;
                    freed.extend((missing[waiter] == 0).then_some(waiter));
                }
            }
        }
        members.iter().zip(missing).filter(|(_, missing)| *missing > 0).map(|(member, _)| *member).collect()
    }

    /// The strongly connected components (Tarjan, *Depth-First Search and Linear Graph Algorithms*,
    /// SIAM Journal on Computing 1(2), 1972, with a path in place of recursion).
    fn components(&self, members: &[usize]) -> Vec<Vec<usize>> {
        // Both are above all places.
        const UNSEEN: usize = usize::MAX;
        const CLOSED: usize = usize::MAX - 1;
        let inside = self.inside(members);
        let (mut open, mut path, mut components) = (Vec::new(), Vec::new(), Vec::new());
        // The lowest place in `open` that is known to be reached.
        let mut lowest = vec![UNSEEN; members.len()];
        for start in 0..members.len() {
            path.extend((lowest[start] == UNSEEN).then_some((start, 0, 0)));
            while let Some((at, edge, mut place)) = path.pop() {
                if edge == 0 {
                    (place, lowest[at]) = (open.len(), open.len());
                    open.push(at);
                }
                if let Some(&next) = inside[at].get(edge) {
                    path.push((at, edge + 1, place));
                    path.extend((lowest[next] == UNSEEN).then_some((next, 0, 0)));
                    lowest[at] = lowest[at].min(lowest[next]);
                    continue;
                }
                if let Some(&(parent, ..)) = path.last() {
                    lowest[parent] = lowest[parent].min(lowest[at]);
                }
                if lowest[at] == place {
                    let mut component = open.split_off(place);
                    component.sort_unstable();
                    component.iter().for_each(|&other| lowest[other] = CLOSED);
                    components.push(component.iter().map(|&at| members[at]).collect());
                }
            }
        }
        components
    }

    /// The shortest cycle through the first member of a core.
    fn cycle(&self, members: &[usize]) -> Vec<usize> {
        let inside = self.inside(members);
        let mut before = vec![None; members.len()];
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            if inside[at].contains(&0) {
                let back = iter::successors(Some(at), |&at| before[at]).map(|at| members[at]);
                return Vec::from_iter(back).into_iter().rev().collect();
            }
            for &next in &inside[at] {
                if before[next].is_none() {
                    before[next] = Some(at);
                    queue.push_back(next);
                }
            }
        }
        unreachable!("each member of a core waits for each, directly or by way of others")
    }
}
