//! Which directories an opening accepts, and that it changes nothing in one that it refuses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use relive_storage::conformance::{block, checkpoint, id};
use relive_storage::{
    CheckpointStore, Durability, LayeredStore, Log, Lsn, MediumKind, StoreError, StoreOptions,
};
use relive_storage_sled::open_store;
use tempfile::TempDir;

use crate::content::{copy, fill, options, read_all, sled_of};

/// A closed store with a few records in it.
fn small() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = open_store(&path, &options()).unwrap();
    fill(&store, 8);
    store.close().unwrap();
    (root, path)
}

fn open(path: &Path) -> Result<LayeredStore, StoreError> {
    open_store(path, &options())
}

/// All files with their contents.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

/// Asserts that opening fails, and that no file has changed.
fn refused(path: &Path) -> StoreError {
    let mut before = files(path);
    let error = open(path).unwrap_err();
    let mut after = files(path);
    // The lock says who tried last.
    let lock = path.join("relive.lock");
    assert_eq!(before.remove(&lock).is_some(), after.remove(&lock).is_some());
    assert!(before == after, "files have changed: {error}");
    error
}

#[test]
fn a_second_handle_is_told_who_has_the_store() {
    let (_root, path) = small();
    let first = open(&path).unwrap();
    match open(&path).unwrap_err() {
        StoreError::Locked { holder, .. } => {
            assert_eq!(holder, format!("this process ({}), under another handle", std::process::id()));
        }
        other => panic!("{other}"),
    }
    drop(first);
    open(&path).unwrap();
}

#[test]
fn another_process_is_told_who_has_the_store() {
    let (_root, path) = small();
    // The lock belongs to an open file, so a lock taken here with the number of another process
    // looks like that one's.
    let lock = fs::OpenOptions::new().read(true).write(true).open(path.join("relive.lock")).unwrap();
    lock.try_lock().unwrap();
    // Process 1 exists on every system.
    fs::write(path.join("relive.lock"), "process 1\n").unwrap();
    match open(&path).unwrap_err() {
        StoreError::Locked { holder, .. } => assert_eq!(holder, "process 1"),
        other => panic!("{other}"),
    }
}

/// The symptom: a child had inherited the lock, and the error named "this process, under another
/// handle", although there was none.
#[test]
fn a_lock_that_was_handed_on_is_told_from_one_that_is_held_here() {
    let (_root, path) = small();
    let file = path.join("relive.lock");
    let here = std::process::id();
    let gone = ended_process();
    for (noted, number) in [(here, here.to_string()), (gone, gone.to_string())] {
        let lock = fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
        lock.try_lock().unwrap();
        fs::write(&file, format!("process {noted:10}\n")).unwrap();
        // The lock belongs to the open file, which only the child has from here on.
        let mut child = Command::new("sleep").arg("60").stdin(lock).spawn().unwrap();
        let error = open(&path).unwrap_err();
        child.kill().unwrap();
        child.wait().unwrap();
        match &error {
            StoreError::Locked { holder, .. } => {
                assert!(holder.contains("was given the lock") && holder.contains(&number), "{holder}");
                assert!(!holder.contains("another handle"), "{holder}");
            }
            other => panic!("{other}"),
        }
        open(&path).unwrap().close().unwrap();
    }
}

/// The number of a process that has ended.
fn ended_process() -> u32 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn a_dropped_handle_lets_go_at_once() {
    let (_root, path) = small();
    for _ in 0..5 {
        drop(open(&path).unwrap());
    }
}

#[test]
fn a_volatile_store_is_not_one_of_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let error = open_store(root.path(), &options().durability(Durability::Volatile)).unwrap_err();
    assert!(matches!(error, StoreError::Misuse { .. }), "{error}");
    assert!(files(root.path()).is_empty());
}

#[test]
fn a_directory_with_something_else_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("thesis.tex"), "years").unwrap();
    match refused(root.path()) {
        StoreError::NotAStore { found, .. } => assert_eq!(found, "thesis.tex"),
        other => panic!("{other}"),
    }
    let file = root.path().join("thesis.tex");
    assert!(matches!(open(&file).unwrap_err(), StoreError::NotAStore { .. }));
}

#[test]
fn a_database_of_sled_alone_is_refused() {
    let (_root, path) = small();
    for name in ["relive.store", "relive.super", "relive.lock"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    assert!(matches!(refused(&path), StoreError::NotAStore { .. }));
}

#[test]
fn a_newer_format_is_refused() {
    let (_root, path) = small();
    let file = path.join("relive.store");
    let mut bytes = fs::read(&file).unwrap();
    bytes[4] = 9;
    fs::write(&file, bytes).unwrap();
    match refused(&path) {
        StoreError::NewerFormat { found: 9, supported: 4, .. } => {}
        other => panic!("{other}"),
    }
}

#[test]
fn a_store_without_one_of_its_files_is_never_made_anew() {
    for name in ["relive.store", "relive.super", "db", "conf"] {
        let (_root, path) = small();
        fs::remove_file(path.join(name)).unwrap();
        match refused(&path) {
            StoreError::Missing { path: missing, .. } => assert_eq!(missing, path.join(name)),
            other => panic!("{name}: {other}"),
        }
    }
    // Not even when only the lock file is left.
    let (_root, path) = small();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else if entry.file_name() != "relive.lock" {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert!(matches!(refused(&path), StoreError::Missing { .. }));
}

#[test]
fn files_of_two_stores_are_told_apart() {
    for name in ["relive.store", "relive.super"] {
        let (_one, path) = small();
        let (_other, other) = small();
        fs::copy(other.join(name), path.join(name)).unwrap();
        let error = refused(&path);
        assert!(matches!(error, StoreError::Mixed { .. }), "{name}: {error}");
    }
    let (_one, path) = small();
    let (_other, other) = small();
    fs::remove_dir_all(&path).unwrap();
    let ours = tempfile::tempdir().unwrap();
    let path = ours.path().join("store");
    copy(&other, &path);
    let (_third, third) = small();
    for name in ["relive.store", "relive.super", "relive.lock"] {
        fs::copy(third.join(name), path.join(name)).unwrap();
    }
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Mixed { .. }), "{error}");
}

/// A creation that dies at any point leaves a directory that opens as a new store. It writes the
/// files in the order given here, each of them whole or in part.
#[test]
fn an_unfinished_creation_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    open(&whole).unwrap().close().unwrap();
    let order = ["relive.lock", "relive.creating", "relive.super", "conf", "db", "relive.store.new"];
    for count in 0..=order.len() {
        for part in [1, 2] {
            let path = root.path().join(format!("died {count} {part}"));
            fs::create_dir_all(path.join("blobs")).unwrap();
            if count < 4 {
                fs::remove_dir(path.join("blobs")).unwrap();
            }
            for name in &order[..count] {
                let from = if *name == "relive.store.new" { "relive.store" } else { name };
                let content = fs::read(whole.join(from)).unwrap_or_default();
                fs::write(path.join(name), &content[..content.len() / part]).unwrap();
            }
            // The lock remembers the store only after its creation has finished.
            if count > 0 {
                fs::write(path.join("relive.lock"), "process 1\n").unwrap();
            }
            let store = open(&path).unwrap_or_else(|error| panic!("{count} files: {error}"));
            assert_eq!(store.extent().unwrap().acknowledged, Lsn::FIRST);
            store.append(&block(0, 1, 0, 1)).unwrap();
            store.sync().unwrap();
            store.close().unwrap();
            assert!(!path.join("relive.creating").exists());
            assert_eq!(read_all(&path).unwrap().blocks.len(), 1);
        }
    }
    // It died after the store was complete, and before it removed the marker.
    let store = open(&whole).unwrap().extent().unwrap().store;
    fs::write(whole.join("relive.creating"), "").unwrap();
    assert_eq!(open(&whole).unwrap().extent().unwrap().store, store);
    assert!(!whole.join("relive.creating").exists());
}

/// The symptom: killed while sled opened, the store could never be opened again.
#[test]
fn half_written_snapshots_are_removed() {
    let (_root, path) = small();
    let expected = read_all(&path).unwrap();
    let name = "snap.FFFFFFFFFFFFFFFF.generating";
    for _ in 0..2 {
        fs::write(path.join(name), "half").unwrap();
        assert!(read_all(&path).unwrap() == expected);
        assert!(!path.join(name).exists() && !path.join("relive.aside").exists());
    }
}

/// Earlier versions moved them there, and never removed one.
#[test]
fn what_earlier_versions_moved_aside_is_removed() {
    let (_root, path) = small();
    let aside = path.join("relive.aside");
    for foreign in [true, false] {
        let _ = fs::create_dir(&aside);
        for round in 0..40 {
            fs::write(aside.join(format!("snap.00000000000{round:05}.generating.{round}")), "half").unwrap();
        }
        if foreign {
            fs::write(aside.join("notes"), "mine").unwrap();
        }
        open(&path).unwrap().close().unwrap();
        assert_eq!(aside.exists(), foreign);
        if foreign {
            assert_eq!(files(&aside).len(), 1, "what is not ours stays");
            fs::remove_file(aside.join("notes")).unwrap();
        }
    }
}

#[test]
fn only_the_owner_can_enter_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let made = root.path().join("deep/down/store");
    let given = root.path().join("given");
    fs::create_dir(&given).unwrap();
    fs::set_permissions(&given, fs::Permissions::from_mode(0o755)).unwrap();
    for path in [made, given] {
        open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn no_blob_files_are_made() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path()).unwrap();
    fill(&store, 64);
    for number in 100..110 {
        store.put(&[checkpoint(&id("large"), number, 3_000_000)]).unwrap();
    }
    store.close().unwrap();
    assert_eq!(fs::read_dir(root.path().join("blobs")).unwrap().count(), 0);
}

/// Invariant: checkpoint-covers-log. An actor that is passive would silently start over.
#[test]
fn a_checkpoint_that_went_missing_inside_of_sled_is_missed() {
    let (_root, path) = small();
    let whole = path.with_extension("whole");
    copy(&path, &whole);
    let count = parts(&sled_of(&path)).1.iter().filter(|key| stream(key) > 0).count();
    assert!(count > 0);
    for nth in 0..count {
        fs::remove_dir_all(&path).unwrap();
        copy(&whole, &path);
        let db = sled_of(&path);
        let (tree, keys) = parts(&db);
        tree.remove(keys.iter().filter(|key| stream(key) > 0).nth(nth).unwrap()).unwrap();
        db.flush().unwrap();
        drop((tree, db));
        let error = read_all(&path).unwrap_err();
        assert!(error.is_corrupt(), "value {nth} of {count}: {error}");
    }
}

/// The tree of all values, and the keys in it that are not fences.
fn parts(db: &sled::Db) -> (sled::Tree, Vec<sled::IVec>) {
    let tree = db.open_tree("relive.values").unwrap();
    let keys = tree.iter().keys().map(Result::unwrap).filter(|key| key.last() == Some(&u8::MAX)).collect();
    (tree, keys)
}

fn stream(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().unwrap())
}

/// The symptom: a store was not closed; the newest copy of the acknowledged position was damaged,
/// and the last block was lost. The opening took the block for one that was never acknowledged. The
/// sweep of damages found it, with two injuries at once.
#[test]
fn the_last_block_is_missed_whichever_copy_of_the_superblock_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let live = root.path().join("live");
    let store = open(&live).unwrap();
    for first in 0..5 {
        store.append(&block(first, 1, first, 1)).unwrap();
        store.sync().unwrap();
        let stopped = root.path().join(format!("stopped {first}"));
        copy(&live, &stopped);
        let db = sled_of(&stopped);
        let (tree, keys) = parts(&db);
        tree.remove(keys.iter().rfind(|key| stream(key) == 0).unwrap()).unwrap();
        db.flush().unwrap();
        drop((tree, db));
        for slot in [0, 69632, 139264] {
            let path = root.path().join(format!("damaged {first} {slot}"));
            copy(&stopped, &path);
            let mut mark = fs::read(path.join("relive.super")).unwrap();
            mark[slot..slot + 512].fill(0);
            fs::write(path.join("relive.super"), mark).unwrap();
            let error = read_all(&path).unwrap_err();
            assert!(
                matches!(error, StoreError::LostAcknowledged { .. }),
                "block {first}, slot {slot}: {error}"
            );
        }
    }
}

/// Invariant: single writer. When many callers find no directory, one of them creates the store,
/// whatever medium each asks for. The others find a store that another handle has open, or one on
/// another medium.
#[test]
fn class_17_of_many_that_create_a_store_on_several_media_one_has_it() {
    for round in 0..3 {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("parent/store");
        let together = std::sync::Barrier::new(4);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let openers = (0..4).map(|opener| {
                let medium = [MediumKind::Sled, MediumKind::SegmentFiles][opener % 2];
                let (path, together) = (&path, &together);
                scope.spawn(move || {
                    together.wait();
                    open_store(path, &StoreOptions::default().medium(Some(medium)))
                })
            });
            let openers: Vec<_> = openers.collect();
            openers.into_iter().map(|opener| opener.join().unwrap()).collect()
        });
        let (stores, errors): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        assert_eq!(stores.len(), 1, "round {round}: {errors:?}");
        for error in errors.into_iter().filter_map(Result::err) {
            let is_told = matches!(error, StoreError::Locked { .. } | StoreError::OtherMedium { .. });
            assert!(is_told, "round {round}: {error}");
        }
    }
}

/// While another process creates a store, an opening does not judge its files. When no process
/// does, the opening judges them, and leaves them as they are.
#[test]
fn class_17_a_store_in_the_making_is_somebody_elses() {
    for (begun, asked) in [
        ("relive.creating", MediumKind::SegmentFiles),
        ("relive.super", MediumKind::SegmentFiles),
        ("relive.super", MediumKind::Sled),
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(begun), "").unwrap();
        let lock = fs::File::create(root.path().join("relive.lock")).unwrap();
        let before = files(root.path());
        let refused = || open_store(root.path(), &StoreOptions::default().medium(Some(asked))).unwrap_err();
        lock.try_lock().unwrap();
        let error = refused();
        assert!(matches!(error, StoreError::Locked { .. }), "{begun}, {asked}: {error}");
        lock.unlock().unwrap();
        let error = refused();
        let is_judged = matches!(error, StoreError::NotAStore { .. } | StoreError::Missing { .. });
        assert!(is_judged, "{begun}, {asked}: {error}");
        assert_eq!(files(root.path()), before);
    }
}
