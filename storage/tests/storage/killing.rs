//! Invariant: prefix. A process killed at any moment leaves a store with everything that was
//! acknowledged to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use relive_storage::conformance::{checkpoint, id};
use relive_storage::{CheckpointStore, Durability, Log, Lsn, scan};
use relive_storage_sled::open_store;

use crate::content::{last_number, next_block, options, read_all};

const DIRECTORY: &str = "RELIVE_KILLED";
const ROUNDS: u64 = 16;

#[test]
fn what_a_killed_process_was_told_is_there() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut told = (0, 0);
    for round in 0..ROUNDS {
        // Some die while they open, some while they write.
        let told_now = kill_after(&path, Duration::from_millis(5 + round * round * 2));
        told = (told.0.max(told_now.0), told.1.max(told_now.1));
        if !path.join("relive.store").exists() {
            continue;
        }
        let found = read_all(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let last = found.blocks.last().map_or(0, |(first, _)| first.get() + 1);
        assert!(last >= told.0, "round {round}: told {told:?}, found {last}");
        for number in told.1.saturating_sub(4).max(1)..=told.1 {
            let newest = &found.checkpoints[id(&format!("actor {}", number % 5)).as_str()].0;
            let newest = newest.as_ref().unwrap();
            assert!(newest.header.number.get() >= number, "round {round}: told {number}");
            let written = checkpoint(&newest.header.actor, newest.header.number.get(), newest.body.len());
            assert!(*newest == written, "round {round}");
        }
    }
    assert!(told.0 > 0 && told.1 > 0, "no process came to write: {told:?}");
}

/// Starts a process that writes, kills it, and returns the last position and the last checkpoint
/// that were acknowledged to it.
fn kill_after(path: &Path, after: Duration) -> (u64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["killing::child", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut told = (0, 0);
    for line in output.lines() {
        let line = line.unwrap();
        let Some((what, number)) = line.split_once(' ') else {
            continue;
        };
        // The last line may be cut off; a number that is too small asks for less.
        match (what, number.parse()) {
            ("acknowledged", Ok(number)) => told.0 = number,
            ("checkpoint", Ok(number)) => told.1 = number,
            _ => {}
        }
    }
    told
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child() {
    let Ok(path) = std::env::var(DIRECTORY) else {
        return;
    };
    let store = open_store(path, &options().durability(Durability::ProcessCrash)).unwrap();
    let mut next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    let mut number = last_number(&store);
    println!();
    for step in 0.. {
        let block = next_block(next, step);
        store.append(&block).unwrap();
        store.sync().unwrap();
        println!("acknowledged {}", block.header().first.get() + 1);
        next = block.header().next().get();
        if step % 3 == 2 {
            number += 1;
            let actor = id(&format!("actor {}", number % 5));
            store.put(&[checkpoint(&actor, number, 100_000)]).unwrap();
            println!("checkpoint {number}");
        }
        if step % 8 == 7 {
            store.cut(Lsn::new(next.saturating_sub(60))).unwrap();
        }
    }
}
