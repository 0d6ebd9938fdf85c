//! Numbers, texts, bytes, options of everything, and the types of the standard library that are
//! like them.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroI8, NonZeroU64, NonZeroU128, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::matrix::Matrix;

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Unit;

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Wrapped<T>(T);

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Pair<A, B>(A, B);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct NoFields {}

const NEVER_MAYBE_NOTHING: &str = "an enum with a variant for each case, or `Option<bool>`";

pub(super) fn fill(matrix: &mut Matrix) {
    matrix.group("numbers");
    numbers(matrix);
    matrix.group("texts and bytes");
    texts(matrix);
    matrix.group("units and newtypes");
    units(matrix);
    matrix.group("options");
    options(matrix);
    matrix.group("of the standard library");
    library(matrix);
}

fn numbers(matrix: &mut Matrix) {
    matrix.try_all("`bool`", vec![false, true]);
    matrix.try_all("`u8`", vec![0_u8, 127, 128, u8::MAX]);
    matrix.try_all("`u16`", vec![0_u16, 255, 256, u16::MAX]);
    matrix.try_all("`u32`", vec![0_u32, 65_535, 65_536, u32::MAX]);
    matrix.try_all("`u64`, `usize`", vec![0_u64, 1 << 32, 1 << 63, u64::MAX]);
    matrix.try_all("`i8`", vec![i8::MIN, -33, -32, -1, 0, i8::MAX]);
    matrix.try_all("`i16`", vec![i16::MIN, -129, 0, i16::MAX]);
    matrix.try_all("`i32`", vec![i32::MIN, -32_769, 0, i32::MAX]);
    matrix.try_all("`i64`, `isize`", vec![i64::MIN, -1, 0, 1 << 40, i64::MAX]);
    matrix.try_all("`u128`", vec![0_u128, 5, 1 << 64, u128::MAX]);
    matrix.try_all("`i128`", vec![i128::MIN, -1, 0, i128::from(i64::MAX) + 1, i128::MAX]);
    let bits32 = |a: &f32, b: &f32| a.to_bits() == b.to_bits();
    matrix.try_by("`f32`", "", vec![0.0, -0.0, 0.1, f32::MIN_POSITIVE / 2.0, f32::INFINITY], bits32);
    matrix.try_by("`f32::NAN`", "", vec![f32::NAN], |a, b| a.is_nan() && b.is_nan());
    let bits64 = |a: &f64, b: &f64| a.to_bits() == b.to_bits();
    matrix.try_by("`f64`", "", vec![0.0, -0.0, 0.1, f64::from(0.1_f32), f64::MAX, f64::NEG_INFINITY], bits64);
    matrix.try_by("`f64::NAN`", "", vec![f64::NAN, -f64::NAN], |a, b| a.is_nan() && b.is_nan());
    matrix.try_all("`NonZeroU64`, `NonZeroU128`", vec![(NonZeroU64::MAX, NonZeroU128::MIN)]);
    matrix.try_one("`NonZeroI8`", NonZeroI8::MIN);
    matrix.try_one("`Wrapping`, `Saturating`", (Wrapping(i64::MIN), Saturating(7_u8)));
}

fn texts(matrix: &mut Matrix) {
    matrix.try_all("`char`", vec!['\0', 'a', '\u{e9}', '\u{10ffff}']);
    let texts = [String::new(), "\0\u{e9}\u{1f600}".to_owned(), "x".repeat(70_000)];
    matrix.try_all("`String`", texts.to_vec());
    matrix.try_one("`Box<str>`", Box::<str>::from("text"));
    matrix.try_one("`Cow<'static, str>`", Cow::<'static, str>::Borrowed("text"));
    matrix.try_all("`Vec<u8>`", vec![Vec::new(), vec![0_u8, 127, 128, 255], vec![200; 70_000]]);
    let bytes = serde_bytes::ByteBuf::from(vec![0, 127, 128, 255]);
    matrix.try_one("`serde_bytes::ByteBuf`", bytes);
    matrix.try_one("`Cow<'static, [u8]>`", Cow::<'static, [u8]>::Borrowed(&[1, 200]));
    matrix.try_one("`CString`", c"text".to_owned());
}

fn units(matrix: &mut Matrix) {
    matrix.try_one("`()`", ());
    matrix.try_one("`struct Unit;`", Unit);
    matrix.try_one("`struct NoFields {}`", NoFields {});
    matrix.try_one("`struct Newtype(u64)`", Wrapped(7_u64));
    matrix.try_one("`struct Newtype(())`", Wrapped(()));
    matrix.try_one("`struct Newtype(Newtype(String))`", Wrapped(Wrapped("text".to_owned())));
    matrix.try_one("`struct Newtype(u128)`", Wrapped(u128::MAX));
    matrix.try_one("`struct Pair(u8, String)`", Pair(7_u8, "text".to_owned()));
    matrix.try_one("`PhantomData`", (PhantomData::<u8>, 7_u8));
}

fn options(matrix: &mut Matrix) {
    matrix.try_all("`Option<u64>`", vec![None, Some(0_u64), Some(u64::MAX)]);
    matrix.try_all("`Option<u128>`", vec![None, Some(u128::MAX)]);
    matrix.try_all("`Option<bool>`", vec![None, Some(false), Some(true)]);
    matrix.try_all("`Option<String>`", vec![None, Some(String::new()), Some("text".to_owned())]);
    matrix.try_all("`Option<Vec<u8>>`", vec![None, Some(Vec::new()), Some(vec![1])]);
    matrix.try_all("`Option<(u8, u8)>`", vec![None, Some((1, 2))]);
    matrix.try_all("`Option<Unit>`", vec![None, Some(Unit)]);
    matrix.try_all("`Option<Pair>`", vec![None, Some(Pair(1_u8, 2_u8))]);
    matrix.instead_of("`Some(())`", NEVER_MAYBE_NOTHING, Some(()));
    matrix.instead_of("`Some(Newtype(()))`", NEVER_MAYBE_NOTHING, Some(Wrapped(())));
    matrix.try_one("`None::<Option<u8>>`", None::<Option<u8>>);
    matrix.try_one("`Some(Some(7))`", Some(Some(7_u8)));
    matrix.instead_of("`Some(None)`", NEVER_MAYBE_NOTHING, Some(None::<u8>));
    matrix.instead_of("`Some(Newtype(None))`", NEVER_MAYBE_NOTHING, Some(Wrapped(None::<u8>)));
    matrix.try_one("`Vec<Option<u8>>`", vec![Some(1_u8), None, Some(0)]);
    matrix.instead_of("`vec![None, Some(())]`", NEVER_MAYBE_NOTHING, vec![None, Some(())]);
    matrix.try_one("`Vec<Option<Unit>>`", vec![None, Some(Unit)]);
}

fn library(matrix: &mut Matrix) {
    matrix.try_all("`Duration`", vec![Duration::ZERO, Duration::MAX]);
    #[expect(clippy::disallowed_types, reason = "a value to encode, not a clock to read")]
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 999_999_999);
    matrix.try_one("`SystemTime` since 1970", time);
    matrix.instead_of(
        "`SystemTime` before 1970",
        "a number of seconds",
        time - Duration::from_secs(1_800_000_000),
    );
    let four = IpAddr::V4(Ipv4Addr::LOCALHOST);
    matrix.try_all("`IpAddr`", vec![four, IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    matrix.try_one("`SocketAddr`", SocketAddr::new(four, 80));
    matrix.try_one("`PathBuf`", PathBuf::from("/a/b"));
    #[cfg(unix)]
    matrix.instead_of("`PathBuf`, not of UTF-8", "`Vec<u8>`", {
        use std::os::unix::ffi::OsStringExt;
        PathBuf::from(std::ffi::OsString::from_vec(vec![b'a', 0xff]))
    });
    matrix.try_all("`Result<u8, String>`", vec![Ok(7_u8), Err("text".to_owned())]);
    matrix.try_all("`Result<(), ()>`", vec![Ok(()), Err(())]);
    matrix.try_one(
        "`Range`, `RangeInclusive`",
        (Range { start: 1_u8, end: 9 }, RangeInclusive::new(-1_i64, 9)),
    );
    matrix.try_all("`Bound`", vec![Bound::Unbounded, Bound::Included(7_u8), Bound::Excluded(9)]);
    matrix.try_one("`Box<u64>`", Box::new(7_u64));
    matrix.try_one(
        "`Cell`, `RefCell`",
        (std::cell::Cell::new(7_u8), std::cell::RefCell::new("text".to_owned())),
    );
    let json = serde_json::json!({"a": [1, -1, 1.5, null, true, "text"], "b": {}, "c": u64::MAX});
    matrix.try_one("`serde_json::Value`", json);
}
