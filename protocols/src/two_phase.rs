//! Coordinated checkpoints by two phases: all processes stop, keep their states, and go on when all
//! of the states count or none. Knows neither what a state is nor where it is kept.
//!
//! A process that begins a round is its *coordinator*, all others are *participants*. The
//! coordinator blocks its application, takes a *tentative* checkpoint and sends a request to all. A
//! participant that gets the request does the same, and says that it is ready once its checkpoint
//! is stable. When all are ready and its own checkpoint is stable, the coordinator makes the
//! decision stable, and says done to all. Then the tentative checkpoints count, and the
//! applications go on. What comes for a blocked application is held, and delivered in its order
//! when it goes on.
//!
//! Nobody sends anything between its checkpoint and the end of the round. So whatever was sent
//! later than its sender's checkpoint comes later than every checkpoint of the round: no state has
//! a message that its sender's state has not sent.
//!
//! The commit is a two-phase commit with presumed abort:
//! - Until the decision goes to stable storage the coordinator gives the round up when its time is
//!   over or a participant refuses. From then on only stable storage knows, and it waits.
//! - A participant that is not ready gives the round up when its time is over, and refuses it.
//! - A participant that is ready is *in doubt*: it can't give up alone. When its time is over it
//!   says again that it is ready, and that asks the coordinator for the outcome.
//! - A coordinator that is asked about a round that it has not decided, and is not in, says abort.
//!   The last decision is enough to know: a later one needs all to be ready in a later round, so
//!   nobody is in doubt about an earlier one.
//!
//! A process that crashes comes back by [`TwoPhase::recovered`]. A coordinator without a stable
//! decision drops its tentative checkpoint and says abort; one with a decision says done again. A
//! participant with a tentative checkpoint comes back blocked and in doubt, and asks at once.
//!
//! Each process may be a coordinator. A process is in one round at a time: it refuses the request
//! of another one, and that round is given up. Two coordinators that begin at the same time may
//! both fail, but neither waits for the other. Begin again after times that differ.
//!
//! # What a rollback loses
//! A message that its sender sent ahead of its checkpoint, and that its receiver got behind its
//! own, is in no checkpoint: it was in transit. A rollback to the round loses it, since its sender
//! does not send it again. A runtime keeps each message at its sender until a checkpoint of the
//! receiver covers it.
//!
//! # Messages
//! 3(n-1) for a round of n processes that succeeds without a time-out: request, ready, done.
//!
//! # Assumptions
//! | what | who can give it |
//! | --- | --- |
//! | each process has a channel to each other one; a message of a machine that is lost or overtaken costs time, not safety | the mailboxes of the group |
//! | messages of the application come once, and survive the crash of their receiver | the numbers of each channel, and the copy at the sender |
//! | the application of a process that is blocked neither handles nor sends anything | the worker of the actor, between [`Output::Block`] and [`Output::Resume`] |
//! | the number of a round is stable before its requests are sent, so that no number is used twice | the driver, when it gets [`Output::Checkpoint`] for a round of its own |
//! | a checkpoint that is done is stable, one that is aborted is gone for good, before the output behind it is carried out | the store |
//! | a process that crashes comes back with all that was stable | the log of decisions and the store |
//! | a process that stays in a round gets [`Input::TimedOut`] again and again | the timer of the group |
//!
//! # Source
//! Tamir and Sequin, *Error Recovery in Multicomputers Using Global Checkpoints*, ICPP 1984;
//! Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery Protocols in Message-Passing
//! Systems*, ACM Computing Surveys 34(3), 2002, section 3.2.1. The commit: Gray, *Notes on Data
//! Base Operating Systems*, 1978; presumed abort: Mohan, Lindsay and Obermarck, *Transaction
//! Management in the R\* Distributed Database Management System*, ACM TODS 11(4), 1986.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::machine::{Input, Machine, Output, Round, Step, Violation, check_channel};

/// What the machines send each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Signal<P> {
    /// The coordinator asks for a tentative checkpoint.
    Request(Round<P>),
    /// The participant's tentative checkpoint is stable. Said again, it asks for the outcome.
    Ready(Round<P>),
    /// The participant has no checkpoint for the round and takes none.
    Refuse(Round<P>),
    /// The coordinator has decided: the checkpoints of the round count.
    Done(Round<P>),
    /// The round is given up.
    Abort(Round<P>),
}

/// What is on stable storage for the machine of a process that comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StableState<P> {
    /// The number of the last round that the process began, 0 if none. The driver keeps it when it
    /// gets [`Output::Checkpoint`] for a round of this process, before it sends the requests.
    pub begun: u64,
    /// The number of the last round of each initiator that is done here. The one of this process is
    /// its last decision, stable since [`Output::Decide`]; the others are kept at [`Output::Done`].
    pub done: BTreeMap<P, u64>,
    /// The round of the tentative checkpoint that is there, neither done nor aborted.
    pub tentative: Option<Round<P>>,
}

impl<P> Default for StableState<P> {
    fn default() -> Self {
        Self { begun: 0, done: BTreeMap::new(), tentative: None }
    }
}

/// How far a process is in the round under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase<P> {
    /// A coordinator that waits for participants, and whether its own checkpoint is stable.
    Collecting { awaited: BTreeSet<P>, is_stable: bool },
    /// A coordinator whose decision goes to stable storage.
    Deciding,
    /// A participant whose checkpoint goes to stable storage.
    Tentative,
    /// A participant that waits for the outcome.
    Ready,
}

/// One process's part in all rounds, as coordinator or participant.
///
/// # Examples
/// ```
/// use relive_protocols::machine::{Input, Machine, Output, Round};
/// use relive_protocols::two_phase::{Signal, TwoPhase};
///
/// // `a` coordinates a round with `b`.
/// let mut a = TwoPhase::<_, &str>::new("a", ["b"]);
/// let round = Round { initiator: "a", number: 1 };
/// assert_eq!(
///     a.step(Input::Begin)?,
///     [
///         Output::Block,
///         Output::Checkpoint(round),
///         Output::Control { to: "b", control: Signal::Request(round) },
///     ]
/// );
/// // `b` sent this ahead of its checkpoint: it waits, and is in neither of the two.
/// assert_eq!(a.step(Input::Message { from: "b", message: "5 cents" })?, []);
/// assert_eq!(a.step(Input::Stable(round))?, []);
/// let ready = Input::Control { from: "b", control: Signal::Ready(round) };
/// assert_eq!(a.step(ready)?, [Output::Decide(round)]);
/// assert_eq!(
///     a.step(Input::Stable(round))?,
///     [
///         Output::Control { to: "b", control: Signal::Done(round) },
///         Output::Done(round),
///         Output::Resume,
///         Output::Deliver { from: "b", message: "5 cents" },
///     ]
/// );
/// # Ok::<(), relive_protocols::machine::Violation<&str>>(())
/// ```
///
/// # Errors
/// Beside what can't come, [`Machine::step`] refuses what a process in a round can't do, with
/// [`Violation::Unexpected`] and that round: an [`Input::Send`] of its application, which is
/// blocked, and an [`Input::Begin`]. Neither leaves a trace. Begin again when the round has ended
/// here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TwoPhase<P, M> {
    me: P,
    others: BTreeSet<P>,
    /// The last round of each initiator that was entered here. The own one is the last one begun.
    known: BTreeMap<P, u64>,
    /// The last round of each initiator that is done here.
    done: BTreeMap<P, u64>,
    under_way: Option<(Round<P>, Phase<P>)>,
    /// What came for the application while it was blocked.
    held: Vec<(P, M)>,
}

/// What a process is to do.
pub type Outputs<P, M> = Vec<Output<P, M, Signal<P>>>;

impl<P: Clone + Ord, M> TwoPhase<P, M> {
    /// The machine of a process that takes its first part in a group with these others.
    #[must_use]
    pub fn new(me: P, others: impl IntoIterator<Item = P>) -> Self {
        let mut others: BTreeSet<P> = others.into_iter().collect();
        others.remove(&me);
        let (known, done) = (BTreeMap::new(), BTreeMap::new());
        Self { me, others, known, done, under_way: None, held: Vec::new() }
    }

    /// The machine of a process that comes back after a crash, with this on stable storage, and
    /// what the process is to do before anything else comes. A group that rolls back as a whole
    /// makes all of its machines anew in this way.
    ///
    /// # Examples
    /// ```
    /// use relive_protocols::machine::{Output, Round};
    /// use relive_protocols::two_phase::{Signal, StableState, TwoPhase};
    ///
    /// // `b` crashed when it was ready in a round of `a`.
    /// let round = Round { initiator: "a", number: 1 };
    /// let stable = StableState { tentative: Some(round), ..StableState::default() };
    /// let (_, outputs) = TwoPhase::<_, &str>::recovered("b", ["a"], stable)?;
    /// let ready = Output::Control { to: "a", control: Signal::Ready(round) };
    /// assert_eq!(outputs, [Output::Block, ready]);
    /// // `a` crashed before it decided.
    /// let stable = StableState { begun: 1, tentative: Some(round), ..StableState::default() };
    /// let (_, outputs) = TwoPhase::<_, &str>::recovered("a", ["b"], stable)?;
    /// let abort = Output::Control { to: "b", control: Signal::Abort(round) };
    /// assert_eq!(outputs, [Output::Aborted(round), abort]);
    /// # Ok::<(), relive_protocols::machine::Violation<&str>>(())
    /// ```
    ///
    /// # Errors
    /// [`Violation::NoChannel`]: the tentative checkpoint is of a round of a process that is not in
    /// the group.
    pub fn recovered(
        me: P,
        others: impl IntoIterator<Item = P>,
        stable: StableState<P>,
    ) -> Result<(Self, Outputs<P, M>), Violation<P>> {
        let mut machine = Self::new(me, others);
        let mut outputs = Vec::new();
        machine.known.clone_from(&stable.done);
        machine.done = stable.done;
        let begun = machine.known.entry(machine.me.clone()).or_default();
        *begun = stable.begun.max(*begun);
        let last = Round { initiator: machine.me.clone(), number: *begun };
        if let Some(round) = stable.tentative {
            match machine.compare_with_done(&round) {
                Ordering::Equal => outputs.push(Output::Done(round)),
                Ordering::Greater if round.initiator != machine.me => {
                    check_channel(&machine.others, &round.initiator)?;
                    machine.known.insert(round.initiator.clone(), round.number);
                    outputs.extend([Output::Block, ready(&round)]);
                    machine.under_way = Some((round, Phase::Ready));
                }
                _ => outputs.push(Output::Aborted(round)),
            }
        }
        if last.number > 0
            && let Some(outcome) = machine.outcome(&last)
        {
            machine.tell_all(&outcome, &mut outputs);
        }
        Ok((machine, outputs))
    }

    /// The round that this process is in. Its application is blocked meanwhile.
    #[must_use]
    pub fn under_way(&self) -> Option<&Round<P>> {
        self.under_way.as_ref().map(|(round, _)| round)
    }

    /// The round against the last one of its initiator that is done here.
    fn compare_with_done(&self, round: &Round<P>) -> Ordering {
        self.done.get(&round.initiator).map_or(Ordering::Greater, |last| round.number.cmp(last))
    }

    /// What a coordinator says of a round of its own that it is not in, if anybody waits for it.
    fn outcome(&self, round: &Round<P>) -> Option<Signal<P>> {
        match self.compare_with_done(round) {
            Ordering::Equal => Some(Signal::Done(round.clone())),
            Ordering::Greater => Some(Signal::Abort(round.clone())),
            // All were ready in a later round.
            Ordering::Less => None,
        }
    }

    fn tell_all(&self, signal: &Signal<P>, outputs: &mut Outputs<P, M>) {
        let tell = |to: &P| Output::Control { to: to.clone(), control: signal.clone() };
        outputs.extend(self.others.iter().map(tell));
    }

    fn begin(&mut self, outputs: &mut Outputs<P, M>) -> Result<(), Violation<P>> {
        if let Some(round) = self.under_way() {
            return Err(Violation::Unexpected(round.clone()));
        }
        let number = self.known.get(&self.me).copied().unwrap_or_default() + 1;
        let round = Round { initiator: self.me.clone(), number };
        let awaited = self.others.clone();
        self.enter(&round, Phase::Collecting { awaited, is_stable: false }, outputs);
        self.tell_all(&Signal::Request(round), outputs);
        Ok(())
    }

    /// Takes the tentative checkpoint.
    fn enter(&mut self, round: &Round<P>, phase: Phase<P>, outputs: &mut Outputs<P, M>) {
        let last = self.known.insert(round.initiator.clone(), round.number);
        assert!(last.is_none_or(|last| last < round.number), "a round is entered once");
        self.under_way = Some((round.clone(), phase));
        outputs.push(Output::Block);
        outputs.push(Output::Checkpoint(round.clone()));
    }

    /// The checkpoint of the round counts.
    fn complete(&mut self, round: Round<P>, outputs: &mut Outputs<P, M>) {
        let last = self.done.insert(round.initiator.clone(), round.number);
        assert!(last.is_none_or(|last| last < round.number), "a round is done once");
        outputs.push(Output::Done(round));
        self.leave(outputs);
    }

    /// The round is given up here, and everywhere if it is this process that began it.
    fn give_up(&mut self, round: Round<P>, outputs: &mut Outputs<P, M>) {
        let is_own = round.initiator == self.me;
        outputs.push(Output::Aborted(round.clone()));
        self.leave(outputs);
        if is_own {
            self.tell_all(&Signal::Abort(round), outputs);
        }
    }

    /// The application goes on, with what was held for it.
    fn leave(&mut self, outputs: &mut Outputs<P, M>) {
        self.under_way = None;
        outputs.push(Output::Resume);
        outputs.extend(self.held.drain(..).map(|(from, message)| Output::Deliver { from, message }));
    }

    /// The coordinator decides when all are ready.
    fn decide(&mut self, outputs: &mut Outputs<P, M>) {
        if let Some((round, phase)) = &mut self.under_way
            && let Phase::Collecting { awaited, is_stable: true } = phase
            && awaited.is_empty()
        {
            *phase = Phase::Deciding;
            outputs.push(Output::Decide(round.clone()));
        }
    }

    /// How far this process is in the round, if it is in it.
    fn phase(&mut self, round: &Round<P>) -> Option<&mut Phase<P>> {
        self.under_way.as_mut().filter(|(own, _)| own == round).map(|(_, phase)| phase)
    }

    /// What another machine says.
    fn told(&mut self, from: P, signal: Signal<P>, outputs: &mut Outputs<P, M>) -> Result<(), Violation<P>> {
        let (round, initiator) = match &signal {
            Signal::Request(round) | Signal::Done(round) | Signal::Abort(round) => (round, &from),
            Signal::Ready(round) | Signal::Refuse(round) => (round, &self.me),
        };
        if round.initiator != *initiator {
            return Err(Violation::Unexpected(round.clone()));
        }
        match signal {
            Signal::Request(round) => self.requested(round, outputs),
            Signal::Done(round) => self.decided(round, outputs)?,
            Signal::Abort(round) => {
                if self.phase(&round).is_some() {
                    self.give_up(round, outputs);
                }
            }
            Signal::Ready(round) => self.answered(from, round, outputs)?,
            Signal::Refuse(round) => {
                if matches!(self.phase(&round), Some(Phase::Collecting { .. })) {
                    self.give_up(round, outputs);
                }
            }
        }
        Ok(())
    }

    fn requested(&mut self, round: Round<P>, outputs: &mut Outputs<P, M>) {
        let is_refused = self.under_way.is_some() || round.is_within(&self.known);
        match self.phase(&round) {
            Some(Phase::Ready) => outputs.push(ready(&round)),
            // It says that it is ready when it is.
            Some(_) => {}
            None if is_refused => outputs.push(refuse(round)),
            None => self.enter(&round, Phase::Tentative, outputs),
        }
    }

    fn decided(&mut self, round: Round<P>, outputs: &mut Outputs<P, M>) -> Result<(), Violation<P>> {
        let is_over = self.compare_with_done(&round).is_le();
        match self.phase(&round) {
            Some(Phase::Ready) => self.complete(round, outputs),
            None if is_over => {}
            _ => return Err(Violation::Unexpected(round)),
        }
        Ok(())
    }

    /// A participant is ready, and may be in doubt.
    fn answered(
        &mut self,
        from: P,
        round: Round<P>,
        outputs: &mut Outputs<P, M>,
    ) -> Result<(), Violation<P>> {
        let is_known = round.is_within(&self.known);
        match self.phase(&round) {
            Some(Phase::Collecting { awaited, .. }) => {
                awaited.remove(&from);
                self.decide(outputs);
            }
            // It is told when the decision is stable.
            Some(_) => {}
            None if !is_known => return Err(Violation::Unexpected(round)),
            None => {
                let outcome = self.outcome(&round);
                outputs.extend(outcome.map(|control| Output::Control { to: from, control }));
            }
        }
        Ok(())
    }

    fn stable(&mut self, round: Round<P>, outputs: &mut Outputs<P, M>) -> Result<(), Violation<P>> {
        match self.phase(&round) {
            Some(Phase::Collecting { is_stable, .. }) if !*is_stable => {
                *is_stable = true;
                self.decide(outputs);
            }
            Some(Phase::Deciding) => {
                self.tell_all(&Signal::Done(round.clone()), outputs);
                self.complete(round, outputs);
            }
            Some(phase @ Phase::Tentative) => {
                *phase = Phase::Ready;
                outputs.push(ready(&round));
            }
            Some(_) => return Err(Violation::Unexpected(round)),
            // It was given up meanwhile.
            None => {}
        }
        Ok(())
    }

    fn timed_out(&mut self, round: Round<P>, outputs: &mut Outputs<P, M>) {
        match self.phase(&round) {
            Some(Phase::Collecting { .. }) => self.give_up(round, outputs),
            Some(Phase::Tentative) => {
                self.give_up(round.clone(), outputs);
                outputs.push(refuse(round));
            }
            Some(Phase::Ready) => outputs.push(ready(&round)),
            // Only stable storage knows whether it is decided, or it has ended.
            Some(Phase::Deciding) | None => {}
        }
    }
}

/// What a participant says to the coordinator.
fn ready<P: Clone, M>(round: &Round<P>) -> Output<P, M, Signal<P>> {
    Output::Control { to: round.initiator.clone(), control: Signal::Ready(round.clone()) }
}

fn refuse<P: Clone, M>(round: Round<P>) -> Output<P, M, Signal<P>> {
    Output::Control { to: round.initiator.clone(), control: Signal::Refuse(round) }
}

impl<P: Clone + Ord, M> Machine for TwoPhase<P, M> {
    type Process = P;
    type Message = M;
    type Control = Signal<P>;

    fn step(&mut self, input: Input<P, M, Signal<P>>) -> Step<P, M, Signal<P>> {
        let mut outputs = Vec::new();
        match input {
            Input::Begin => self.begin(&mut outputs)?,
            Input::Send { to, message } => {
                check_channel(&self.others, &to)?;
                if let Some(round) = self.under_way() {
                    return Err(Violation::Unexpected(round.clone()));
                }
                outputs.push(Output::Send { to, message });
            }
            Input::Message { from, message } => {
                check_channel(&self.others, &from)?;
                if self.under_way.is_some() {
                    self.held.push((from, message));
                } else {
                    outputs.push(Output::Deliver { from, message });
                }
            }
            Input::Control { from, control } => {
                check_channel(&self.others, &from)?;
                self.told(from, control, &mut outputs)?;
            }
            // The group is as it was when the machine was made.
            Input::ChannelTo { to: other, .. } | Input::ChannelFrom(other) => {
                return Err(Violation::NoChannel(other));
            }
            Input::Stable(round) => self.stable(round, &mut outputs)?,
            Input::TimedOut(round) => self.timed_out(round, &mut outputs),
        }
        Ok(outputs)
    }
}
