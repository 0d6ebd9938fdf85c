//! What happens to the process of a store: it is stopped for a while. In a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use relive_storage::{Log, SledStore, scan};

use crate::content::{next_block, options, read_all};

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

/// The symptom: a process that was stopped for longer than the timeout took the healthy disk for a dead one.
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
    let options = options().call_timeout(Duration::from_secs(1));
    let store = SledStore::open(Path::new(&directory).join("store"), &options).unwrap();
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
