//! One bit of sled's files flipped in a closed store: the outcome is the content, or an error that
//! says that the store is damaged. It is never an error that asks for a reopening, which would end
//! the same way.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use relive_storage::conformance::{Content, block, checkpoint, id};
use relive_storage::{CheckpointStore, Durability, ErrorKind, Log, Lsn, StoreError, StoreOptions, scan};
use relive_storage_sled::open_store;

use crate::content::{self, copy, fill};

const FLIPS: usize = 176;

/// The symptom: sled panicked over a flipped bit, or returned an I/O error that no system call
/// gave, and the error told the caller to open the store once more.
#[test]
fn class_06_a_turned_bit_is_told_as_damage() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    // Several openings, so that sled has a snapshot, segments before and after it, and some in
    // their second use.
    for count in [64, 32, 16] {
        let store = open_store(&whole, &options()).unwrap();
        fill(&store, count);
        store.close().unwrap();
    }
    let mut outcomes = BTreeMap::<String, u32>::new();
    for name in ["db", "conf", "snapshot"] {
        let name = if name == "snapshot" { snapshot(&whole) } else { name.to_owned() };
        let content = fs::read(whole.join(&name)).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let flips = if name == "db" { FLIPS } else { FLIPS / 8 };
        for nth in 0..flips {
            // The flips are spread over the whole file, each somewhere within its share, and many
            // in the first share, because headers stand there.
            let share = if nth % 8 == 0 { 4096.min(used) } else { used };
            let at = nth * share / flips + draw(nth) % (share / flips).max(1);
            let path = root.path().join("flipped");
            copy(&whole, &path);
            let mut flipped = content.clone();
            flipped[at] ^= 1 << (draw(nth + flips) % 8);
            fs::write(path.join(&name), flipped).unwrap();
            let outcome = match use_all(&path) {
                Ok(()) => "whole".to_owned(),
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::Reopen, "{name}, byte {at}: {error}");
                    format!("{:?}", error.kind())
                }
            };
            *outcomes.entry(outcome).or_default() += 1;
            fs::remove_dir_all(&path).unwrap();
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes["Corrupt"] > 60, "{outcomes:?}");
}

/// Opens a store, reads all of it, and writes on top of it.
fn use_all(path: &Path) -> Result<(), StoreError> {
    let store = open_store(path, &options())?;
    Content::read(&store)?;
    let next = scan(&store, &mut |_, _| Ok(()))?.next;
    let mut highest = 0;
    store.list(&mut |header| {
        highest = highest.max(header.number.get());
        ControlFlow::Continue(())
    })?;
    store.append(&block(next.get(), 2, next.get(), 9))?;
    store.sync()?;
    store.put(&[checkpoint(&id("actor 0"), highest + 1, 50_000)])?;
    store.cut(Lsn::new(next.get()))?;
    store.close()
}

/// No power is lost here.
fn options() -> StoreOptions {
    content::options().durability(Durability::ProcessCrash)
}

fn snapshot(path: &Path) -> String {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.into_iter().find(|name| name.starts_with("snap.")).unwrap()
}

/// The same number for the same input: from a fixed seed, as `SplitMix64` draws.
fn draw(nth: usize) -> usize {
    usize::try_from(relive_storage::frame::split_mix(24, nth as u64) >> 33).unwrap()
}
