//! Class 24: a store of each format version that there ever was stands in the tree, and is opened by today's code. Nothing
//! is ever written to it: the tests open copies.
//!
//! `cargo test -p relive-storage --test storage golden::write -- --ignored` writes that of the current version anew. What
//! must be in it is written beside it as text, by the memory backend; a text that changes is a change of the format.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use relive_storage::conformance::{block_of, checkpoint};
use relive_storage::record::{CheckpointMark, EffectDigest, Event, Quarantine, Record, Sender};
use relive_storage::{
    ActorId, Block, BlockHeader, CheckpointNumber, CheckpointStore, Epoch, Frame, FrameWriter, Generation,
    Lsn, MemoryStore, Name, Rsn, SledStore, Ssn, Store, StoreError, Timestamp, scan,
};

use crate::content::{copy, options, read_all};

const FORMAT: u32 = 1;
const CONTENT: &str = "content.txt";

#[test]
fn class_24_a_store_of_format_1_opens_with_all_that_is_in_it() {
    let golden = golden(1);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden.join("store"), &path);
    let expected = fs::read_to_string(golden.join(CONTENT)).unwrap();
    for what in KINDS {
        assert!(expected.contains(what), "nothing in it is a {what}");
    }
    let store = SledStore::open(&path, &options()).unwrap();
    assert_eq!(describe(&store).unwrap(), expected);
    // It goes on from there.
    let next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    append(&store, &history(next, 5, 3)).unwrap();
    store.put(&[checkpoint(&actor("alice"), 90, 1000)]).unwrap();
    let written = describe(&store).unwrap();
    store.close().unwrap();
    assert_eq!(describe(&SledStore::open(&path, &options()).unwrap()).unwrap(), written);
}

#[test]
fn class_24_a_store_of_the_next_format_is_refused_and_not_touched() {
    let places: [(&str, &[usize], usize); 2] = [("relive.store", &[0], 24), ("relive.mark", &[0, 4096], 128)];
    for (file, slots, length) in places {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        copy(&golden(FORMAT).join("store"), &path);
        let mut bytes = fs::read(path.join(file)).unwrap();
        for at in slots {
            let version = &mut bytes[at + 4..at + 8];
            assert_eq!(version, FORMAT.to_le_bytes());
            version.copy_from_slice(&(FORMAT + 1).to_le_bytes());
            let crc = crc32fast::hash(&bytes[*at..at + length]);
            bytes[at + length..at + length + 4].copy_from_slice(&crc.to_le_bytes());
        }
        fs::write(path.join(file), &bytes).unwrap();
        let before = files(&path);
        let error = read_all(&path).unwrap_err();
        let is_newer = matches!(error, StoreError::NewerFormat { found, supported, .. } if (found, supported) == (FORMAT + 1, FORMAT));
        assert!(is_newer, "{file}: {error}");
        assert_eq!(files(&path), before, "{file}");
    }
}

/// All files but the lock, which says who tried last.
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
        let store = SledStore::open(&path, &options()).unwrap();
        fill(&store, part).unwrap();
        if part == 0 {
            store.close().unwrap();
        } else {
            // As if the process had died here.
            let _ = fs::remove_dir_all(&golden);
            copy(&path, &golden.join("store"));
            fs::remove_dir(golden.join("store/blobs")).unwrap();
            // sled reads what is not there yet as zeros, so the tree need not hold them.
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

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}

/// What a store of the current format must have, for each thing that the format can say.
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
        writer.put_settled(Epoch::new(epoch));
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

/// All that a store holds, as text, one thing a line. Every field is named here, so that a change of the types alone is
/// no change of the text.
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
        Ok(())
    })?;
    actors.sort();
    for actor in actors {
        for (which, generation) in [("newest", Generation::Newest), ("previous", Generation::Previous)] {
            let Some(found) = store.get(&actor, generation)? else { continue };
            let header = &found.header;
            let owes = if header.owes { ", owes" } else { "" };
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
    line(text, format_args!(" frame of {actor}, since {}, handled {}", frame.since, frame.handled));
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
            Record::Settled(epoch) => format!("settled, {epoch}"),
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
