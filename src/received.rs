//! What a turn has taken in and has to tell of, once it is on stable storage.

use std::sync::Arc;

use relive_storage::{Lsn, Ssn};

use crate::envelope::{Debtor, ReceiptTo, Receipted};

/// Mail that was taken in and may not be stable yet.
#[derive(Default)]
pub(crate) struct Received {
    /// All is stable when everything below is; none when there were but duplicates.
    pub(crate) end: Option<Lsn>,
    pub(crate) logged: Logged,
    pub(crate) messages: u64,
}

/// What one intake has to tell when it is stable.
#[derive(Default)]
pub(crate) struct Logged {
    pub(crate) fresh: u64,
    pub(crate) duplicates: u64,
    /// How many pushes to the backlog are in the frame that is not closed yet.
    pub(crate) in_frame: usize,
    pub(crate) senders: Vec<(Arc<dyn Debtor>, Ssn)>,
    pub(crate) receipts: Vec<(ReceiptTo, Receipted)>,
}
