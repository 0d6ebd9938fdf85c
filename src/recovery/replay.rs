//! Restores actors at an opening: each actor that has log after its checkpoint. Then compares what
//! receivers know with what senders sent. Blocking; writes nothing but notes in probation.

use std::collections::{BTreeMap, HashMap};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relive_replay::checkpoint_body::{revive, sent};
use relive_replay::guard::guarded;
use relive_replay::receptions::Beyond;
use relive_replay::{Halt, HaltReason, Outgoing};
use relive_storage::{ActorId, Generation, Rsn, Scanned, Ssn, Store, StoreId, boundary};

use crate::actor::activation::Activation;
use crate::actor::cell::ActorCell;
use crate::actor::envelope::OutboxOwner;
use crate::actor::loader::{Activated, LoadError, Source, newest_whole};
use crate::actor::probation::{Probation, ProbeMode, Watched};
use crate::actor::table::{ActorTable, Kinds};
use crate::error::{ActorFailure, FailureCause, OpenError};
use crate::limits::NOTED_TOGETHER_MAX;
use crate::recovery::analysis::{FoundActor, Tried};
use crate::recovery::notes::ReplayNote;
use crate::recovery::report::{Progress, RecoveryProgress, is_told, tell};
use crate::replayers::Replayers;
use crate::retention::pins::Pins;

/// The result of a recovery.
pub(crate) struct Recovered {
    pub(crate) cells: Vec<Arc<ActorCell>>,
    pub(crate) replayed: u64,
    pub(crate) failed: Vec<Arc<ActorFailure>>,
    /// The actors that still have something to handle.
    pub(crate) unhandled: Vec<(Arc<ActorCell>, Watched)>,
    /// There was at least one actor to restore.
    pub(crate) worked: bool,
    /// The actor that the previous process tried alone when it ended. It comes first.
    pub(crate) last_tried: Option<ActorId>,
}

/// The inputs of a recovery.
pub(crate) struct Recovery<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) store_id: StoreId,
    pub(crate) scanned: &'a Scanned,
    pub(crate) progress: &'a Progress,
    pub(crate) kinds: &'a Kinds,
    /// Makes the cells.
    pub(crate) actors: &'a ActorTable,
    pub(crate) replayers: &'a Replayers,
    /// Logs which actors are about to be replayed, or have been.
    pub(crate) note: &'a (dyn Fn(&[ReplayNote]) -> Result<(), OpenError> + Sync),
    /// The previous recovery did not complete. This one does not replay deliveries that may have
    /// ended the process, but leaves them for tries one by one. It replays handled deliveries with
    /// a note in the log.
    pub(crate) in_probation: bool,
    /// The tries under way when the process ended.
    pub(crate) last_tried: &'a [Tried],
    /// How often the process may end in the replay of an actor before an opening leaves it alone.
    pub(crate) tries: u32,
    /// How long the replies to requests with idempotency keys are kept.
    pub(crate) retention: Duration,
}

enum Outcome {
    Restored(Box<Activated>),
    Failed(FailureCause, Halt),
}

impl Recovery<'_> {
    /// Restores the actors found, and puts them into memory.
    pub(crate) fn restore_all(&self, found: HashMap<ActorId, FoundActor>) -> Result<Recovered, OpenError> {
        // Sorted, so that two openings of one store do the same: they send unacknowledged messages
        // again in this order, and with one thread they call the store in it.
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut cells = Vec::new();
        let mut work = Vec::new();
        for (id, found) in found {
            let cell = self.actors.new_cell(id, &found.kind);
            cell.change_pins(|pins| {
                assert_eq!(*pins, Pins::default(), "the analysis has taken the pins of {} over", cell.id);
                *pins = Pins::recovered(found.older, found.newer);
            });
            // Also one with nothing to restore: its cell keeps the log for the checkpoint before.
            cells.push(Arc::clone(&cell));
            if found.has_outbox || found.tape.remaining() > 0 {
                work.push((cell, found));
            }
        }
        let worked = !work.is_empty();
        let (mut done, work) = self.leave_alone(work);
        let replayed = self.restore_in_groups(work, &mut done)?;
        // All of them at once: whether a message was sent shows only when its sender is restored.
        let (failed, unhandled) = self.install(done)?;
        boundary!("recovery.restored");
        let last_tried = self.tried_alone().cloned();
        Ok(Recovered { cells, replayed, failed, unhandled, worked, last_tried })
    }

    /// The one actor that was trying unhandled deliveries when the process ended.
    fn tried_alone(&self) -> Option<&ActorId> {
        match self.last_tried {
            [Tried { actor, replay: false, .. }] if self.in_probation => Some(actor),
            _ => None,
        }
    }

    /// Leaves out of this opening an actor in whose replay, alone, the process has ended `tries`
    /// times. The others are served, and the next opening replays it again. One end shows nothing,
    /// since a killed process looks the same.
    fn leave_alone(&self, work: Vec<Work>) -> (Vec<Done>, Vec<Work>) {
        let ends = |found: &FoundActor| found.tape.attempts(found.floor.next());
        let ended = |(cell, found): &Work| match self.last_tried {
            [Tried { actor, replay: true, .. }] => {
                self.in_probation && *actor == cell.id && ends(found) >= self.tries
            }
            _ => false,
        };
        let (alone, work): (Vec<_>, Vec<_>) = work.into_iter().partition(ended);
        let alone = alone.into_iter().map(|(cell, found)| {
            let reason = HaltReason::ReplayEnded { ends: ends(&found) };
            let halt = Halt::new(cell.id.clone(), found.tape.certain(), reason);
            (cell, Ok(Outcome::Failed(FailureCause::Replay, halt)))
        });
        (alone.collect(), work)
    }

    /// Restores actors. In probation it does so in groups, with a note in the log ahead of each;
    /// those under way when the process ended come last, one by one. Returns how many deliveries it
    /// replayed.
    fn restore_in_groups(&self, work: Vec<Work>, done: &mut Vec<Done>) -> Result<u64, OpenError> {
        // Those left alone are done, and count among all.
        let of = done.len() + work.len();
        let deliveries = AtomicU64::new(0);
        if !self.in_probation {
            self.restore_group(work, of, &deliveries, done)?;
            return Ok(deliveries.into_inner());
        }
        let tried = |(cell, _): &Work| self.last_tried.iter().any(|tried| tried.actor == cell.id);
        let (last, first): (Vec<_>, Vec<_>) = work.into_iter().partition(tried);
        // One by one finds the one to blame at once. With many actors each note's sync counts, so
        // a group is noted together, and its actors come one by one in the next opening.
        let size = if first.len() <= NOTED_TOGETHER_MAX { 1 } else { NOTED_TOGETHER_MAX };
        let (mut first, mut last) = (first.into_iter(), last.into_iter());
        loop {
            let mut group: Vec<Work> = first.by_ref().take(size).collect();
            if group.is_empty() {
                group.extend(last.next());
            }
            if group.is_empty() {
                return Ok(deliveries.into_inner());
            }
            let mut notes = Vec::new();
            for (cell, found) in &group {
                let certain = self.certain(found)?;
                assert!(certain.begun <= found.tape.last(), "{} began what was not logged", cell.id);
                if certain.begun > found.floor {
                    let (actor, from) = (cell.id.clone(), found.floor.next());
                    notes.push(ReplayNote { actor, from, handled: Rsn::NONE, over: certain.handled });
                }
            }
            // Durable before a handler runs: otherwise nobody would know what ended the process.
            (self.note)(&notes)?;
            self.restore_group(group, of, &deliveries, done)?;
            // An actor that failed has survived too: the process is still there.
            notes.iter_mut().for_each(|note| note.handled = note.over);
            // A delivery that was begun is not over, and no note can say so: the next one that is
            // logged shows that the process has survived this one.
            notes.retain(|note| note.from <= note.over);
            (self.note)(&notes)?;
        }
    }

    /// The last delivery of an actor that it had certainly begun, and the last that it had
    /// certainly handled, or earlier ones: never one that it may not have.
    fn certain(&self, found: &FoundActor) -> Result<Certain, OpenError> {
        let handled = found.tape.certain();
        if handled > found.floor || !found.tape.has_receptions() {
            return Ok(Certain { begun: handled, handled });
        }
        let (checkpoint, _) = newest_whole(self.store, found.id())?;
        // One that can't be decoded stops the actor when it is restored.
        let sent = checkpoint.map(|checkpoint| sent(&checkpoint)).transpose().unwrap_or_default();
        let first = found.floor.next();
        Ok(match found.tape.received_beyond(&sent.unwrap_or_default()) {
            Beyond::Nothing => Certain { begun: handled, handled },
            Beyond::Begun => Certain { begun: first, handled },
            Beyond::Handled => Certain { begun: first, handled: first },
        })
    }

    /// Restores some actors, on as many threads as there are processors; on one when the tokio
    /// runtime has one.
    fn restore_group(
        &self,
        work: Vec<Work>,
        of: usize,
        deliveries: &AtomicU64,
        all_done: &mut Vec<Done>,
    ) -> Result<(), OpenError> {
        let work: Vec<_> = work.into_iter().map(|item| Mutex::new(Some(item))).collect();
        let next = AtomicUsize::new(0);
        let before = all_done.len();
        let done = Mutex::new(std::mem::take(all_done));
        let tokio = tokio::runtime::Handle::try_current().ok();
        let threads = threads(tokio.as_ref()).min(work.len());
        std::thread::scope(|scope| {
            let mut begun = Vec::with_capacity(threads);
            for _ in 0..threads {
                let work_on = || {
                    // Users' code may expect to run within tokio, as it does live.
                    let _context = tokio.as_ref().map(tokio::runtime::Handle::enter);
                    while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let item = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                        let Some((cell, found)) = item else { continue };
                        let outcome = self.guarded_restore(&cell, found);
                        boundary!("recovery.actor");
                        let replayed = match &outcome {
                            Ok(Outcome::Restored(activated)) => activated.replayed,
                            _ => 0,
                        };
                        let total = deliveries.fetch_add(replayed, Ordering::Relaxed) + replayed;
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((cell, outcome));
                        let actors = done.len();
                        drop(done);
                        if is_told(actors, of) {
                            tell(
                                self.progress,
                                RecoveryProgress::Replaying { actors, of, deliveries: total },
                            );
                        }
                    }
                };
                // The threads share the work, so one that does not start costs only time.
                match self.replayers.thread("relive-replay").spawn_scoped(scope, work_on) {
                    Ok(thread) => begun.push(thread),
                    Err(error) => {
                        tracing::error!(%error, "a thread that restores actors could not be started");
                    }
                }
            }
            // As in `start_detached`: a thread that is soon done must not be detached meanwhile.
            for thread in begun {
                if let Err(panic) = thread.join() {
                    resume_unwind(panic);
                }
            }
        });
        *all_done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(all_done.len() <= before + work.len(), "each actor is restored once");
        // An actor that nobody restored must not be served from nothing.
        if all_done.len() < before + work.len() {
            let reason = "none that restores actors could be".to_owned();
            return Err(OpenError::Thread { reason });
        }
        Ok(())
    }

    /// Decodes the checkpoints of passive actors, so that the opening reports a state that this
    /// code can't read, and not the first message to it.
    pub(crate) fn check_passive(
        &self,
        passive: &[ActorId],
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        for id in passive {
            let Some(kind) = self.kinds.get(id.kind()) else { continue };
            // A damaged checkpoint falls back to the one before when the actor is needed.
            let checkpoint = match newest_whole(self.store, id) {
                Ok((Some(checkpoint), Generation::Newest)) => checkpoint,
                Ok(_) => continue,
                Err(error) if error.is_corrupt() => continue,
                Err(error) => return Err(error.into()),
            };
            if let Err(error) = revive(kind, &checkpoint, self.store_id) {
                let cell = self.actors.new_cell(id.clone(), kind);
                let reason = HaltReason::Checkpoint { reason: error.0 };
                let halt = Halt::new(id.clone(), checkpoint.header.rsn, reason);
                recovered.failed.push(fail(&cell, FailureCause::Replay, halt));
                recovered.cells.push(cell);
            }
        }
        Ok(())
    }

    /// A panic outside a handler stops the actor, not the opening.
    fn guarded_restore(&self, cell: &ActorCell, found: FoundActor) -> Result<Outcome, OpenError> {
        guarded(|| self.restore(cell, found)).unwrap_or_else(|panic| {
            let halt = Halt::new(cell.id.clone(), Rsn::NONE, HaltReason::Unwound { panic });
            Ok(Outcome::Failed(FailureCause::Replay, halt))
        })
    }

    fn restore(&self, cell: &ActorCell, found: FoundActor) -> Result<Outcome, OpenError> {
        let source = Source {
            store: self.store,
            store_id: self.store_id,
            kind: &cell.kind,
            id: &cell.id,
            from: Some(self.scanned.start),
            fallback_from: Some(self.scanned.start),
            to: self.scanned.next,
            retention: self.retention,
        };
        let span = tracing::info_span!("relive::replay", actor = %cell.id, replaying = true);
        let _entered = span.enter();
        match self.replay(&source, found) {
            Ok(activated) => Ok(Outcome::Restored(Box::new(activated))),
            Err(LoadError::Halted(halt)) if is_damage(&halt) => Err(OpenError::Records(halt)),
            Err(LoadError::Halted(halt)) => Ok(Outcome::Failed(FailureCause::Replay, halt)),
            Err(LoadError::Store(error)) => Err(error.into()),
        }
    }

    /// Replays an actor. A halt on a delivery that was certainly handled is no first try, so it is
    /// final. A later delivery may never have been handled: the actor tries it live, from the one
    /// on which the replay halted.
    fn replay(&self, source: &Source<'_>, found: FoundActor) -> Result<Activated, LoadError> {
        // In probation the replay stops where the process may have ended; the tries go on there.
        let before = (self.in_probation && found.is_uncertain()).then(|| found.tape.certain().next());
        let (mut tape, (checkpoint, generation)) = (found.tape, newest_whole(self.store, source.id)?);
        let rsn = checkpoint.as_ref().map_or(Rsn::NONE, |checkpoint| checkpoint.header.rsn);
        // The tape begins where the listed checkpoint ends. From an older one the actor needs more
        // of the log, which was not kept in memory.
        if generation == Generation::Previous || rsn != found.floor {
            let seen = tape.seen_by_others();
            tape = source.read(rsn, generation)?;
            tape.inherit(seen);
        }
        match source.replay(checkpoint.as_ref(), &mut tape, before) {
            Err(LoadError::Halted(halt)) if halt.rsn > tape.known() && !is_damage(&halt) => {
                let rsn = halt.rsn;
                tracing::warn!(error = %halt, "a recorded delivery, perhaps not handled before, fails; it is tried again live");
                let mut activated = source.replay(checkpoint.as_ref(), &mut tape, Some(rsn))?;
                // The replay was its first try. Only a panic has more than one.
                let panicked = matches!(halt.reason, HaltReason::Panicked { .. });
                activated.active.tried = panicked.then_some((rsn, 1));
                Ok(activated)
            }
            outcome => outcome,
        }
    }

    /// Compares both ends of all channels between restored actors, then puts the actors into
    /// memory.
    fn install(&self, done: Vec<Done>) -> Result<Installed, OpenError> {
        let mut restored = Restored::new();
        let mut failed = Vec::new();
        for (cell, outcome) in done {
            match outcome? {
                Outcome::Restored(activated) => {
                    let Activated { active, owed, released, .. } = *activated;
                    cell.keep_until_acknowledged(&owed.messages);
                    owed.replies.into_iter().for_each(|reply| cell.keep_reply(reply));
                    let id = cell.id.clone();
                    let twin = restored.insert(id, InMemory { cell, active, released });
                    assert!(twin.is_none(), "an opening restores each actor once");
                }
                Outcome::Failed(cause, halt) => failed.push(fail(&cell, cause, halt)),
            }
        }
        // Before any actor is in memory: an opening that refuses the store leaves nothing behind.
        check_channels(&restored)?;
        // Spares sending what a receiver has logged. One that is passive drops duplicates later.
        for (receiver, InMemory { active, .. }) in &restored {
            for (sender, received) in active.instance.received_from() {
                if let Some(sender) = restored.get(sender) {
                    sender.cell.acknowledge(receiver, received);
                }
            }
        }
        let mut unhandled = Vec::new();
        for InMemory { cell, mut active, .. } in restored.into_values() {
            if !active.backlog.is_empty() {
                let last = active.instance.received();
                let (probation, watched) = Probation::new(last, self.probe_mode(&cell.id));
                active.probation = Some(probation);
                unhandled.push((Arc::clone(&cell), watched));
            }
            cell.install(Box::new(active));
        }
        Ok((failed, unhandled))
    }

    fn probe_mode(&self, actor: &ActorId) -> ProbeMode {
        match self.tried_alone() {
            _ if !self.in_probation => ProbeMode::None,
            Some(last) if last == actor => ProbeMode::Delivery,
            _ => ProbeMode::Actor,
        }
    }
}

/// Whether the records themselves are what stopped the actor.
fn is_damage(halt: &Halt) -> bool {
    matches!(halt.reason, HaltReason::Corrupt { .. })
}

/// How many threads restore actors.
fn threads(tokio: Option<&tokio::runtime::Handle>) -> usize {
    match tokio.map(tokio::runtime::Handle::runtime_flavor) {
        Some(tokio::runtime::RuntimeFlavor::CurrentThread) => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Invariant: no-orphan. No receiver knows more of a channel than its sender has sent. A received
/// message stands in the log after the delivery that sent it. So the sender has it in its
/// checkpoint, or has sent it in its replay.
///
/// # Source
/// Orphans and the condition that excludes them: Alvisi and Marzullo, *Message Logging:
/// Pessimistic, Optimistic, Causal, and Optimal*, IEEE Transactions on Software Engineering 24(2),
/// 1998.
fn check_channels(restored: &Restored) -> Result<(), OpenError> {
    for (receiver, InMemory { active, .. }) in restored {
        for (sender, received) in active.instance.received_from() {
            // One that is not in memory can't be asked: it failed, or has all in its checkpoint.
            let Some(sending) = restored.get(sender) else { continue };
            let sent = sending.sent_to(receiver);
            if received > sent {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                return Err(OpenError::Orphan { receiver, sender, received, sent });
            }
        }
    }
    Ok(())
}

/// The restored actors, before they are in memory.
type Restored = BTreeMap<ActorId, InMemory>;

/// A restored actor.
struct InMemory {
    cell: Arc<ActorCell>,
    active: Activation,
    /// What the first delivery ahead has sent, though it is not done.
    released: Vec<Outgoing>,
}

impl InMemory {
    /// The last number that it sent to an actor.
    fn sent_to(&self, receiver: &ActorId) -> Ssn {
        let released = self.released.iter().rev().find(|outgoing| outgoing.to == *receiver);
        released.map_or_else(|| self.active.instance.sent_to(receiver), |outgoing| outgoing.ssn)
    }
}

/// The actors that failed, and those that still have something to handle.
type Installed = (Vec<Arc<ActorFailure>>, Vec<(Arc<ActorCell>, Watched)>);

/// How far an actor had come before the opening, as the records show.
struct Certain {
    begun: Rsn,
    handled: Rsn,
}

/// An actor to restore.
type Work = (Arc<ActorCell>, FoundActor);

/// An actor with the outcome of its restore.
type Done = (Arc<ActorCell>, Result<Outcome, OpenError>);

fn fail(cell: &ActorCell, cause: FailureCause, halt: Halt) -> Arc<ActorFailure> {
    tracing::error!(actor = %cell.id, error = %halt, "the actor could not be restored");
    cell.fail(cause, halt, 1)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
