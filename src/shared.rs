//! One runtime in its three parts: its actors, its life, and its services. It has no methods of its
//! own, so that each use names the part that it needs.

use crate::actor::table::ActorTable;
use crate::lifecycle::{Lifecycle, Lives};
use crate::services::Services;

/// One runtime, as its turns, callers and owner share it.
pub(crate) struct Core {
    pub(crate) actors: ActorTable,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) services: Services,
}

impl Lives for Core {
    fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }
}
