//! Class 24: the tree has a store of each format version that ever existed, and today's code opens
//! it. The tests open copies, and never write to the originals.
//!
//! `cargo test -p relive-storage --test storage golden::write -- --ignored` writes the store of the
//! current version anew. The memory backend writes its expected content beside it as text; a change
//! of that text is a change of the format.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use relive_storage::conformance::{block_of, checkpoint};
use relive_storage::record::{CheckpointMark, EffectDigest, Event, Quarantine, Record, Sender};
use relive_storage::{
    ActorId, Block, BlockHeader, CheckpointNumber, CheckpointStore, Epoch, Frame, FrameWriter, Generation,
    LayeredStore, Lsn, MediumKind, MemoryStore, Name, Rsn, Ssn, Store, StoreError, StoreOptions, Timestamp,
    scan,
};
use relive_storage_sled::open_store;

use crate::content::{copy, options, read_all, sled_of};
use crate::conversion_kills::convert;

const FORMAT: u32 = 3;
const CONTENT: &str = "content.txt";
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

fn opens_with_all_that_is_in_it(format: u32) {
    let golden = golden(format);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden.join("store"), &path);
    assert_eq!(format_of(&path), format);
    let expected = fs::read_to_string(golden.join(CONTENT)).unwrap();
    for what in KINDS {
        assert!(expected.contains(what), "nothing in it is a {what}");
    }
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

/// The same on segment files.
#[test]
fn class_24_a_store_on_segment_files_of_format_1_opens_with_all_that_is_in_it() {
    let golden = on_files(1);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden.join("store"), &path);
    assert_eq!(format_of(&path), 1);
    let expected = fs::read_to_string(golden.join(CONTENT)).unwrap();
    let store = open_store(&path, &StoreOptions::default()).unwrap();
    assert_eq!(describe(&store).unwrap(), expected);
    let next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    append(&store, &history(next, 5, 3)).unwrap();
    store.put(&[checkpoint(&actor("alice"), 90, 1000)]).unwrap();
    let written = describe(&store).unwrap();
    store.close().unwrap();
    let store = open_store(&path, &StoreOptions::default()).unwrap();
    assert_eq!(describe(&store).unwrap(), written);
}

/// A process killed at any boundary of an upgrade leaves a whole store, and the next opening
/// upgrades it.
#[test]
fn class_24_an_upgrade_that_was_cut_off_is_done_by_the_next_opening() {
    for format in 1..FORMAT {
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
fn format_of(path: &Path) -> u32 {
    format_in(&fs::read(path.join(STORE)).unwrap())
}

/// The format version in sled.
fn format_inside(path: &Path) -> u32 {
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
fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
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
    let golden = on_files(1);
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

fn on_files(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/segment-files-{format}"))
}

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}

/// The content of a store of the current format: one of everything that the format can express.
const KINDS: &[&str] = &[
    "delivery",
    "asked",
    "from outside",
    "from producer till",
    "from actor account/bob",
    "event",
    "checkpoint mark",
    "incarnation",
    "settled",
    "attempt",
    "quarantine",
    "discharge",
    "digest",
    "newest",
    "previous",
    "owes",
    "start 8,",
];

/// Writes one of the two parts of the history.
fn fill(store: &dyn Store, part: u64) -> Result<(), StoreError> {
    if part == 0 {
        for (nth, number) in [(0, 1), (1, 3), (2, 5)] {
            append(store, &history(nth * 8, nth, 1))?;
            let (alice, bob) =
                (checkpoint(&actor("alice"), number, 300), checkpoint(&actor("bob"), number + 1, 2_000));
            store.put(&[alice, bob])?;
        }
        append(store, &block_of(24, 24, 70_000))?;
        store.cut(Lsn::new(8)).map(drop)
    } else {
        append(store, &history(25, 3, 2))?;
        store.put(&[checkpoint(&actor("carol"), 7, 0)])?;
        append(store, &history(33, 4, 2))
    }
}

fn append(store: &dyn Store, block: &Block) -> Result<(), StoreError> {
    store.append(block)?;
    store.sync()
}

/// The `nth` block of eight records, of one actor or the other.
fn history(first: u64, nth: u64, epoch: u64) -> Block {
    let mut buffer = Vec::new();
    Block::reserve_header(&mut buffer);
    let mut writer = FrameWriter::new();
    // Each actor takes in three deliveries in every other block.
    let before = nth / 2 * 3;
    let rsn = |nth: u64| Rsn::new(before + nth);
    let name = Name::from_static("deposit");
    let till = Sender::Producer { name: Name::from_static("till"), ssn: Ssn::new(first + 1) };
    let bob = Sender::Actor { id: actor("bob"), ssn: Ssn::new(first + 1) };
    if nth.is_multiple_of(2) {
        for (nth, sender) in [(1, &Sender::Outside), (2, &till), (3, &bob)] {
            writer.put_delivery(rsn(nth), sender, nth == 1, &name, &[0x81, nth.to_le_bytes()[0]]);
        }
        writer.put_event(&Event {
            rsn: rsn(2),
            index: 0,
            name: "charge".into(),
            outcome: Bytes::from_static(b"\x07"),
        });
        writer.put_checkpoint_mark(CheckpointMark { number: CheckpointNumber::new(1), rsn: rsn(0) });
        let digest = EffectDigest { rsn: rsn(1), digest: 0x0123_4567_89ab_cdef };
        writer.finish(Some(&actor("alice")), rsn(0), rsn(1), &[digest]).append_to(&mut buffer);
        for _ in 0..3 {
            writer.put_incarnation(Epoch::new(epoch));
            writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
        }
    } else {
        writer.put_recovery_complete(Epoch::new(epoch));
        writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
        for nth in 1..=3 {
            writer.put_delivery(rsn(nth), &Sender::Outside, false, &name, b"\xc0");
        }
        writer.put_attempt(rsn(1));
        let (tries, reason) = (3, "told to panic".to_owned());
        writer.put_quarantine(&Quarantine { rsn: rsn(2), tries, reason });
        writer.put_discharge(rsn(2));
        writer.put_attempt(rsn(3));
        writer.finish(Some(&actor("bob")), rsn(0), rsn(2), &[]).append_to(&mut buffer);
    }
    let [first, clock] = [first, 1_700_000_000_000_000 + first];
    let header = BlockHeader {
        first: Lsn::new(first),
        records: 8,
        durable: Lsn::new(first),
        epoch: Epoch::new(epoch),
        clock: Timestamp::from_micros(clock),
        seed: first.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    };
    Block::seal(header, buffer)
}

fn actor(key: &str) -> ActorId {
    ActorId::new("account", key).unwrap()
}

/// The whole content of a store as text, one thing a line. The code names every field, so that a
/// change of the types alone does not change the text.
fn describe(store: &dyn Store) -> Result<String, StoreError> {
    let mut text = String::new();
    let mut last = None;
    let extent = store.extent()?;
    let scanned = scan(store, &mut |header, frame| {
        if last.replace(header.first) != Some(header.first) {
            let BlockHeader { first, records, durable, epoch, clock, seed } = *header;
            let clock = clock.as_micros();
            line(
                &mut text,
                format_args!(
                    "block at {first}, {records} records, durable {durable}, {epoch}, clock {clock}, seed {seed:016x}"
                ),
            );
        }
        describe_frame(&mut text, &frame);
        Ok(())
    })?;
    let (start, next, epoch) = (scanned.start.get(), scanned.next.get(), scanned.epoch);
    line(
        &mut text,
        format_args!("start {start}, next {next}, acknowledged {}, {epoch}", extent.acknowledged.get()),
    );
    let mut actors = Vec::new();
    store.list(&mut |header| {
        actors.push(header.actor);
        ControlFlow::Continue(())
    })?;
    actors.sort();
    for actor in actors {
        for (which, generation) in [("newest", Generation::Newest), ("previous", Generation::Previous)] {
            let Some(found) = store.get(&actor, generation)? else { continue };
            let header = &found.header;
            let owes = if header.restore_at_open { ", owes" } else { "" };
            line(
                &mut text,
                format_args!(
                    "{which} of {}: {}, {}, state version {}{owes}, {} bytes with crc {:08x}",
                    header.actor,
                    header.number,
                    header.rsn,
                    header.state_version,
                    found.body.len(),
                    crc32fast::hash(&found.body)
                ),
            );
        }
    }
    Ok(text)
}

fn describe_frame(text: &mut String, frame: &Frame) {
    let actor = frame.actor.as_ref().map_or("no actor", ActorId::as_str);
    // In the first format all digests cover the replies.
    let digests = if frame.digests_with_replies { "" } else { ", digests without replies" };
    line(text, format_args!(" frame of {actor}, since {}, handled {}{digests}", frame.since, frame.handled));
    for EffectDigest { rsn, digest } in &frame.digests {
        line(text, format_args!("  digest of {rsn}: {digest:016x}"));
    }
    for positioned in &frame.records {
        let what = match &positioned.record {
            Record::Delivery(delivery) => {
                let sender = match &delivery.sender {
                    Sender::Outside => "outside".to_owned(),
                    Sender::Producer { name, ssn } => format!("producer {name}, {ssn}"),
                    Sender::Actor { id, ssn } => format!("actor {id}, {ssn}"),
                };
                let asked = if delivery.asked { "asked " } else { "" };
                let (clock, seed) = (delivery.clock.as_micros(), delivery.seed);
                let (rsn, message, payload) = (delivery.rsn, &delivery.message, &delivery.payload);
                format!(
                    "delivery {rsn}, {asked}{message} from {sender}, {payload:?}, clock {clock}, seed {seed:016x}"
                )
            }
            Record::Event(event) => {
                let crc = crc32fast::hash(&event.outcome);
                format!(
                    "event {} of {}, {}, {} bytes with crc {crc:08x}",
                    event.index,
                    event.rsn,
                    event.name,
                    event.outcome.len()
                )
            }
            Record::CheckpointMark(mark) => format!("checkpoint mark, {}, {}", mark.number, mark.rsn),
            Record::Incarnation(epoch) => format!("incarnation, {epoch}"),
            Record::RecoveryComplete(epoch) => format!("settled, {epoch}"),
            Record::Attempt(rsn) => format!("attempt, {rsn}"),
            Record::Quarantine(Quarantine { rsn, tries, reason }) => {
                format!("quarantine, {rsn}, {tries} tries, {reason:?}")
            }
            Record::Discharge(rsn) => format!("discharge, {rsn}"),
            other => panic!("a kind of record that has no text: {other:?}"),
        };
        line(text, format_args!("  {} {what}", positioned.lsn));
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").unwrap();
}
