//! The one interface of the machines: what comes to a process goes in, what the process is to do
//! comes out. Knows no protocol.
//!
//! Each process has a machine of its own, beside its application. A driver, which is a runtime or a
//! test that explores all orders of events, carries messages from one to the other in channels, and
//! keeps what is to be stable. A machine does nothing itself: it has no clock, draws nothing at
//! random and keeps no hash order, so the same inputs give the same outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One round of a protocol: a snapshot, or a checkpoint of several processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round<P> {
    /// The process that began it.
    pub initiator: P,
    /// Which of the rounds of that process it is, from 1.
    pub number: u64,
}

impl<P: Ord> Round<P> {
    /// Whether it is one of those up to the last round of each initiator.
    pub(crate) fn is_within(&self, last: &BTreeMap<P, u64>) -> bool {
        last.get(&self.initiator).is_some_and(|last| self.number <= *last)
    }
}

impl<P: fmt::Display> fmt::Display for Round<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {} of {}", self.number, self.initiator)
    }
}

/// What comes to a process. `P` names processes, `M` is a message of the application, `C` one of
/// the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input<P, M, C> {
    /// The process is to begin a round.
    Begin,
    /// The application sends a message.
    Send {
        /// The receiver.
        to: P,
        /// The message.
        message: M,
    },
    /// The first thing in the channel from a process is a message of its application.
    Message {
        /// The sender.
        from: P,
        /// The message.
        message: M,
    },
    /// The first thing in the channel from a process is a message of its machine.
    Control {
        /// The sender.
        from: P,
        /// The message.
        control: C,
    },
    /// A channel to a process is there from now on, at both ends at the same time.
    ChannelTo {
        /// The receiver.
        to: P,
        /// What the receiver's machine says ahead of all.
        control: C,
    },
    /// A channel from a process is there from now on.
    ChannelFrom(P),
    /// What the machine wanted to be stable for the round is on stable storage.
    Stable(Round<P>),
    /// The time that the process gives the round is over.
    TimedOut(Round<P>),
}

/// What a process is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output<P, M, C> {
    /// Put a message of the application into the channel to a process.
    Send {
        /// The receiver.
        to: P,
        /// The message.
        message: M,
    },
    /// Put a message of this machine into the channel to a process.
    Control {
        /// The receiver.
        to: P,
        /// The message.
        control: C,
    },
    /// Give a message to the application.
    Deliver {
        /// The sender.
        from: P,
        /// The message.
        message: M,
    },
    /// Keep the state of the application as it is now, for the round.
    Checkpoint(Round<P>),
    /// Keep a message as a part of the state of its channel, for the round.
    Record {
        /// The round.
        round: Round<P>,
        /// The sender.
        from: P,
        /// The message.
        message: M,
    },
    /// The state of a channel is complete for the round.
    Closed {
        /// The round.
        round: Round<P>,
        /// The sender.
        from: P,
    },
    /// The application neither handles nor sends anything until [`Output::Resume`].
    Block,
    /// The application goes on.
    Resume,
    /// Make the decision that the round holds stable, then say so with [`Input::Stable`].
    Decide(Round<P>),
    /// The part of this process in the round is complete: what it kept for the round counts.
    Done(Round<P>),
    /// The round is given up: what was kept for it counts for nothing.
    Aborted(Round<P>),
}

/// The result of a step: what the process is to do, in this order, before anything else comes.
pub type Step<P, M, C> = Result<Vec<Output<P, M, C>>, Violation<P>>;

/// A process's part of a protocol.
pub trait Machine {
    /// Names a process.
    type Process;
    /// What applications send each other.
    type Message;
    /// What the machines send each other, in the same channels.
    type Control;

    /// Takes what has come, and says what the process is to do.
    ///
    /// # Errors
    /// [`Violation`]: what came can't come when the assumptions of the protocol hold. The machine
    /// is as it was.
    fn step(
        &mut self,
        input: Input<Self::Process, Self::Message, Self::Control>,
    ) -> Step<Self::Process, Self::Message, Self::Control>;
}

/// An assumption of a protocol does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Violation<P> {
    /// There is no channel between this process and the one with this name in that direction.
    NoChannel(P),
    /// A channel has lost, repeated or overtaken a message of a machine.
    NotFifo {
        /// Whose channel to this process it is.
        from: P,
        /// The round of that message.
        round: Round<P>,
    },
    /// The round is not under way at this process, waits for something else, or has to end first.
    Unexpected(Round<P>),
}

/// Whether there is a channel to or from another process, of those that there are.
pub(crate) fn check_channel<P: Clone + Ord>(channels: &BTreeSet<P>, other: &P) -> Result<(), Violation<P>> {
    if channels.contains(other) { Ok(()) } else { Err(Violation::NoChannel(other.clone())) }
}

impl<P: fmt::Display> fmt::Display for Violation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChannel(other) => write!(f, "there is no such channel between this process and {other}"),
            Self::NotFifo { from, round } => {
                write!(f, "the channel from {from} has lost, repeated or overtaken a message of {round}")
            }
            Self::Unexpected(round) => write!(f, "{round} does not permit this here and now"),
        }
    }
}

impl<P: fmt::Debug + fmt::Display> std::error::Error for Violation<P> {}
