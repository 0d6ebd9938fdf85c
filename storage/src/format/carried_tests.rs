//! Carried frames come back as what they repeat, and count only with their end.

use super::*;
use crate::format::frame::Frame;
use crate::format::frame_writer::FrameWriter;
use crate::format::record::{Carried, Event, EventKind, Released, Sender};
use crate::id::actor_id::{ActorId, ActorIds};
use crate::id::position::{Rsn, Ssn};
use crate::id::timestamp::Timestamp;
use crate::limits::{FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX};

fn alice() -> ActorId {
    ActorId::new("account", "alice").unwrap()
}

fn context(first: u64, seed: u64) -> FrameContext {
    FrameContext { first: Lsn::new(first), clock: Timestamp::from_micros(seed * 10), seed }
}

/// A frame of a delivery and an event, as a turn writes it.
fn frame(payload: &[u8]) -> Bytes {
    let mut writer = FrameWriter::new();
    writer.put_delivery(Rsn::new(4), &Sender::Outside, true, &"deposit".into(), payload);
    let outcome = Bytes::from_static(b"paid");
    let kind = EventKind::SideEffect;
    writer.put_event(&Event {
        rsn: Rsn::new(4),
        index: 0,
        kind,
        name: "charge".into(),
        outcome,
        clock: None,
    });
    let mut bytes = Vec::new();
    writer.finish(Some(&alice()), Rsn::new(3), Rsn::new(3), &[]).append_to(&mut bytes);
    bytes.into()
}

fn carry(bytes: &Bytes, context: FrameContext) -> Bytes {
    let (head, _) = FrameHead::decode(bytes, 0, context).unwrap();
    let carried = CarriedFrame::new(&head, bytes);
    let mut copy = Vec::new();
    carried.frame().append_to(&mut copy);
    assert_eq!((carried.len(), carried.frame().records()), (copy.len(), 2));
    copy.into()
}

/// The copy decodes as the frame that it is, with the clock and the seeds that it had; one that is
/// carried again has the same bytes.
#[test]
fn a_carried_frame_is_the_frame_that_it_was() {
    let bytes = frame(b"7");
    let (first, _) = Frame::decode(&bytes, context(17, 5)).unwrap();
    let copy = carry(&bytes, context(17, 5));
    let (again, length) = Frame::decode(&copy, context(400, 6)).unwrap();
    assert_eq!((again.carried, length), (Some(context(17, 5)), copy.len()));
    assert_eq!(Frame { carried: None, ..again }, first);
    let twice = carry(&copy, context(400, 6));
    assert_eq!(twice, copy, "it is carried once, however often");
    assert_eq!(Frame::decode(&twice, context(900, 8)).unwrap().0.records, first.records);
}

/// The largest frame can be carried, and no larger one.
#[test]
fn the_largest_frame_can_be_carried() {
    let bytes = frame(&vec![7; PAYLOAD_BYTES_MAX]);
    let copy = carry(&bytes, context(17, 5));
    assert!(Frame::decode(&copy, context(400, 6)).is_ok());
    let mut writer = FrameWriter::new();
    let mut content = Vec::new();
    for index in 0..3 {
        let (kind, outcome) = (EventKind::SideEffect, Bytes::from(vec![1; PAYLOAD_BYTES_MAX / 3]));
        let event = Event { rsn: Rsn::new(4), index, kind, name: "charge".into(), outcome, clock: None };
        writer.put_event(&event);
    }
    writer.finish(Some(&alice()), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut content);
    let (head, _) = FrameHead::decode(&content.into(), 0, context(17, 5)).unwrap();
    assert_eq!(head.records(), 3);
    // The same with more bytes than a frame may have, which no writer would close.
    let mut body = vec![FRAME_CARRIED, 1];
    body.resize(2 + 16 + FRAME_BYTES_MAX + 1, 3);
    let mut bytes = Vec::new();
    put_varint(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    let refused = Frame::decode(&bytes.into(), context(400, 6));
    assert_eq!(refused, Err(Malformed("a frame is over its limit")));
}

/// A copy stands behind what it repeats, and repeats no frame of the store itself.
#[test]
fn what_no_writer_carries_is_malformed() {
    let copy = carry(&frame(b"7"), context(17, 5));
    let refused = Frame::decode(&copy, context(17, 5));
    assert_eq!(refused, Err(Malformed("a carried frame stood behind its copy")));
    let mut writer = FrameWriter::new();
    let mut bytes = Vec::new();
    writer.put_incarnation(crate::id::position::Epoch::new(1));
    writer.put_incarnation(crate::id::position::Epoch::new(2));
    writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut bytes);
    let copy = carry(&bytes.into(), context(1, 5));
    let refused = Frame::decode(&copy, context(17, 5));
    assert_eq!(refused, Err(Malformed("a frame of the store is carried")));
}

/// Invariant: prefix. Damage is never taken for data.
#[test]
fn every_flipped_bit_of_a_copy_is_noticed() {
    let whole = carry(&frame(b"7"), context(17, 5)).to_vec();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::decode(&damaged.into(), context(400, 6)).is_err(), "bit {bit}");
    }
}

/// What stands at the end: how far the actor had come, and what others have of it.
#[test]
fn what_ends_carried_frames_comes_back() {
    let to = ActorId::new("till", "1").unwrap();
    let carried = Carried { rsn: Rsn::new(4), settled: Rsn::new(2) };
    let released = [true, false].map(|asked| Released {
        rsn: Rsn::new(4),
        to: to.clone(),
        ssn: Ssn::new(9),
        asked,
        content: 0x1234,
    });
    let (mut writer, mut bytes) = (FrameWriter::new(), Vec::new());
    writer.put_carried(carried);
    released.iter().for_each(|released| writer.put_released(released));
    writer.finish(Some(&alice()), Rsn::new(3), Rsn::new(3), &[]).append_to(&mut bytes);
    let (frame, _) = Frame::decode(&bytes.into(), context(17, 5)).unwrap();
    let records: Vec<_> = frame.records.iter().map(|positioned| positioned.record.clone()).collect();
    let [asked, sent] = released.map(Record::Released);
    assert_eq!(records, [Record::Carried(carried), asked, sent]);
    assert_eq!(Placing::of(false, &frame.records), Placing::End);
    assert_eq!(Placing::of(true, &frame.records), Placing::Carried(Lsn::new(17)));
}

/// Bits that mean nothing together, and those that the versions before did not know.
#[test]
fn impossible_flags_are_malformed() {
    let (mut writer, mut bytes) = (FrameWriter::new(), Vec::new());
    writer.put_attempt(Rsn::new(4));
    writer.finish(Some(&alice()), Rsn::new(3), Rsn::new(3), &[]).append_to(&mut bytes);
    let flags = [0x08, 0x10, 0x20, 0x28, 0x18, 0x38, 0x40, 0x80];
    for (version, flag) in flags.into_iter().flat_map(|flag| [(2, flag), (3, flag)]) {
        let mut body = bytes[5..].to_vec();
        let tag = body.len() - 2;
        (body[0], body[tag]) = (version, body[tag] | flag);
        if flag == 0x08 {
            body.push(1);
        }
        let mut changed = vec![u8::try_from(body.len()).unwrap()];
        changed.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        changed.extend_from_slice(&body);
        let (head, _) = FrameHead::decode(&changed.clone().into(), 0, context(17, 5)).unwrap();
        let read = head.read(&changed.into(), &mut ActorIds::default(), &mut Vec::new());
        assert_eq!(read.is_ok(), version == 3 && flag == 0x08, "version {version}, flag {flag:#x}");
    }
}

fn all(reading: Vec<(Placing, u32)>) -> Vec<Vec<u32>> {
    let (mut carries, mut read) = (Carries::default(), vec![vec![]]);
    for (placing, frame) in reading {
        match carries.read(placing, frame) {
            Read::Aside => {}
            Read::Next(frame) => read.last_mut().unwrap().push(frame),
            Read::Anew(frames) => read.push(frames),
        }
    }
    read
}

/// What was carried to its end replaces what was read before, and nothing else does.
#[test]
fn only_what_was_carried_to_its_end_counts() {
    use Placing::{Carried, End, Mark, Original};
    let at = |lsn| Carried(Lsn::new(lsn));
    let whole = vec![(Original, 1), (Original, 2), (at(1), 1), (at(2), 2), (End, 3), (Original, 4)];
    assert_eq!(all(whole), [vec![1, 2], vec![1, 2, 3, 4]]);
    let marked = vec![(Original, 1), (at(1), 1), (Mark, 5), (End, 3)];
    assert_eq!(all(marked), [vec![1, 5], vec![1, 3]]);
    let crashed = vec![(Original, 1), (Original, 2), (at(1), 1), (Original, 4)];
    assert_eq!(all(crashed), [vec![1, 2, 4]]);
    let again = vec![(Original, 1), (Original, 2), (at(1), 1), (at(1), 1), (at(2), 2), (End, 3)];
    assert_eq!(all(again), [vec![1, 2], vec![1, 2, 3]]);
    let went_on = vec![(at(1), 1), (Original, 4), (End, 3), (at(2), 2), (End, 5)];
    assert_eq!(all(went_on), [vec![4, 3], vec![2, 5]]);
}
