//! The mail that a turn has taken in, and who learns of it once it is on stable storage.

use std::sync::Arc;

use relive_storage::{Lsn, Ssn};

use crate::actor::envelope::{OutboxOwner, ReceiptTo, Receipted};

/// Mail that was taken in and may not be durable yet.
#[derive(Default)]
pub(crate) struct PendingBatch {
    /// The batch is durable when everything below is. `None` when it held only duplicates.
    pub(crate) end: Option<Lsn>,
    pub(crate) logged: Acks,
    pub(crate) messages: u64,
}

/// The acknowledgements of one intake, for the moment when it is on stable storage.
#[derive(Default)]
pub(crate) struct Acks {
    pub(crate) fresh: u64,
    pub(crate) duplicates: u64,
    /// How many pushes to the backlog are in the frame that is not closed yet.
    pub(crate) in_frame: usize,
    pub(crate) senders: Vec<(Arc<dyn OutboxOwner>, Ssn)>,
    pub(crate) receipts: Vec<(ReceiptTo, Receipted)>,
}
