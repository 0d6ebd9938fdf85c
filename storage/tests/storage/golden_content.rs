//! What the golden stores hold: one of everything that the format of its time could express, and
//! the same as text. Knows no store on a disk.

use std::fmt::Write;
use std::ops::ControlFlow;

use bytes::Bytes;
use relive_storage::conformance::{block_of, checkpoint};
use relive_storage::record::{
    Carried, CheckpointMark, EffectDigest, Event, EventKind, Quarantine, Record, Released, Sender,
};
use relive_storage::{
    ActorId, Block, BlockHeader, CheckpointNumber, Epoch, Frame, FrameWriter, Generation, Lsn, Name, Rsn,
    Ssn, Store, StoreError, Timestamp, scan,
};

/// Everything that the first format can express.
pub(crate) const KINDS: &[&str] = &[
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

/// What format 4 on sled, and format 2 on segment files, can express beside it.
pub(crate) const LATER_KINDS: &[&str] = &[
    "from timer remind",
    "from outside with the key",
    "reply of account/bob",
    "failed ask",
    "sleep",
    "answer to a query",
    "bytes with crc 4c667a2e, clock",
    "wakes at",
];

/// Writes one of the two parts of the history.
pub(crate) fn fill(store: &dyn Store, part: u64) -> Result<(), StoreError> {
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

pub(crate) fn append(store: &dyn Store, block: &Block) -> Result<(), StoreError> {
    store.append(block)?;
    store.sync()
}

/// The `nth` block of eight records, of one actor or the other.
pub(crate) fn history(first: u64, nth: u64, epoch: u64) -> Block {
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
        let (from, ssn) = (actor("bob"), Ssn::new(first + 2));
        let kinds = if nth.is_multiple_of(4) {
            [EventKind::SideEffect, EventKind::Reply { from, ssn }, EventKind::AskFailed]
        } else {
            [EventKind::SideEffect, EventKind::Elapsed, EventKind::Answer]
        };
        for (index, kind) in (0..).zip(kinds) {
            let (name, outcome) = ("charge".into(), Bytes::from_static(b"\x07"));
            writer.put_event(&Event { rsn: rsn(2), index, kind, name, outcome, clock: None });
        }
        writer.put_checkpoint_mark(CheckpointMark { number: CheckpointNumber::new(1), rsn: rsn(0) });
        let digest = EffectDigest { rsn: rsn(1), digest: 0x0123_4567_89ab_cdef };
        writer.finish(Some(&actor("alice")), rsn(0), rsn(1), &[digest]).append_to(&mut buffer);
        writer.put_incarnation(Epoch::new(epoch));
        writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
    } else {
        writer.put_recovery_complete(Epoch::new(epoch));
        writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
        let due = Timestamp::from_micros(1_600_000_000_000_000 + first);
        let timer = Sender::Timer { name: Name::from_static("remind"), due };
        let keyed = Sender::Keyed { key: format!("order {first}").into() };
        for (nth, sender) in [(1, &Sender::Outside), (2, &timer), (3, &keyed)] {
            writer.put_delivery(rsn(nth), sender, nth == 3, &name, b"\xc0");
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

pub(crate) fn actor(key: &str) -> ActorId {
    ActorId::new("account", key).unwrap()
}

/// The whole content of a store as text, one thing a line. The code names every field, so that a
/// change of the types alone does not change the text.
pub(crate) fn describe(store: &dyn Store) -> Result<String, StoreError> {
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
            let wakes = header.wake_at.map_or(String::new(), |due| format!(", wakes at {}", due.as_micros()));
            line(
                &mut text,
                format_args!(
                    "{which} of {}: {}, {}, state version {}{owes}{wakes}, {} bytes with crc {:08x}",
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
                    Sender::Timer { name, due } => format!("timer {name} due {}", due.as_micros()),
                    Sender::Keyed { key } => format!("outside with the key {key:?}"),
                };
                let asked = if delivery.asked { "asked " } else { "" };
                let (clock, seed) = (delivery.clock.as_micros(), delivery.seed);
                let (rsn, message, payload) = (delivery.rsn, &delivery.message, &delivery.payload);
                format!(
                    "delivery {rsn}, {asked}{message} from {sender}, {payload:?}, clock {clock}, seed {seed:016x}"
                )
            }
            Record::Event(event) => {
                let kind = match &event.kind {
                    // The only one in the first format.
                    EventKind::SideEffect => String::new(),
                    EventKind::Reply { from, ssn } => format!("reply of {from} to {ssn}, "),
                    EventKind::AskFailed => "failed ask, ".to_owned(),
                    EventKind::Elapsed => "sleep, ".to_owned(),
                    EventKind::Answer => "answer to a query, ".to_owned(),
                };
                let clock =
                    event.clock.map_or(String::new(), |clock| format!(", clock {}", clock.as_micros()));
                let (index, rsn, name) = (event.index, event.rsn, &event.name);
                let (bytes, crc) = (event.outcome.len(), crc32fast::hash(&event.outcome));
                format!("event {index} of {rsn}, {kind}{name}, {bytes} bytes with crc {crc:08x}{clock}")
            }
            Record::CheckpointMark(mark) => format!("checkpoint mark, {}, {}", mark.number, mark.rsn),
            Record::Incarnation(epoch) => format!("incarnation, {epoch}"),
            Record::RecoveryComplete(epoch) => format!("settled, {epoch}"),
            Record::Attempt(rsn) => format!("attempt, {rsn}"),
            Record::Quarantine(Quarantine { rsn, tries, reason }) => {
                format!("quarantine, {rsn}, {tries} tries, {reason:?}")
            }
            Record::Discharge(rsn) => format!("discharge, {rsn}"),
            Record::Carried(Carried { rsn, settled }) => {
                format!("carried, {rsn} waits, settled to {settled}")
            }
            Record::Released(Released { rsn, to, ssn, asked, content }) => {
                let what = if *asked { "asked" } else { "sent" };
                format!("released, {rsn} has {what} {to}, {ssn}, content {content:016x}")
            }
            other => panic!("a kind of record that has no text: {other:?}"),
        };
        line(text, format_args!("  {} {what}", positioned.lsn));
    }
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").unwrap();
}
