//! Frames come back as written, say no to everything else, and stay small.

use proptest::prelude::*;

use super::*;
use crate::format::frame_writer::FrameWriter;
use crate::format::record::{CheckpointMark, Delivery, Event, EventKind, Quarantine};
use crate::format::record_reader::{
    ASKED, EXTENDED, EXTENSION_KEYED, EXTENSION_TIMER, SENDER_ACTOR, SENDER_NEXT, SENDER_PRODUCER,
};
use crate::format::tell_run::Run;
use crate::id::name::Name;
use crate::id::position::{CheckpointNumber, Epoch, Ssn};
use crate::limits::{
    IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, POSITION_MAX, QUARANTINE_REASON_BYTES_MAX,
};
use crate::wire::put_varint;

fn context() -> FrameContext {
    FrameContext { first: Lsn::new(40), clock: Timestamp::from_micros(7), seed: 11 }
}

fn arbitrary_sender() -> impl Strategy<Value = Sender> {
    prop_oneof![
        Just(Sender::Outside),
        ("[a-c]", 1_u64..4)
            .prop_map(|(name, ssn)| Sender::Producer { name: name.into(), ssn: Ssn::new(ssn) }),
        ("[a-c]", 1_u64..4).prop_map(|(key, ssn)| {
            Sender::Actor { id: ActorId::new("k", &key).unwrap(), ssn: Ssn::new(ssn) }
        }),
        ("[a-c]{1,64}", any::<u64>())
            .prop_map(|(name, due)| Sender::Timer { name: name.into(), due: Timestamp::from_micros(due) }),
        "[a-cä]{1,128}".prop_map(|key| Sender::Keyed { key: key.into() }),
    ]
}

fn arbitrary_kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        Just(EventKind::SideEffect),
        ("[a-c]{1,256}", 1..=POSITION_MAX).prop_map(|(key, ssn)| {
            EventKind::Reply { from: ActorId::new("k", &key).unwrap(), ssn: Ssn::new(ssn) }
        }),
        Just(EventKind::AskFailed),
        Just(EventKind::Elapsed),
        Just(EventKind::Answer),
    ]
}

type Put = (Sender, bool, String, Vec<u8>, EventKind);

fn arbitrary_put() -> impl Strategy<Value = Put> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    (arbitrary_sender(), any::<bool>(), "[ab]", payload, arbitrary_kind())
}

proptest! {
    /// Invariant: prefix. What was written is what is read.
    #[test]
    fn frames_come_back(puts in prop::collection::vec(arbitrary_put(), 1..20), first in 1_u64..1000) {
        let mut writer = FrameWriter::new();
        let actor = ActorId::new("account", "alice").unwrap();
        let mut expected = Vec::new();
        for (index, (sender, asked, message, payload, kind)) in puts.into_iter().enumerate() {
            let rsn = Rsn::new(first + index as u64);
            let lsn = context().first.plus(2 * index as u64);
            let message: Name = message.into();
            writer.put_delivery(rsn, &sender, asked, &message, &payload);
            let (clock, outcome) = (context().clock, Bytes::from(payload.clone()));
            let event = Event { rsn, index: 3, kind, name: "e".into(), outcome, clock: Some(clock) };
            // The clock is that of the block, whatever the writer is given.
            writer.put_event(&Event { clock: None, ..event.clone() });
            let seed = context().seed_at(lsn);
            let delivery = Delivery { rsn, sender, asked, message, payload: payload.into(), clock, seed };
            expected.push(Positioned { lsn, record: Record::Delivery(delivery) });
            expected.push(Positioned { lsn: lsn.next(), record: Record::Event(event) });
        }
        let digests = [EffectDigest { rsn: Rsn::new(3), digest: 9 }, EffectDigest { rsn: Rsn::new(5), digest: 1 }];
        let mut out = Vec::new();
        writer.finish(Some(&actor), Rsn::new(2), Rsn::new(5), &digests).append_to(&mut out);
        let length = out.len();
        let (frame, used) = Frame::decode(&out.into(), context()).unwrap();
        prop_assert_eq!(used, length);
        prop_assert_eq!(frame.actor, Some(actor));
        prop_assert_eq!(frame.digests, digests.to_vec());
        prop_assert_eq!(frame.records, expected);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_panic(mut bytes: Vec<u8>) {
        let _ = Frame::decode(&Bytes::from(bytes.clone()), context());
        // The same bytes behind a checksum that matches, so that the body is reached.
        let mut framed = Vec::new();
        put_varint(&mut framed, bytes.len() as u64 + 1);
        bytes.insert(0, FRAME_VERSION);
        framed.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        framed.extend_from_slice(&bytes);
        let _ = Frame::decode(&framed.into(), context());
    }
}

#[test]
fn records_of_tries_and_decisions_come_back() {
    let actor = ActorId::new("account", "alice").unwrap();
    let reason = "x".repeat(QUARANTINE_REASON_BYTES_MAX);
    let decision = Quarantine { rsn: Rsn::new(7), tries: 3, reason };
    let mut writer = FrameWriter::new();
    writer.put_attempt(Rsn::new(7));
    writer.put_quarantine(&decision);
    writer.put_discharge(Rsn::new(7));
    let mut out = Vec::new();
    writer.finish(Some(&actor), Rsn::new(6), Rsn::new(6), &[]).append_to(&mut out);
    let (frame, _) = Frame::decode(&out.into(), context()).unwrap();
    let records: Vec<_> = frame.records.into_iter().map(|positioned| positioned.record).collect();
    let rsn = Rsn::new(7);
    assert_eq!(records, [Record::Attempt(rsn), Record::Quarantine(decision), Record::Discharge(rsn)]);
}

#[test]
fn records_stand_in_frames_of_their_owner() {
    let actor = ActorId::new("account", "alice").unwrap();
    for (owner, right) in [(None, true), (Some(&actor), false)] {
        let mut writer = FrameWriter::new();
        writer.put_recovery_complete(Epoch::new(3));
        let mut out = Vec::new();
        writer.finish(owner, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut out);
        assert_eq!(Frame::decode(&out.into(), context()).is_ok(), right);
        writer.put_attempt(Rsn::new(3));
        let mut out = Vec::new();
        writer.finish(owner, Rsn::NONE, Rsn::NONE, &[]).append_to(&mut out);
        assert_eq!(Frame::decode(&out.into(), context()).is_ok(), !right);
    }
}

fn sample() -> Vec<u8> {
    let mut writer = FrameWriter::new();
    let actor = ActorId::new("account", "alice").unwrap();
    for rsn in 1..4 {
        writer.put_delivery(Rsn::new(rsn), &Sender::Outside, false, &"deposit".into(), b"payload");
    }
    let mut out = Vec::new();
    writer.finish(Some(&actor), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut out);
    out
}

/// The bytes of a frame with a changed body, and a checksum of that.
fn altered(whole: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut other = whole.to_vec();
    let length = Reader::new(&Bytes::copy_from_slice(whole)).length(FRAME_BYTES_MAX).unwrap();
    let body = whole.len() - length;
    change(&mut other[body..]);
    let crc = crc32fast::hash(&other[body..]);
    other[body - 4..body].copy_from_slice(&crc.to_le_bytes());
    other
}

/// The layout of these records is the same, what digests mean is not.
#[test]
fn frames_of_all_versions_are_read_and_told_apart() {
    let whole = sample();
    let (frame, _) = Frame::decode(&whole.clone().into(), context()).unwrap();
    assert!(!frame.digests_with_replies);
    for version in 0..=u8::MAX {
        let other = altered(&whole, |body| body[0] = version);
        let found = Frame::decode(&other.clone().into(), context());
        let head = FrameHead::decode(&other.into(), 0, context()).map(|(head, _)| head.digests_with_replies);
        match version {
            1 => {
                assert_eq!(found.unwrap().0, Frame { digests_with_replies: true, ..frame.clone() });
                assert_eq!(head, Ok(true));
            }
            2 | 3 => assert_eq!((found.unwrap().0, head), (frame.clone(), Ok(false))),
            // What follows is not what a carried frame has.
            FRAME_CARRIED => assert!(found.is_err()),
            _ => assert_eq!(found.unwrap_err(), Malformed("a frame has an unknown version")),
        }
    }
}

/// One record, by itself in a frame.
fn lone(put: impl FnOnce(&mut FrameWriter)) -> Vec<u8> {
    let mut writer = FrameWriter::new();
    put(&mut writer);
    let mut out = Vec::new();
    let actor = ActorId::new("account", "alice").unwrap();
    writer.finish(Some(&actor), Rsn::new(6), Rsn::new(6), &[]).append_to(&mut out);
    out
}

fn put(writer: &mut FrameWriter, record: &Record) {
    match record {
        Record::Delivery(d) => writer.put_delivery(d.rsn, &d.sender, d.asked, &d.message, &d.payload),
        Record::Event(event) => writer.put_event(event),
        Record::CheckpointMark(mark) => writer.put_checkpoint_mark(*mark),
        Record::Attempt(rsn) => writer.put_attempt(*rsn),
        Record::Quarantine(decision) => writer.put_quarantine(decision),
        Record::Discharge(rsn) => writer.put_discharge(*rsn),
        Record::Carried(carried) => writer.put_carried(*carried),
        Record::Released(released) => writer.put_released(released),
        other => panic!("{other:?} is of no actor"),
    }
}

/// One frame with each sender, each kind of event, and each other record of an actor.
fn lone_records() -> Vec<Vec<u8>> {
    let (id, rsn, ssn) = (ActorId::new("k", "a").unwrap(), Rsn::new(7), Ssn::new(3));
    let senders = [
        Sender::Outside,
        Sender::Producer { name: "till".into(), ssn },
        Sender::Actor { id: id.clone(), ssn },
        Sender::Timer { name: "remind".into(), due: Timestamp::from_micros(9) },
        Sender::Keyed { key: "order 17".into() },
    ];
    let kinds = [
        EventKind::SideEffect,
        EventKind::Reply { from: id, ssn },
        EventKind::AskFailed,
        EventKind::Elapsed,
        EventKind::Answer,
    ];
    let deliveries = senders.map(|sender| lone(|w| w.put_delivery(rsn, &sender, false, &"m".into(), b"p")));
    let events = kinds.map(|kind| {
        let (name, outcome) = ("charge".into(), Bytes::from_static(b"o"));
        lone(|writer| writer.put_event(&Event { rsn, index: 1, kind, name, outcome, clock: None }))
    });
    let decision = Quarantine { rsn, tries: 3, reason: "it panicked".to_owned() };
    let others = [
        lone(|w| w.put_checkpoint_mark(CheckpointMark { number: CheckpointNumber::new(2), rsn })),
        lone(|w| w.put_attempt(rsn)),
        lone(|w| w.put_quarantine(&decision)),
        lone(|w| w.put_discharge(rsn)),
    ];
    deliveries.into_iter().chain(events).chain(others).collect()
}

/// Invariant: prefix. A tag is refused, or means exactly what it says: no bit of it is passed over,
/// in any version.
#[test]
fn every_tag_is_refused_or_means_itself_in_every_version() {
    let mut read = [0; 4];
    for whole in lone_records() {
        let (head, _) = FrameHead::decode(&whole.clone().into(), 0, context()).unwrap();
        let length = Reader::new(&Bytes::copy_from_slice(&whole)).length(FRAME_BYTES_MAX).unwrap();
        let at = head.start - (whole.len() - length);
        for (version, tag) in (1..=3_u8).flat_map(|version| (0..=u8::MAX).map(move |tag| (version, tag))) {
            let other = altered(&whole, |body| (body[0], body[at]) = (version, tag));
            let Ok((frame, _)) = Frame::decode(&other.clone().into(), context()) else { continue };
            read[usize::from(version)] += 1;
            let [Positioned { record, .. }] = &frame.records[..] else { panic!("{frame:?}") };
            let again = lone(|writer| put(writer, record));
            assert_eq!(again[head.start..], other[head.start..], "tag {tag:08b} of version {version}");
            let clock = if version < 3 { None } else { Some(context().clock) };
            match record {
                Record::Delivery(Delivery {
                    sender: Sender::Timer { .. } | Sender::Keyed { .. }, ..
                }) => {
                    assert_eq!(version, 3);
                }
                Record::Event(event) => {
                    assert!(version == 3 || event.kind == EventKind::SideEffect, "{event:?}");
                    assert_eq!(event.clock, clock);
                }
                _ => {}
            }
        }
    }
    assert!(read[1] == read[2] && 8 <= read[2] && read[2] + 6 <= read[3], "{read:?}");
}

#[test]
fn a_delivery_has_one_sender_and_an_extension_that_is_known() {
    let keyed =
        lone(|w| w.put_delivery(Rsn::new(1), &Sender::Keyed { key: "k".into() }, true, &"m".into(), b""));
    // The record ends the frame: tag, extension, key, name, payload.
    assert_eq!(keyed[keyed.len() - 7..], [EXTENDED | ASKED, EXTENSION_KEYED, 1, b'k', 1, b'm', 0]);
    let refused = |change: &dyn Fn(&mut [u8; 7])| {
        let other = altered(&keyed, |body| change(body.last_chunk_mut().unwrap()));
        Frame::decode(&other.into(), context()).unwrap_err()
    };
    for sender in [SENDER_PRODUCER, SENDER_ACTOR, SENDER_NEXT] {
        assert_eq!(refused(&|record| record[0] |= sender), Malformed("a delivery has two senders"));
    }
    for extension in (0..=u8::MAX).filter(|found| ![EXTENSION_TIMER, EXTENSION_KEYED].contains(found)) {
        let unknown = Malformed("a delivery has an unknown extension");
        assert_eq!(refused(&|record| record[1] = extension), unknown);
    }
    let empty = refused(&|record| record[2..].copy_from_slice(&[0, 2, b'm', b'm', 0]));
    assert_eq!(empty, Malformed("an idempotency key is empty"));
}

/// A reader would refuse them after they are acknowledged.
#[test]
fn a_key_or_a_timer_that_no_reader_takes_is_a_panic() {
    let put = |sender: Sender| {
        std::panic::catch_unwind(|| lone(|w| w.put_delivery(Rsn::new(1), &sender, true, &"m".into(), b"")))
    };
    let timer =
        |length: usize| put(Sender::Timer { name: "x".repeat(length).into(), due: Timestamp::default() });
    let keyed = |length: usize| put(Sender::Keyed { key: "x".repeat(length).into() });
    assert!(timer(1).is_ok() && timer(NAME_BYTES_MAX).is_ok());
    assert!(timer(0).is_err() && timer(NAME_BYTES_MAX + 1).is_err());
    assert!(keyed(1).is_ok() && keyed(IDEMPOTENCY_KEY_BYTES_MAX).is_ok());
    assert!(keyed(0).is_err() && keyed(IDEMPOTENCY_KEY_BYTES_MAX + 1).is_err());
}

/// A firing is followed by one without numbers, and by one whose sender has some.
#[test]
fn what_follows_an_extended_sender_names_its_own() {
    let timer = Sender::Timer { name: "remind".into(), due: Timestamp::from_micros(9) };
    let actor = |ssn| Sender::Actor { id: ActorId::new("k", "a").unwrap(), ssn: Ssn::new(ssn) };
    let senders = [actor(1), timer.clone(), actor(2), actor(3), timer.clone(), timer];
    let bytes = lone(|writer| {
        for (rsn, sender) in (1..).map(Rsn::new).zip(&senders) {
            writer.put_delivery(rsn, sender, false, &"m".into(), b"");
        }
    });
    let (frame, _) = Frame::decode(&bytes.into(), context()).unwrap();
    let found = frame.records.into_iter().map(|positioned| match positioned.record {
        Record::Delivery(delivery) => delivery.sender,
        other => panic!("{other:?}"),
    });
    assert_eq!(found.collect::<Vec<_>>(), senders);
}

/// Invariant: prefix. Damage is never taken for data.
#[test]
fn every_flipped_bit_is_noticed() {
    let whole = sample();
    let (original, _) = Frame::decode(&whole.clone().into(), context()).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok((frame, _)) = Frame::decode(&damaged.into(), context()) {
            panic!("bit {bit} flipped unnoticed: {frame:?} for {original:?}");
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let whole = sample();
    for length in 0..whole.len() {
        assert!(Frame::decode(&whole[..length].to_vec().into(), context()).is_err(), "length {length}");
    }
}

/// Invariant: prefix. The symptom: an actor handled a backlog of hundreds of thousands of
/// deliveries, its next frame had a digest of each, and no opening could read the log any more.
#[test]
fn more_digests_than_fit_are_left_out_from_the_oldest_on() {
    let actor = ActorId::new("account", "alice").unwrap();
    let digests: Vec<_> =
        (1..=500_000).map(|rsn| EffectDigest { rsn: Rsn::new(rsn), digest: !rsn }).collect();
    let handled = Rsn::new(500_000);
    for payload in [1, PAYLOAD_BYTES_MAX] {
        let mut writer = FrameWriter::new();
        writer.put_delivery(Rsn::new(500_001), &Sender::Outside, false, &"deposit".into(), &vec![7; payload]);
        let mut out = Vec::new();
        writer.finish(Some(&actor), Rsn::NONE, handled, &digests).append_to(&mut out);
        let (frame, _) = Frame::decode(&out.into(), context()).unwrap();
        let kept = frame.digests.len();
        assert!((3_000..200_000).contains(&kept), "{kept} with {payload} bytes");
        assert_eq!(frame.digests, digests[digests.len() - kept..]);
        assert_eq!((frame.since, frame.handled), (Rsn::new(500_000 - kept as u64), handled));
    }
}

/// All digests stay when they fit, and the frame covers what it is told.
#[test]
fn digests_that_fit_stay() {
    let digests: Vec<_> = (1..=2_000).map(|rsn| EffectDigest { rsn: Rsn::new(rsn), digest: rsn }).collect();
    let mut writer = FrameWriter::new();
    writer.put_attempt(Rsn::new(2_001));
    let mut out = Vec::new();
    let actor = ActorId::new("account", "alice").unwrap();
    writer.finish(Some(&actor), Rsn::NONE, Rsn::new(2_001), &digests).append_to(&mut out);
    let (frame, _) = Frame::decode(&out.into(), context()).unwrap();
    assert_eq!((frame.since, frame.digests), (Rsn::NONE, digests));
}

/// A frame always takes its first record, then as many records and bytes as its limits say.
#[test]
fn a_frame_has_room_up_to_its_limits() {
    let mut writer = FrameWriter::new();
    assert!(writer.has_room_for(u32::MAX, PAYLOAD_BYTES_MAX));
    writer.put_attempt(Rsn::new(1));
    let most = u32::try_from(FRAME_RECORDS_MAX).unwrap();
    assert!(writer.has_room_for(most - 1, 100));
    assert!(!writer.has_room_for(most, 100));
    assert!(writer.has_room_for(1, PAYLOAD_BYTES_MAX));
    assert!(!writer.has_room_for(1, FRAME_BYTES_MAX - 1_000));
}

/// What no reader takes never leaves the writer, although a caller did not ask for room.
#[test]
fn a_frame_over_its_limits_is_a_panic() {
    let finish = |records: usize, payload: usize| {
        std::panic::catch_unwind(|| {
            let mut writer = FrameWriter::new();
            for rsn in 1..=records as u64 {
                writer.put_delivery(Rsn::new(rsn), &Sender::Outside, false, &"m".into(), &vec![0; payload]);
            }
            writer.finish(None, Rsn::NONE, Rsn::NONE, &[]).records()
        })
    };
    assert_eq!(finish(FRAME_RECORDS_MAX, 1).unwrap() as usize, FRAME_RECORDS_MAX);
    assert!(finish(FRAME_RECORDS_MAX + 1, 1).is_err(), "too many records");
    assert!(finish(2, PAYLOAD_BYTES_MAX).is_err(), "too many bytes");
    assert!(finish(0, 0).is_err(), "no record");
}

#[test]
fn frame_overhead_is_small() {
    for count in [1_u64, 2, 4, 16, 64] {
        let mut writer = FrameWriter::new();
        let actor = ActorId::new("account", "alice").unwrap();
        let payload = [0_u8; 128];
        for rsn in 1_000..1_000 + count {
            writer.put_delivery(Rsn::new(rsn), &Sender::Outside, false, &"deposit".into(), &payload);
        }
        let mut out = Vec::new();
        writer.finish(Some(&actor), Rsn::new(990), Rsn::new(999), &[]).append_to(&mut out);
        let overhead = (out.len() as f64 - (128 * count) as f64) / count as f64;
        println!("{count} deliveries in a frame: {overhead:.1} bytes each beside the payload");
        assert!(count < 2 || overhead <= 32.0, "{count} deliveries: {overhead}");
    }
}

proptest! {
    /// A run is what its deliveries would be one by one, in the frame and by itself.
    #[test]
    fn runs_are_deliveries(
        runs in prop::collection::vec(("[ab]", prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5)), 1..6),
    ) {
        let mut writer = FrameWriter::new();
        let (mut rsn, mut expected) = (Rsn::new(7), Vec::new());
        for (message, payloads) in runs {
            let message: Name = message.into();
            let mut records = Vec::new();
            for (index, payload) in payloads.iter().enumerate() {
                match index {
                    0 => Run::put_first(&mut records, &message, payload),
                    _ => Run::put_next(&mut records, payload),
                }
            }
            let run = Run::new(message.clone(), u32::try_from(payloads.len()).unwrap(), records.into());
            writer.put_run(rsn, &run);
            prop_assert_eq!(run.collect::<Vec<_>>(), payloads.clone());
            rsn = rsn.plus(payloads.len() as u64);
            // One by itself goes on where the run ended.
            writer.put_delivery(rsn, &Sender::Outside, true, &message, b"");
            rsn = rsn.next();
            expected.extend(payloads.into_iter().map(|payload| (message.clone(), false, payload)));
            expected.push((message, true, Vec::new()));
        }
        let mut out = Vec::new();
        let actor = ActorId::new("account", "alice").unwrap();
        writer.finish(Some(&actor), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut out);
        let (frame, _) = Frame::decode(&out.into(), context()).unwrap();
        let found = frame.records.into_iter().zip(7..).map(|(positioned, rsn)| match positioned.record {
            Record::Delivery(found) if found.rsn == Rsn::new(rsn) && found.sender == Sender::Outside => {
                (found.message, found.asked, found.payload.to_vec())
            }
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
