//! Values that nest without end: refused while they are walked, on the stack of a usual thread,
//! whatever they nest in.

use std::collections::BTreeMap;
use std::mem::forget;

use relive_replay::payload::{Shapes, encode, encode_checked, encode_in_pieces, with_encoded};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What Rust gives a thread, and tokio a worker.
const STACK_BYTES: usize = 2 << 20;

fn refuses<T: Serialize + DeserializeOwned + Send + 'static>(
    name: &str,
    build: impl Fn(T) -> T + Copy + Send + 'static,
    end: impl Fn() -> T + Copy + Send + 'static,
) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        for length in [100, 10_000, 100_000] {
            let value = (0..length * 4).fold(end(), |inner, _| build(inner));
            let said = [
                encode(&value).unwrap_err(),
                encode_in_pieces(&value, &|| ()).unwrap_err(),
                with_encoded(&value, |_| ()).unwrap_err(),
                encode_checked(&value, &Shapes::new(), |_| ()).unwrap_err(),
            ];
            // To drop it would take as much of the stack.
            forget(value);
            for said in said {
                assert!(said.0.contains("at most 64 levels"), "{said}");
            }
        }
    });
    assert!(thread.unwrap().join().is_ok(), "{name}");
}

#[derive(Serialize, Deserialize, Default)]
struct Cons {
    value: u64,
    next: Option<Box<Cons>>,
}

#[derive(Serialize, Deserialize)]
enum Chain {
    End,
    Link(Box<Chain>),
}

#[derive(Serialize, Deserialize)]
enum Shaped {
    End,
    Pair(u8, Box<Shaped>),
    Named { inner: Box<Shaped> },
}

#[derive(Serialize, Deserialize)]
struct Newtype(Vec<Newtype>);

#[derive(Serialize, Deserialize)]
struct Thin(Option<Box<Thin>>);

#[derive(Serialize, Deserialize)]
struct TupleStruct(u8, Option<Box<TupleStruct>>);

#[derive(Serialize, Deserialize)]
struct Flat {
    value: u8,
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Serialize, Deserialize)]
struct Inner {
    below: Vec<Flat>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    End,
    Link { next: Box<Tagged> },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    End(u8),
    Link { next: Box<Untagged> },
}

#[derive(Serialize, Deserialize)]
struct Map(BTreeMap<String, Map>);

#[derive(Serialize, Deserialize)]
struct Keyed(Option<Box<(u8, Keyed)>>);

#[test]
fn long_lists_are_refused_before_the_stack_is_exhausted() {
    refuses("struct", |next| Cons { value: 1, next: Some(Box::new(next)) }, Cons::default);
    refuses("newtype variant", |next| Chain::Link(Box::new(next)), || Chain::End);
    refuses("tuple variant", |next| Shaped::Pair(1, Box::new(next)), || Shaped::End);
    refuses("struct variant", |next| Shaped::Named { inner: Box::new(next) }, || Shaped::End);
    refuses("newtype", |next| Newtype(vec![next]), || Newtype(Vec::new()));
    refuses("option", |next| Thin(Some(Box::new(next))), || Thin(None));
    refuses("tuple struct", |next| TupleStruct(1, Some(Box::new(next))), || TupleStruct(1, None));
    let flat = |below| Flat { value: 1, inner: Inner { below } };
    refuses("flattened", move |next| flat(vec![next]), move || flat(Vec::new()));
    refuses("with a tag", |next| Tagged::Link { next: Box::new(next) }, || Tagged::End);
    refuses("untagged", |next| Untagged::Link { next: Box::new(next) }, || Untagged::End(1));
    refuses("map", |next| Map([("a".to_owned(), next)].into()), || Map(BTreeMap::new()));
    refuses("tuple", |next| Keyed(Some(Box::new((1, next)))), || Keyed(None));
}

/// Whoever serializes may drop the error of a part; the value is refused all the same.
#[test]
fn a_swallowed_error_is_not_forgotten() {
    struct Swallows(Cons);
    impl Serialize for Swallows {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeTuple;
            let mut tuple = serializer.serialize_tuple(1)?;
            let _ = tuple.serialize_element(&self.0);
            tuple.end()
        }
    }
    let deep = (0..100).fold(Cons::default(), |next, _| Cons { value: 1, next: Some(Box::new(next)) });
    assert!(encode(&Swallows(deep)).unwrap_err().0.contains("at most 64 levels"));
}
