//! The recovery line of processes that take checkpoints independently. Knows the numbers of
//! intervals and who sent what to whom in which of them; knows no state, no storage, no clock and
//! no content of a message.
//!
//! # Terms
//! Checkpoint 0 of a process is its initial state. Interval `i` is what the process does between
//! checkpoint `i` and checkpoint `i + 1`, so its last interval is still open. A process that fails
//! loses its last interval. A process that lives has its current state, which counts as one more
//! checkpoint, the *virtual* one, after its last interval.
//!
//! A *cut* chooses one checkpoint of each process, which may be the virtual one of a process that
//! lives. It keeps the intervals before the chosen checkpoints and undoes the others. A message is
//! an *orphan* of a cut when the interval that received it is kept and the interval that sent it is
//! undone: somebody remembers what nobody has said. A cut without orphans is *consistent*, and the
//! latest consistent cut is the *recovery line*. A message that was sent in a kept interval, and
//! not received in one, is *in transit* across the line. It makes no state wrong, but its receiver
//! waits for it, so somebody has to deliver it (again).
//!
//! # There is one latest line
//! Take two consistent cuts, and for each process the later of its two checkpoints. Let a message
//! be received before that. Then it is received before the checkpoint of its receiver in one of the
//! two cuts. That cut has no orphan, so the message is sent before the checkpoint of its sender
//! there, and the later of the two is no earlier. So the cut of the later checkpoints is consistent
//! too. The initial states are a consistent cut, because they keep nothing. So one consistent cut
//! is the latest for all processes at once: nobody has to roll back further so that others lose
//! less.
//!
//! # How it is found
//! *Rollback propagation* begins with the latest checkpoint of each failed process and the current
//! state of each other one. While a message is sent in an undone interval and received in interval
//! `r`, which is kept, its receiver goes back to checkpoint `r`. Each consistent cut undoes what
//! was lost, so it undoes that sending, and then that receipt: no step goes too far. At the end
//! there is no orphan, so the cut is the recovery line. This is a search for all intervals that are
//! reachable from a lost one in the *rollback-dependency graph*, with an edge from each interval to
//! the next one of its process, and one from the sending to the receiving interval of each message.
//! It is breadth first, so it finds for each rollback the shortest chain of messages that causes
//! it.
//!
//! The work grows with the number of processes plus that of messages, which are sorted for each
//! sender. The number of intervals does not matter.
//!
//! # The domino effect
//! To undo a receipt, its receiver goes back to the checkpoint before it. That also undoes what it
//! sent between that checkpoint and the receipt, though none of it depends on the receipt, and the
//! receivers go back in turn. Where each interval receives after it has sent, that may not end
//! before the initial states: all fall, like dominoes. A checkpoint between a sending and the next
//! receipt stops it. When all processes take those, one that fails alone loses its last interval
//! and no more.
//!
//! ```
//! use relive_protocols::recovery_line::{History, HistoryError, Message};
//!
//! // a: [0]--1--------2--[1]--3----- fails     [n]: checkpoint n
//! //          \       /         \
//! // b: [0]----1-[1]-2-----------3--- lives
//! let mut history = History::new();
//! history.process("a", 2)?.process("b", 2)?;
//! let messages = [("a", 0, "b", 0), ("b", 1, "a", 0), ("a", 1, "b", 1)];
//! for (number, (sender, sent, receiver, received)) in (1..).zip(messages) {
//!     history.message(Message { number, sender, sent, receiver, received: Some(received) })?;
//! }
//! // The loss of interval 1 of a takes back message 3, so b goes to its checkpoint 1. That takes
//! // back message 2, so a goes to its initial state. That takes back message 1, and b follows.
//! let line = history.recovery_line(["a"])?;
//! assert_eq!((line.rollbacks["a"].checkpoint, line.rollbacks["b"].checkpoint), (0, 0));
//! let numbers: Vec<u64> = line.reason(&"b").iter().map(|message| message.number).collect();
//! assert_eq!((numbers, line.depth, line.undone), (vec![3, 2, 1], 3, 4));
//! # Ok::<(), HistoryError<&str>>(())
//! ```
//!
//! # What it assumes
//! Each message carries the number of the interval in which it was sent, and the receiver notes it
//! with the number of its own interval. The runtime that sends and receives provides that. It asks
//! the processes that live for their notes, and reads those of the failed ones from their
//! checkpoints. The notes that a failed process loses with its last interval change no line,
//! because that interval is undone in any case; what it sent there is known from its receivers.
//! Nothing is assumed about the order of channels, and a lost message counts as one that is not
//! received yet. Replay is not assumed: an undone interval is gone, and its number is given again.
//! So the notes of undone intervals go, and what was sent there must not arrive any more.
//!
//! # Source
//! Bhargava and Lian, *Independent Checkpointing and Concurrent Rollback for Recovery*, SRDS 1988
//! (the graph). Wang, *Consistent Global Checkpoints that Contain a Given Set of Local
//! Checkpoints*, IEEE Transactions on Computers 46(4), 1997 (the latest line). Elnozahy, Alvisi,
//! Wang and Johnson, *A Survey of Rollback-Recovery Protocols in Message-Passing Systems*, ACM
//! Computing Surveys 34(3), 2002, section 3.1, which numbers an interval as the checkpoint that
//! ends it. The domino effect: Randell, *System Structure for Software Fault Tolerance*, IEEE TSE
//! 1(2), 1975; what stops it: Russell, *State Restoration in Systems of Communicating Processes*,
//! IEEE TSE 6(2), 1980. Obsolete checkpoints: Wang, Chung, Lin and Fuchs, *Checkpoint Space
//! Reclamation for Uncoordinated Checkpointing in Message-Passing Systems*, IEEE TPDS 6(5), 1995.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Display, Formatter};
use std::ops::Range;
use std::vec::Drain;

/// A message between two processes, or of a process to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<P> {
    /// By what the caller knows it. Any numbers will do.
    pub number: u64,
    /// Who sent it.
    pub sender: P,
    /// The interval of the sender in which it was sent.
    pub sent: u64,
    /// To whom it was sent.
    pub receiver: P,
    /// The interval of the receiver in which it was received; `None` when it is not received yet.
    pub received: Option<u64>,
}

/// What processes have done: their checkpoints, and the messages between them.
///
/// A history may leave out a message that was received before the first checkpoint of its receiver
/// that is not [obsolete](Self::obsolete): no line depends on it.
#[derive(Clone, Debug)]
pub struct History<P> {
    /// Where each process stands in `checkpoints`.
    places: BTreeMap<P, usize>,
    /// How many checkpoints each process has.
    checkpoints: Vec<u64>,
    messages: Vec<Noted<P>>,
}

/// A message of which both ends are known.
#[derive(Clone, Debug)]
struct Noted<P> {
    message: Message<P>,
    /// The place of the sender.
    from: usize,
    /// The place of the receiver.
    to: usize,
}

impl<P> Default for History<P> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), checkpoints: Vec::new(), messages: Vec::new() }
    }
}

impl<P: Clone + Ord + Debug> History<P> {
    /// A history of nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a process with this number of checkpoints, among them its initial state. So its
    /// checkpoints and its intervals have the numbers from 0 to `checkpoints - 1`.
    ///
    /// # Errors
    /// It has no checkpoint, or its name is taken. Then the history is as it was.
    pub fn process(&mut self, name: P, checkpoints: u64) -> Result<&mut Self, HistoryError<P>> {
        if checkpoints == 0 {
            return Err(HistoryError::NoCheckpoint { process: name });
        }
        if self.places.contains_key(&name) {
            return Err(HistoryError::DuplicateProcess { process: name });
        }
        self.places.insert(name, self.checkpoints.len());
        self.checkpoints.push(checkpoints);
        Ok(self)
    }

    /// Adds a message between processes that the history has.
    ///
    /// # Errors
    /// A process or an interval does not exist, or a process received a message of its own before
    /// it sent it. Then the history is as it was.
    pub fn message(&mut self, message: Message<P>) -> Result<&mut Self, HistoryError<P>> {
        let from = self.place(&message, &message.sender, Some(message.sent))?;
        let to = self.place(&message, &message.receiver, message.received)?;
        if from == to && message.received.is_some_and(|received| received < message.sent) {
            return Err(HistoryError::ReceivedBeforeSent { process: message.sender, number: message.number });
        }
        self.messages.push(Noted { message, from, to });
        Ok(self)
    }

    /// The place of one end of a message, with the interval of that end if there is one.
    fn place(
        &self,
        message: &Message<P>,
        process: &P,
        interval: Option<u64>,
    ) -> Result<usize, HistoryError<P>> {
        let number = message.number;
        let Some(&place) = self.places.get(process) else {
            return Err(HistoryError::UnknownProcess { process: process.clone(), number });
        };
        let intervals = self.checkpoints[place];
        match interval {
            Some(interval) if interval >= intervals => {
                let process = process.clone();
                Err(HistoryError::UnknownInterval { process, number, interval, intervals })
            }
            _ => Ok(place),
        }
    }

    /// The latest consistent cut after these processes have failed, each in its last interval.
    ///
    /// # Errors
    /// One of them is not in the history.
    pub fn recovery_line(
        &self,
        failed: impl IntoIterator<Item = P>,
    ) -> Result<RecoveryLine<'_, P>, HistoryError<P>> {
        let place = |process: P| {
            let place = self.places.get(&process).copied();
            place.ok_or(HistoryError::UnknownFailed { process })
        };
        // Of several shortest chains, the first one found is the reason. So the order of the search
        // must not be that of the caller.
        let failed: BTreeSet<usize> = failed.into_iter().map(place).collect::<Result<_, _>>()?;
        Ok(self.line(self.propagate(failed)))
    }

    /// The checkpoints that no failure needs any more, now or later, for each process that has
    /// some. They are those before the line of the moment at which all processes fail, for the
    /// latest of each process is all that any failure leaves.
    ///
    /// Fewer failures only give later lines. Nor does a later line of a longer history go back
    /// behind this one: whatever is received from now on is received in an interval that this line
    /// undoes, so the line gets no orphan and stays consistent, and its checkpoints stay there. A
    /// rollback leaves it in place too.
    ///
    /// The line itself and what is newer is kept. Some of the newer checkpoints can't be in a later
    /// line either; Wang et al. show which, and how many are left at most.
    pub fn obsolete(&self) -> BTreeMap<P, Range<u64>> {
        let all = self.propagate(0..self.checkpoints.len());
        let before = self.places.iter().map(|(process, &place)| (process.clone(), 0..all.cuts[place]));
        before.filter(|(_, checkpoints)| !checkpoints.is_empty()).collect()
    }

    /// Lowers the cuts until no message is an orphan. Each failed place comes once.
    fn propagate(&self, failed: impl IntoIterator<Item = usize>) -> Propagation<'_, P> {
        let mut cuts = self.checkpoints.clone();
        let mut steps: Vec<Step<'_, P>> = Vec::new();
        for place in failed {
            cuts[place] -= 1;
            steps.push(Step { place, cut: cuts[place], cause: None, depth: 0 });
        }
        let mut edges = Edges::new(self);
        // The steps are the queue of the search. Each one undoes intervals that none before it has.
        let mut at = 0;
        while let Some(&Step { place, cut, depth, .. }) = steps.get(at) {
            for Edge { index, to, received, .. } in edges.take_since(place, cut) {
                if received < cuts[to] {
                    cuts[to] = received;
                    let cause = Some((&self.messages[index].message, at));
                    steps.push(Step { place: to, cut: received, cause, depth: depth + 1 });
                }
            }
            at += 1;
        }
        Propagation { cuts, steps }
    }

    /// What the end of a propagation means for each process and each message.
    fn line<'h>(&'h self, Propagation { cuts, steps }: Propagation<'h, P>) -> RecoveryLine<'h, P> {
        // The cuts of a process only fall, so its last step is where it ends.
        let mut last = vec![None; cuts.len()];
        for (index, step) in steps.iter().enumerate() {
            last[step.place] = Some(index);
        }
        let rolled_back = self.places.iter().filter_map(|(process, &place)| {
            let step = last[place]?;
            let Step { cut: checkpoint, depth, .. } = steps[step];
            assert_eq!(checkpoint, cuts[place], "the last step of a process gives its cut");
            let undone = self.checkpoints[place] - checkpoint;
            Some((process.clone(), Rollback { checkpoint, undone, depth, step }))
        });
        let rollbacks: BTreeMap<P, Rollback> = rolled_back.collect();
        let depth = rollbacks.values().map(|rollback| rollback.depth).max().unwrap_or_default();
        let undone = rollbacks.values().fold(0, |sum: u64, rollback| sum.saturating_add(rollback.undone));
        let (mut orphans, mut delayed_orphans, mut in_transit) = (Vec::new(), Vec::new(), Vec::new());
        for Noted { message, from, to } in &self.messages {
            let sending_is_kept = message.sent < cuts[*from];
            let receipt_is_kept = message.received.is_some_and(|received| received < cuts[*to]);
            assert!(sending_is_kept || !receipt_is_kept, "a consistent cut has no orphan");
            match message.received {
                _ if sending_is_kept && receipt_is_kept => {}
                _ if sending_is_kept => in_transit.push(message),
                Some(_) => orphans.push(message),
                None => delayed_orphans.push(message),
            }
        }
        RecoveryLine { rollbacks, orphans, delayed_orphans, in_transit, depth, undone, steps }
    }
}

/// A message that was received, as an edge of the graph. Nobody depends on one that was not.
#[derive(Clone, Debug)]
struct Edge {
    /// The index of the message.
    index: usize,
    sent: u64,
    to: usize,
    received: u64,
}

/// The edges that leave intervals that are not undone yet: for each process, in the order of its
/// intervals, and for one interval in that of the history.
struct Edges(Vec<Vec<Edge>>);

impl Edges {
    fn new<P>(history: &History<P>) -> Self {
        let mut edges = vec![Vec::new(); history.checkpoints.len()];
        for (index, Noted { message, from, to }) in history.messages.iter().enumerate() {
            if let Some(received) = message.received {
                edges[*from].push(Edge { index, sent: message.sent, to: *to, received });
            }
        }
        edges.iter_mut().for_each(|edges| edges.sort_by_key(|edge| edge.sent));
        Self(edges)
    }

    /// Takes those that leave interval `cut` of a process, or a later one.
    fn take_since(&mut self, place: usize, cut: u64) -> Drain<'_, Edge> {
        let edges = &mut self.0[place];
        edges.drain(edges.partition_point(|edge| edge.sent < cut)..)
    }
}

/// The cuts after a propagation, and the steps that led there.
struct Propagation<'h, P> {
    /// The number of the checkpoint of each process; that of its checkpoints when it stays.
    cuts: Vec<u64>,
    steps: Vec<Step<'h, P>>,
}

/// A process goes back to a checkpoint.
#[derive(Clone, Debug)]
struct Step<'h, P> {
    place: usize,
    cut: u64,
    /// The message that the process must not have received, and the index of the step that undid
    /// its sending; `None` when the process failed.
    cause: Option<(&'h Message<P>, usize)>,
    /// How many messages lead here from a failure.
    depth: usize,
}

/// The latest consistent cut, and what it costs. Lists of messages are in the order of the history.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryLine<'h, P> {
    /// Each process that rolls back. All others stay in their current states.
    pub rollbacks: BTreeMap<P, Rollback>,
    /// The messages that were sent in an undone interval and received, each therefore in an undone
    /// interval. Without the rollback of their receivers they would be orphans.
    pub orphans: Vec<&'h Message<P>>,
    /// The messages that were sent in an undone interval and are not received yet. They force
    /// nobody back, but must not be received any more: who has them drops them.
    pub delayed_orphans: Vec<&'h Message<P>>,
    /// The messages that were sent in a kept interval, and received in an undone one or not yet.
    /// Those received in an undone one are lost unless somebody has kept them to deliver them
    /// again.
    pub in_transit: Vec<&'h Message<P>>,
    /// The depth of the domino effect: the number of messages of the longest chain among the
    /// [reasons](Self::reason), of which each is the shortest one for its rollback. 0 when only
    /// failed processes roll back, each to its latest checkpoint.
    pub depth: usize,
    /// How many intervals are undone, over all processes; `u64::MAX` when there are more.
    pub undone: u64,
    steps: Vec<Step<'h, P>>,
}

/// What a process loses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rollback {
    /// The checkpoint to which it goes.
    pub checkpoint: u64,
    /// How many intervals that undoes.
    pub undone: u64,
    /// The number of messages in the chain that causes it; 0 when it is the failure alone.
    pub depth: usize,
    /// The index of the step that led there.
    step: usize,
}

impl<'h, P: Ord> RecoveryLine<'h, P> {
    /// Why a process has to go back as far as it does: the shortest chain of messages that forces
    /// it, and of several the first one found. Its first message is sent in the lost interval of a
    /// failed process. Each is one of the [orphans](Self::orphans), and to undo its receipt undoes
    /// the sending of the next. The last is received by the process in the interval after the
    /// checkpoint to which it goes.
    ///
    /// Empty for a process that goes to its latest checkpoint because it failed, and for one that
    /// stays.
    pub fn reason(&self, process: &P) -> Vec<&'h Message<P>> {
        let mut chain = Vec::new();
        let mut step = self.rollbacks.get(process).map(|rollback| rollback.step);
        while let Some((message, before)) = step.and_then(|step| self.steps.get(step)?.cause) {
            chain.push(message);
            step = Some(before);
        }
        chain.reverse();
        chain
    }
}

/// Why something is no history. Messages are named by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError<P> {
    /// A process has not even its initial state.
    NoCheckpoint {
        /// The process.
        process: P,
    },
    /// A process is in the history already.
    DuplicateProcess {
        /// The process.
        process: P,
    },
    /// The sender or receiver of a message is not in the history.
    UnknownProcess {
        /// The process.
        process: P,
        /// The message.
        number: u64,
    },
    /// A message is sent or received in an interval that its process does not have.
    UnknownInterval {
        /// The process.
        process: P,
        /// The message.
        number: u64,
        /// The interval.
        interval: u64,
        /// How many intervals the process has.
        intervals: u64,
    },
    /// A process received a message of its own in an earlier interval than that of the sending.
    ReceivedBeforeSent {
        /// The process.
        process: P,
        /// The message.
        number: u64,
    },
    /// A process that failed is not in the history.
    UnknownFailed {
        /// The process.
        process: P,
    },
}

impl<P: Debug> Display for HistoryError<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCheckpoint { process } => {
                write!(f, "process {process:?} has no checkpoint: count its initial state as the first")
            }
            Self::DuplicateProcess { process } => {
                write!(f, "process {process:?} is in the history already: add each process once")
            }
            Self::UnknownProcess { process, number } => {
                write!(
                    f,
                    "message {number} names process {process:?}, which is not in the history: add it first"
                )
            }
            Self::UnknownInterval { process, number, interval, intervals } => write!(
                f,
                "message {number} names interval {interval} of process {process:?}, which has {intervals}: \
                 intervals count from 0, one for each checkpoint"
            ),
            Self::ReceivedBeforeSent { process, number } => {
                write!(f, "process {process:?} received its own message {number} before it sent it")
            }
            Self::UnknownFailed { process } => {
                write!(f, "process {process:?} failed, but is not in the history: add it first")
            }
        }
    }
}

impl<P: Debug> std::error::Error for HistoryError<P> {}
