//! From what a store holds to actors, at open: restore every actor that has log after its checkpoint, and compare what
//! receivers know with what senders sent. Blocking; writes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use relive_replay::checkpoint_body::revive;
use relive_replay::guard::guarded;
use relive_replay::{Divergence, Halt, Instance};
use relive_storage::{ActorId, Rsn, Scanned, Ssn, Store, StoreError, StoreId, boundary};

use crate::activation::{Activated, Source, Unrestored, newest_whole};
use crate::active::Active;
use crate::core::Kinds;
use crate::envelope::Debtor;
use crate::error::{ActorFailure, FailureCause, OpenError};
use crate::limits::NOTED_TOGETHER_MAX;
use crate::needs::Needs;
use crate::pins::Pins;
use crate::replayers::Replayers;
use crate::report::{Progress, RecoveryProgress, tell};
use crate::slot::Slot;
use crate::survey::{FoundActor, Tried};
use crate::suspects::{Care, Suspects, Watched};

/// What recovery made of a store.
pub(crate) struct Recovered {
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) replayed: u64,
    pub(crate) failed: Vec<Arc<ActorFailure>>,
    /// The actors that still have something to handle.
    pub(crate) unhandled: Vec<(Arc<Slot>, Watched)>,
    /// Something was replayed.
    pub(crate) worked: bool,
    /// The actor that was tried when the process before ended, if it was one alone and is to be tried first.
    pub(crate) last_tried: Option<ActorId>,
}

/// What actors are restored from.
pub(crate) struct Recovery<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) store_id: StoreId,
    pub(crate) scanned: &'a Scanned,
    pub(crate) progress: &'a Progress,
    pub(crate) kinds: &'a Kinds,
    pub(crate) needs: &'a Arc<Needs>,
    pub(crate) replayers: &'a Replayers,
    /// Tells the log which actors are about to be replayed, or have been.
    pub(crate) note: &'a (dyn Fn(&[ReplayNote]) -> Result<(), OpenError> + Sync),
    /// Deliveries that may have ended the process are not run here: they are left to be tried with care. And what was handled
    /// is replayed with a note in the log.
    pub(crate) with_care: bool,
    /// What was tried when the process ended.
    pub(crate) last_tried: &'a [Tried],
    /// How often the process may end in the replay of an actor before that is left alone.
    pub(crate) tries: u32,
}

enum Outcome {
    /// Restored, with whether deliveries were replayed that were perhaps never handled before.
    Restored(Box<Activated>, bool),
    Failed(FailureCause, Halt),
}

impl Recovery<'_> {
    /// Restores the actors found, and puts them into memory.
    pub(crate) fn restore_all(&self, found: HashMap<ActorId, FoundActor>) -> Result<Recovered, OpenError> {
        // What is owed goes out in this order, and the store is called in it when there is one thread: so two openings
        // of the same store do the same.
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut slots = Vec::new();
        let mut work = Vec::new();
        for (id, found) in found {
            let slot = Arc::new(Slot::new(id, Arc::clone(&found.kind), Arc::clone(self.needs)));
            slot.change_pins(|pins| *pins = Pins::recovered(found.older, found.newer));
            slots.push(Arc::clone(&slot));
            if found.owes || found.tape.remaining() > 0 {
                work.push((slot, found));
            }
        }
        let worked = !work.is_empty();
        let (mut done, work) = self.leave_alone(work);
        let replayed = self.restore_in_groups(work, &mut done)?;
        let (failed, unhandled) = self.install(done)?;
        boundary!("recovery.restored");
        let last_tried = self.tried_alone().cloned();
        Ok(Recovered { slots, replayed, failed, unhandled, worked, last_tried })
    }

    /// The one actor that was trying what it had ahead when the process ended.
    fn tried_alone(&self) -> Option<&ActorId> {
        match self.last_tried {
            [Tried { actor, replay: false, .. }] if self.with_care => Some(actor),
            _ => None,
        }
    }

    /// An actor in whose replay, by itself, the process ended again and again is left alone this time. The others are
    /// served, and the next opening replays it again. One end tells nothing: a process that is killed looks the same.
    fn leave_alone(&self, work: Vec<Work>) -> (Vec<Done>, Vec<Work>) {
        let ends = |found: &FoundActor| found.tape.attempts(found.floor.next());
        let ended = |(slot, found): &Work| match self.last_tried {
            [Tried { actor, replay: true, .. }] => {
                self.with_care && *actor == slot.id && ends(found) >= self.tries
            }
            _ => false,
        };
        let (alone, work): (Vec<_>, Vec<_>) = work.into_iter().partition(ended);
        let alone = alone.into_iter().map(|(slot, found)| {
            let (actor, rsn, ends) = (slot.id.clone(), found.tape.certain(), ends(&found));
            let halt = Halt::ReplayEnded { actor, rsn, ends };
            (slot, Ok(Outcome::Failed(FailureCause::Replay, halt)))
        });
        (alone.collect(), work)
    }

    /// Restores actors. With care in groups, with a note in the log ahead of each: those that were tried when the process ended
    /// come last, one by one. Gives how many deliveries were replayed.
    fn restore_in_groups(&self, work: Vec<Work>, done: &mut Vec<Done>) -> Result<u64, OpenError> {
        let of = work.len();
        let deliveries = AtomicU64::new(0);
        if !self.with_care {
            self.restore_group(work, of, &deliveries, done)?;
            return Ok(deliveries.into_inner());
        }
        let tried = |(slot, _): &Work| self.last_tried.iter().any(|tried| tried.actor == slot.id);
        let (last, first): (Vec<_>, Vec<_>) = work.into_iter().partition(tried);
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
            let handled = group.iter().filter(|(_, found)| found.tape.certain() > found.floor);
            let notes = handled.map(|(slot, found)| ReplayNote {
                actor: slot.id.clone(),
                from: found.floor.next(),
                handled: Rsn::NONE,
                over: found.tape.certain(),
            });
            let mut notes: Vec<_> = notes.collect();
            (self.note)(&notes)?;
            self.restore_group(group, of, &deliveries, done)?;
            notes.iter_mut().for_each(|note| note.handled = note.over);
            (self.note)(&notes)?;
        }
    }

    /// Restores some actors, on as many threads as there are processors; on one when the tokio runtime has one.
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
            for _ in 0..threads {
                let work_on = || {
                    let _context = tokio.as_ref().map(tokio::runtime::Handle::enter);
                    while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let item = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                        let Some((slot, found)) = item else { continue };
                        let outcome = self.guarded_restore(&slot, found);
                        boundary!("recovery.actor");
                        let replayed = match &outcome {
                            Ok(Outcome::Restored(activated, _)) => activated.replayed,
                            _ => 0,
                        };
                        let total = deliveries.fetch_add(replayed, Ordering::Relaxed) + replayed;
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((slot, outcome));
                        let actors = done.len();
                        drop(done);
                        tell(self.progress, RecoveryProgress::Replaying { actors, of, deliveries: total });
                    }
                };
                // What one thread does not get to another does.
                let started = self.replayers.thread("relive-replay").spawn_scoped(scope, work_on);
                if let Err(error) = started {
                    tracing::error!(%error, "a thread that restores actors could not be started");
                }
            }
        });
        *all_done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        if all_done.len() < before + work.len() {
            let reason = "no thread that restores actors could be started".to_owned();
            return Err(StoreError::Backend { action: "start a thread", reason }.into());
        }
        Ok(())
    }

    /// Reads the checkpoints of passive actors as their states, so that one that this code can't read is told now and not
    /// when somebody needs it.
    pub(crate) fn check_passive(
        &self,
        passive: &[ActorId],
        recovered: &mut Recovered,
    ) -> Result<(), OpenError> {
        for id in passive {
            let Some(kind) = self.kinds.get(id.kind()) else { continue };
            // A damaged one is found when it is needed, and falls back.
            let checkpoint = match newest_whole(self.store, id) {
                Ok((Some(checkpoint), false)) => checkpoint,
                Ok(_) => continue,
                Err(error) if error.is_corrupt() => continue,
                Err(error) => return Err(error.into()),
            };
            if let Err(error) = revive(kind, &checkpoint, self.store_id) {
                let slot = Arc::new(Slot::new(id.clone(), Arc::clone(kind), Arc::clone(self.needs)));
                let rsn = checkpoint.header.rsn;
                let halt = Halt::Checkpoint { actor: id.clone(), rsn, reason: error.0 };
                recovered.failed.push(fail(&slot, FailureCause::Replay, halt));
                recovered.slots.push(slot);
            }
        }
        Ok(())
    }

    /// A panic that is of no handler stops the actor, not the opening.
    fn guarded_restore(&self, slot: &Slot, found: FoundActor) -> Result<Outcome, OpenError> {
        guarded(|| self.restore(slot, found)).unwrap_or_else(|panic| {
            let halt = Halt::Unwound { actor: slot.id.clone(), panic };
            Ok(Outcome::Failed(FailureCause::Replay, halt))
        })
    }

    fn restore(&self, slot: &Slot, found: FoundActor) -> Result<Outcome, OpenError> {
        let source = Source {
            store: self.store,
            store_id: self.store_id,
            kind: &slot.kind,
            id: &slot.id,
            from: Some(self.scanned.start),
            fallback_from: Some(self.scanned.start),
            to: self.scanned.next,
        };
        let span = tracing::info_span!("relive::replay", actor = %slot.id, replaying = true);
        let _entered = span.enter();
        let (checkpoint, fell_back) = newest_whole(self.store, &slot.id)?;
        let matches =
            checkpoint.as_ref().map_or(Rsn::NONE, |checkpoint| checkpoint.header.rsn) == found.floor;
        let (certain, last) = (found.tape.certain(), found.tape.last());
        let (settled, attempts) = (found.tape.settled(), found.tape.all_attempts().clone());
        let before = (self.with_care && found.is_suspect()).then(|| certain.next());
        let mut outcome = if fell_back || !matches {
            source.activate(before)
        } else {
            source.replay(checkpoint.as_ref(), found.tape, before)
        };
        // Up to here it was handled, and what fails there is no first try. What comes after may never have been handled:
        // it is tried live, from the delivery on that halted.
        if let Err(Unrestored::Halted(halt)) = &outcome
            && halt.rsn() > certain
            && !matches!(halt, Halt::Corrupt { .. })
        {
            let rsn = halt.rsn();
            tracing::warn!(error = %halt, "a recorded delivery, perhaps not handled before, fails; it is tried again live");
            let tried = matches!(halt, Halt::Panicked { .. }).then_some((rsn, 1));
            outcome = source.activate(Some(rsn));
            if let Ok(activated) = &mut outcome {
                activated.active.tried = tried;
            }
        }
        match outcome {
            Ok(mut activated) => {
                activated.active.tape.inherit_tries(settled, attempts);
                let tried = activated.active.instance.handled().min(last) > certain;
                Ok(Outcome::Restored(Box::new(activated), tried))
            }
            Err(Unrestored::Halted(halt @ Halt::Corrupt { .. })) => Err(OpenError::Records(halt)),
            Err(Unrestored::Halted(halt)) => Ok(Outcome::Failed(FailureCause::Replay, halt)),
            Err(Unrestored::Store(error)) => Err(error.into()),
            Err(Unrestored::Over) => {
                Err(StoreError::Poisoned { reason: "the runtime has ended".to_owned() }.into())
            }
        }
    }

    /// Compares the two ends of all channels between restored actors, then puts the actors into memory.
    fn install(&self, done: Vec<Done>) -> Result<Installed, OpenError> {
        let mut restored = Restored::new();
        let mut failed = Vec::new();
        let mut tried = BTreeSet::new();
        for (slot, outcome) in done {
            match outcome? {
                Outcome::Restored(activated, has_tried) => {
                    slot.owe(&activated.outbox);
                    if has_tried {
                        tried.insert(slot.id.clone());
                    }
                    restored.insert(slot.id.clone(), (slot, activated.active));
                }
                Outcome::Failed(cause, halt) => failed.push(fail(&slot, cause, halt)),
            }
        }
        let diverged = self.check_channels(&restored, &tried)?;
        for divergence in diverged {
            if let Some((slot, _)) = restored.remove(&divergence.actor) {
                failed.push(fail(&slot, FailureCause::Replay, divergence.into()));
            }
        }
        for (receiver, (_, active)) in &restored {
            for (sender, received) in active.instance.received_from() {
                if let Some((sender, _)) = restored.get(sender) {
                    sender.settle(receiver, received);
                }
            }
        }
        let mut heard = self.heard(&restored)?;
        let mut unhandled = Vec::new();
        for (slot, mut active) in restored.into_values() {
            if !active.backlog.is_empty() {
                let heard = heard.remove(&slot.id).unwrap_or_default();
                let last = active.instance.received();
                let (suspects, watched) = Suspects::new(last, self.care_for(&slot.id), heard);
                active.suspects = Some(suspects);
                unhandled.push((Arc::clone(&slot), watched));
            }
            slot.install(Box::new(active));
        }
        Ok((failed, unhandled))
    }

    /// Invariant: no-orphan. No receiver knows more of a channel than its sender has sent, or may still send in what it has
    /// ahead. A sender that replayed deliveries of which no record tells what they did has perhaps been given other code:
    /// then it is the one to stop, and what its receivers have is right.
    fn check_channels(
        &self,
        restored: &Restored,
        tried: &BTreeSet<ActorId>,
    ) -> Result<Vec<Divergence>, OpenError> {
        let mut diverged = BTreeMap::new();
        for (receiver, (_, active)) in restored {
            for (sender, received) in active.instance.received_from() {
                let Some((_, sending)) = restored.get(sender) else { continue };
                let sent = sending.instance.sent_to(receiver);
                if received <= sent || !sending.backlog.is_empty() {
                    continue;
                }
                if !tried.contains(sender) {
                    let (sender, receiver) = (sender.clone(), receiver.clone());
                    return Err(OpenError::Orphan { receiver, sender, received, sent });
                }
                let expected = format!("{received} messages to {receiver}, which has them");
                let rsn = sending.instance.handled();
                let divergence = Divergence::new(sender.clone(), rsn, expected, sent.to_string());
                diverged.insert(sender.clone(), divergence);
            }
        }
        Ok(diverged.into_values().collect())
    }

    /// What receivers have of actors that have deliveries ahead, beyond what these know to have sent. For the actor in which
    /// the process may have ended all actors are looked at, also those that are passive: rare enough.
    fn heard(&self, restored: &Restored) -> Result<BTreeMap<ActorId, Vec<(ActorId, Ssn)>>, OpenError> {
        let mut heard: BTreeMap<ActorId, Vec<(ActorId, Ssn)>> = BTreeMap::new();
        let mut add = |receiver: &Instance, of: Option<&ActorId>| {
            for (sender, received) in receiver.received_from() {
                let wanted = of.is_none_or(|of| of == sender);
                if let Some((_, sending)) = restored.get(sender).filter(|_| wanted)
                    && !sending.backlog.is_empty()
                    && received > sending.instance.sent_to(receiver.id())
                {
                    heard.entry(sender.clone()).or_default().push((receiver.id().clone(), received));
                }
            }
        };
        restored.values().for_each(|(_, active)| add(&active.instance, None));
        let Some(last_tried) = self.tried_alone().filter(|last| restored.contains_key(*last)) else {
            return Ok(heard);
        };
        let mut passive = Vec::new();
        self.store.list(&mut |header| {
            passive.extend((!restored.contains_key(&header.actor)).then_some(header.actor));
            Ok(())
        })?;
        for actor in passive {
            let (Some(checkpoint), _) = newest_whole(self.store, &actor)? else { continue };
            let Some(kind) = self.kinds.get(actor.kind()) else { continue };
            // One that can't be read has failed, or will when it is needed.
            if let Ok((receiver, _)) = revive(kind, &checkpoint, self.store_id) {
                add(&receiver, Some(last_tried));
            }
        }
        Ok(heard)
    }

    fn care_for(&self, actor: &ActorId) -> Care {
        match self.tried_alone() {
            _ if !self.with_care => Care::None,
            Some(last) if last == actor => Care::Delivery,
            _ => Care::Actor,
        }
    }
}

/// An actor that is about to be replayed from a delivery on, or, when it is known up to where it is handled, has been.
pub(crate) struct ReplayNote {
    pub(crate) actor: ActorId,
    pub(crate) from: Rsn,
    pub(crate) handled: Rsn,
    over: Rsn,
}

/// How many threads restore actors.
fn threads(tokio: Option<&tokio::runtime::Handle>) -> usize {
    match tokio.map(tokio::runtime::Handle::runtime_flavor) {
        Some(tokio::runtime::RuntimeFlavor::CurrentThread) => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// The actors that were restored, before they are in memory.
type Restored = BTreeMap<ActorId, (Arc<Slot>, Active)>;

/// The actors that failed, and those that still have something to handle.
type Installed = (Vec<Arc<ActorFailure>>, Vec<(Arc<Slot>, Watched)>);

/// An actor that is to be restored.
type Work = (Arc<Slot>, FoundActor);

/// An actor with what became of it.
type Done = (Arc<Slot>, Result<Outcome, OpenError>);

fn fail(slot: &Slot, cause: FailureCause, halt: Halt) -> Arc<ActorFailure> {
    tracing::error!(actor = %slot.id, error = %halt, "the actor could not be restored");
    slot.fail(cause, halt, 1)
}
