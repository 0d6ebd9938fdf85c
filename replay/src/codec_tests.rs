//! What the layers around MessagePack promise each other: the same bytes as without them, one limit
//! on both ways, shapes that don't depend on values, fingerprints that do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::payload::{NESTING_DEPTH_MAX, decode, encode};
use crate::track::Shape;
use crate::{depth, encoder, fingerprint};

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
enum Any {
    Nothing,
    Number(i64),
    Wide(u128),
    Text(String),
    Maybe(Option<Box<Any>>),
    Many(Vec<Any>),
    Pair(Box<Any>, u8),
    Named { name: String, inner: Box<Any> },
    Map(BTreeMap<String, Any>),
    Marker(Marker),
    Flat(Flat),
    Raw(Raw),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Marker;

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Flat {
    first: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Any>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Raw(#[serde(with = "serde_bytes")] Vec<u8>);

fn anything() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Nothing),
        any::<i64>().prop_map(Any::Number),
        any::<u128>().prop_map(Any::Wide),
        "[a-z]{0,40}".prop_map(Any::Text),
        Just(Any::Marker(Marker)),
        Just(Any::Maybe(None)),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Any::Raw(Raw(bytes))),
    ];
    leaf.prop_recursive(30, 200, 4, |inner| {
        let map = || prop::collection::btree_map("[g-z]{1,3}", inner.clone(), 0..3);
        prop_oneof![
            inner.clone().prop_map(|inner| Any::Maybe(Some(Box::new(inner)))),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Any::Many),
            inner.clone().prop_map(|inner| Any::Pair(Box::new(inner), 7)),
            inner.clone().prop_map(|inner| Any::Named { name: "n".to_owned(), inner: Box::new(inner) }),
            map().prop_map(Any::Map),
            map().prop_map(|rest| Any::Flat(Flat { first: true, rest })),
        ]
    })
}

/// MessagePack without any layer.
fn plain<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()).unwrap();
    bytes
}

proptest! {
    #[test]
    fn the_layer_changes_no_bytes_and_both_limits_are_one(value in anything()) {
        let bytes = plain(&value);
        let encoded = encode(&value);
        prop_assert_eq!(encoded.is_ok(), depth::check(&bytes).is_ok());
        if let Ok(encoded) = encoded {
            prop_assert_eq!(&encoded, &bytes);
            let back = decode(&bytes);
            prop_assert!(!matches!(&back, Err(error) if error.0.contains("deep")), "{:?}", back);
            if let Ok(back) = back {
                let same = fingerprint::of(&value) == fingerprint::of::<Any>(&back);
                prop_assert_eq!(same, value == back);
            }
        }
    }

    #[test]
    fn damaged_bytes_neither_panic_nor_pass_with_something_behind_them(
        value in anything(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = plain(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if decode::<Any>(&bytes).is_ok() {
            bytes.push(0xc0);
            prop_assert!(decode::<Any>(&bytes).is_err());
        }
    }
}

fn shape<T: Serialize>(value: &T) -> Shape {
    encoder::write(value, &mut Vec::new()).unwrap()
}

fn calls<T: Serialize>(value: &T) -> u64 {
    shape(value).calls
}

#[derive(Serialize)]
struct Message {
    id: u64,
    name: String,
    note: Option<u8>,
    sides: Vec<Option<u8>>,
    by_name: BTreeMap<String, Vec<Any>>,
}

fn message(id: u64, sides: usize) -> Message {
    let entries = (0..sides).map(|n| (n.to_string(), vec![Any::Number(7); n + 1]));
    Message {
        id,
        name: "name".repeat(sides + 1),
        note: None,
        sides: (0..sides).map(|n| (n % 2 == 0).then_some(1)).collect(),
        by_name: entries.collect(),
    }
}

#[test]
fn a_shape_depends_on_neither_values_nor_lengths() {
    let one = shape(&message(1, 2));
    for sides in 3..50 {
        assert_eq!(shape(&message(1, sides)), one, "{sides}");
    }
    assert_eq!(shape(&message(2, 7)), one);
    assert_eq!(shape(&message(u64::MAX, 7)).calls, one.calls);
    assert_ne!(shape(&message(u64::MAX, 7)).widths, one.widths, "another width is to be tried");
}

#[test]
fn a_shape_depends_on_the_structure() {
    let one = message(1, 2);
    assert_ne!(calls(&Message { note: Some(1), ..message(1, 2) }), calls(&one));
    assert_ne!(calls(&Message { sides: vec![None], ..message(1, 2) }), calls(&one));
    assert_ne!(calls(&Message { sides: Vec::new(), ..message(1, 2) }), calls(&one));
    assert_ne!(calls(&Message { name: String::new(), ..message(1, 2) }), calls(&one));
    assert_ne!(calls(&Some(())), calls(&None::<()>));
    assert_ne!(calls(&1_u8), calls(&1_u16));
    assert_ne!(calls(&1_u128), calls(&u128::MAX));
    assert_ne!(calls(&-1_i128), calls(&i128::MIN));
    assert_ne!(calls(&(Some(1), None::<u8>)), calls(&(None::<u8>, Some(1))));
    assert_eq!(calls(&vec![Some(1), None]), calls(&vec![None, Some(1), Some(2)]));
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Tagged {
    First { x: u8 },
    Other { x: u8 },
}

#[derive(Serialize)]
struct Flattened {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
    b: Option<u8>,
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Serialize)]
struct Inner {
    c: u8,
}

/// `serde` passes them as if they were values.
#[test]
fn the_names_of_tags_and_flattened_fields_belong_to_the_shape() {
    assert_ne!(calls(&Tagged::First { x: 1 }), calls(&Tagged::Other { x: 1 }));
    let flattened = |a| Flattened { a, b: Some(1), inner: Inner { c: 1 } };
    assert_ne!(calls(&flattened(None)), calls(&flattened(Some(1))));
}

#[test]
fn a_fingerprint_knows_no_order_in_sequences_and_maps_and_one_elsewhere() {
    let of = |value: &dyn Fn() -> Result<u64, String>| value().unwrap();
    assert_eq!(of(&|| fingerprint::of(&vec![1, 2, 3])), of(&|| fingerprint::of(&vec![3, 1, 2])));
    assert_ne!(of(&|| fingerprint::of(&vec![1, 2, 3])), of(&|| fingerprint::of(&vec![1, 2, 2])));
    assert_ne!(of(&|| fingerprint::of(&vec![1])), of(&|| fingerprint::of(&vec![1, 1])));
    assert_ne!(of(&|| fingerprint::of(&(1, 2))), of(&|| fingerprint::of(&(2, 1))));
    let map = |entries: &[(u8, u8)]| fingerprint::of(&entries.iter().copied().collect::<BTreeMap<_, _>>());
    assert_ne!(map(&[(1, 2), (3, 4)]), map(&[(1, 4), (3, 2)]), "a value stays with its key");
    assert_ne!(fingerprint::of(&1.0_f64), fingerprint::of(&-1.0_f64));
    assert_eq!(fingerprint::of(&f64::NAN), fingerprint::of(&-f64::NAN));
    assert_ne!(fingerprint::of("a"), fingerprint::of("b"));
    assert_ne!(fingerprint::of(&1_u8), fingerprint::of(&1_u64));
    assert_ne!(fingerprint::of(&Some(())), fingerprint::of(&None::<()>));
}

#[test]
fn what_comes_behind_a_value_is_refused() {
    assert_eq!(decode::<u8>(&[7]), Ok(7));
    for bytes in [&[7, 7][..], &[7, 0xc1], &[7, 0xa5]] {
        assert!(decode::<u8>(bytes).unwrap_err().0.contains("go on"), "{bytes:?}");
    }
    let long = encode(&"x".repeat(100)).unwrap();
    assert!(decode::<String>(&long).is_ok());
    assert!(decode::<String>(&[&long[..], &[0xc0]].concat()).is_err());
    assert!(decode::<u8>(&[]).is_err());
}

#[test]
fn the_deepest_that_encodes_decodes() {
    let nested = |depth: usize| (1..depth).fold(Any::Many(Vec::new()), |inner, _| Any::Many(vec![inner]));
    // A variant and its list are two levels.
    let deepest = nested(NESTING_DEPTH_MAX / 2);
    assert_eq!(decode::<Any>(&encode(&deepest).unwrap()), Ok(deepest));
    assert_eq!(encode(&nested(NESTING_DEPTH_MAX / 2 + 1)).unwrap_err().0, depth::too_deep());
}
