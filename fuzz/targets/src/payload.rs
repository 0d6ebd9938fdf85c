//! `payload::decode` of hostile MessagePack into types that nest: never a panic, never the end of
//! the stack, and what is decoded can be encoded and comes back.

use std::collections::BTreeMap;

use relive_replay::payload::{decode, encode, verified_decode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::Entry;

/// A message as users write them.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Order {
    pub(crate) id: u128,
    pub(crate) customer: String,
    pub(crate) tags: BTreeMap<String, Option<i32>>,
    pub(crate) position: (u8, i64, char),
    pub(crate) raw: [u16; 3],
    pub(crate) paid: Option<bool>,
    #[serde(default)]
    pub(crate) notes: Vec<Entry>,
    pub(crate) parent: Option<Box<Order>>,
    pub(crate) unit: (),
}

/// The shortest way to nest.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) enum Chain {
    End,
    Link(Box<Chain>),
}

/// Nesting that goes through a newtype and a list, the least per level.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Nested(pub(crate) Vec<Nested>);

/// Runs one input.
///
/// # Panics
/// When the codec breaks its promise.
pub fn run(input: &[u8]) {
    check_all(input);
    // What nests deeply is long, and libFuzzer prefers what is short.
    if let Some((times, unit)) = input.split_first()
        && unit.len() <= REPEATED_BYTES_MAX
    {
        check_all(&unit.repeat(usize::from(*times) * REPEATS_PER_STEP));
    }
}

fn check_all(bytes: &[u8]) {
    check::<Order>(bytes);
    check::<Entry>(bytes);
    check::<Chain>(bytes);
    check::<Nested>(bytes);
    check::<Vec<u64>>(bytes);
    check::<Vec<Option<String>>>(bytes);
    check::<BTreeMap<String, Entry>>(bytes);
    check::<Result<(), String>>(bytes);
}

fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes) else { return };
    let written = encode(&value).expect("what was decoded encodes");
    let again = verified_decode(&value, &written).expect("what was encoded comes back");
    assert_eq!(encode(&again).expect("it encodes again"), written, "a value changed on its way");
}

const REPEATED_BYTES_MAX: usize = 16;
const REPEATS_PER_STEP: usize = 64;
