//! MessagePack with limits: messages, replies, outcomes and states to bytes and back. Structs keep
//! their field names, so that they can grow and tools can read them. Before bytes become the only
//! copy of a value, the caller has them read back, since MessagePack can't hold every value that
//! `serde` can express.

use std::cell::Cell;
use std::io::Write;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::track::Shape;
use crate::{depth, encoder, fingerprint};

pub use crate::depth::NESTING_DEPTH_MAX;
pub use crate::shapes::Shapes;

/// The largest buffer that a thread keeps for its next value, in bytes.
const SPARE_BYTES_MAX: usize = 64 << 10;

/// How many bytes of a large value are written between two pauses.
const PIECE_BYTES: usize = 64 << 10;

/// A value that does not encode, or bytes that do not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub String);

/// Encodes a value. Does not check that it decodes again: see [`encode_verified`].
///
/// # Errors
/// [`CodecError`] when its `Serialize` fails, or it is nested more than [`NESTING_DEPTH_MAX`] deep.
///
/// # Examples
/// ```
/// use relive_replay::payload::{decode, encode, encode_verified};
///
/// let bytes = encode(&vec![1_u64, 2, 3])?;
/// assert_eq!(decode::<Vec<u64>>(&bytes)?, [1, 2, 3]);
/// // MessagePack writes `Some(())` like `None`, so it does not survive.
/// assert!(encode_verified(&Some(()), |_| ()).is_err());
/// # Ok::<(), relive_replay::payload::CodecError>(())
/// ```
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_in_pieces(value, &|| ())
}

/// As [`encode`], for a value that may be large: calls `pause` after each piece of 64 KiB, so that
/// the caller can let others run.
///
/// # Errors
/// As [`encode`].
pub fn encode_in_pieces<T: Serialize + ?Sized>(value: &T, pause: &dyn Fn()) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(64);
    write(value, &mut InPieces { bytes: &mut bytes, pause })?;
    Ok(bytes)
}

struct InPieces<'b> {
    bytes: &'b mut Vec<u8>,
    pause: &'b dyn Fn(),
}

impl Write for InPieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Once, so that the pieces do not make the buffer grow one by one.
        self.bytes.reserve(bytes.len());
        for piece in bytes.chunks(PIECE_BYTES) {
            self.bytes.extend_from_slice(piece);
            if piece.len() == PIECE_BYTES {
                (self.pause)();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Encodes a value into a buffer of the thread and shows the bytes to `look`. Allocates nothing
/// when that buffer is large enough.
///
/// # Errors
/// As [`encode`]; then `look` is not called.
pub fn with_encoded<T: Serialize + ?Sized, R>(
    value: &T,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, CodecError> {
    with_spare(|bytes| {
        write(value, bytes)?;
        Ok(look(bytes))
    })
}

/// As [`with_encoded`], for bytes that become the only copy of the value: decodes them and
/// compares, unless a value of the same shape has come back whole before. Debug builds always
/// compare.
///
/// The check depends on earlier values, so don't use it where a replay must repeat the outcome: see
/// [`encode_verified`].
///
/// # Errors
/// As [`encode`], and as [`verify`]; then `look` is not called.
pub fn encode_checked<T: Serialize + DeserializeOwned, R>(
    value: &T,
    shapes: &Shapes,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, CodecError> {
    with_spare(|bytes| {
        let shape = write(value, bytes)?;
        if cfg!(debug_assertions) || shapes.wants(shape) {
            // Remembered only after it came back, so that a shape that does not is looked at again.
            verify(value, bytes)?;
            shapes.remember(shape);
        }
        Ok(look(bytes))
    })
}

/// As [`encode_checked`], for an outcome that must be the same each time: always decodes the bytes
/// and compares.
///
/// # Errors
/// As [`encode`], and as [`verify`]; then `look` is not called.
pub fn encode_verified<T: Serialize + DeserializeOwned, R>(
    value: &T,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, CodecError> {
    with_spare(|bytes| {
        write(value, bytes)?;
        verify(value, bytes)?;
        Ok(look(bytes))
    })
}

/// What an encoded state must decode to; [`encode_expecting`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The shape of the value with its fingerprint; `None` when a value of this shape has come back
    /// whole before.
    new: Option<(Shape, u64)>,
}

/// Encodes a state that may be large. Also returns an [`Expected`], with which another thread reads
/// the bytes back later. Calls `pause` as [`encode_in_pieces`] does.
///
/// # Errors
/// As [`encode`].
pub fn encode_expecting<T: Serialize + ?Sized>(
    value: &T,
    shapes: &Shapes,
    pause: &dyn Fn(),
) -> Result<(Vec<u8>, Expected), CodecError> {
    let mut bytes = Vec::with_capacity(64);
    let shape = write(value, &mut InPieces { bytes: &mut bytes, pause })?;
    let is_new = cfg!(debug_assertions) || shapes.wants(shape);
    let fingerprint = || fingerprint::of(value).map_err(CodecError);
    // A fingerprint and no copy: the state changes on while another thread compares.
    let new = is_new.then(fingerprint).transpose()?.map(|fingerprint| (shape, fingerprint));
    Ok((bytes, Expected { new }))
}

impl Expected {
    /// Reads a state back: decodes it always, and compares it when its shape is new.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify<T: Serialize + DeserializeOwned>(
        &self,
        bytes: &[u8],
        shapes: &Shapes,
    ) -> Result<T, CodecError> {
        let back: T = decode(bytes).map_err(|error| does_not_decode(&error))?;
        if let Some((shape, fingerprint)) = self.new {
            if fingerprint::of(&back).map_err(CodecError)? != fingerprint {
                return Err(another_value());
            }
            shapes.remember(shape);
        }
        Ok(back)
    }
}

fn does_not_decode(error: &CodecError) -> CodecError {
    CodecError(format!("it encodes, but does not decode: {error}; see docs/codec.md"))
}

fn another_value() -> CodecError {
    CodecError("it comes back as another value; see docs/codec.md".to_owned())
}

/// Checks that the bytes of a value come back as this value, as far as its `Serialize` tells.
///
/// # Errors
/// [`CodecError`] when they don't decode, or come back as another value.
pub fn verify<T: Serialize + DeserializeOwned>(value: &T, bytes: &[u8]) -> Result<(), CodecError> {
    verified_decode(value, bytes).map(drop)
}

/// As [`verify`], and returns the decoded value.
///
/// # Errors
/// As [`verify`].
pub fn verified_decode<T: Serialize + DeserializeOwned>(value: &T, bytes: &[u8]) -> Result<T, CodecError> {
    let back: T = decode(bytes).map_err(|error| does_not_decode(&error))?;
    if fingerprint::of(value).map_err(CodecError)? != fingerprint::of(&back).map_err(CodecError)? {
        return Err(another_value());
    }
    Ok(back)
}

/// Lends the buffer that the thread keeps. When `fill` panics the buffer is lost. A nested call
/// finds none and uses its own; the last one to end is kept.
fn with_spare<R>(fill: impl FnOnce(&mut Vec<u8>) -> Result<R, CodecError>) -> Result<R, CodecError> {
    thread_local! {
        static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken, not borrowed: users' `Serialize` may encode something itself.
    let mut bytes = SPARE.take();
    bytes.clear();
    let outcome = fill(&mut bytes);
    // One large value must not hold its memory for as long as the thread lives.
    if bytes.capacity() <= SPARE_BYTES_MAX {
        SPARE.set(bytes);
    }
    outcome
}

/// Encodes a value to shared bytes without spare capacity.
///
/// # Errors
/// As [`encode`].
pub fn encode_shared<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    with_encoded(value, Bytes::copy_from_slice)
}

fn write<T: Serialize + ?Sized>(value: &T, writer: &mut impl Write) -> Result<Shape, CodecError> {
    encoder::write(value, writer).map_err(CodecError)
}

/// Decodes untrusted bytes.
///
/// # Errors
/// [`CodecError`] when the bytes are no value of this type, go on after it, or are nested too
/// deeply.
///
/// # Limits
/// At most [`NESTING_DEPTH_MAX`] levels. A false length allocates nothing.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    check_depth(bytes)?;
    let mut messagepack = rmp_serde::Deserializer::from_read_ref(bytes);
    // Its own limit counts one level more, and does not count variants.
    messagepack.set_max_depth(NESTING_DEPTH_MAX + 1);
    let value = T::deserialize(&mut messagepack).map_err(|error| CodecError(error.to_string()))?;
    // The decoder does not say how far it came, but it misses the next marker only at the end.
    match bool::deserialize(&mut messagepack) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(CodecError("the bytes go on after the value".to_owned())),
    }
}

/// Refuses deep bytes before a decoder recurses into them. Each level takes a byte, so short bytes
/// need no walk.
fn check_depth(bytes: &[u8]) -> Result<(), CodecError> {
    if bytes.len() > NESTING_DEPTH_MAX {
        depth::check(bytes).map_err(CodecError)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, Debug)]
    struct Nested(Vec<Nested>);

    fn nested(depth: usize) -> Nested {
        (0..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]))
    }

    #[test]
    fn nesting_is_capped_before_the_stack_is() {
        assert!(encode(&nested(10)).is_ok());
        assert!(encode(&nested(100)).is_err());
        let hostile = vec![0x91; 1 << 20];
        assert!(decode::<Nested>(&hostile).is_err());
    }

    #[derive(Serialize, Deserialize, Debug)]
    enum Chain {
        End,
        Link(Box<Chain>),
    }

    #[test]
    fn nested_enums_do_not_exhaust_the_stack() {
        let level: &[u8] = &[0x81, 0xa4, b'L', b'i', b'n', b'k'];
        assert!(decode::<Chain>(&level.repeat(100_000)).is_err());
        assert!(encode(&(0..100).fold(Chain::End, |inner, _| Chain::Link(Box::new(inner)))).is_err());
    }

    /// Typed decoding alone would let it pass.
    #[test]
    fn bytes_are_refused_at_the_limit_before_they_are_decoded() {
        let levels =
            |count| [[0x81, 0xa4, b'L', b'i', b'n', b'k'].repeat(count), b"\xa3End".to_vec()].concat();
        assert!(decode::<Chain>(&levels(NESTING_DEPTH_MAX)).is_ok());
        assert_eq!(decode::<Chain>(&levels(NESTING_DEPTH_MAX + 1)).unwrap_err().0, depth::too_deep());
    }

    #[derive(Serialize, Deserialize, Debug)]
    struct Skipping {
        #[serde(skip_serializing_if = "Option::is_none", with = "as_is")]
        note: Option<u8>,
    }

    mod as_is {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(super) fn serialize<S: Serializer>(note: &Option<u8>, serializer: S) -> Result<S::Ok, S::Error> {
            note.serialize(serializer)
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<u8>, D::Error> {
            Option::deserialize(deserializer)
        }
    }

    #[test]
    fn a_value_that_does_not_come_back_is_refused_again_and_again() {
        let shapes = Shapes::new();
        for _ in 0..3 {
            assert!(encode_checked(&Skipping { note: Some(1) }, &shapes, <[u8]>::len).is_ok());
            let refused = encode_checked(&Skipping { note: None }, &shapes, <[u8]>::len).unwrap_err();
            assert!(
                refused.0.starts_with("it encodes, but does not decode: missing field `note`"),
                "{refused}"
            );
            let changed = encode_checked(&Some(()), &shapes, <[u8]>::len).unwrap_err();
            assert!(changed.0.starts_with("it comes back as another value"), "{changed}");
        }
        assert!(encode_verified(&Some(()), <[u8]>::len).is_err());
        assert_eq!(verified_decode(&7_u8, &[7]), Ok(7));
        assert!(verify(&7_u8, &[8]).is_err());
    }

    /// A type whose first value is fine.
    #[test]
    fn a_shape_that_was_seen_tells_nothing_of_another() {
        let shapes = Shapes::new();
        assert!(encode_checked(&vec![None::<()>], &shapes, |_| ()).is_ok());
        assert!(encode_checked(&vec![None, Some(())], &shapes, |_| ()).is_err());
        assert!(encode_checked(&vec![None::<()>; 9], &shapes, |_| ()).is_ok());
    }

    /// A part of a value whose code panics leaves the next encoding as it was.
    #[test]
    fn a_panic_costs_a_buffer_only() {
        struct Bad;
        impl Serialize for Bad {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                panic!("as it is meant to")
            }
        }
        let panicked = std::panic::catch_unwind(|| with_encoded(&(1, Bad), |_| ()));
        assert!(panicked.is_err());
        assert_eq!(with_encoded(&7_u8, <[u8]>::to_vec), Ok(vec![7]));
    }

    #[test]
    fn a_huge_length_allocates_nothing() {
        let hostile = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u64>>(&hostile).is_err());
    }
}
