//! `Checkpoint::decode` and `checkpoint_body::revive`: on bytes as they are, as the content of a
//! checkpoint whose length and checksum are right, and on bodies that are well-formed but say what
//! no runtime would have written.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use bytes::Bytes;
use relive_replay::checkpoint_body::{capture, revive, verify};
use relive_replay::payload::encode;
use relive_storage::limits::{NAME_BYTES_MAX, PAYLOAD_BYTES_MAX};
use relive_storage::{ActorId, Checkpoint, Rsn, Ssn, StoreId};

use crate::model::Entry;
use crate::value::Value;
use crate::{model, repair};

/// Runs one input.
///
/// # Panics
/// When a decoder breaks its promise.
pub fn run(input: &[u8]) {
    decode(&Bytes::copy_from_slice(input));
    decode(&repair::checkpoint(input).into());
    if let Some((_, content)) = input.split_first_chunk::<16>() {
        decode(&repair::checkpoint(content).into());
    }
    if let Ok(body) = strange_body(&mut Unstructured::new(input)) {
        let actor = ActorId::new(model::KIND, "alice").expect("the key is valid");
        let mut checkpoint = model::checkpoint(&actor, Rsn::new(7));
        checkpoint.body = encode(&body).expect("a body encodes").into();
        decode(&checkpoint.encode().expect("it is within its limit"));
    }
}

/// The body of a checkpoint, as a reader that knows MessagePack only would see it.
pub(crate) fn body() -> Value {
    let mut lines = BTreeMap::new();
    lines.insert("a".to_owned(), 1);
    let book = model::Book { cents: -5, lines, last: Some(Entry::Amount(3)), notes: vec![Entry::Blank] };
    let owed = [
        ("to", Value::text("book/bob")),
        ("ssn", Value::Number(4)),
        ("message", Value::text("add")),
        ("payload", Value::Binary(encode(&model::Add { cents: 1 }).expect("it encodes"))),
    ];
    Value::map([
        ("state", Value::Binary(encode(&book).expect("it encodes"))),
        ("from_producers", Value::map([("till", Value::Number(3))])),
        ("from_actors", Value::map([("book/bob", Value::Number(u64::MAX))])),
        ("to_actors", Value::map([("book/bob", Value::Number(4))])),
        ("outbox", Value::List(vec![Value::map(owed)])),
    ])
}

/// That body with a delivery in quarantine from each sender that has no number.
pub(crate) fn body_with_quarantine() -> Value {
    let timer = Value::map([("name", Value::text("remind")), ("due", Value::Number(1 << 50))]);
    let keyed = Value::map([("key", Value::text("order 17"))]);
    let senders = [Value::text("Outside"), Value::map([("Timer", timer)]), Value::map([("Keyed", keyed)])];
    let left_out = (1..).zip(senders).map(|(rsn, sender)| {
        Value::map([
            ("rsn", Value::Number(rsn)),
            ("sender", sender),
            ("message", Value::text("add")),
            ("payload", Value::Binary(encode(&model::Add { cents: 1 }).expect("it encodes"))),
            ("tries", Value::Number(3)),
            ("reason", Value::text("it panicked")),
        ])
    });
    let (mut body, left_out) = (body(), Value::List(left_out.collect()));
    if let Value::Map(entries) = &mut body {
        entries.insert("quarantine".to_owned(), left_out);
        // All that is in it could have been written, so that a reader comes to the quarantine.
        entries.insert("from_actors".to_owned(), Value::map([("book/bob", Value::Number(2))]));
    }
    body
}

/// That body without a quarantine, and with some entries replaced.
pub(crate) fn strange_body(input: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let fresh = body();
    let mut body = fresh.clone();
    for _ in 0..REPLACEMENTS_MAX {
        if input.is_empty() {
            break;
        }
        let [path, choice] = input.arbitrary::<[u8; 2]>()?;
        let value = match choice % 8 {
            0 | 1 => Value::Number(input.arbitrary::<u64>()? >> (choice >> 2)),
            2 => Value::Number(u64::from(choice >> 3)),
            3 => Value::Text("x".repeat(usize::from(input.arbitrary::<u8>()?))),
            4 => Value::text(["", "book/", "/bob", "book", "book/bob/", "add"][usize::from(choice >> 3) % 6]),
            5 if choice == u8::MAX - 2 => Value::Binary(vec![0xc0; PAYLOAD_BYTES_MAX + 1]),
            5 => Value::Binary(vec![0xc0; usize::from(input.arbitrary::<u8>()?)]),
            6 => Value::List(vec![fresh.clone(); usize::from(choice >> 3) % 3]),
            _ => Value::Map(BTreeMap::from([("y".repeat(usize::from(choice)), Value::Number(1))])),
        };
        put(&mut body, path, value);
    }
    Ok(body)
}

/// Replaces what the choice leads to.
fn put(at: &mut Value, choice: u8, value: Value) {
    let inside: Vec<&mut Value> = match at {
        Value::Map(entries) => entries.values_mut().collect(),
        Value::List(entries) => entries.iter_mut().collect(),
        _ => Vec::new(),
    };
    let count = inside.len();
    match inside.into_iter().nth(usize::from(choice) % count.max(1)) {
        Some(next) if choice != u8::MAX => put(next, choice / 5, value),
        _ => *at = value,
    }
}

fn decode(bytes: &Bytes) {
    let Ok(checkpoint) = Checkpoint::decode(bytes.clone()) else { return };
    let again = checkpoint.encode().expect("what was decoded is within its limit");
    assert_eq!(again, *bytes, "a checkpoint changed when it was written again");
    let store = StoreId::new(1);
    let Ok((instance, outbox)) = revive(&model::kind(), &checkpoint, store) else { return };
    assert_eq!((instance.id(), instance.handled()), (&checkpoint.header.actor, checkpoint.header.rsn));
    for outgoing in &outbox.messages {
        assert!(
            (1..=NAME_BYTES_MAX).contains(&outgoing.message.len()),
            "a message type without a valid name"
        );
        assert!(outgoing.payload.len() <= PAYLOAD_BYTES_MAX && outgoing.ssn > Ssn::NONE);
    }
    for reply in &outbox.replies {
        assert!(reply.outcome.len() <= PAYLOAD_BYTES_MAX && reply.ssn > Ssn::NONE);
    }
    // The names may be in another order, and fields unknown; what is captured of it must be stable.
    let (captured, expected) =
        capture(&instance, &outbox, checkpoint.header.number, &|| ()).expect("what was revived encodes");
    let (second, owed) = revive(&model::kind(), &captured, store).expect("what was captured revives");
    assert_eq!(owed, outbox);
    verify(&model::kind(), &captured, &expected).expect("what was captured is read back as it was");
    let (recaptured, _) =
        capture(&second, &owed, checkpoint.header.number, &|| ()).expect("it encodes again");
    assert!(recaptured == captured, "a checkpoint changed when it was revived and captured");
}

const REPLACEMENTS_MAX: usize = 8;
