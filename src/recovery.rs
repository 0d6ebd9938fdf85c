//! From what a store holds to actors, at open: restore every actor that has log after its checkpoint, and compare what
//! receivers know with what senders sent. Blocking; writes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use relive_replay::checkpoint_body::revive;
use relive_replay::{Halt, Instance};
use relive_storage::{ActorId, Rsn, Scanned, Ssn, Store, StoreId, boundary};

use crate::activation::{Activated, Source, Unrestored, newest_whole};
use crate::active::Active;
use crate::core::Kinds;
use crate::envelope::Debtor;
use crate::error::{ActorFailure, OpenError};
use crate::needs::Needs;
use crate::pins::Pins;
use crate::report::{Progress, RecoveryProgress};
use crate::slot::Slot;
use crate::survey::FoundActor;
use crate::suspects::{Care, Suspects, Watched};

/// What recovery made of a store.
pub(crate) struct Recovered {
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) replayed: u64,
    pub(crate) failed: Vec<Arc<ActorFailure>>,
    /// The actors that still have something to handle.
    pub(crate) unhandled: Vec<(Arc<Slot>, Watched)>,
}

/// What actors are restored from.
pub(crate) struct Recovery<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) store_id: StoreId,
    pub(crate) scanned: &'a Scanned,
    pub(crate) progress: &'a Progress,
    pub(crate) kinds: &'a Kinds,
    pub(crate) needs: &'a Arc<Needs>,
    /// Nothing that may have ended the process is run here: it is left to be tried with care.
    pub(crate) with_care: bool,
    /// The actor that was tried when the process ended.
    pub(crate) last_tried: Option<&'a ActorId>,
}

enum Outcome {
    Restored(Box<Activated>),
    Failed(Halt),
}

impl Recovery<'_> {
    /// Restores the actors found, on as many threads as there are processors; on one when the tokio runtime has one.
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
                work.push(Mutex::new(Some((slot, found))));
            }
        }
        let next = AtomicUsize::new(0);
        let deliveries = AtomicU64::new(0);
        let done = Mutex::new(Vec::with_capacity(work.len()));
        let tokio = tokio::runtime::Handle::try_current().ok();
        let threads = threads(tokio.as_ref()).min(work.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let _context = tokio.as_ref().map(tokio::runtime::Handle::enter);
                    while let Some(item) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let item = item.lock().unwrap_or_else(PoisonError::into_inner).take();
                        let Some((slot, found)) = item else { continue };
                        let outcome = self.restore(&slot, found);
                        boundary!("recovery.actor");
                        let replayed = match &outcome {
                            Ok(Outcome::Restored(activated)) => activated.replayed,
                            _ => 0,
                        };
                        let total = deliveries.fetch_add(replayed, Ordering::Relaxed) + replayed;
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((slot, outcome));
                        let (actors, of) = (done.len(), work.len());
                        (self.progress)(RecoveryProgress::Replaying { actors, of, deliveries: total });
                    }
                });
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (failed, unhandled) = self.install(done)?;
        boundary!("recovery.restored");
        Ok(Recovered { slots, replayed: deliveries.into_inner(), failed, unhandled })
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
        let before = (self.with_care && found.is_suspect()).then(|| found.tape.certain().next());
        let mut outcome = if fell_back || !matches {
            source.activate(before)
        } else {
            source.replay(checkpoint.as_ref(), found.tape, before)
        };
        if let Err(Unrestored::Halted(halt @ Halt::Panicked { .. })) = &outcome {
            // It panicked here before the crash too. The deliveries ahead of it are restored, and it gets the tries
            // that its policy gives, live.
            let rsn = halt.rsn();
            tracing::warn!(error = %halt, "a recorded delivery panics; it is tried again live");
            outcome = source.activate(Some(rsn));
            if let Ok(activated) = &mut outcome {
                activated.active.tried = Some((rsn, 1));
            }
        }
        match outcome {
            Ok(activated) => Ok(Outcome::Restored(Box::new(activated))),
            Err(Unrestored::Halted(halt @ Halt::Corrupt { .. })) => Err(OpenError::Records(halt)),
            Err(Unrestored::Halted(halt)) => Ok(Outcome::Failed(halt)),
            Err(Unrestored::Store(error)) => Err(error.into()),
        }
    }

    /// Compares the two ends of all channels between restored actors, then puts the actors into memory.
    fn install(&self, done: Vec<Done>) -> Result<Installed, OpenError> {
        let mut restored = Restored::new();
        let mut failed = Vec::new();
        for (slot, outcome) in done {
            match outcome? {
                Outcome::Restored(activated) => {
                    slot.owe(&activated.outbox);
                    restored.insert(slot.id.clone(), (slot, activated.active));
                }
                Outcome::Failed(halt) => {
                    tracing::error!(actor = %slot.id, error = %halt, "the actor could not be restored");
                    failed.push(slot.fail(halt, 1));
                }
            }
        }
        for (receiver, (_, active)) in &restored {
            for (sender, received) in active.instance.received_from() {
                let Some((sender_slot, sending)) = restored.get(sender) else {
                    continue;
                };
                // With care a sender has deliveries ahead in which it may have sent this, and will send it again.
                if !self.with_care || sending.backlog.is_empty() {
                    check_channel(&sending.instance, receiver, received)?;
                }
                sender_slot.settle(receiver, received);
            }
        }
        let mut heard = self.heard(&restored)?;
        let mut unhandled = Vec::new();
        for (slot, mut active) in restored.into_values() {
            if !active.backlog.is_empty() {
                let heard =
                    if self.last_tried == Some(&slot.id) { std::mem::take(&mut heard) } else { Vec::new() };
                let last = active.instance.received();
                let (suspects, watched) = Suspects::new(last, self.care_for(&slot.id), heard);
                active.suspects = Some(suspects);
                unhandled.push((Arc::clone(&slot), watched));
            }
            slot.install(Box::new(active));
        }
        Ok((failed, unhandled))
    }

    /// What receivers have of the actor that was tried last beyond what it knows to have sent. Looks at all actors, also
    /// those that are passive: rare enough.
    fn heard(&self, restored: &Restored) -> Result<Vec<(ActorId, Ssn)>, OpenError> {
        let mut heard = Vec::new();
        let Some((sender, (_, sending))) = self.last_tried.and_then(|sender| restored.get_key_value(sender))
        else {
            return Ok(heard);
        };
        if !self.with_care || sending.backlog.is_empty() {
            return Ok(heard);
        }
        let mut add = |receiver: &Instance| {
            let of_it = receiver.received_from().find(|(from, _)| *from == sender);
            if let Some((_, received)) =
                of_it.filter(|(_, ssn)| *ssn > sending.instance.sent_to(receiver.id()))
            {
                heard.push((receiver.id().clone(), received));
            }
        };
        restored.values().for_each(|(_, active)| add(&active.instance));
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
                add(&receiver);
            }
        }
        Ok(heard)
    }

    fn care_for(&self, actor: &ActorId) -> Care {
        match self.last_tried {
            _ if !self.with_care => Care::None,
            Some(last) if last == actor => Care::Delivery,
            _ => Care::Actor,
        }
    }
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

/// An actor with what became of it.
type Done = (Arc<Slot>, Result<Outcome, OpenError>);

/// Invariant: no-orphan. No receiver knows more of a channel than its sender has sent.
fn check_channel(
    sender: &Instance,
    receiver: &ActorId,
    received: relive_storage::Ssn,
) -> Result<(), OpenError> {
    let sent = sender.sent_to(receiver);
    if received > sent {
        let (sender, receiver) = (sender.id().clone(), receiver.clone());
        return Err(OpenError::Orphan { receiver, sender, received, sent });
    }
    Ok(())
}
