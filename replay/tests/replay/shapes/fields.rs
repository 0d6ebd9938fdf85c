//! Structs and what `serde`'s attributes do to their fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NOT_TOLD;
use super::matrix::Matrix;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Plain {
    a: u8,
    b: Option<String>,
    c: Vec<i64>,
    d: u128,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Renamed {
    some_field: u8,
    #[serde(rename = "x y", alias = "z")]
    other_field: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
#[serde(default)]
struct Defaults {
    a: u8,
    #[serde(default = "seven")]
    b: u8,
    c: Option<u8>,
}

fn seven() -> u8 {
    7
}

fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct SkippedWithDefault {
    #[serde(default, skip_serializing_if = "is_zero")]
    a: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<u8>,
    d: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct SkippedWithoutDefault {
    #[serde(skip_serializing_if = "is_zero")]
    a: u8,
    b: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct SkippedWithOtherDefault {
    #[serde(default = "seven", skip_serializing_if = "is_zero")]
    a: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct WrittenNot {
    #[serde(skip_serializing)]
    a: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct ReadNot {
    #[serde(skip_deserializing)]
    a: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Strict {
    a: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(transparent)]
struct Transparent {
    a: u64,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Holds<T> {
    a: T,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Flat<T> {
    before: u8,
    #[serde(flatten)]
    inner: T,
    after: Option<u8>,
}

fn flat<T>(inner: T) -> Flat<T> {
    Flat { before: 1, inner, after: None }
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct FlatSkipped {
    #[serde(skip_serializing_if = "is_zero")]
    a: u8,
    #[serde(flatten)]
    inner: Holds<u8>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Variant {
    One(u8),
    Two { b: u8 },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Skipping {
    #[serde(skip)]
    a: u8,
    b: u8,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
#[serde(into = "u8", from = "u8")]
struct Narrowing(u16);

impl From<Narrowing> for u8 {
    fn from(wide: Narrowing) -> Self {
        wide.0.to_le_bytes()[0]
    }
}

impl From<u8> for Narrowing {
    fn from(narrow: u8) -> Self {
        Self(narrow.into())
    }
}

const NOT_WIDE: &str = "no 128 bits there: a text, or two `u64`";
const TWICE: &str = "one of the fields renamed";
const NO_SKIP: &str = "`default` beside it, with the value that is skipped";

pub(super) fn fill(matrix: &mut Matrix) {
    matrix.group("structs");
    structs(matrix);
    matrix.group("`flatten`");
    flattened(matrix);
}

/// What comes back as something else without anyone noticing.
pub(super) fn fill_untold(matrix: &mut Matrix) {
    matrix.group(NOT_TOLD);
    matrix.instead_of("`skip`", "know that it comes back as its default", Skipping { a: 1, b: 2 });
    matrix.instead_of("`into` and `from` that lose", "ones that don't", Narrowing(256));
    matrix.try_by(
        "`Cow`, which of the two it is",
        "",
        vec![Cow::<'static, str>::Borrowed("text")],
        |a, b| matches!((a, b), (Cow::Borrowed(_), Cow::Borrowed(_)) | (Cow::Owned(_), Cow::Owned(_))),
    );
}

fn structs(matrix: &mut Matrix) {
    let plain = |b| Plain { a: 1, b, c: vec![-1, 1], d: u128::MAX };
    matrix.try_all("a struct", vec![plain(None), plain(Some("text".to_owned()))]);
    matrix.try_one("`rename`, `rename_all`, `alias`", Renamed { some_field: 1, other_field: 2 });
    matrix.try_all("`default`", vec![Defaults::default(), Defaults { a: 1, b: 2, c: Some(3) }]);
    matrix.try_all(
        "`skip_serializing_if` with `default`, or of an `Option`",
        vec![SkippedWithDefault::default(), SkippedWithDefault { a: 1, b: Some(0), c: Some(0), d: 1 }],
    );
    matrix.try_one("`skip_serializing_if` without `default`, written", SkippedWithoutDefault { a: 1, b: 2 });
    matrix.instead_of(
        "`skip_serializing_if` without `default`, skipped",
        NO_SKIP,
        SkippedWithoutDefault { a: 0, b: 2 },
    );
    matrix.instead_of(
        "`skip_serializing_if` with another `default`, skipped",
        NO_SKIP,
        SkippedWithOtherDefault { a: 0 },
    );
    matrix.instead_of(
        "`skip_serializing` without `default`",
        "`skip`, or `default` beside it",
        WrittenNot { a: 1 },
    );
    matrix.instead_of("`skip_deserializing`", "neither, or `skip`", ReadNot { a: 1 });
    matrix.try_one("`deny_unknown_fields`", Strict { a: 1 });
    matrix.try_one("`transparent`", Transparent { a: u64::MAX });
    matrix.try_one("a struct in a struct", Holds { a: Holds { a: Some(1_u8) } });
    matrix.instead_of("a field that is `Some(())`", "`bool`", Holds { a: Some(()) });
    matrix.instead_of("a field that is `Some(None)`", "an enum", Holds { a: Some(None::<u8>) });
}

fn flattened(matrix: &mut Matrix) {
    matrix.try_one("a struct", flat(Holds { a: 1_u8 }));
    matrix.try_one("a map of structs", flat(flat_other()));
    matrix.try_all("an `Option` of a struct", vec![flat(None), flat(Some(Holds { a: 1_u8 }))]);
    matrix.try_one("a map", flat(BTreeMap::from([("x".to_owned(), 1_u8)])));
    matrix.instead_of(
        "a map, with a key that is a field's name",
        TWICE,
        flat(BTreeMap::from([("before".to_owned(), 9_u8)])),
    );
    matrix.try_one("a map with keys that are numbers", flat(BTreeMap::from([(7_u8, 1_u8)])));
    matrix.try_all("an enum", vec![flat(Variant::One(7)), flat(Variant::Two { b: 1 })]);
    matrix.instead_of("a struct with a `u128`", NOT_WIDE, flat(Holds { a: 7_u128 }));
    matrix.instead_of("a struct with an `i128`", NOT_WIDE, flat(Holds { a: i128::MIN }));
    matrix.try_one("a struct with a `Vec<Option<u64>>`", flat(Holds { a: vec![None, Some(u64::MAX)] }));
    matrix.try_one("a struct with bytes", flat(Holds { a: serde_bytes::ByteBuf::from(vec![1, 200]) }));
    matrix.try_one("a struct with a map of numbers", flat(Holds { a: BTreeMap::from([(1_u8, 2_u8)]) }));
    matrix.instead_of("a struct with `Some(())`", "`bool`", flat(Holds { a: Some(()) }));
    matrix.instead_of(
        "`skip_serializing_if` without `default`, skipped",
        NO_SKIP,
        FlatSkipped { a: 0, inner: Holds { a: 1 } },
    );
}

fn flat_other() -> BTreeMap<String, Holds<Vec<u8>>> {
    BTreeMap::from([("x".to_owned(), Holds { a: vec![1] })])
}
