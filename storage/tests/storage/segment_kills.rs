//! Invariant: prefix. A process killed at any moment, whatever its threads are doing, leaves a
//! medium of plain files with everything that was acknowledged to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use relive_storage::frame::split_mix;
use relive_storage::medium::{Medium, StreamId};
use relive_storage::{Durability, SegmentFiles, SegmentOptions};

const DIRECTORY: &str = "RELIVE_SEGMENT_KILLED";
const ROUNDS: u64 = 24;
const LOG: StreamId = StreamId(0);
/// The writer keeps this many values of the log.
const KEPT: u64 = 300;

fn open(path: &Path) -> SegmentFiles {
    let options = SegmentOptions::default().durability(Durability::ProcessCrash).segment_bytes(16 << 10);
    SegmentFiles::open(path, &options).unwrap_or_else(|error| panic!("{error}"))
}

fn value(position: u64) -> Vec<u8> {
    let length = if position % 97 == 96 { 20_000 } else { split_mix(position, 0) % 900 };
    (0..length).map(|at| split_mix(position, at + 1).to_le_bytes()[0]).collect()
}

/// A value whose removal is under way may be there, once.
const TO_BE_REMOVED: &[u8] = b"to be removed";

/// The end of the log without the values whose removal was under way, which are gone then.
fn without_removed(medium: &SegmentFiles, end: u64) -> u64 {
    let last = end.saturating_sub(1);
    if medium.read(LOG, last).unwrap() != Some(Ok(TO_BE_REMOVED.into())) {
        return end;
    }
    medium.remove_from(LOG, last).unwrap();
    last
}

#[test]
fn what_a_killed_process_was_told_is_there() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let (mut told, mut most) = (0, 0);
    for round in 0..ROUNDS {
        // Some die while they open, some while they write.
        told = kill_after(&path, Duration::from_millis(3 + round * round)).max(told);
        if !path.join("relive.store").exists() {
            continue;
        }
        let medium = open(&path);
        let found = medium.streams().unwrap().get(&LOG).cloned().unwrap_or(0..0);
        assert!(found.end >= told, "round {round}: told {told}, found {found:?}");
        assert!(
            found.start <= told.saturating_sub(KEPT) + KEPT / 2,
            "round {round}: told {told}, found {found:?}"
        );
        let found = found.start..without_removed(&medium, found.end);
        for position in found.clone() {
            let read = medium.read(LOG, position).unwrap();
            assert!(read == Some(Ok(value(position).into())), "round {round}: {position} of {found:?}");
        }
        let superblock = medium.superblock().unwrap();
        let said = superblock.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        assert!(
            said <= found.end && said + KEPT >= told,
            "round {round}: {said}, told {told}, found {found:?}"
        );
        most = most.max(found.end);
        medium.close().unwrap();
    }
    assert!(told > 0, "no process came to write");
    println!("{ROUNDS} processes were killed, the last after {most} values");
}

/// Starts a process that writes, kills it, and returns the end of the log that was acknowledged to
/// it.
fn kill_after(path: &Path, after: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["segment_kills::child", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may be cut off; a number that is too small asks for less.
    let told = output.lines().filter_map(|line| line.unwrap().strip_prefix("durable ")?.parse().ok());
    told.last().unwrap_or(0)
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let medium = open(Path::new(&path));
    let end = medium.streams().unwrap().get(&LOG).map_or(0, |range| range.end);
    let mut next = without_removed(&medium, end);
    println!();
    for step in 0_u64.. {
        for _ in 0..=step % 4 {
            medium.append(LOG, next, &value(next)).unwrap();
            next += 1;
        }
        medium.sync(LOG).unwrap();
        println!("durable {next}");
        medium.write_superblock(&next.to_le_bytes(), step % 16 == 0).unwrap();
        if step % 8 == 7 {
            // A value that was not acknowledged.
            medium.append(LOG, next, TO_BE_REMOVED).unwrap();
            medium.remove_from(LOG, next).unwrap();
            medium.remove_below(LOG, next.saturating_sub(KEPT)).unwrap();
        }
    }
}
