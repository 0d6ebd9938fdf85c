//! The newest checkpoints of a store, as an opening lists them. Knows headers; no body and no log.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use relive_storage::{ActorId, CheckpointHeader, CheckpointNumber, Store};

use crate::actor::table::Kinds;
use crate::error::OpenError;
use crate::limits::PASSIVE_CHECKED_MAX;
use crate::retention::actor_index::ActorIndexBuilder;
use crate::timers::window::Window;

/// The newest checkpoints of all actors, without their bodies.
pub(crate) struct Catalog {
    pub(crate) listing: ActorIndexBuilder,
    pub(crate) owing: Vec<ActorId>,
    /// Those whose timers are due first.
    pub(crate) due: Window,
    /// The first actors of each kind.
    pub(crate) sample: Vec<ActorId>,
    pub(crate) last: CheckpointNumber,
}

impl Catalog {
    pub(crate) fn read(store: &dyn Store, kinds: &Kinds) -> Result<Self, OpenError> {
        let (listing, last) = Default::default();
        let due = Window::default();
        let mut catalog = Self { listing, owing: Vec::new(), due, sample: Vec::new(), last };
        let mut sampled: BTreeMap<&str, usize> = BTreeMap::new();
        list(store, |header| {
            check_registered(&header, kinds)?;
            catalog.last = catalog.last.max(header.number);
            if header.restore_at_open {
                catalog.owing.push(header.actor.clone());
            }
            if let Some(wake_at) = header.wake_at {
                catalog.due.add(&header.actor, wake_at);
            }
            catalog.listing.push(&header.actor, header.rsn);
            if let Some((kind, _)) = kinds.get_key_value(header.actor.kind()) {
                let sampled = sampled.entry(kind).or_default();
                if *sampled < PASSIVE_CHECKED_MAX {
                    *sampled += 1;
                    catalog.sample.push(header.actor);
                }
            }
            Ok(())
        })?;
        Ok(catalog)
    }
}

/// Lists the newest checkpoints for a visitor that may refuse one, which ends the listing.
pub(crate) fn list(
    store: &dyn Store,
    mut visit: impl FnMut(CheckpointHeader) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut visited = Ok(());
    let listed = store.list(&mut |header| {
        visited = visit(header);
        if visited.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    // The visitor's error first: it is why the listing ended.
    visited?;
    Ok(listed?)
}

fn check_registered(header: &CheckpointHeader, kinds: &Kinds) -> Result<(), OpenError> {
    let actor = header.actor.clone();
    match kinds.get(header.actor.kind()) {
        None => Err(OpenError::UnknownKind { kind: actor.kind().to_owned(), actor }),
        Some(kind) if kind.version() != header.state_version => {
            let (stored, registered) = (header.state_version, kind.version());
            Err(OpenError::StateVersion { actor, stored, registered })
        }
        Some(_) => Ok(()),
    }
}
