//! Every order of events of small systems under the coordinated checkpoint by two phases.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::ops::Range;

use relive_protocols::machine::{Input, Machine, Output, Round, Violation};
use relive_protocols::two_phase::{Signal, StableState, TwoPhase};

use crate::explorer::{State, explore};
use crate::purses::Purse;

type Channel = (u8, u8);
type Routes = &'static [Channel];
/// Where coins may go, the coins and sends of each purse, who begins how often, what may go wrong.
type Plan<'p> = (Routes, &'p [(u8, u8)], &'p [u8], Faults);
type Add<'a> = dyn FnMut(String, &dyn Fn(&mut System)) + 'a;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Packet {
    Coin(u8),
    Signal(Signal<u8>),
}

fn is_coin(packet: &Packet) -> bool {
    matches!(packet, Packet::Coin(_))
}

/// The stable storage of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Disk {
    /// On their way to it: checkpoints, and decisions, which have none.
    writes: VecDeque<(Round<u8>, Option<Purse>)>,
    stable: StableState<u8>,
    tentative: Option<Purse>,
    line: Purse,
}

/// What became of a round, at whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Fate {
    done: BTreeMap<u8, Purse>,
    aborted: BTreeSet<u8>,
}

/// What may still happen beside coins: crashes of each process, rollbacks of all, time-outs, also
/// those that come when nothing else can end a wait, losses of signals. And whether they overtake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Faults {
    crashes: [u8; 3],
    rollbacks: u8,
    time_outs: u8,
    patience: u8,
    losses: u8,
    overtake: bool,
}

/// Purses, a machine beside each, and its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct System {
    routes: Routes,
    machines: Vec<TwoPhase<u8, u8>>,
    purses: Vec<Purse>,
    disks: Vec<Disk>,
    channels: BTreeMap<Channel, VecDeque<Packet>>,
    /// What came to a process and was not delivered.
    held: Vec<VecDeque<(u8, u8)>>,
    is_blocked: Vec<bool>,
    begins_left: Vec<u8>,
    faults: Faults,
    fates: BTreeMap<Round<u8>, Fate>,
    signals: usize,
    wrong: Option<String>,
}

impl System {
    fn new((routes, purses, begins, faults): Plan<'_>) -> Self {
        let purses: Vec<_> = purses.iter().map(|(coins, sends)| Purse::new(*coins, *sends)).collect();
        let (n, stable) = (purses.len(), StableState::default());
        let disk = |line| Disk { writes: VecDeque::new(), stable: stable.clone(), tentative: None, line };
        Self {
            routes,
            machines: (0..).take(n).map(|me| TwoPhase::new(me, (0..).take(n))).collect(),
            disks: purses.iter().cloned().map(disk).collect(),
            purses,
            channels: BTreeMap::new(),
            held: vec![VecDeque::new(); n],
            is_blocked: vec![false; n],
            begins_left: begins.to_vec(),
            faults,
            fates: BTreeMap::new(),
            signals: 0,
            wrong: None,
        }
    }

    fn processes(&self) -> Range<u8> {
        0..u8::try_from(self.purses.len()).unwrap()
    }

    fn coins(&self) -> usize {
        let held: usize = self.purses.iter().map(|purse| usize::from(purse.coins)).sum();
        let on_their_way = self.channels.values().flatten().filter(|packet| is_coin(packet)).count();
        held + on_their_way + self.held.iter().flatten().count()
    }

    fn put(&mut self, from: u8, to: u8, packet: Packet) {
        self.channels.entry((from, to)).or_default().push_back(packet);
    }

    fn take(&mut self, channel: Channel, at: usize) -> Packet {
        let packet = self.channels.get_mut(&channel).and_then(|packets| packets.remove(at));
        self.channels.retain(|_, packets| !packets.is_empty());
        packet.unwrap()
    }

    fn arrive(&mut self, (from, to): Channel, at: usize) {
        match self.take((from, to), at) {
            Packet::Coin(message) => {
                self.held[usize::from(to)].push_back((from, message));
                self.step(to, Input::Message { from, message });
            }
            Packet::Signal(control) => self.step(to, Input::Control { from, control }),
        }
    }

    fn step(&mut self, me: u8, input: Input<u8, u8, Signal<u8>>) {
        match self.machines[usize::from(me)].step(input) {
            Ok(outputs) => outputs.into_iter().for_each(|output| self.release(me, output)),
            Err(violation) => self.wrong = Some(format!("the machine of {me} says: {violation}")),
        }
    }

    /// What must hold at this moment.
    fn require(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        self.wrong = self.wrong.take().or_else(|| (!holds).then(wrong));
    }

    fn is_decided(&self, round: &Round<u8>) -> bool {
        self.disks[usize::from(round.initiator)].stable.done.get(&round.initiator) == Some(&round.number)
    }

    fn release(&mut self, me: u8, output: Output<u8, u8, Signal<u8>>) {
        let at = usize::from(me);
        match output {
            Output::Send { to, message } => self.put(me, to, Packet::Coin(message)),
            Output::Control { to, control } => {
                if let Signal::Done(round) = &control {
                    self.require(self.is_decided(round), || format!("done is said of {round}, undecided"));
                }
                self.signals += 1;
                self.put(me, to, Packet::Signal(control));
            }
            Output::Deliver { from, message } => {
                let first = self.held[at].pop_front();
                let may = first == Some((from, message)) && !self.is_blocked[at];
                self.require(may, || format!("{me} gets a coin of {from} too early, ahead of {first:?}"));
                self.purses[at].receive(from, message);
            }
            Output::Checkpoint(round) => {
                let disk = &mut self.disks[at];
                disk.writes.push_back((round, Some(self.purses[at].clone())));
                if round.initiator == me {
                    let begun = std::mem::replace(&mut disk.stable.begun, round.number);
                    self.require(begun < round.number, || format!("{round} was there before"));
                }
            }
            Output::Block => self.is_blocked[at] = true,
            Output::Resume => self.is_blocked[at] = false,
            Output::Decide(round) => self.disks[at].writes.push_back((round, None)),
            Output::Done(round) => {
                self.require(self.is_decided(&round), || format!("{round} is done, undecided"));
                let disk = &mut self.disks[at];
                let kept = disk.stable.tentative.take_if(|tentative| *tentative == round);
                let purse = kept.and_then(|_| disk.tentative.take());
                disk.line = purse.clone().unwrap_or_else(|| disk.line.clone());
                disk.stable.done.insert(round.initiator, round.number);
                self.require(purse.is_some(), || format!("{round} is done, {me} has no stable checkpoint"));
                self.fates.entry(round).or_default().done.extend(purse.map(|purse| (me, purse)));
            }
            Output::Aborted(round) => {
                let disk = &mut self.disks[at];
                if disk.stable.tentative.take_if(|tentative| *tentative == round).is_some() {
                    disk.tentative = None;
                }
                self.fates.entry(round).or_default().aborted.insert(me);
            }
            other => panic!("a coordinated checkpoint does not ask for {other:?}"),
        }
    }

    /// The first write of a process is complete: its round.
    fn write(&mut self, me: u8) -> Option<Round<u8>> {
        let disk = &mut self.disks[usize::from(me)];
        let (round, checkpoint) = disk.writes.pop_front()?;
        if checkpoint.is_none() {
            disk.stable.done.insert(me, round.number);
        } else if !self.fates.get(&round).is_some_and(|fate| fate.aborted.contains(&me)) {
            let before = disk.stable.tentative.replace(round);
            disk.tentative = checkpoint;
            self.require(before.is_none(), || format!("{me} also has a checkpoint for {before:?}"));
        }
        Some(round)
    }

    /// Processes stop, and what they write is lost or stable. If all do, their purses go back to
    /// the last decided round. Signals stay in the channels, coins in transit are at their senders.
    fn crash(&mut self, processes: Range<u8>, is_lost: bool) {
        let (is_rollback, first) = (processes.len() > 1, usize::from(processes.start));
        let faults = &mut self.faults;
        *if is_rollback { &mut faults.rollbacks } else { &mut faults.crashes[first] } -= 1;
        for me in processes.clone() {
            self.held[usize::from(me)].clear();
            if is_lost {
                self.disks[usize::from(me)].writes.clear();
            }
            while self.write(me).is_some() {}
        }
        for at in (0..self.purses.len()).filter(|_| is_rollback) {
            let disk = &self.disks[at];
            let is_decided = disk.stable.tentative.is_some_and(|round| self.is_decided(&round));
            self.purses[at] = disk.tentative.as_ref().filter(|_| is_decided).unwrap_or(&disk.line).clone();
        }
        for &(from, to) in self.routes.iter().filter(|(_, to)| processes.contains(to)) {
            self.channels.entry((from, to)).or_default().retain(|packet| !is_coin(packet));
            let (sent, received) = counts(&self.purses, (from, to));
            (received + 1..=sent).for_each(|coin| self.put(from, to, Packet::Coin(coin)));
        }
        self.channels.retain(|_, packets| !packets.is_empty());
        for me in processes {
            let stable = self.disks[usize::from(me)].stable.clone();
            let (machine, outputs) = TwoPhase::recovered(me, self.processes(), stable).unwrap();
            self.machines[usize::from(me)] = machine;
            self.is_blocked[usize::from(me)] = false;
            outputs.into_iter().for_each(|output| self.release(me, output));
        }
    }

    /// What may happen in a channel. Coins keep their order among themselves.
    fn events_in(&self, channel: Channel, packets: &VecDeque<Packet>, add: &mut Add<'_>) {
        let first_coin = packets.iter().position(is_coin);
        for (at, packet) in packets.iter().enumerate().take(if self.faults.overtake { 9 } else { 1 }) {
            if !is_coin(packet) || first_coin == Some(at) {
                add(format!("{packet:?} goes through {channel:?}"), &|after| after.arrive(channel, at));
            }
            if !is_coin(packet) && self.faults.losses > 0 {
                add(format!("{packet:?} gets lost in {channel:?}"), &|after| {
                    after.faults.losses -= 1;
                    after.take(channel, at);
                });
            }
        }
    }

    /// What may happen at a process.
    fn events_at(&self, me: u8, add: &mut Add<'_>) {
        let at = usize::from(me);
        for &(from, to) in self.routes {
            if from == me && self.purses[at].may_send() && !self.is_blocked[at] {
                add(format!("{me} sends {to} a coin"), &|after| {
                    let message = after.purses[at].send(to);
                    after.step(me, Input::Send { to, message });
                });
            }
        }
        let under_way = self.machines[at].under_way().copied();
        if self.begins_left[at] > 0 && under_way.is_none() {
            add(format!("{me} begins"), &|after| {
                after.begins_left[at] -= 1;
                after.step(me, Input::Begin);
            });
        }
        if !self.disks[at].writes.is_empty() {
            add(format!("a write of {me} is stable"), &|after| {
                let round = after.write(me).unwrap();
                after.step(me, Input::Stable(round));
            });
        }
        if let Some(round) = under_way.filter(|_| self.faults.time_outs > 0) {
            add(format!("time is over at {me}"), &|after| {
                after.faults.time_outs -= 1;
                after.step(me, Input::TimedOut(round));
            });
        }
    }
}

impl State for System {
    fn next(&self) -> Vec<(String, Self)> {
        let mut next = Vec::new();
        if self.wrong.is_some() {
            return next;
        }
        let mut add = |event, change: &dyn Fn(&mut Self)| {
            let mut after = self.clone();
            change(&mut after);
            next.push((event, after));
        };
        self.channels.iter().for_each(|(channel, packets)| self.events_in(*channel, packets, &mut add));
        self.processes().for_each(|me| self.events_at(me, &mut add));
        let is_quiet = self.disks.iter().all(|disk| disk.writes.is_empty())
            && self.channels.values().flatten().all(is_coin);
        if self.faults.patience > 0 && is_quiet && self.is_blocked.contains(&true) {
            add("time is over at all".to_owned(), &|after| {
                after.faults.patience -= 1;
                for (me, machine) in (0..).zip(&self.machines) {
                    machine.under_way().iter().for_each(|round| after.step(me, Input::TimedOut(**round)));
                }
            });
        }
        let alone = self.processes().filter(|me| self.faults.crashes[usize::from(*me)] > 0);
        let all = (self.faults.rollbacks > 0).then(|| self.processes());
        for processes in alone.map(|me| me..me + 1).chain(all) {
            for is_lost in [true, false] {
                let event = format!("{processes:?} crash, what they write is lost: {is_lost}");
                add(event, &|after| after.crash(processes.clone(), is_lost));
            }
        }
        next
    }
}

/// How many coins one has sent to another, and how many that one has received.
fn counts(purses: &[Purse], (from, to): Channel) -> (u8, u8) {
    let count = |of: &BTreeMap<u8, u8>, other| of.get(&other).copied().unwrap_or_default();
    (count(&purses[usize::from(from)].sent, to), count(&purses[usize::from(to)].received, from))
}

/// What is wrong with a state.
fn wrong(system: &System, is_end: bool, coins: usize) -> Option<String> {
    let of_round = |(round, fate): (&Round<u8>, &Fate)| {
        let purses: Vec<_> = fate.done.values().cloned().collect();
        let (is_done, is_complete) =
            (!purses.is_empty() || system.is_decided(round), purses.len() == system.purses.len());
        let is_orphan = |route: &Channel| counts(&purses, *route).0 < counts(&purses, *route).1;
        [
            (is_done && !fate.aborted.is_empty(), "a round is done at one and aborted at another"),
            (is_complete && system.routes.iter().any(is_orphan), "a line has an orphan"),
            (is_end && is_done && !is_complete, "a round is done, and not everywhere"),
        ]
    };
    let is_in_round = system.machines.iter().map(|machine| machine.under_way().is_some());
    let is_left = system.disks.iter().any(|disk| disk.stable.tentative.is_some());
    let forgets = system.held.iter().zip(&system.is_blocked).any(|(held, at)| !(*at || held.is_empty()));
    let of_all = [
        (system.coins() != coins, "a coin is lost, or there twice"),
        (!is_in_round.eq(system.is_blocked.iter().copied()), "who is in a round and who is blocked differ"),
        (is_end && system.is_blocked.contains(&true), "a process stays blocked"),
        (forgets, "a process goes on, and does not get what was held for it"),
        (is_end && is_left, "a tentative checkpoint is left"),
    ];
    let mut found = of_all.into_iter().chain(system.fates.iter().flat_map(of_round));
    let found = || found.find_map(|(is_wrong, text)| is_wrong.then(|| text.to_owned()));
    system.wrong.clone().or_else(found)
}

/// How many states there are, and what the ends are like.
#[track_caller]
fn run<T: Ord + Debug>(plan: Plan<'_>, of_end: impl Fn(&System) -> T, expected: (usize, &[T])) {
    let (first, mut ends) = (System::new(plan), BTreeSet::new());
    let coins = first.coins();
    let explored = explore(first, |system, is_end| {
        ends.extend(is_end.then(|| of_end(system)));
        wrong(system, is_end, coins).map_or(Ok(()), Err)
    });
    assert_eq!((explored.states, &*Vec::from_iter(ends)), expected);
}

/// How many rounds are done at an end.
fn done(end: &System) -> usize {
    end.fates.values().filter(|fate| !fate.done.is_empty()).count()
}

const PAIR: Routes = &[(0, 1), (1, 0)];
const COMPLETE: Routes = &[(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
const STAR: Routes = &[(0, 1), (1, 0), (0, 2), (2, 0)];
const CHAIN: Routes = &[(0, 1), (1, 2)];
const NONE: Faults =
    Faults { crashes: [0; 3], time_outs: 0, patience: 0, losses: 0, rollbacks: 0, overtake: false };
const PATIENT: Faults = Faults { patience: 3, ..NONE };

/// Each round is done, with 3(n-1) signals, wherever coins go meanwhile.
#[test]
fn undisturbed_rounds() {
    let of_end = |end: &System| (done(end), end.signals);
    run((PAIR, &[(1, 2), (1, 2)], &[1, 0], NONE), of_end, (278, &[(1, 3)]));
    run((PAIR, &[(1, 1), (1, 1)], &[2, 0], NONE), of_end, (329, &[(2, 6)]));
    for (routes, states) in [(COMPLETE, 3_069), (STAR, 967), (CHAIN, 351)] {
        run((routes, &[(1, 1), (1, 1), (0, 1)], &[1, 0, 0], NONE), of_end, (states, &[(1, 6)]));
    }
}

/// Nobody waits for a time-out: rounds are done one after the other, or given up. Of two processes
/// that begin at the same time both give up.
#[test]
fn two_coordinators() {
    run((PAIR, &[(1, 1), (1, 1)], &[1, 1], NONE), done, (1_128, &[0, 2]));
    run((COMPLETE, &[(0, 0), (0, 0), (1, 1)], &[1, 1, 0], NONE), done, (30_794, &[0, 1, 2]));
}

/// A round is given up when its coordinator crashes before the decision is stable, or a participant
/// before its checkpoint is, and done when they crash later. All come back, also from two.
#[test]
fn crashes() {
    let expected = [([1, 0, 0], 526, 1_992), ([0, 1, 0], 460, 858), ([2, 1, 0], 5_969, 25_138)];
    for (crashes, pair, complete) in expected {
        let faults = Faults { crashes, ..PATIENT };
        run((PAIR, &[(1, 1), (1, 1)], &[1, 0], faults), done, (pair, &[0, 1]));
        run((COMPLETE, &[(0, 0), (1, 1), (0, 0)], &[1, 0, 0], faults), done, (complete, &[0, 1]));
    }
    let faults = Faults { crashes: [1; 3], ..PATIENT };
    run((PAIR, &[(1, 1), (0, 0)], &[2, 0], faults), done, (4_997, &[0, 1, 2]));
    run((COMPLETE, &[(0, 0); 3], &[1, 0, 0], faults), done, (4_859, &[0, 1]));
}

/// Time is over at any process at any moment.
#[test]
fn time_outs() {
    let faults = Faults { time_outs: 2, ..PATIENT };
    run((PAIR, &[(1, 1), (0, 0)], &[2, 0], faults), done, (4_435, &[0, 1, 2]));
    run((COMPLETE, &[(0, 0), (1, 1), (0, 0)], &[1, 0, 0], faults), done, (11_931, &[0, 1]));
}

/// Signals that get lost or overtake each other cost time, and nothing else.
#[test]
fn lost_and_overtaking_signals() {
    let faults = Faults { losses: 1, overtake: true, time_outs: 1, ..PATIENT };
    run((PAIR, &[(1, 1), (0, 0)], &[2, 0], faults), done, (14_081, &[0, 1, 2]));
    run((CHAIN, &[(0, 0), (1, 1), (0, 0)], &[1, 0, 0], faults), done, (7_082, &[0, 1]));
    let faults = Faults { crashes: [1, 1, 0], time_outs: 0, ..faults };
    run((PAIR, &[(1, 1), (1, 0)], &[1, 0], faults), done, (2_349, &[0, 1]));
}

/// The group rolls back at any moment. Signals of before come when all machines are new.
#[test]
fn rollbacks() {
    let faults = Faults { rollbacks: 1, ..PATIENT };
    run((PAIR, &[(1, 1), (1, 1)], &[2, 0], faults), done, (8_347, &[1, 2]));
    run((PAIR, &[(1, 1), (0, 1)], &[1, 1], faults), done, (9_650, &[0, 1, 2]));
    run((CHAIN, &[(0, 0), (1, 1), (0, 0)], &[1, 0, 0], faults), done, (4_990, &[0, 1]));
}

/// A coin that was sent ahead of one checkpoint and received behind the other is in neither: a line
/// of two coins has one. No line has more than the system.
#[test]
fn a_message_in_transit_is_in_no_checkpoint() {
    let of_line = |end: &System| end.fates[&FIRST].done.values().map(|purse| purse.coins).sum::<u8>();
    run((PAIR, &[(1, 1), (1, 1)], &[1, 0], NONE), of_line, (106, &[1, 2]));
}

const FIRST: Round<u8> = Round { initiator: 0, number: 1 };

fn control(from: u8, control: Signal<u8>) -> Input<u8, u8, Signal<u8>> {
    Input::Control { from, control }
}

/// What can't come, and what a process in a round can't do, changes nothing.
#[test]
fn errors() {
    let mut machine = TwoPhase::new(0, [1, 2]);
    machine.step(Input::Begin).unwrap();
    machine.step(Input::Stable(FIRST)).unwrap();
    let (theirs, later) = (Round { initiator: 1, ..FIRST }, Round { number: 2, ..FIRST });
    let stable = StableState { tentative: Some(theirs), ..StableState::default() };
    assert_eq!(TwoPhase::<u8, u8>::recovered(0, [2], stable), Err(Violation::NoChannel(1)));
    for (input, violation) in [
        (Input::Begin, Violation::Unexpected(FIRST)),
        (Input::Send { to: 1, message: 5 }, Violation::Unexpected(FIRST)),
        (Input::Stable(FIRST), Violation::Unexpected(FIRST)),
        (control(1, Signal::Ready(later)), Violation::Unexpected(later)),
        (control(1, Signal::Request(FIRST)), Violation::Unexpected(FIRST)),
        (control(2, Signal::Abort(theirs)), Violation::Unexpected(theirs)),
        (control(3, Signal::Ready(FIRST)), Violation::NoChannel(3)),
        (Input::Send { to: 3, message: 5 }, Violation::NoChannel(3)),
    ] {
        let before = machine.clone();
        assert_eq!((machine.step(input), &machine), (Err(violation), &before));
    }
}

/// A process that may wait for an answer gets one, even late. Other late inputs change nothing.
#[test]
fn late_inputs() {
    let mut machine = TwoPhase::<u8, u8>::new(1, [0]);
    machine.step(control(0, Signal::Request(FIRST))).unwrap();
    let refuse = [Output::Control { to: 0, control: Signal::Refuse(FIRST) }];
    assert_eq!(machine.step(Input::TimedOut(FIRST)).unwrap()[2..], refuse);
    assert_eq!(machine.step(control(0, Signal::Request(FIRST))).unwrap(), refuse);
    for input in [control(0, Signal::Abort(FIRST)), Input::Stable(FIRST), Input::TimedOut(FIRST)] {
        assert_eq!(machine.step(input).unwrap(), []);
    }
    // Of three rounds the second one is decided.
    let stable = StableState { begun: 3, done: BTreeMap::from([(0, 2)]), tentative: None };
    let (mut machine, _) = TwoPhase::<u8, u8>::recovered(0, [1], stable).unwrap();
    let rounds = [1, 2, 3].map(|number| Round { number, ..FIRST });
    let [_, second, third] = rounds;
    let ask = |round| machine.step(control(1, Signal::Ready(round))).unwrap().pop();
    let told = |control| Some(Output::Control { to: 1, control });
    assert_eq!(rounds.map(ask), [None, told(Signal::Done(second)), told(Signal::Abort(third))]);
}
