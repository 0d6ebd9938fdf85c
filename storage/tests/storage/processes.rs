//! The process of a store changes its directory, or is stopped for a while. Each test runs in a
//! process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use relive_storage::conformance::{checkpoint, id};
use relive_storage::{CheckpointStore, Durability, Log, StoreError, scan};
use relive_storage_sled::open_store;

use crate::content::{fill, next_block, options, read_all};

const DIRECTORY: &str = "RELIVE_PROCESS";

/// Starts the ignored test of this name in a process of its own, with this working directory.
fn start(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("processes::{test}"), "--exact", "--ignored", "--nocapture"])
        .current_dir(directory)
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The symptom: opened by a relative path, a store lost its files when its process went to another
/// directory.
#[test]
fn a_store_opened_by_a_relative_path_stays_where_it_is() {
    let root = tempfile::tempdir().unwrap();
    for name in ["here", "elsewhere"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    let child = start("goes_elsewhere", root.path());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let found = read_all(&root.path().join("here/store")).unwrap();
    assert!(found.blocks.len() > 40 && found.checkpoints.len() > 3);
    assert_eq!(std::fs::read_dir(root.path().join("elsewhere")).unwrap().count(), 0);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn goes_elsewhere() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let root = Path::new(&directory);
    let elsewhere = root.join("elsewhere");
    for (durability, number) in [(Durability::PowerLoss, 1_000), (Durability::ProcessCrash, 2_000)] {
        std::env::set_current_dir(root.join("here")).unwrap();
        let options = options().durability(durability);
        let store = open_store("store", &options).unwrap();
        std::env::set_current_dir(&elsewhere).unwrap();
        fill(&store, 40);
        store.put(&[checkpoint(&id("large"), number, 3_000_000)]).unwrap();
        store.close().unwrap();
    }
    // The error names the absolute path.
    std::env::set_current_dir(root.join("here")).unwrap();
    let open = open_store("store", &options()).unwrap();
    match open_store("store", &options()).unwrap_err() {
        StoreError::Locked { path, .. } => assert_eq!(path, root.join("here/store")),
        other => panic!("{other}"),
    }
    open.close().unwrap();
}

/// The symptom: a process that was stopped for longer than the timeout took the healthy disk for a
/// dead one.
#[test]
fn a_store_goes_on_after_its_process_was_stopped() {
    let root = tempfile::tempdir().unwrap();
    let mut child = start("is_stopped", root.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "writing"), "it came to write");
    for _ in 0..4 {
        for (signal, after) in [("-STOP", 1_500), ("-CONT", 130)] {
            let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            assert!(sent.success(), "{signal}");
            std::thread::sleep(Duration::from_millis(after));
        }
    }
    let rest: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    assert!(read_all(&root.path().join("store")).unwrap().blocks.len() > 10);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn is_stopped() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut options = options();
    options.layered.call_timeout = Duration::from_secs(1);
    let store = open_store(Path::new(&directory).join("store"), &options).unwrap();
    let mut next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    println!("\nwriting");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(8) {
        // A call is under way at nearly any time.
        let block = next_block(next, 4);
        store.append(&block).unwrap();
        store.sync().unwrap();
        next = block.header().next().get();
    }
    store.close().unwrap();
}
