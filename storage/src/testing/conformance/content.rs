//! The whole content of a store, for comparisons: of one store at two times, or of a store on a
//! disk with its model in memory.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::contract::checkpoint_store::{Generation, Store};
use crate::contract::error::StoreError;
use crate::format::checkpoint::Checkpoint;
use crate::id::position::Lsn;
use crate::scan::scan;

/// The whole content of a store, read with all the checks that a runtime makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Where the log begins.
    pub start: Lsn,
    /// The bytes of each block, with its position.
    pub blocks: Vec<(Lsn, Bytes)>,
    /// The newest and the previous checkpoint of each actor.
    pub checkpoints: BTreeMap<String, (Option<Checkpoint>, Option<Checkpoint>)>,
}

impl Content {
    /// Reads a whole store.
    ///
    /// # Errors
    /// Those of the store, and of the scan of its log.
    pub fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let scanned = scan(store, &mut |_, _| Ok(()))?;
        let mut blocks = Vec::new();
        let mut from = scanned.start;
        while from < scanned.next {
            let found = store.read(from)?.and_then(|found| found.block.ok());
            let gone = || StoreError::CorruptLog { at: from, what: "it is gone while it is read".to_owned() };
            let block = found.ok_or_else(gone)?;
            blocks.push((from, block.bytes().clone()));
            from = block.header().next();
        }
        let mut actors = Vec::new();
        store.list(&mut |header| {
            actors.push(header.actor);
            ControlFlow::Continue(())
        })?;
        let mut checkpoints = BTreeMap::new();
        for actor in actors {
            let newest = store.get(&actor, Generation::Newest)?;
            let previous = store.get(&actor, Generation::Previous)?;
            checkpoints.insert(actor.to_string(), (newest, previous));
        }
        Ok(Self { start: scanned.start, blocks, checkpoints })
    }
}
