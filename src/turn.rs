//! The way of a message through its actor: mailbox -> [`receive`](crate::receive) -> [`handle`](crate::handle). A turn
//! begins when a message comes to an actor that rests, and ends when nothing is left to do.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use relive_replay::guard::guarded;
use relive_replay::{Halt, Outgoing};
use relive_storage::CheckpointNumber;
use relive_storage::record::Sender;

use crate::active::{Active, SinceCheckpoint};
use crate::core::{Core, TurnGuard};
use crate::envelope::{Debtor, Waiter};
use crate::error::{FailureCause, Refused};
use crate::mailbox::{Batch, Mail};
use crate::pins::Pins;
use crate::received::Received;
use crate::restart::{activate, restart};
use crate::slot::{Slot, Wake};

/// Puts a message into an actor's mailbox and sees to it that a turn takes it.
pub(crate) fn post(core: &Arc<Core>, slot: &Arc<Slot>, mail: Mail<'_>) -> Result<u64, Refused> {
    let (number, wake) = slot.push(mail, core.now())?;
    begin(core, wake);
    Ok(number)
}

/// Starts a turn if `wake` says so.
pub(crate) fn begin(core: &Arc<Core>, wake: Wake) {
    let Wake::Start(start) = wake else { return };
    let (slot, active) = start.take();
    let custody = Custody { turn: core.turn_begins(), slot, ended: false };
    core.tokio.spawn(custody.run(active));
}

/// Puts what an actor sent into its receivers' mailboxes; it goes on owing until they have logged it.
pub(crate) fn release(core: &Arc<Core>, from: &Arc<Slot>, messages: Vec<Outgoing>) {
    if core.keeps_sends() {
        return;
    }
    for outgoing in messages {
        if let Some(wake) = deliver(core, from, outgoing) {
            begin(core, wake);
        }
    }
}

/// Puts one message that an actor owes into its receiver's mailbox; gives what follows from it. What can't be delivered now
/// stays owed.
pub(crate) fn deliver(core: &Core, from: &Arc<Slot>, outgoing: Outgoing) -> Option<Wake> {
    let Some(to) = core.slot(&outgoing.to) else {
        let (from, to) = (&from.id, &outgoing.to);
        tracing::error!(%from, %to, "a message stays owed, the kind of its receiver is not registered");
        return None;
    };
    let Outgoing { ssn, message, payload, .. } = outgoing;
    let sender = Sender::Actor { id: from.id.clone(), ssn };
    let debtor = Arc::clone(from) as Arc<dyn Debtor>;
    let mail = Mail { sender, message, payload: &payload, waiter: Waiter::Actor(debtor) };
    match to.push(mail, core.now()) {
        Ok((_, wake)) => Some(wake),
        Err(reason) => {
            tracing::warn!(from = %from.id, to = %to.id, %ssn, %reason, "a message stays owed");
            None
        }
    }
}

/// An actor in the hands of a turn. However the turn ends, somebody can tell: the actor rests, or has failed, or all is
/// over; so that nobody waits for an actor that nobody runs.
struct Custody {
    turn: TurnGuard,
    slot: Arc<Slot>,
    ended: bool,
}

impl Custody {
    async fn run(mut self, active: Option<Box<Active>>) {
        let unwound = {
            let mut running = pin!(run(self.turn.core(), &self.slot, active));
            poll_fn(|task| match guarded(|| running.as_mut().poll(task)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(None),
                Err(panic) => Poll::Ready(Some(panic)),
            })
            .await
        };
        self.ended = true;
        if let Some(panic) = unwound {
            let actor = self.slot.id.clone();
            tracing::error!(%actor, panic, "a turn panicked");
            self.slot.fail(FailureCause::Unwound, Halt::Unwound { actor, panic }, 1);
        }
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        if !self.ended {
            // Only a tokio that ends drops its tasks, or takes none any more.
            self.turn.core().stop(Refused::HostGone);
        }
    }
}

/// Goes on until nothing is left to do, the actor has failed, or all is over.
async fn run(core: &Arc<Core>, slot: &Arc<Slot>, active: Option<Box<Active>>) {
    let active = match active {
        Some(active) => Some(active),
        None => Box::pin(activate(core, slot)).await,
    };
    let Some(active) = active else { return };
    let mut turn = Turn { core, slot, active, mail: Batch::default(), freed: 0 };
    loop {
        let next = match turn.round().await {
            Ok(true) => continue,
            Ok(false) => slot.rest(turn.active),
            Err(Broken::Over) => return,
            // What it had changed is thrown away.
            Err(Broken::Halted(halt)) => Box::pin(restart(core, slot, turn.active, halt)).await,
        };
        match next {
            Some(active) => turn.active = active,
            None => return,
        }
    }
}

/// Why a turn can't go on.
pub(crate) enum Broken {
    Over,
    Halted(Halt),
}

impl From<Halt> for Broken {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::NotLogged { .. } => Self::Over,
            halt => Self::Halted(halt),
        }
    }
}

pub(crate) struct Turn<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) slot: &'a Arc<Slot>,
    pub(crate) active: Box<Active>,
    /// What was taken out of the mailbox and not looked at yet.
    pub(crate) mail: Batch,
    /// The places of the mailbox that are to be given back.
    pub(crate) freed: u32,
}

impl Turn<'_> {
    /// Appends what has come to the log, handles what was stable before while it is on its way there, and waits until it
    /// is stable too. Says whether there may be more to do. What is rare in it has a box of its own, so that turns are
    /// small: there are as many as actors that have something to do.
    async fn round(&mut self) -> Result<bool, Broken> {
        let mut wants_checkpoint = self.wants_checkpoint();
        if wants_checkpoint && self.active.backlog.is_empty() {
            Box::pin(self.checkpoint()).await?;
            wants_checkpoint = false;
        }
        let stable = self.active.backlog.len();
        let mut received = Received::default();
        let mut news = false;
        // A checkpoint is taken when all that was received is handled. An actor that owes too much handles nothing:
        // taking mail in meanwhile is what lets actors that owe each other go on.
        if !wants_checkpoint || self.slot.owes_too_much() {
            let intake = self.slot.take_mail(&mut self.mail);
            if let Some(request) = intake.checkpoint {
                self.active.request.get_or_insert_default().waiters.extend(request.waiters);
            }
            news = !self.mail.is_empty() || !intake.discharges.is_empty();
            received = self.receive().await?;
            for discharge in intake.discharges {
                Box::pin(self.discharge(discharge)).await?;
            }
        }
        let handled = self.handle_backlog(stable).await;
        // Also before a restart: whatever was appended is in the log that the actor comes back from.
        self.settle(received).await?;
        handled?;
        if news {
            return Ok(true);
        }
        if !self.active.backlog.is_empty() {
            if self.slot.owes_too_much() {
                // What settles its debts, and new mail, comes as news.
                Box::pin(self.core.while_indebted(self.slot.news())).await.map_err(|_| Broken::Over)?;
            }
            return Ok(true);
        }
        Ok(self.wants_checkpoint())
    }

    fn wants_checkpoint(&self) -> bool {
        let (since, policy) = (&self.active.since_checkpoint, &self.core.config.checkpoints);
        self.active.request.is_some() || since.records >= policy.records || since.bytes >= policy.bytes
    }

    /// Takes a checkpoint between two deliveries and hands it to the checkpointer; waits only when that has too many.
    async fn checkpoint(&mut self) -> Result<(), Broken> {
        let request = self.active.request.take().unwrap_or_default();
        let owed = self.slot.owed();
        let instance = &self.active.instance;
        // A large state takes longer than a commit, and would hold up all those who wait for one when there are few
        // processors.
        let pause = &std::thread::yield_now;
        let number = CheckpointNumber::default();
        let captured = relive_replay::checkpoint_body::capture(instance, &owed, number, pause);
        self.active.since_checkpoint = SinceCheckpoint { at: Instant::now(), ..SinceCheckpoint::none() };
        let (checkpoint, expected) = match captured {
            Ok(captured) => captured,
            // It costs log, not the actor: that has handled what it has handled.
            Err(error) => {
                let (actor, reason) = (self.slot.id.clone(), format!("the state can't be encoded: {error}"));
                tracing::warn!(%actor, reason, "no checkpoint could be taken, the log keeps what it would have held");
                self.slot.unsaved();
                request.tell(&Err(Refused::Checkpoint { actor, reason }));
                return Ok(());
            }
        };
        self.slot.change_pins(Pins::taken);
        self.core.checkpointer.write(self.slot, checkpoint, expected, request).await;
        Ok(())
    }
}
