//! Snapshots by markers: each process keeps its state once, and the messages that were on their way
//! when it did. Nobody stops. Knows neither what a state is nor where it is kept.
//!
//! A process that begins a snapshot keeps its state and puts a *marker* into each of its channels,
//! ahead of everything that it sends later. A process that gets its first marker of a snapshot
//! keeps its state then and there, and does the same. So whatever was sent before its sender kept
//! its state comes ahead of the marker, and what was sent later comes behind it. A message that
//! comes ahead of the marker at a receiver which has kept its state already is in neither state: it
//! is the *state of the channel*, and the machine records it. The marker closes the channel. When
//! all incoming channels are closed the process's part is done.
//!
//! What is kept is a consistent cut: no state has a message that its sender's state has not sent.
//! The system may never have been in that state. But it could have been: the cut can be reached
//! from the state in which the snapshot began, and the state in which it ended can be reached from
//! the cut. So what is true of the cut and stays true once it is true, is true now.
//!
//! Any number of snapshots run at the same time, of one initiator or of several: each has markers
//! of its own. The whole snapshot is complete when every process has kept its state and is done.
//!
//! Channels may appear meanwhile. Then each end learns for which snapshots the other one has kept
//! its state, and keeps its own for them: the sender before it sends anything, the receiver before
//! it receives anything. So the new channel is empty in all of these, and later ones have their
//! markers.
//!
//! # Messages
//! One marker for each channel: n(n-1) for n processes of which each has a channel to each other.
//!
//! # Assumptions
//! | what | who can give it |
//! | --- | --- |
//! | channels are FIFO and neither lose nor repeat anything | messages that are numbered in their channel, and kept until they are acknowledged |
//! | no process stops while a snapshot is under way | a runtime that drops its snapshots when it ends, and whose actors go on with what they had after a restart |
//! | the initiator reaches each process along channels | [`check_reach`], before a snapshot begins |
//!
//! # Source
//! Chandy and Lamport, *Distributed Snapshots: Determining Global States of Distributed Systems*,
//! ACM TOCS 3(1), 1985: the marker rules in section 3.2, the theorem in section 4. Several
//! initiators: Spezialetti and Kearns, *Efficient Distributed Snapshots*, ICDCS 1986; here each
//! snapshot is whole, so that none waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use crate::machine::{Input, Machine, Output, Round, Step, Violation, check_channel};

/// What the machines send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Marker<P> {
    /// The sender has kept its state for the snapshot. All that it sent before stands before.
    Of(Round<P>),
    /// The last snapshot of each initiator for which the state was kept, for the other end of a new
    /// channel.
    Opened(BTreeMap<P, u64>),
}

/// One process's part in all snapshots.
///
/// # Examples
/// ```
/// use relive_protocols::chandy_lamport::{ChandyLamport, Marker};
/// use relive_protocols::machine::{Input, Machine, Output, Round};
///
/// // Two processes. `a` begins, while a message of `b` is on its way to it.
/// let mut a = ChandyLamport::<_, &str>::new("a", ["b"], ["b"]);
/// let round = Round { initiator: "a", number: 1 };
/// assert_eq!(
///     a.step(Input::Begin)?,
///     [Output::Checkpoint(round), Output::Control { to: "b", control: Marker::Of(round) }]
/// );
/// // It comes ahead of the marker of `b`, so it belongs to the channel.
/// assert_eq!(
///     a.step(Input::Message { from: "b", message: "5 cents" })?,
///     [
///         Output::Record { round, from: "b", message: "5 cents" },
///         Output::Deliver { from: "b", message: "5 cents" },
///     ]
/// );
/// assert_eq!(
///     a.step(Input::Control { from: "b", control: Marker::Of(round) })?,
///     [Output::Closed { round, from: "b" }, Output::Done(round)]
/// );
/// # Ok::<(), relive_protocols::machine::Violation<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChandyLamport<P, M> {
    me: P,
    incoming: BTreeSet<P>,
    outgoing: BTreeSet<P>,
    /// The last snapshot of each initiator for which the state was kept. Those of one initiator
    /// come in their order, since channels are FIFO.
    kept: BTreeMap<P, u64>,
    /// The channels that are still open, of each snapshot that is not done here.
    open: BTreeMap<Round<P>, BTreeSet<P>>,
    message: PhantomData<M>,
}

impl<P: Clone + Ord, M: Clone> ChandyLamport<P, M> {
    /// The machine of a process that has these channels from and to others.
    #[must_use]
    pub fn new(me: P, incoming: impl IntoIterator<Item = P>, outgoing: impl IntoIterator<Item = P>) -> Self {
        let (incoming, outgoing) = (incoming.into_iter().collect(), outgoing.into_iter().collect());
        Self { me, incoming, outgoing, kept: BTreeMap::new(), open: BTreeMap::new(), message: PhantomData }
    }

    /// The machine of a process that comes into being by a message of another one, whose machine is
    /// `creator`. In the snapshots that the creator has kept its state for, it is not there yet.
    #[must_use]
    pub fn created_by(creator: &Self, me: P) -> Self {
        Self { kept: creator.kept.clone(), ..Self::new(me, [], []) }
    }

    /// What the other end of a new channel is to learn.
    #[must_use]
    pub fn opens(&self) -> Marker<P> {
        Marker::Opened(self.kept.clone())
    }

    /// The snapshots that are under way at this process, each with the channels for whose markers
    /// it waits.
    pub fn under_way(&self) -> impl Iterator<Item = (&Round<P>, &BTreeSet<P>)> {
        self.open.iter()
    }

    /// Keeps the state for a snapshot, and tells all receivers.
    fn keep(&mut self, round: &Round<P>, outputs: &mut Vec<Output<P, M, Marker<P>>>) {
        let last = self.kept.insert(round.initiator.clone(), round.number);
        assert!(last.is_none_or(|last| last < round.number), "a state is kept once for a snapshot");
        outputs.push(Output::Checkpoint(round.clone()));
        let marker = |to: &P| Output::Control { to: to.clone(), control: Marker::Of(round.clone()) };
        outputs.extend(self.outgoing.iter().map(marker));
        self.open.insert(round.clone(), self.incoming.clone());
        self.end(round, outputs);
    }

    /// The part in the snapshot is done when no channel is open.
    fn end(&mut self, round: &Round<P>, outputs: &mut Vec<Output<P, M, Marker<P>>>) {
        if self.open.get(round).is_some_and(BTreeSet::is_empty) {
            self.open.remove(round);
            outputs.push(Output::Done(round.clone()));
        }
    }

    fn close(&mut self, round: &Round<P>, from: &P, outputs: &mut Vec<Output<P, M, Marker<P>>>) {
        if self.open.get_mut(round).is_some_and(|open| open.remove(from)) {
            outputs.push(Output::Closed { round: round.clone(), from: from.clone() });
            self.end(round, outputs);
        }
    }

    /// What a message of another machine says.
    fn marked(&mut self, from: &P, marker: Marker<P>, outputs: &mut Vec<Output<P, M, Marker<P>>>) {
        match marker {
            Marker::Of(round) => {
                if !round.is_within(&self.kept) {
                    self.keep(&round, outputs);
                }
                self.close(&round, from, outputs);
            }
            Marker::Opened(kept) => self.opened(from, &kept, outputs),
        }
    }

    /// Keeps the state for all snapshots that the other end of a new channel has kept its own for.
    fn catch_up(&mut self, kept: &BTreeMap<P, u64>, outputs: &mut Vec<Output<P, M, Marker<P>>>) {
        for (initiator, last) in kept {
            let first = self.kept.get(initiator).map_or(1, |own| own + 1);
            for number in first..=*last {
                self.keep(&Round { initiator: initiator.clone(), number }, outputs);
            }
        }
    }

    /// The first thing in a new channel: it stands for the markers of these snapshots.
    fn opened(&mut self, from: &P, kept: &BTreeMap<P, u64>, outputs: &mut Vec<Output<P, M, Marker<P>>>) {
        self.catch_up(kept, outputs);
        let rounds: Vec<_> = self.open.keys().filter(|round| round.is_within(kept)).cloned().collect();
        rounds.iter().for_each(|round| self.close(round, from, outputs));
    }

    /// Whether a message of another machine can come here now.
    fn check(&self, from: &P, marker: &Marker<P>) -> Result<(), Violation<P>> {
        check_channel(&self.incoming, from)?;
        let Marker::Of(round) = marker else { return Ok(()) };
        let is_awaited = match self.open.get(round) {
            Some(open) => open.contains(from),
            // The first one of its snapshot.
            None => !round.is_within(&self.kept),
        };
        let violation = || Violation::NotFifo { from: from.clone(), round: round.clone() };
        if is_awaited { Ok(()) } else { Err(violation()) }
    }
}

impl<P: Clone + Ord, M: Clone> Machine for ChandyLamport<P, M> {
    type Process = P;
    type Message = M;
    type Control = Marker<P>;

    fn step(&mut self, input: Input<P, M, Marker<P>>) -> Step<P, M, Marker<P>> {
        let mut outputs = Vec::new();
        match input {
            Input::Begin => {
                let number = self.kept.get(&self.me).copied().unwrap_or_default() + 1;
                self.keep(&Round { initiator: self.me.clone(), number }, &mut outputs);
            }
            Input::Send { to, message } => {
                check_channel(&self.outgoing, &to)?;
                outputs.push(Output::Send { to, message });
            }
            Input::Message { from, message } => {
                check_channel(&self.incoming, &from)?;
                let recording = self.open.iter().filter(|(_, open)| open.contains(&from));
                outputs.extend(recording.map(|(round, _)| Output::Record {
                    round: round.clone(),
                    from: from.clone(),
                    message: message.clone(),
                }));
                outputs.push(Output::Deliver { from, message });
            }
            Input::Control { from, control } => {
                self.check(&from, &control)?;
                self.marked(&from, control, &mut outputs);
            }
            Input::ChannelTo { to, control } => {
                if let Marker::Opened(kept) = control
                    && !self.outgoing.contains(&to)
                {
                    self.catch_up(&kept, &mut outputs);
                    self.outgoing.insert(to.clone());
                    outputs.push(Output::Control { to, control: self.opens() });
                }
            }
            // Its sender keeps its state for the snapshots under way here before it sends anything.
            Input::ChannelFrom(from) => {
                self.incoming.insert(from);
            }
            Input::Stable(round) | Input::TimedOut(round) => return Err(Violation::Unexpected(round)),
        }
        Ok(outputs)
    }
}

/// Some processes can't be reached from the initiator along channels: their states would never be
/// kept, and the snapshot would not be of the whole system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached<P> {
    /// Who began.
    pub initiator: P,
    /// Who can't be reached, in the order of their names.
    pub processes: Vec<P>,
}

impl<P: fmt::Display> fmt::Display for Unreached<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a snapshot that {} begins does not reach", self.initiator)?;
        for (at, process) in self.processes.iter().enumerate() {
            write!(f, "{} {process}", if at == 0 { "" } else { "," })?;
        }
        write!(f, ": begin at a process that has a way along channels to each other one")
    }
}

impl<P: fmt::Debug + fmt::Display> std::error::Error for Unreached<P> {}

/// Whether a snapshot that `initiator` begins reaches all processes along the channels, each from a
/// process to another one. In a strongly connected system each process may begin.
///
/// # Errors
/// [`Unreached`], with the names of those that it does not reach.
///
/// # Examples
/// ```
/// use relive_protocols::chandy_lamport::check_reach;
///
/// let channels = [("a", "b"), ("b", "c")];
/// assert!(check_reach("a", ["a", "b", "c"], channels).is_ok());
/// let unreached = check_reach("b", ["a", "b", "c"], channels).unwrap_err();
/// assert_eq!(unreached.processes, ["a"]);
/// ```
pub fn check_reach<P: Clone + Ord>(
    initiator: P,
    processes: impl IntoIterator<Item = P>,
    channels: impl IntoIterator<Item = (P, P)>,
) -> Result<(), Unreached<P>> {
    let mut receivers = BTreeMap::<P, Vec<P>>::new();
    for (from, to) in channels {
        receivers.entry(from).or_default().push(to);
    }
    let (mut reached, mut next) = (BTreeSet::from([initiator.clone()]), vec![initiator.clone()]);
    while let Some(process) = next.pop() {
        for to in receivers.remove(&process).into_iter().flatten() {
            if reached.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    let all: BTreeSet<P> = processes.into_iter().collect();
    let processes: Vec<P> = all.difference(&reached).cloned().collect();
    if processes.is_empty() { Ok(()) } else { Err(Unreached { initiator, processes }) }
}
