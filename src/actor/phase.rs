//! Where an actor is in its life, and what its turn finds beside the mail. Knows no cell.

use std::sync::Arc;

use crate::actor::activation::Activation;
use crate::actor::envelope::{CheckpointRequest, DischargeRequest};
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
    /// Stopped for good.
    Failed(Arc<ActorFailure>),
}

impl Phase {
    /// Hands the actor to a turn, with what it has in memory; `None` when a turn has it or it has
    /// failed.
    pub(crate) fn hand_out(&mut self) -> Option<Option<Box<Activation>>> {
        match std::mem::replace(self, Self::Running) {
            Self::Passive => Some(None),
            Self::Idle(active) => Some(Some(active)),
            Self::Running => None,
            failed @ Self::Failed(_) => {
                *self = failed;
                None
            }
        }
    }
}

/// The requests that a turn finds beside the mail.
pub(crate) struct Intake {
    pub(crate) checkpoint: Option<CheckpointRequest>,
    pub(crate) discharges: Vec<DischargeRequest>,
}
