//! Every order of events of small systems under the snapshot by markers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use relive_protocols::chandy_lamport::{ChandyLamport, Marker, check_reach};
use relive_protocols::machine::{Input, Machine, Output, Round, Violation};

use crate::explorer::{Explored, State, explore, is_reachable};
use crate::purses::{Purse, Purses};

/// What a channel holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Packet {
    Coin(u8),
    Marker(Marker<u8>),
}

/// Purses, and a machine beside each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct System {
    machines: Vec<ChandyLamport<u8, u8>>,
    purses: Vec<Purse>,
    channels: BTreeMap<(u8, u8), VecDeque<Packet>>,
    /// How many snapshots each may still begin.
    begins_left: Vec<u8>,
    /// Channels that may still appear.
    to_appear: BTreeSet<(u8, u8)>,
    /// Whether channels keep their order.
    fifo: bool,
    snapshots: BTreeMap<Round<u8>, Taken>,
    markers: usize,
    violation: Option<Violation<u8>>,
}

/// What was kept for a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taken {
    /// The system when it began.
    began: Purses,
    states: BTreeMap<u8, Purse>,
    recorded: BTreeMap<(u8, u8), VecDeque<u8>>,
    done: BTreeSet<u8>,
}

/// A system: its channels, the coins and sends of each purse, and who begins how often.
struct Plan<'p> {
    channels: &'p [(u8, u8)],
    purses: &'p [(u8, u8)],
    begins: &'p [u8],
}

impl System {
    fn new(plan: &Plan<'_>) -> Self {
        let processes = (0..).take(plan.purses.len());
        let machine = |me| {
            let incoming = plan.channels.iter().filter(|(_, to)| *to == me).map(|(from, _)| *from);
            let outgoing = plan.channels.iter().filter(|(from, _)| *from == me).map(|(_, to)| *to);
            ChandyLamport::new(me, incoming, outgoing)
        };
        Self {
            machines: processes.map(machine).collect(),
            purses: plan.purses.iter().map(|(coins, sends)| Purse::new(*coins, *sends)).collect(),
            channels: plan.channels.iter().map(|channel| (*channel, VecDeque::new())).collect(),
            begins_left: plan.begins.to_vec(),
            to_appear: BTreeSet::new(),
            fifo: true,
            snapshots: BTreeMap::new(),
            markers: 0,
            violation: None,
        }
    }

    /// The system without its machines.
    fn purses(&self) -> Purses {
        let coins = |channel: &VecDeque<Packet>| {
            let coin = |packet: &Packet| match packet {
                Packet::Coin(coin) => Some(*coin),
                Packet::Marker(_) => None,
            };
            channel.iter().filter_map(coin).collect()
        };
        let mut channels: BTreeMap<_, _> =
            self.channels.iter().map(|(channel, packets)| (*channel, coins(packets))).collect();
        for channel in &self.to_appear {
            channels.insert(*channel, VecDeque::new());
        }
        Purses { purses: self.purses.clone(), channels }
    }

    /// The cut of a snapshot, once it is complete.
    fn cut(&self, taken: &Taken) -> Option<Purses> {
        let purses = (0..).map_while(|process| taken.states.get(&process).cloned()).collect::<Vec<_>>();
        if purses.len() < self.purses.len() || taken.done.len() < self.purses.len() {
            return None;
        }
        let mut channels: BTreeMap<_, _> =
            taken.began.channels.keys().map(|channel| (*channel, VecDeque::new())).collect();
        channels.extend(taken.recorded.clone());
        Some(Purses { purses, channels })
    }

    fn taken(&mut self, round: Round<u8>) -> &mut Taken {
        self.snapshots.get_mut(&round).expect("somebody has kept a state for it")
    }

    fn step(&mut self, me: u8, input: Input<u8, u8, Marker<u8>>) {
        match self.machines[usize::from(me)].step(input) {
            Ok(outputs) => outputs.into_iter().for_each(|output| self.release(me, output)),
            Err(violation) => self.violation = Some(violation),
        }
    }

    fn release(&mut self, me: u8, output: Output<u8, u8, Marker<u8>>) {
        let channels = &mut self.channels;
        match output {
            Output::Send { to, message } => {
                channels.entry((me, to)).or_default().push_back(Packet::Coin(message));
            }
            Output::Control { to, control } => {
                self.markers += 1;
                channels.entry((me, to)).or_default().push_back(Packet::Marker(control));
            }
            Output::Deliver { from, message } => self.purses[usize::from(me)].receive(from, message),
            Output::Checkpoint(round) => {
                let began = self.purses();
                let fresh = || Taken {
                    began,
                    states: BTreeMap::new(),
                    recorded: BTreeMap::new(),
                    done: BTreeSet::new(),
                };
                let taken = self.snapshots.entry(round).or_insert_with(fresh);
                let kept = taken.states.insert(me, self.purses[usize::from(me)].clone());
                assert_eq!(kept, None, "{me} keeps its state once for {round}");
            }
            Output::Record { round, from, message } => {
                let taken = self.taken(round);
                taken.recorded.entry((from, me)).or_default().push_back(message);
            }
            Output::Closed { .. } => {}
            Output::Done(round) => {
                assert!(self.taken(round).done.insert(me), "{me} is done once");
            }
            other => panic!("a snapshot does not ask for {other:?}"),
        }
    }

    /// Takes a packet out of a channel, and gives it to the machine.
    fn take(&mut self, channel: (u8, u8), at: usize) {
        let (from, to) = channel;
        let packet = self.channels.get_mut(&channel).and_then(|packets| packets.remove(at));
        match packet.expect("the channel holds it") {
            Packet::Coin(message) => self.step(to, Input::Message { from, message }),
            Packet::Marker(control) => self.step(to, Input::Control { from, control }),
        }
    }
}

impl State for System {
    fn next(&self) -> Vec<(String, Self)> {
        let mut next = Vec::new();
        if self.violation.is_some() {
            return next;
        }
        let mut add = |event: String, change: &dyn Fn(&mut Self)| {
            let mut after = self.clone();
            change(&mut after);
            next.push((event, after));
        };
        for (&(from, to), packets) in &self.channels {
            if self.purses[usize::from(from)].may_send() {
                add(format!("{from} sends {to} a coin"), &|after| {
                    let message = after.purses[usize::from(from)].send(to);
                    after.step(from, Input::Send { to, message });
                });
            }
            let ready = if self.fifo { 1 } else { packets.len() };
            for (at, packet) in packets.iter().take(ready).enumerate() {
                let event = format!("{packet:?} from {from} comes to {to}");
                add(event, &|after| after.take((from, to), at));
            }
        }
        for &(from, to) in &self.to_appear {
            add(format!("a channel from {from} to {to} appears"), &|after| {
                after.to_appear.remove(&(from, to));
                after.channels.insert((from, to), VecDeque::new());
                let control = after.machines[usize::from(to)].opens();
                after.step(to, Input::ChannelFrom(from));
                after.step(from, Input::ChannelTo { to, control });
            });
        }
        for (process, left) in (0_u8..).zip(&self.begins_left).filter(|(_, left)| **left > 0) {
            add(format!("{process} begins"), &|after| {
                after.begins_left[usize::from(process)] = left - 1;
                after.step(process, Input::Begin);
            });
        }
        next
    }
}

/// What must hold of each state of a system with FIFO channels.
fn check(system: &System, is_end: bool, coins: usize) -> Result<(), String> {
    if let Some(violation) = &system.violation {
        return Err(format!("the machines say: {violation}"));
    }
    let now = system.purses();
    for (round, taken) in &system.snapshots {
        let Some(cut) = system.cut(taken) else {
            // Every marker comes, so every snapshot ends.
            if is_end {
                return Err(format!("{round} does not end"));
            }
            continue;
        };
        if let Some(found) = cut.inconsistency() {
            return Err(format!("{round} is no consistent cut: {found}"));
        }
        if cut.coins() != coins {
            return Err(format!("{round} has {} coins of {coins}", cut.coins()));
        }
        // Section 4 of the paper, by search. What is reachable now stays so, so the ends suffice.
        if is_end && !(is_reachable(&taken.began, &cut) && is_reachable(&cut, &now)) {
            return Err(format!("{round} can't be on a way from its beginning to its end"));
        }
    }
    if is_end && system.machines.iter().any(|machine| machine.under_way().next().is_some()) {
        return Err("a machine still waits for a marker".to_owned());
    }
    Ok(())
}

fn explored(first: System) -> Explored {
    let coins = first.purses().coins();
    explore(first, |system, is_end| check(system, is_end, coins))
}

const COMPLETE: [(u8, u8); 6] = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
const RING: [(u8, u8); 3] = [(0, 1), (1, 2), (2, 0)];

/// Each snapshot of two processes, also when both begin at the same time and again.
#[test]
fn two_processes() {
    let plan = Plan { channels: &[(0, 1), (1, 0)], purses: &[(1, 2), (1, 2)], begins: &[1, 1] };
    assert_eq!(explored(System::new(&plan)), Explored { states: 12_866, ends: 756 });
    let plan = Plan { channels: &[(0, 1), (1, 0)], purses: &[(1, 1), (1, 1)], begins: &[2, 0] };
    assert_eq!(explored(System::new(&plan)), Explored { states: 653, ends: 57 });
}

/// Each snapshot of three processes that all have channels to each other.
#[test]
fn a_complete_graph() {
    let plan = Plan { channels: &COMPLETE, purses: &[(1, 1), (1, 1), (0, 1)], begins: &[1, 0, 0] };
    assert_eq!(explored(System::new(&plan)), Explored { states: 24_445, ends: 335 });
}

/// A ring, two initiators at once.
#[test]
fn a_ring_with_two_initiators() {
    let plan = Plan { channels: &RING, purses: &[(1, 1), (1, 1), (0, 1)], begins: &[1, 1, 0] };
    assert_eq!(explored(System::new(&plan)), Explored { states: 10_422, ends: 482 });
}

/// A chain in both directions, of which one end begins.
#[test]
fn a_chain() {
    let channels = [(0, 1), (1, 0), (1, 2), (2, 1)];
    let plan = Plan { channels: &channels, purses: &[(1, 1), (1, 2), (0, 1)], begins: &[1, 0, 0] };
    assert_eq!(explored(System::new(&plan)), Explored { states: 4_769, ends: 219 });
}

/// A star: all channels begin or end in the middle. A point begins.
#[test]
fn a_star() {
    let channels = [(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)];
    let plan = Plan { channels: &channels, purses: &[(1, 1), (1, 1), (0, 0), (0, 0)], begins: &[0, 1, 0, 0] };
    assert_eq!(explored(System::new(&plan)), Explored { states: 1_646, ends: 36 });
}

/// Channels that appear at any moment of a snapshot lose nothing of it.
#[test]
fn channels_appear() {
    let plan = Plan { channels: &RING, purses: &[(1, 1), (1, 1), (0, 0)], begins: &[1, 0, 0] };
    let mut first = System::new(&plan);
    first.to_appear = BTreeSet::from([(1, 0), (0, 2)]);
    assert_eq!(explored(first), Explored { states: 14_717, ends: 169 });
}

/// A token goes round. Each snapshot has it once: some with a process, others in a channel.
#[test]
fn a_token_is_in_one_place() {
    let plan = Plan { channels: &RING, purses: &[(1, 2), (0, 2), (0, 2)], begins: &[1, 0, 0] };
    let first = System::new(&plan);
    let (mut with, mut between) = (BTreeSet::new(), BTreeSet::new());
    let found = explore(first, |system, is_end| {
        for cut in system.snapshots.values().filter_map(|taken| system.cut(taken)) {
            let holds = |purse: &Purse| purse.coins > 0;
            with.extend(cut.purses.iter().position(holds));
            between.extend(cut.channels.iter().find(|(_, channel)| !channel.is_empty()).map(|(at, _)| *at));
        }
        check(system, is_end, 1)
    });
    assert_eq!(found, Explored { states: 360, ends: 25 });
    let expected = (BTreeSet::from([0, 1, 2]), BTreeSet::from([(2, 0)]));
    assert_eq!((with, between), expected, "only the channel back to the initiator can hold it");
}

/// On a complete graph of n processes n(n-1) markers, whatever happens beside.
#[test]
fn each_channel_has_one_marker() {
    for processes in 2..=5_u8 {
        let all = (0..processes).flat_map(|from| (0..processes).map(move |to| (from, to)));
        let channels: Vec<_> = all.filter(|(from, to)| from != to).collect();
        let purses = vec![(0, 0); usize::from(processes)];
        let mut begins = vec![0; usize::from(processes)];
        begins[0] = 1;
        let mut system = System::new(&Plan { channels: &channels, purses: &purses, begins: &begins });
        while let Some((_, after)) = system.next().into_iter().next() {
            system = after;
        }
        let n = usize::from(processes);
        assert_eq!(system.markers, n * (n - 1), "{n} processes");
    }
}

/// Channels that don't keep their order make a cut that is none: the explorer finds it.
#[test]
fn without_fifo_channels_there_is_no_cut() {
    let plan = Plan { channels: &[(0, 1), (1, 0)], purses: &[(1, 1), (1, 1)], begins: &[1, 0] };
    let mut first = System::new(&plan);
    first.fifo = false;
    let mut broken = 0;
    explore(first, |system, is_end| {
        broken += usize::from(is_end && check(system, true, 2).is_err());
        Ok(())
    });
    assert!(broken > 0, "a coin that overtakes a marker is in two places or in none");
}

/// A process that no marker reaches is named.
#[test]
fn a_graph_that_is_not_strongly_connected_is_refused() {
    let channels = [(0, 1), (1, 2), (2, 1)];
    assert_eq!(check_reach(0, 0..3, channels), Ok(()));
    let unreached = check_reach(1, 0..4, channels).unwrap_err();
    assert_eq!(unreached.processes, [0, 3]);
    let text = "a snapshot that 1 begins does not reach 0, 3: begin at a process that has a way along channels to \
                each other one";
    assert_eq!(unreached.to_string(), text);
}

/// What can't come by a FIFO channel, or by none, is an error, and changes nothing.
#[test]
fn what_can_not_come_is_an_error() {
    let mut machine = ChandyLamport::<u8, u8>::new(0, [1, 2], [1]);
    let round = Round { initiator: 0, number: 1 };
    machine.step(Input::Begin).unwrap();
    let marker = || Input::Control { from: 1, control: Marker::Of(round) };
    machine.step(marker()).unwrap();
    let before = machine.clone();
    assert_eq!(machine.step(marker()), Err(Violation::NotFifo { from: 1, round }), "it came before");
    assert_eq!(machine.step(Input::Message { from: 3, message: 5 }), Err(Violation::NoChannel(3)));
    assert_eq!(machine.step(Input::Send { to: 2, message: 5 }), Err(Violation::NoChannel(2)));
    assert_eq!(machine.step(Input::Stable(round)), Err(Violation::Unexpected(round)));
    assert_eq!(machine, before);
}
