//! Enums: the four representations, each with the four kinds of variants and with what they hold.

use serde::{Deserialize, Serialize};

use super::NOT_TOLD;
use super::matrix::Matrix;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Content {
    x: u8,
    y: Option<String>,
}

fn content() -> Content {
    Content { x: 1, y: Some("text".to_owned()) }
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum External {
    Unit,
    Newtype(Content),
    Nothing(()),
    Maybe(Option<u8>),
    Wide(u128),
    Tuple(u8, String),
    Struct { x: u8, y: Option<u8> },
    Empty {},
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Newtype(Content),
    Struct { x: u8, y: Option<u8> },
    Wide { x: u128 },
    Nothing { x: Option<()> },
    Bytes { x: serde_bytes::ByteBuf },
    Numbers { x: std::collections::BTreeMap<u8, u8> },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(Content),
    Tuple(u8, String),
    Struct { x: u8, y: Option<u8> },
    Wide(u128),
    Nothing(Option<()>),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Untagged {
    Unit,
    Tuple(u8, String),
    Struct { x: u8, y: Option<String> },
    Text(String),
    Negative(i8),
    Wide(u128),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Number {
    Small(u8),
    Large(u64),
    Float(f64),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Prefix {
    Short { x: u8 },
    Long { x: u8, y: u8 },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum Twins {
    First(u8),
    Second(u8),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(untagged)]
enum UntaggedUnitStruct {
    Marker(Marker),
    Number(u8),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Marker;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Other {
    Known,
    #[serde(skip)]
    Hidden,
    #[serde(other)]
    Unknown,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Renamed {
    FirstOne,
    #[serde(rename = "2")]
    SecondOne {
        #[serde(rename = "z")]
        x: u8,
    },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "type")]
enum Inner {
    A { x: External },
    B(Deep),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "kind")]
enum Deep {
    C { y: Adjacent },
    D,
}

const NOT_WIDE: &str = "no 128 bits there: an enum with no `tag`, or two `u64`";
const APART: &str =
    "an enum that is not untagged, or the narrower variant first and larger numbers only in the wider";

pub(super) fn fill(matrix: &mut Matrix) {
    matrix.group("enums");
    external(matrix);
    matrix.group("enums with `tag`");
    internal(matrix);
    matrix.group("enums with `tag` and `content`");
    adjacent(matrix);
    matrix.group("untagged enums");
    untagged(matrix);
}

/// What comes back as something else without anyone noticing.
pub(super) fn fill_untold(matrix: &mut Matrix) {
    matrix.group(NOT_TOLD);
    matrix.instead_of(
        "untagged variants of the same content",
        "an enum that is not untagged",
        Twins::Second(1),
    );
}

fn external(matrix: &mut Matrix) {
    matrix.try_one("a unit variant", External::Unit);
    matrix.try_one("a newtype variant of a struct", External::Newtype(content()));
    matrix.try_one("a newtype variant of `()`", External::Nothing(()));
    matrix.try_all("a newtype variant of an `Option`", vec![External::Maybe(None), External::Maybe(Some(1))]);
    matrix.try_all("a newtype variant of `u128`", vec![External::Wide(1), External::Wide(u128::MAX)]);
    matrix.try_one("a tuple variant", External::Tuple(1, "text".to_owned()));
    matrix.try_all(
        "a struct variant",
        vec![External::Struct { x: 1, y: None }, External::Struct { x: 1, y: Some(2) }],
    );
    matrix.try_one("a struct variant without fields", External::Empty {});
    matrix.try_one("`Option` of a unit variant", Some(External::Unit));
    matrix.try_one("`Option` of a variant of an `Option`", Some(External::Maybe(None)));
    matrix.try_one("`Vec` of all of them", vec![External::Unit, External::Wide(1), External::Maybe(None)]);
    matrix.try_all("renamed variants", vec![Renamed::FirstOne, Renamed::SecondOne { x: 1 }]);
    matrix.try_all("`other`", vec![Other::Known, Other::Unknown]);
    matrix.instead_of("a skipped variant", "a variant that is not skipped", Other::Hidden);
    matrix.try_one("an enum in an enum in an enum", Ok::<_, ()>(Some(External::Newtype(content()))));
}

fn internal(matrix: &mut Matrix) {
    matrix.try_one("a unit variant", Internal::Unit);
    matrix.try_one("a newtype variant of a struct", Internal::Newtype(content()));
    matrix.try_one("a struct variant", Internal::Struct { x: 1, y: None });
    matrix.instead_of("a variant with a `u128`", NOT_WIDE, Internal::Wide { x: 1 });
    matrix.instead_of("a variant with `Some(())`", "`bool`", Internal::Nothing { x: Some(()) });
    matrix.try_one("a variant with bytes", Internal::Bytes { x: serde_bytes::ByteBuf::from(vec![1, 200]) });
    matrix.try_one("a variant with a map of numbers", Internal::Numbers { x: [(1, 2)].into() });
    matrix.try_one("an enum in it", Inner::A { x: External::Struct { x: 1, y: None } });
    matrix.try_one("an enum with another `tag` in it", Inner::B(Deep::C { y: Adjacent::Newtype(content()) }));
    matrix.try_one("a unit variant in it", Inner::B(Deep::D));
}

fn adjacent(matrix: &mut Matrix) {
    matrix.try_one("a unit variant", Adjacent::Unit);
    matrix.try_one("a newtype variant of a struct", Adjacent::Newtype(content()));
    matrix.try_one("a tuple variant", Adjacent::Tuple(1, "text".to_owned()));
    matrix.try_one("a struct variant", Adjacent::Struct { x: 1, y: None });
    matrix.try_one("a newtype variant of `u128`", Adjacent::Wide(u128::MAX));
    matrix.instead_of("a newtype variant of `Some(())`", "`bool`", Adjacent::Nothing(Some(())));
}

fn untagged(matrix: &mut Matrix) {
    matrix.try_one("a unit variant", Untagged::Unit);
    matrix.try_one("a tuple variant", Untagged::Tuple(1, "text".to_owned()));
    matrix.try_one("a struct variant", Untagged::Struct { x: 1, y: None });
    matrix.try_one("a newtype variant of a text", Untagged::Text("text".to_owned()));
    matrix.try_one("a newtype variant of a number", Untagged::Negative(-1));
    matrix.instead_of("a newtype variant of `u128`", NOT_WIDE, Untagged::Wide(u128::MAX));
    matrix
        .try_all("numbers, each in the first variant that fits", vec![Number::Small(1), Number::Large(256)]);
    matrix.try_one("a float among numbers", Number::Float(1.0));
    matrix.instead_of("a number that fits an earlier variant", APART, Number::Large(1));
    matrix.try_one("a struct that is the first that fits", Prefix::Short { x: 1 });
    matrix.instead_of(
        "a struct with the fields of an earlier one",
        "the longer one first",
        Prefix::Long { x: 1, y: 2 },
    );
    matrix.instead_of(
        "a newtype variant of a unit struct",
        "a unit variant",
        UntaggedUnitStruct::Marker(Marker),
    );
}
