//! Class 24: the tree has a store of each format version that ever existed, and today's code opens
//! it. The tests open copies, and never write to the originals.
//!
//! `cargo test -p relive-storage --test storage golden::write -- --ignored` writes the store of the
//! current version anew. The memory backend writes its expected content beside it as text; a change
//! of that text is a change of the format.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use relive_storage::conformance::checkpoint;
use relive_storage::{
    CheckpointStore, Frame, LayeredStore, MediumKind, MemoryStore, StoreError, StoreOptions, scan,
};
use relive_storage_sled::open_store;

use crate::content::{copy, options, read_all, sled_of};
use crate::conversion_kills::convert;
use crate::golden_content::{KINDS, LATER_KINDS, actor, append, describe, fill, history};

/// The present format on sled, and the one on segment files.
pub(crate) const FORMAT: u32 = 4;
pub(crate) const FORMAT_ON_FILES: u32 = 2;
/// The newest format on sled of which an opening makes another store, with other files.
const CONVERTED: u32 = 2;
pub(crate) const CONTENT: &str = "content.txt";
const STORE: &str = "relive.store";

#[test]
fn class_24_a_store_of_format_1_opens_with_all_that_is_in_it() {
    opens_with_all_that_is_in_it(1);
}

#[test]
fn class_24_a_store_of_format_2_opens_with_all_that_is_in_it() {
    opens_with_all_that_is_in_it(2);
}

#[test]
fn class_24_a_store_of_format_3_opens_with_all_that_is_in_it() {
    opens_with_all_that_is_in_it(3);
}

#[test]
fn class_24_a_store_of_format_4_opens_with_all_that_is_in_it() {
    opens_with_all_that_is_in_it(4);
}

fn opens_with_all_that_is_in_it(format: u32) {
    let golden = golden(format);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden.join("store"), &path);
    assert_eq!(format_of(&path), format);
    let expected = fs::read_to_string(golden.join(CONTENT)).unwrap();
    has_all(&expected, format == FORMAT);
    let store = open_store(&path, &options()).unwrap();
    assert_eq!(describe(&store).unwrap(), expected);
    let with_replies = scan_frames(&store).iter().filter(|frame| frame.digests_with_replies).count();
    assert_eq!(with_replies > 0, format == 1, "{with_replies} frames have digests with replies");
    // It goes on from there.
    let next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    append(&store, &history(next, 5, 3)).unwrap();
    store.put(&[checkpoint(&actor("alice"), 90, 1000)]).unwrap();
    let written = describe(&store).unwrap();
    assert_eq!(scan_frames(&store).iter().filter(|frame| frame.digests_with_replies).count(), with_replies);
    store.close().unwrap();
    assert_eq!(describe(&open_store(&path, &options()).unwrap()).unwrap(), written);
    assert_eq!((format_of(&path), format_inside(&path)), (FORMAT, FORMAT));
}

/// The text of a golden store names everything that its format can express, and nothing else.
fn has_all(text: &str, later: bool) {
    for what in KINDS {
        assert!(text.contains(what), "nothing in it is a {what}");
    }
    for what in LATER_KINDS {
        assert_eq!(text.contains(what), later, "{what}");
    }
}

#[test]
fn class_24_a_store_on_segment_files_of_format_1_opens_with_all_that_is_in_it() {
    opens_on_files_with_all_that_is_in_it(1);
}

#[test]
fn class_24_a_store_on_segment_files_of_format_2_opens_with_all_that_is_in_it() {
    opens_on_files_with_all_that_is_in_it(2);
}

fn opens_on_files_with_all_that_is_in_it(format: u32) {
    let golden = on_files(format);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden.join("store"), &path);
    assert_eq!(format_of(&path), format);
    let expected = fs::read_to_string(golden.join(CONTENT)).unwrap();
    has_all(&expected, format == FORMAT_ON_FILES);
    let store = open_store(&path, &StoreOptions::default()).unwrap();
    assert_eq!(describe(&store).unwrap(), expected);
    let next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    append(&store, &history(next, 5, 3)).unwrap();
    store.put(&[checkpoint(&actor("alice"), 90, 1000)]).unwrap();
    let written = describe(&store).unwrap();
    store.close().unwrap();
    let store = open_store(&path, &StoreOptions::default()).unwrap();
    assert_eq!(describe(&store).unwrap(), written);
    assert_eq!(format_of(&path), FORMAT_ON_FILES);
}

/// A process killed at any boundary of an upgrade leaves a whole store, and the next opening
/// upgrades it.
#[test]
fn class_24_an_upgrade_that_was_cut_off_is_done_by_the_next_opening() {
    for format in 1..=CONVERTED {
        let golden = golden(format);
        let expected = fs::read_to_string(golden.join(CONTENT)).unwrap();
        let root = tempfile::tempdir().unwrap();
        let counted = root.path().join("counted/store");
        copy(&golden.join("store"), &counted);
        let boundaries = convert(&counted, MediumKind::Sled, "");
        let mut formats = BTreeSet::new();
        for name in
            boundaries.keys().filter(|name| name.starts_with("convert.") || name.starts_with("create."))
        {
            let path = root.path().join(format!("{name}/store"));
            copy(&golden.join("store"), &path);
            convert(&path, MediumKind::Sled, &format!("{name}:1"));
            formats.insert(format_of(&path));
            let store = open_store(&path, &options()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(describe(&store).unwrap(), expected, "{name}");
            store.close().unwrap();
            assert_eq!((format_of(&path), format_inside(&path)), (FORMAT, FORMAT), "{name}");
        }
        assert_eq!(
            formats,
            BTreeSet::from([format, FORMAT]),
            "some were killed before the exchange, and some after it"
        );
    }
}

/// An opening does not upgrade a store that it can't read: the user may restore it for the version
/// that wrote it.
#[test]
fn class_24_a_damaged_store_of_format_1_keeps_its_format() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden(1).join("store"), &path);
    let data = fs::read(path.join("db")).unwrap();
    fs::write(path.join("db"), &data[..data.len() / 2]).unwrap();
    for name in ["conf", "relive.mark"] {
        let whole = fs::read(path.join(name)).unwrap();
        fs::write(path.join(name), vec![7; whole.len()]).unwrap();
        let error = open_store(&path, &options()).unwrap_err();
        assert!(error.is_corrupt(), "{name}: {error}");
        assert_eq!(format_of(&path), 1);
        fs::write(path.join(name), whole).unwrap();
    }
}

/// The content of the identity file.
pub(crate) fn format_of(path: &Path) -> u32 {
    format_in(&fs::read(path.join(STORE)).unwrap())
}

/// The format version in sled.
pub(crate) fn format_inside(path: &Path) -> u32 {
    format_in(&sled_of(path).get(STORE).unwrap().unwrap())
}

fn format_in(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[4..8].try_into().unwrap())
}

fn scan_frames(store: &LayeredStore) -> Vec<Frame> {
    let mut frames = Vec::new();
    let scanned = scan(store, &mut |_, frame| {
        frames.push(frame);
        Ok(())
    });
    scanned.unwrap();
    frames
}

#[test]
fn class_24_a_store_of_the_next_format_is_refused_and_not_touched() {
    // The superblock has a version of its own, and so has the file that it is in.
    let places: [(&str, u32); 2] = [(STORE, FORMAT), ("relive.super", 2)];
    for (file, version) in places {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        copy(&golden(FORMAT).join("store"), &path);
        let mut bytes = fs::read(path.join(file)).unwrap();
        for at in (0..bytes.len()).step_by(69632) {
            let slot = &mut bytes[at..];
            let covered =
                if file == STORE { 24..24 } else { 44..44 + usize::try_from(u64_at(slot, 32)).unwrap() };
            if slot[..4] == [0; 4] {
                continue;
            }
            assert_eq!(slot[4..8], version.to_le_bytes());
            slot[4..8].copy_from_slice(&(version + 1).to_le_bytes());
            let head = if file == STORE { 24 } else { 40 };
            let crc = crc32fast::hash(&[&slot[..head], &slot[covered]].concat());
            slot[head..head + 4].copy_from_slice(&crc.to_le_bytes());
        }
        fs::write(path.join(file), &bytes).unwrap();
        let before = files(&path);
        let error = read_all(&path).unwrap_err();
        let is_newer = matches!(error, StoreError::NewerFormat { found, supported, .. } if (found, supported) == (version + 1, version));
        assert!(is_newer, "{file}: {error}");
        assert_eq!(files(&path), before, "{file}");
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// All files but the lock, which names the last process that tried.
pub(crate) fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file() && !path.ends_with("relive.lock"));
    let mut files: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
#[ignore = "writes the store of the current format to the tree anew"]
fn write() {
    let golden = golden(FORMAT);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    for part in 0..2 {
        // Two openings, so that sled has a snapshot and a log after it.
        let store = open_store(&path, &options()).unwrap();
        fill(&store, part).unwrap();
        if part == 0 {
            store.close().unwrap();
        } else {
            // As if the process had died here.
            let _ = fs::remove_dir_all(&golden);
            copy(&path, &golden.join("store"));
            fs::remove_dir(golden.join("store/blobs")).unwrap();
            // sled reads missing bytes at the end as zeros, so the tree need not hold them.
            let db = golden.join("store/db");
            let mut data = fs::read(&db).unwrap();
            data.truncate(data.iter().rposition(|byte| *byte != 0).unwrap() + 1);
            fs::write(&db, data).unwrap();
        }
    }
    let model = MemoryStore::new();
    for part in 0..2 {
        fill(&model, part).unwrap();
    }
    fs::write(golden.join(CONTENT), describe(&model).unwrap()).unwrap();
}

#[test]
#[ignore = "writes the store on segment files to the tree anew"]
fn write_on_files() {
    let golden = on_files(FORMAT_ON_FILES);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let options = StoreOptions::default().medium(Some(MediumKind::SegmentFiles)).log_bytes(16 << 10);
    for part in 0..2 {
        let store = open_store(&path, &options).unwrap();
        fill(&store, part).unwrap();
        if part == 0 {
            store.close().unwrap();
        } else {
            // As if the process had died here.
            let _ = fs::remove_dir_all(&golden);
            copy(&path, &golden.join("store"));
        }
    }
    fs::copy(self::golden(FORMAT).join(CONTENT), golden.join(CONTENT)).unwrap();
}

pub(crate) fn on_files(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/segment-files-{format}"))
}

pub(crate) fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}
