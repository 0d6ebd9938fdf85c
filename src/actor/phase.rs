//! Where an actor is in its life, what its handler waits in, and what its turn finds beside the
//! mail. Knows no cell.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use relive_storage::record::Delivery;
use relive_storage::{Name, Rsn};

use crate::actor::activation::Activation;
use crate::actor::envelope::{CheckpointRequest, DischargeRequest};
use crate::actor::pause::Pausing;
use crate::actor::replies::ArrivedReply;
use crate::error::ActorFailure;

/// Where an actor is in its life.
#[derive(Default)]
pub(crate) enum Phase {
    /// Not in memory.
    #[default]
    Passive,
    /// In memory, with nothing to do.
    Idle(Box<Activation>),
    /// A turn runs it.
    Running,
    /// A query reads it, on the thread of its caller.
    Lent,
    /// Stopped for good.
    Failed(Arc<ActorFailure>),
}

impl Phase {
    /// Hands the actor to a turn, with what it has in memory; `None` when a turn or a query has it,
    /// or it has failed.
    pub(crate) fn hand_out(&mut self) -> Option<Option<Box<Activation>>> {
        match std::mem::replace(self, Self::Running) {
            Self::Passive => Some(None),
            Self::Idle(active) => Some(Some(active)),
            Self::Running => None,
            kept @ (Self::Lent | Self::Failed(_)) => {
                *self = kept;
                None
            }
        }
    }

    /// Why it is stopped, if it is.
    pub(crate) fn failure(&self) -> Option<Arc<ActorFailure>> {
        match self {
            Self::Failed(failure) => Some(Arc::clone(failure)),
            _ => None,
        }
    }
}

/// The delivery in which a handler waits for something outside.
#[derive(Clone, Debug)]
pub(crate) struct HandlerWait {
    pub(crate) rsn: Rsn,
    pub(crate) message: Name,
    pub(crate) since: Instant,
}

impl HandlerWait {
    /// A wait that begins now.
    pub(crate) fn in_delivery(delivery: &Delivery) -> Self {
        Self { rsn: delivery.rsn, message: delivery.message.clone(), since: Instant::now() }
    }
}

/// A handler that waits, and what its cell has of pauses meanwhile.
pub(crate) struct WaitingHandler {
    pub(super) wait: HandlerWait,
    pub(super) pausing: Pausing,
}

/// The requests that a turn finds beside the mail.
pub(crate) struct Intake {
    pub(crate) checkpoint: Option<CheckpointRequest>,
    pub(crate) discharges: Vec<DischargeRequest>,
    /// The actor was woken since a timer is due.
    pub(crate) timers: bool,
    pub(crate) replies: VecDeque<ArrivedReply>,
}
