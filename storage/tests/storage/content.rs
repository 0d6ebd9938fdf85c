//! A small real store, and everything that a reader finds in one. For the tests of opening, of
//! killing and of the tiers.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use relive_storage::conformance::{Content, block, block_of, checkpoint, id};
use relive_storage::{Block, LayeredOptions, Lsn, Store, StoreError, StoreOptions, scan};
use relive_storage_sled::open_store;

pub(crate) fn options() -> StoreOptions {
    let timeout = Duration::from_secs(5);
    StoreOptions::default().layered(LayeredOptions::default().call_timeout(timeout).open_timeout(timeout))
}

/// sled's database of a closed store, opened without the store. A child that another test has just
/// forked holds its lock until it runs its program, so it tries again.
pub(crate) fn sled_of(path: &Path) -> sled::Db {
    let since = Instant::now();
    loop {
        match sled::Config::new().path(path).segment_size(1 << 20).open() {
            Err(error) if error.to_string().contains("acquire lock") && since.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

/// Appends and syncs `count` blocks after the last, checkpoints some actors, and cuts the log a
/// little.
pub(crate) fn fill(store: &dyn Store, count: u64) {
    let mut next = scan(store, &mut |_, _| Ok(())).unwrap().next.get();
    let mut number = last_number(store);
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

/// The highest number among the newest checkpoints.
pub(crate) fn last_number(store: &dyn Store) -> u64 {
    let mut number = 0;
    let listed = store.list(&mut |header| {
        number = number.max(header.number.get());
        ControlFlow::Continue(())
    });
    listed.unwrap();
    number
}

pub(crate) fn next_block(next: u64, step: u64) -> Block {
    if step % 5 == 4 { block_of(next, next, 80_000) } else { block(next, 3, next, 1) }
}

/// Opens a store and reads everything, with all the checks that a runtime makes.
pub(crate) fn read_all(path: &Path) -> Result<Content, StoreError> {
    let store = open_store(path, &options())?;
    let content = Content::read(&store)?;
    store.close()?;
    Ok(content)
}

/// Copies the files of a directory; `blobs` and the like come along, deeper directories don't
/// occur.
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
