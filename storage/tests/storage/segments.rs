//! Which directories of plain files open as a medium, that an opening changes nothing in one that
//! it refuses, and what a commit costs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use relive_storage::medium::{Medium, StreamId};
use relive_storage::{Durability, MediumKind, SegmentFiles, SegmentOptions, StoreError, medium_of};
use relive_storage_sled::SledMedium;
use tempfile::TempDir;

use crate::content::copy;

const LOG: StreamId = StreamId(0);
const SEGMENT_BYTES: u64 = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> SegmentOptions {
    SegmentOptions::default().durability(Durability::ProcessCrash).segment_bytes(SEGMENT_BYTES)
}

fn open(path: &Path) -> Result<SegmentFiles, StoreError> {
    SegmentFiles::open(path, &options())
}

fn fill(medium: &SegmentFiles, count: u64) {
    let begin = medium.streams().unwrap().get(&LOG).map_or(0, |range| range.end);
    for position in begin..begin + count {
        medium.append(LOG, position, &[position.to_le_bytes()[0]; 700]).unwrap();
    }
    medium.sync(LOG).unwrap();
}

/// A closed medium with several segments and another stream. Closing ends the thread that prepares
/// segments in the middle of its work: a file that the list does not name yet may be there or not,
/// and is removed here, so that the medium has the same files each time.
fn small() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let medium = open(&path).unwrap();
    fill(&medium, 30);
    medium.append(StreamId(5), 0, b"value").unwrap();
    medium.write_superblock(b"super", true).unwrap();
    medium.close().unwrap();
    let listed = listed(&path);
    for name in files(&path).keys().filter(|name| name.starts_with("segment.") && !listed.contains(name)) {
        fs::remove_file(path.join(name)).unwrap();
    }
    (root, path)
}

/// The segments that the list names, found by its documented layout.
fn listed(path: &Path) -> Vec<String> {
    let list = fs::read(path.join("relive.segments")).unwrap();
    let entries = list[48..list.len() - 4].chunks_exact(24);
    entries.map(|entry| format!("segment.{}", u64::from_le_bytes(entry[..8].try_into().unwrap()))).collect()
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Asserts that opening fails, and that no file has changed but the lock, which names the last
/// process that tried.
fn refused(path: &Path) -> StoreError {
    let mut before = files(path);
    let error = open(path).unwrap_err();
    let mut after = files(path);
    before.remove("relive.lock");
    after.remove("relive.lock");
    assert!(before == after, "files have changed: {error}");
    error
}

#[test]
fn a_new_directory_is_its_owners_alone_and_is_opened_once() {
    let (_root, path) = small();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(
        matches!(&error, StoreError::Locked { holder, .. } if holder.contains("another handle")),
        "{error}"
    );
    assert_eq!(first.superblock().unwrap(), &b"super"[..]);
    first.close().unwrap();
    let error = first.sync(LOG).unwrap_err();
    assert!(matches!(error, StoreError::Misuse { .. }), "{error}");
    let again = open(&path).unwrap();
    drop(first);
    assert!(matches!(open(&path), Err(StoreError::Locked { .. })), "the closed handle has let go already");
    drop(again);
    open(&path).unwrap();
}

#[test]
fn a_volatile_medium_is_not_one_of_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let error = SegmentFiles::open(root.path(), &options().durability(Durability::Volatile)).unwrap_err();
    assert!(matches!(error, StoreError::Misuse { .. }), "{error}");
    assert!(files(root.path()).is_empty());
}

#[test]
fn a_directory_with_something_else_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.tex"), "years").unwrap();
    let error = refused(root.path());
    assert!(matches!(&error, StoreError::NotAStore { found, .. } if found == "thesis.tex"), "{error}");
    let error = open(&root.path().join("thesis.tex")).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
}

#[test]
fn a_store_on_sled_and_a_medium_of_files_refuse_each_other() {
    let root = tempfile::tempdir().unwrap();
    let on_sled = root.path().join("sled");
    SledMedium::open(&on_sled, Durability::PowerLoss).unwrap().close().unwrap();
    fs::remove_dir_all(on_sled.join("blobs")).ok();
    let error = refused(&on_sled);
    let on = (MediumKind::Sled, MediumKind::SegmentFiles);
    assert!(
        matches!(&error, StoreError::OtherMedium { found, asked, .. } if (*found, *asked) == on),
        "{error}"
    );
    assert_eq!(medium_of(&on_sled).unwrap(), Some(on.0));

    let (_root, path) = small();
    let before = files(&path);
    let error = SledMedium::open(&path, Durability::PowerLoss).unwrap_err();
    assert!(
        matches!(&error, StoreError::OtherMedium { found, asked, .. } if (*asked, *found) == on),
        "{error}"
    );
    assert_eq!(medium_of(&path).unwrap(), Some(on.1));
    assert_eq!(before.keys().collect::<Vec<_>>(), files(&path).keys().collect::<Vec<_>>());
    open(&path).unwrap().close().unwrap();

    // One medium does not take an unfinished creation of the other for its own.
    fs::remove_file(path.join("relive.store")).unwrap();
    fs::remove_file(path.join("relive.lock")).unwrap();
    fs::write(path.join("relive.segments.creating"), "").unwrap();
    let error = SledMedium::open(&path, Durability::PowerLoss).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    fs::create_dir(root.path().join("half")).unwrap();
    fs::write(root.path().join("half/relive.creating"), "").unwrap();
    let error = refused(&root.path().join("half"));
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let (root, path) = small();
    let names: Vec<_> = files(&path).into_keys().filter(|name| name != "relive.lock").collect();
    assert!(names.iter().filter(|name| name.starts_with("segment.")).count() > 4, "{names:?}");
    for name in names.iter().filter(|name| !name.starts_with("stream.")) {
        let without = root.path().join(format!("without {name}"));
        copy(&path, &without);
        fs::remove_file(without.join(name)).unwrap();
        let error = refused(&without);
        assert!(
            matches!(&error, StoreError::Missing { path, .. } if path.ends_with(name)),
            "{name}: {error}"
        );
        // The lock remembers, and so do the other files.
        fs::remove_file(without.join("relive.lock")).unwrap();
        let error = refused(&without);
        assert!(matches!(&error, StoreError::Missing { .. }), "{name}: {error}");
    }
}

#[test]
fn files_of_another_store_or_another_time_are_told() {
    let (root, path) = small();
    let (_other_root, other) = small();
    for name in
        files(&path).into_keys().filter(|name| !["relive.lock", "relive.store"].contains(&name.as_str()))
    {
        // The thread decides how many segments it prepares ahead.
        if !other.join(&name).exists() {
            continue;
        }
        let mixed = root.path().join(format!("mixed {name}"));
        copy(&path, &mixed);
        fs::copy(other.join(&name), mixed.join(&name)).unwrap();
        let error = refused(&mixed);
        assert!(matches!(error, StoreError::Mixed { .. }), "{name}: {error}");
    }
    // With an old list of segments the medium would write over the newer ones, whether it had used
    // the listed ones again or not.
    let old = fs::read(path.join("relive.segments")).unwrap();
    for below in [0, 25] {
        let newer = root.path().join(format!("cut below {below}"));
        copy(&path, &newer);
        let medium = open(&newer).unwrap();
        fill(&medium, 30);
        medium.remove_below(LOG, below).unwrap();
        fill(&medium, 1);
        medium.close().unwrap();
        fs::write(newer.join("relive.segments"), &old).unwrap();
        let error = refused(&newer);
        assert!(matches!(error, StoreError::CorruptStore { .. } | StoreError::Missing { .. }), "{error}");
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let (root, path) = small();
    let whole = fs::read(path.join("relive.store")).unwrap();
    for at in 0..whole.len() {
        let damaged = root.path().join(format!("damaged {at}"));
        copy(&path, &damaged);
        let mut bytes = whole.clone();
        bytes[at] ^= 8;
        fs::write(damaged.join("relive.store"), bytes).unwrap();
        match refused(&damaged) {
            StoreError::NewerFormat { supported: 2, .. } => assert!((4..8).contains(&at), "byte {at}"),
            StoreError::CorruptStore { .. } => assert!(!(4..8).contains(&at), "byte {at}"),
            other => panic!("byte {at}: {other}"),
        }
    }
}

#[test]
fn an_unfinished_creation_is_begun_anew() {
    let (root, path) = small();
    // The files of a creation, step by step, and one file that a creation never makes.
    let steps = ["relive.super", "relive.segments.new", "relive.segments", "relive.store.new"];
    for count in 0..=steps.len() {
        let half = root.path().join(format!("half {count}"));
        fs::create_dir(&half).unwrap();
        fs::write(half.join("relive.segments.creating"), "").unwrap();
        fs::write(half.join("note"), "not ours").unwrap();
        for name in &steps[..count] {
            let from = path.join(name);
            fs::copy(if from.exists() { from } else { path.join("relive.super") }, half.join(name)).unwrap();
        }
        let medium = open(&half).unwrap();
        assert!(medium.streams().unwrap().is_empty());
        fill(&medium, 3);
        medium.close().unwrap();
        let names: Vec<_> = files(&half).into_keys().collect();
        assert!(names.contains(&"note".to_owned()) && !names.iter().any(|name| name.ends_with(".new")));
        assert!(!names.contains(&"relive.segments.creating".to_owned()));
        assert_eq!(open(&half).unwrap().streams().unwrap()[&LOG], 0..3);
    }
}

/// The process may end after it has made a segment for its next use and before the list names it.
#[test]
fn a_segment_that_was_not_listed_any_more_is_used_all_the_same() {
    for reused in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let medium = open(root.path()).unwrap();
        if reused {
            fill(&medium, 40);
            medium.remove_below(LOG, 40).unwrap();
        }
        let list = || fs::read(root.path().join("relive.segments")).unwrap();
        // A segment holds five values, and the third one makes the thread prepare the next segment.
        fill(&medium, 2);
        let old = list();
        fill(&medium, 1);
        let end = medium.streams().unwrap()[&LOG].end;
        let since = Instant::now();
        while list() == old {
            assert!(since.elapsed() < PATIENCE, "no segment was prepared");
            std::thread::yield_now();
        }
        medium.close().unwrap();
        fs::write(root.path().join("relive.segments"), &old).unwrap();
        let medium = open(root.path()).unwrap();
        assert_eq!(medium.streams().unwrap()[&LOG].end, end);
        fill(&medium, 30);
        medium.close().unwrap();
        let medium = open(root.path()).unwrap();
        assert_eq!(medium.streams().unwrap()[&LOG].end, end + 30);
        for position in medium.streams().unwrap()[&LOG].clone() {
            assert!(matches!(medium.read(LOG, position), Ok(Some(Ok(_)))), "{position}");
        }
    }
}

/// The log uses empty segments again, and keeps no more of them than it needs for that.
#[test]
fn the_space_of_what_is_removed_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let medium = open(root.path()).unwrap();
    let mut most = 0;
    for round in 0..40 {
        fill(&medium, 20);
        medium.remove_below(LOG, (round * 20_u64).saturating_sub(10)).unwrap();
        most = most.max(segments(root.path()));
    }
    assert!(most <= 14, "{most} segments");
    medium.remove(LOG).unwrap();
    medium.close().unwrap();
    let left = segments(root.path());
    assert!(left <= 5, "{left} segments are kept of nothing");
}

/// How many segments exist, while other threads may make and remove some.
fn segments(path: &Path) -> usize {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("segment.")).count()
}

/// Invariant: fail-stop.
#[test]
fn after_a_failed_write_every_call_fails() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let medium = open(&path).unwrap();
    fill(&medium, 2);
    fs::rename(&path, root.path().join("elsewhere")).unwrap();
    let error = medium.append(StreamId(9), 0, b"needs a file").unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    fs::rename(root.path().join("elsewhere"), &path).unwrap();
    let outcomes = [
        medium.append(LOG, 2, b"more").unwrap_err(),
        medium.sync(LOG).unwrap_err(),
        medium.read(LOG, 0).unwrap_err(),
        medium.streams().unwrap_err(),
        medium.remove_below(LOG, 1).unwrap_err(),
        medium.remove_from(LOG, 1).unwrap_err(),
        medium.remove(LOG).unwrap_err(),
        medium.superblock().unwrap_err(),
        medium.write_superblock(b"", false).unwrap_err(),
        medium.close().unwrap_err(),
    ];
    for error in outcomes {
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
    }
    drop(medium);
    assert_eq!(open(&path).unwrap().streams().unwrap()[&LOG], 0..2);
}

/// When the thread can't make the next segment, the opening ends, and no caller waits for ever.
#[test]
fn a_segment_that_cannot_be_made_ends_the_opening() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let medium = open(&path).unwrap();
    fill(&medium, 2);
    fs::rename(&path, root.path().join("elsewhere")).unwrap();
    let mut outcomes = (2..20).map(|position| medium.append(LOG, position, &[1; 900]));
    let error = outcomes.find_map(Result::err).expect("there is no place for so much");
    assert!(matches!(error, StoreError::Io { .. } | StoreError::Poisoned { .. }), "{error}");
    assert!(matches!(medium.sync(LOG), Err(StoreError::Poisoned { .. })));
}

const COMMITS: usize = 20;
const DIRECTORY: &str = "RELIVE_SEGMENTS";

/// A commit in the tier `PowerLoss` is one write and one sync, seen from outside.
#[test]
fn a_commit_is_one_write_and_one_sync() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: needs strace");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let trace = root.path().join("trace");
    let ran = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=pwrite64,write,fsync,fdatasync,ftruncate,rename,openat", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["segments::commits", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, root.path().join("medium"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = fs::read_to_string(trace).unwrap();
    let calls: Vec<_> =
        text.lines().filter(|line| line.contains("commits are") || line.contains("medium/")).collect();
    let at = |what: &str| calls.iter().position(|line| line.contains(what)).expect("the child said so");
    let commits = &calls[at("commits are next") + 1..at("commits are over")];
    assert_eq!(commits.len(), 2 * COMMITS, "{commits:#?}");
    for commit in commits.chunks(2) {
        assert!(commit[0].contains("pwrite64(") && commit[0].contains("/segment."), "{commit:?}");
        assert!(commit[1].contains("fdatasync(") && commit[1].contains("/segment."), "{commit:?}");
    }
    // A superblock goes to two slots; the file syncs it when the caller asks for that.
    let superblocks = &calls[at("commits are over") + 1..at("all commits are over")];
    let [durable @ .., one, two] = superblocks else { panic!("{superblocks:#?}") };
    assert!(superblocks.iter().all(|call| call.contains("/relive.super")), "{superblocks:#?}");
    assert!([one, two].iter().all(|call| call.contains("pwrite64(")), "{superblocks:#?}");
    assert_eq!(durable.len(), 3, "{superblocks:#?}");
    assert!(durable[2].contains("fdatasync("), "{superblocks:#?}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn commits() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let medium = SegmentFiles::open(path, &SegmentOptions::default()).unwrap();
    medium.append(LOG, 0, b"the first makes a segment").unwrap();
    medium.sync(LOG).unwrap();
    println!("commits are next");
    for commit in 0..COMMITS as u64 {
        medium.append(LOG, commit * 2 + 1, &[7; 3_000]).unwrap();
        medium.append(LOG, commit * 2 + 2, &[7]).unwrap();
        medium.sync(LOG).unwrap();
    }
    println!("commits are over");
    medium.write_superblock(b"durable", true).unwrap();
    medium.write_superblock(b"not", false).unwrap();
    println!("all commits are over");
    medium.close().unwrap();
}
