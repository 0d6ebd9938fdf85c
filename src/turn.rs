//! The way of a message through its actor: mailbox -> [`receive`](crate::receive) -> [`handle`](crate::handle). A turn
//! begins when a message comes to an actor that rests, and ends when nothing is left to do.

use std::sync::Arc;
use std::time::Instant;

use relive_replay::{Halt, Outgoing};
use relive_storage::CheckpointNumber;
use relive_storage::record::Sender;

use crate::active::{Active, SinceCheckpoint};
use crate::core::Core;
use crate::envelope::{Debtor, Waiter};
use crate::error::Refused;
use crate::mailbox::{Batch, Mail};
use crate::pins::Pins;
use crate::received::Received;
use crate::restart::bring_back;
use crate::slot::{Slot, Wake};

/// Puts a message into an actor's mailbox and sees to it that a turn takes it.
pub(crate) fn post(core: &Arc<Core>, slot: &Arc<Slot>, mail: Mail<'_>) -> Result<u64, Refused> {
    let (number, wake) = slot.push(mail, core.now())?;
    begin(core, slot, wake);
    Ok(number)
}

/// Starts a turn if `wake` says so.
pub(crate) fn begin(core: &Arc<Core>, slot: &Arc<Slot>, wake: Wake) {
    let Wake::Start(active) = wake else { return };
    let (turn, slot) = (core.turn_begins(), Arc::clone(slot));
    core.tokio.spawn(async move { run(turn.core(), &slot, active).await });
}

/// Puts what an actor sent into its receivers' mailboxes; it goes on owing until they have logged it.
pub(crate) fn release(
    core: &Arc<Core>,
    from: &Arc<Slot>,
    messages: Vec<Outgoing>,
) -> Result<(), Box<Outgoing>> {
    for outgoing in messages {
        if let Some((to, wake)) = deliver(core, from, outgoing)? {
            begin(core, &to, wake);
        }
    }
    Ok(())
}

/// Puts one message that an actor owes into its receiver's mailbox; gives the receiver and what follows from it. The
/// message is given back when the receiver's kind is not registered.
pub(crate) fn deliver(
    core: &Core,
    from: &Arc<Slot>,
    outgoing: Outgoing,
) -> Result<Option<(Arc<Slot>, Wake)>, Box<Outgoing>> {
    let Some(to) = core.slot(&outgoing.to) else { return Err(Box::new(outgoing)) };
    let Outgoing { ssn, message, payload, .. } = outgoing;
    let sender = Sender::Actor { id: from.id.clone(), ssn };
    let debtor = Arc::clone(from) as Arc<dyn Debtor>;
    let mail = Mail { sender, message, payload: &payload, waiter: Waiter::Actor(debtor) };
    match to.push(mail, core.now()) {
        Ok((_, wake)) => Ok(Some((to, wake))),
        Err(reason) => {
            tracing::warn!(from = %from.id, to = %to.id, %ssn, %reason, "a message stays owed");
            Ok(None)
        }
    }
}

/// Goes on until nothing is left to do, the actor has failed, or all is over.
async fn run(core: &Arc<Core>, slot: &Arc<Slot>, active: Option<Box<Active>>) {
    let active = match active {
        Some(active) => active,
        None => match Box::pin(bring_back(core, slot, None, None)).await {
            Some(active) => active,
            None => return,
        },
    };
    let mut turn = Turn { core, slot, active, mail: Batch::default(), freed: 0 };
    loop {
        let next = match turn.round().await {
            Ok(true) => continue,
            Ok(false) => slot.rest(turn.active),
            Err(Broken::Over) => return,
            // What it had changed is thrown away.
            Err(Broken::Halted(halt)) => {
                Box::pin(bring_back(core, slot, Some(turn.active), Some(halt))).await
            }
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
        let checkpoint = captured.map_err(|error| Halt::Codec {
            actor: self.slot.id.clone(),
            rsn: instance.handled(),
            what: "the state".to_owned(),
            reason: error.to_string(),
        })?;
        self.slot.change_pins(Pins::taken);
        self.active.since_checkpoint = SinceCheckpoint { at: Instant::now(), ..SinceCheckpoint::none() };
        self.core.checkpointer.write(self.slot, checkpoint, request).await;
        Ok(())
    }
}
