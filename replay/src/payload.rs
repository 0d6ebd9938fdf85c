//! MessagePack with limits: messages, replies, outcomes and states to bytes and back. Structs keep their field names,
//! so that they can grow and be read by tools.

use std::cell::Cell;
use std::io::Write;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// How deep values may be nested in a payload; deeper ones are refused, so that no bytes exhaust the stack.
pub const NESTING_DEPTH_MAX: usize = 64;

/// The most room that a thread keeps for the next value it encodes.
const SPARE_BYTES_MAX: usize = 64 << 10;

/// How many bytes of a large value are written at once.
const PIECE_BYTES: usize = 64 << 10;

/// A value that does not encode, or bytes that do not decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub String);

/// Encodes a value.
///
/// # Errors
/// [`CodecError`] when its `Serialize` fails, or it is nested too deeply to be read again.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_in_pieces(value, &|| ())
}

/// As [`encode`], for a value that may be large: calls `pause` after each piece of it that is written, so that whoever
/// encodes can let others run.
///
/// # Errors
/// As [`encode`].
pub fn encode_in_pieces<T: Serialize + ?Sized>(value: &T, pause: &dyn Fn()) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(64);
    encode_to(value, &mut InPieces { bytes: &mut bytes, pause })?;
    check_depth(&bytes)?;
    Ok(bytes)
}

struct InPieces<'b> {
    bytes: &'b mut Vec<u8>,
    pause: &'b dyn Fn(),
}

impl Write for InPieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
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

/// Encodes a value and shows its bytes, which are gone afterwards: allocates nothing when warm.
///
/// # Errors
/// As [`encode`]; then `look` is not called.
pub fn with_encoded<T: Serialize + ?Sized, R>(
    value: &T,
    look: impl FnOnce(&[u8]) -> R,
) -> Result<R, CodecError> {
    thread_local! {
        static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut bytes = SPARE.take();
    bytes.clear();
    let encoded = encode_to(value, &mut bytes).and_then(|()| check_depth(&bytes));
    let outcome = encoded.map(|()| look(&bytes));
    if bytes.capacity() <= SPARE_BYTES_MAX {
        SPARE.set(bytes);
    }
    outcome
}

/// Encodes a value to bytes that can be shared, and take no more room than they need.
///
/// # Errors
/// As [`encode`].
pub fn encode_shared<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    with_encoded(value, Bytes::copy_from_slice)
}

fn encode_to<T: Serialize + ?Sized>(value: &T, writer: &mut impl Write) -> Result<(), CodecError> {
    let mut serializer = rmp_serde::Serializer::new(writer).with_struct_map();
    value.serialize(&mut serializer).map_err(|error| CodecError(error.to_string()))
}

/// Decodes untrusted bytes.
///
/// # Errors
/// [`CodecError`] for bytes that are no value of this type, or nested too deeply.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    check_depth(bytes)?;
    T::deserialize(&mut deserializer(bytes)).map_err(|error| CodecError(error.to_string()))
}

/// The codec counts the depth of arrays and maps of any kind, but not of enums when it knows that one comes, and its
/// encoder counts none: so the bytes are walked once without a type. Each level takes a byte, so short ones need no
/// walk.
fn check_depth(bytes: &[u8]) -> Result<(), CodecError> {
    if bytes.len() > NESTING_DEPTH_MAX {
        let walked = IgnoredAny::deserialize(&mut deserializer(bytes));
        walked.map_err(|error| CodecError(error.to_string()))?;
    }
    Ok(())
}

fn deserializer(bytes: &[u8]) -> rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'_, [u8]>> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(NESTING_DEPTH_MAX);
    deserializer
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

    #[test]
    fn a_huge_length_allocates_nothing() {
        let hostile = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u64>>(&hostile).is_err());
    }
}
