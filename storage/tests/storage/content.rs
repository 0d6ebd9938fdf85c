//! A small real store, and all that can be read from one. Used by the tests of damage and of opening.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use relive_storage::conformance::{block, block_of, checkpoint, id};
use relive_storage::{
    Block, Checkpoint, CheckpointStore, Generation, Log, Lsn, SledOptions, SledStore, Store, StoreError, scan,
};

/// Everything that a store gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) start: Lsn,
    pub(crate) blocks: Vec<(Lsn, Bytes)>,
    pub(crate) checkpoints: BTreeMap<String, (Option<Checkpoint>, Option<Checkpoint>)>,
}

pub(crate) fn options() -> SledOptions {
    let timeout = Duration::from_secs(5);
    SledOptions::default().call_timeout(timeout).open_timeout(timeout)
}

/// Appends and syncs `count` blocks after the last, checkpoints some actors, and cuts the log a little.
pub(crate) fn fill(store: &dyn Store, count: u64) {
    let mut next = scan(store, &mut |_, _| Ok(())).unwrap().next.get();
    let mut number = 0;
    let listed = store.list(&mut |header| {
        number = number.max(header.number.get());
        Ok(())
    });
    listed.unwrap();
    for step in 0..count {
        let block = next_block(next, step);
        store.append(&block).unwrap();
        store.sync().unwrap();
        next = block.header().next().get();
        if step % 4 == 3 {
            number += 1;
            let bytes = usize::try_from(number).unwrap() * 7_000;
            store.put(&[checkpoint(&id(&format!("actor {}", number % 5)), number, bytes)]).unwrap();
        }
        if step % 16 == 15 {
            store.cut(Lsn::new(next / 4)).unwrap();
        }
    }
}

pub(crate) fn next_block(next: u64, step: u64) -> Block {
    if step % 5 == 4 { block_of(next, next, 80_000) } else { block(next, 3, next, 1) }
}

/// Opens a store and reads everything, with all the checks that a runtime makes.
pub(crate) fn read_all(path: &Path) -> Result<Content, StoreError> {
    let store = SledStore::open(path, &options())?;
    let mut blocks = Vec::new();
    let mut frames = 0_u64;
    let scanned = scan(&store, &mut |_, _| {
        frames += 1;
        Ok(())
    })?;
    let mut from = scanned.start;
    while from < scanned.next {
        let found = store.read(from)?.and_then(|found| found.block.ok());
        let block = found.expect("a block that was scanned is there");
        blocks.push((from, block.bytes().clone()));
        from = block.header().next();
    }
    let mut actors = Vec::new();
    store.list(&mut |header| {
        actors.push(header.actor);
        Ok(())
    })?;
    let mut checkpoints = BTreeMap::new();
    for actor in actors {
        let newest = store.get(&actor, Generation::Newest)?;
        let previous = store.get(&actor, Generation::Previous)?;
        checkpoints.insert(actor.to_string(), (newest, previous));
    }
    store.close()?;
    Ok(Content { start: scanned.start, blocks, checkpoints })
}

/// Copies the files of a directory; `blobs` and the like come along, deeper directories don't occur.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
