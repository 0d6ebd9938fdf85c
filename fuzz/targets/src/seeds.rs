//! The inputs to begin with, the same on every run: valid samples, and noise with a fixed seed.
//! Called by the binary `seeds`, which writes them to the corpora, and by the test that compares
//! them.

use bytes::Bytes;
use relive_replay::payload::encode;
use relive_storage::conformance::{self, block, block_of, id};
use relive_storage::record::{CheckpointMark, EffectDigest, Event, EventKind, Sender};
use relive_storage::{ActorId, CheckpointNumber, FrameWriter, Name, Rsn, Ssn, Timestamp};

use crate::model::{self, Entry};
use crate::payload::{Chain, Nested, Order};
use crate::{checkpoint, repair};

/// The seeds of a target, with the names of their files.
#[must_use]
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let samples = match target {
        "frame" => frames(),
        "block" => blocks(),
        "checkpoint" => checkpoints(),
        "payload" => payloads(),
        "record" => noise(1, 24, 256),
        "replay" => [noise(3, 24, 256), carried()].concat(),
        "log_operations" => operations(),
        _ => Vec::new(),
    };
    let numbered = samples.into_iter().enumerate();
    numbered.map(|(number, sample)| (format!("seed_{number:02}"), sample)).collect()
}

/// Logs of an actor whose frames are carried while a handler waits: once, twice, without their end,
/// and without the frames.
fn carried() -> Vec<Vec<u8>> {
    // A frame of two deliveries, the second of which begins a side effect; then clock and seed.
    let begun = [0, 1, 1, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 7];
    let carries = |left_out, end| [0, 0xff, 0, left_out, end, 2, 0, 8];
    let (whole, without_end, without_frames) = (carries(0, 0x3f), carries(0, 0xbf), carries(0xd0, 0x3f));
    vec![
        [&[1][..], &begun, &whole].concat(),
        [&[2][..], &begun, &whole, &whole].concat(),
        [&[2][..], &begun, &without_end, &whole].concat(),
        [&[1][..], &begun, &without_frames].concat(),
    ]
}

fn frames() -> Vec<Vec<u8>> {
    let actor = ActorId::new(model::KIND, "alice").expect("the key is valid");
    let mut samples = Vec::new();
    let mut writer = FrameWriter::new();
    let messages = model::messages();
    for deliveries in [1, 2, 5, 40] {
        for (which, digests) in [(0_u64, 0_u64), (1, 2), (2, 1)] {
            for n in 0..deliveries {
                let sender = match (which, Ssn::new(n + 1)) {
                    (0, _) => Sender::Outside,
                    (1, ssn) => Sender::Producer { name: Name::from_static("till"), ssn },
                    (_, ssn) => Sender::Actor { id: actor.clone(), ssn },
                };
                let (message, payload) =
                    &messages[usize::from((n * which).to_le_bytes()[0]) % messages.len()];
                let name = Name::from_static(message);
                writer.put_delivery(Rsn::new(10 + n), &sender, n % 3 == 0, &name, payload);
            }
            if which > 0 {
                let mark = CheckpointMark { number: CheckpointNumber::new(3), rsn: Rsn::new(9) };
                writer.put_checkpoint_mark(mark);
                let outcome = Bytes::from_static(b"\x04");
                let name = Name::from_static("charge");
                writer.put_event(&Event {
                    rsn: Rsn::new(10),
                    index: 0,
                    kind: EventKind::SideEffect,
                    name,
                    outcome,
                    clock: None,
                });
            }
            let digests: Vec<_> =
                (0..digests).map(|n| EffectDigest { rsn: Rsn::new(6 + 2 * n), digest: n << 60 }).collect();
            let mut frame = Vec::new();
            writer.finish(Some(&actor), Rsn::new(5), Rsn::new(9), &digests).append_to(&mut frame);
            samples.push(frame);
        }
    }
    samples.push(with_all_kinds(&actor, &mut writer));
    for epoch in [1, 300] {
        samples.push(block(0, 1, 0, epoch).bytes()[repair::BLOCK_HEADER_BYTES..].to_vec());
    }
    let bodies: Vec<_> = samples.iter().filter_map(|frame| repair::body(frame)).map(<[u8]>::to_vec).collect();
    samples.extend(bodies);
    samples.push(Vec::new());
    samples
}

/// A frame with each kind of event, and with the senders that have no number.
fn with_all_kinds(actor: &ActorId, writer: &mut FrameWriter) -> Vec<u8> {
    let due = Timestamp::from_micros(1_700_000_000_000_000);
    let timer = Sender::Timer { name: Name::from_static("remind"), due };
    let keyed = Sender::Keyed { key: Name::from_static("order 17") };
    let [(message, payload), ..] = &model::messages();
    for (rsn, sender) in (10..).map(Rsn::new).zip([&timer, &keyed, &Sender::Outside]) {
        writer.put_delivery(rsn, sender, *sender == keyed, &Name::from_static(message), payload);
    }
    let kinds = [
        EventKind::SideEffect,
        EventKind::Reply { from: actor.clone(), ssn: Ssn::new(300) },
        EventKind::AskFailed,
        EventKind::Elapsed,
        EventKind::Answer,
    ];
    for (index, kind) in (0..).zip(kinds) {
        let (name, outcome) = (Name::from_static("charge"), Bytes::from_static(b"\x04"));
        writer.put_event(&Event { rsn: Rsn::new(10), index, kind, name, outcome, clock: None });
    }
    let mut frame = Vec::new();
    writer.finish(Some(actor), Rsn::new(9), Rsn::new(9), &[]).append_to(&mut frame);
    frame
}

fn blocks() -> Vec<Vec<u8>> {
    let mut samples = vec![
        block(0, 1, 0, 1).bytes().to_vec(),
        block(0, 5, 0, 300).bytes().to_vec(),
        block(u64::MAX - 3, 3, 9, u64::MAX).bytes().to_vec(),
        block_of(0, 0, 700).bytes().to_vec(),
    ];
    let header: [u8; repair::BLOCK_HEADER_BYTES] =
        *samples[0].first_chunk().expect("a block is longer than its header");
    let frames = frames();
    for some in frames.chunks(3).take(6) {
        samples.push(repair::block(&header, &some.concat()));
    }
    let mut torn = samples[1].clone();
    torn.truncate(torn.len() - 3);
    samples.push(torn);
    samples
}

fn checkpoints() -> Vec<Vec<u8>> {
    let actor = ActorId::new(model::KIND, "alice").expect("the key is valid");
    let mut samples = Vec::new();
    for rsn in [0, 1, 70_000, u64::MAX] {
        samples.push(model::checkpoint(&actor, Rsn::new(rsn)).encode().expect("it is small").to_vec());
    }
    let mut full = model::checkpoint(&actor, Rsn::new(7));
    full.header.restore_at_open = true;
    full.body = encode(&checkpoint::body()).expect("it encodes").into();
    samples.push(full.encode().expect("it is small").to_vec());
    full.header.wake_at = Some(Timestamp::from_micros(1 << 50));
    full.body = encode(&checkpoint::body_with_quarantine()).expect("it encodes").into();
    samples.push(full.encode().expect("it is small").to_vec());
    samples.push(conformance::checkpoint(&id("bob"), 9, 100).encode().expect("it is small").to_vec());
    let contents: Vec<_> = samples.iter().map(|whole| whole[16..].to_vec()).collect();
    samples.extend(contents);
    samples
}

fn payloads() -> Vec<Vec<u8>> {
    let order = |parent| Order {
        id: 1 << 90,
        customer: "alice".to_owned(),
        tags: [("a".to_owned(), None), ("b".to_owned(), Some(-1))].into(),
        position: (1, -2, 'é'),
        raw: [1, 200, 60_000],
        paid: Some(true),
        notes: vec![Entry::Pair(Box::new(Entry::Blank), Box::new(Entry::Amount(1)))],
        parent,
        unit: (),
    };
    let mut samples: Vec<Vec<u8>> = Vec::new();
    let mut push = |encoded: Result<Vec<u8>, _>| samples.push(encoded.expect("the samples encode"));
    push(encode(&order(None)));
    push(encode(&order(Some(Box::new(order(None))))));
    for depth in [1, 20, 60] {
        push(encode(&(0..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]))));
        push(encode(&(0..depth).fold(Chain::End, |inner, _| Chain::Link(Box::new(inner)))));
    }
    push(encode(&Entry::List(vec![Entry::Noted { text: "x".to_owned(), of: None }])));
    push(encode(&vec![1_u64, 1 << 40]));
    push(encode(&vec![None, Some("x")]));
    push(encode(&Err::<(), _>("no")));
    samples.extend(model::messages().map(|(_, payload)| payload));
    // Lengths that are not there.
    for head in [&[0xdd_u8][..], &[0xdf], &[0xc6], &[0xdb], &[0xc9]] {
        samples.push([head, &[0xff; 5]].concat());
    }
    // Repeated by the target: one level of each kind of nesting.
    for level in
        [&[0x91_u8][..], b"\x81\xa4Link", b"\x81\x01", b"\x81\xa4List\x91", b"\xd4\x01", b"\xc7\x01\x01"]
    {
        samples.push([&[0xff], level].concat());
    }
    samples
}

fn operations() -> Vec<Vec<u8>> {
    // Tier, then operation and two choices each.
    let mut samples = vec![
        vec![0, 0, 2, 0, 6, 0, 0, 0, 0x43, 200, 13, 0, 0, 0, 0x81, 0, 6, 0, 0, 12, 0, 0],
        vec![1, 0, 2, 0, 6, 0, 0, 0, 0x43, 255, 0, 3, 0, 15, 0, 0, 0, 1, 0, 6, 0, 0, 15, 0, 0],
        vec![1, 10, 0, 9, 10, 0, 200, 10, 1, 0, 15, 0, 0, 10, 0, 50, 10, 0x80, 1, 13, 0, 0],
        vec![
            1, 0, 4, 0, 6, 0, 0, 0, 4, 0, 6, 0, 0, 9, 6, 0, 0, 1, 0, 15, 0, 0, 9, 255, 0, 5, 255, 0, 5, 1, 0,
        ],
    ];
    samples.extend(noise(2, 12, 120));
    samples
}

fn noise(seed: u64, count: usize, bytes_max: usize) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut next = move || {
        // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    let mut samples = Vec::new();
    for number in 1..=count {
        let words = std::iter::repeat_with(&mut next).flatten();
        samples.push(words.take(bytes_max * number / count).collect());
    }
    samples
}
