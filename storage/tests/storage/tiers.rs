//! Each tier earns its name: `strace` shows its syncs from outside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use relive_storage::CheckpointStore;
use relive_storage::conformance::{checkpoint, id};
use relive_storage_sled::open_store;

use crate::content::{copy, fill, options, read_all};

const COMMITS: usize = 20;

#[test]
fn power_loss_syncs_each_commit() {
    let Some(calls) = syncs("power-loss") else { return };
    let data: usize = calls.iter().filter(|(file, _)| file.ends_with("/db")).map(|(_, count)| count).sum();
    assert!(data >= COMMITS, "{calls:?}");
    assert!(data <= COMMITS + 10, "a commit syncs the data once: {calls:?}");
    let mark: usize =
        calls.iter().filter(|(file, _)| file.ends_with("/relive.super")).map(|(_, count)| count).sum();
    assert!(mark < COMMITS, "a commit does not sync the mark: {calls:?}");
}

#[test]
fn process_crash_syncs_no_commit() {
    let Some(calls) = syncs("process-crash") else {
        return;
    };
    // Creating and closing the store sync in every tier.
    let all: usize = calls.values().sum();
    assert!(all < COMMITS, "{calls:?}");
}

/// A commit does not sync the superblock, so a loss of power leaves any superblock written since
/// the last cut. None of them may make whole data look damaged.
#[test]
fn an_older_superblock_than_the_data_is_no_damage() {
    let root = tempfile::tempdir().unwrap();
    let live = root.path().join("live");
    let store = open_store(&live, &options()).unwrap();
    // The last step cuts the log.
    fill(&store, 16);
    let mut written = vec![std::fs::read(live.join("relive.super")).unwrap()];
    for number in 100..112 {
        fill(&store, 3);
        store.put(&[checkpoint(&id(&format!("actor {}", number % 2)), number, 9_000)]).unwrap();
        written.push(std::fs::read(live.join("relive.super")).unwrap());
    }
    let stopped = root.path().join("stopped");
    copy(&live, &stopped);
    drop(store);
    let mut expected = None;
    for (index, superblock) in written.iter().enumerate().rev() {
        let path = root.path().join(index.to_string());
        copy(&stopped, &path);
        std::fs::write(path.join("relive.super"), superblock).unwrap();
        let found = read_all(&path).unwrap_or_else(|error| panic!("superblock {index}: {error}"));
        let expected = expected.get_or_insert_with(|| found.clone());
        assert!(found == *expected, "superblock {index}");
    }
}

/// How often the example `commits` syncs each file; `None` when `strace` can't show it.
fn syncs(tier: &str) -> Option<BTreeMap<String, usize>> {
    let example = example();
    if !example.exists() || Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: needs strace, and {} built by `cargo test`", example.display());
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    let trace = root.path().join("trace");
    let ran = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(example)
        .args([tier, &COMMITS.to_string()])
        .arg(root.path().join("store"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut calls = BTreeMap::new();
    for line in std::fs::read_to_string(trace).unwrap().lines() {
        // `123 fdatasync(5</tmp/x/db>) = 0`; the rest of an interrupted line names no file.
        if let Some((file, _)) = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
            *calls.entry(file.to_owned()).or_insert(0) += 1;
        }
    }
    println!("{tier}: {calls:?}");
    Some(calls)
}

/// Cargo builds examples beside the directory of this test.
fn example() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join("commits")
}
