//! What a medium of plain files asks of the system when it opens, seen from outside.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use relive_storage::medium::{Medium, StreamId};
use relive_storage::{Durability, SegmentFiles, SegmentOptions};

const LOG: StreamId = StreamId(0);
const DIRECTORY: &str = "RELIVE_SEGMENTS_TO_OPEN";

/// Invariant: acknowledge after sync. After a process that ended without a sync, the values that an
/// opening finds may be only in memory, and the next commit builds on them.
#[test]
fn an_opening_syncs_all_that_it_found() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: needs strace");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let options = SegmentOptions::default().durability(Durability::ProcessCrash).segment_bytes(4 << 10);
    let medium = SegmentFiles::open(&path, &options).unwrap();
    for position in 0..20 {
        medium.append(LOG, position, &[7; 700]).unwrap();
    }
    medium.append(StreamId(5), 0, b"value").unwrap();
    medium.close().unwrap();
    let mut needed = BTreeSet::from(["relive.segments".to_owned(), "relive.super".to_owned()]);
    for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
        let holds_values = fs::read(entry.path()).unwrap().windows(4).any(|bytes| bytes == b"RLSV");
        needed.extend(holds_values.then(|| entry.file_name().into_string().unwrap()));
    }
    assert!(needed.len() > 6, "{needed:?}");
    let trace = root.path().join("trace");
    let ran = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=write,fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["segment_calls::opening", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, &path)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = fs::read_to_string(trace).unwrap();
    let calls: Vec<_> = text.lines().take_while(|line| !line.contains("it is open")).collect();
    let is_synced = |name: &str| {
        let file = format!("/medium{name}>");
        calls.iter().any(|call| call.contains("sync(") && call.contains(&file))
    };
    for name in &needed {
        assert!(is_synced(&format!("/{name}")), "{name} is not synced: {calls:#?}");
    }
    assert!(is_synced(""), "the directory is not synced: {calls:#?}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn opening() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let medium = SegmentFiles::open(path, &SegmentOptions::default()).unwrap();
    println!("it is open");
    medium.close().unwrap();
}
