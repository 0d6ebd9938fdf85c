//! What is sent: 128 bytes. Knows how serde is to take them, as bytes and not as a list of numbers.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The payload of each message.
pub(crate) const MESSAGE_BYTES: usize = 128;

/// A message of 128 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Numbers(pub(crate) [u8; MESSAGE_BYTES]);

impl Numbers {
    pub(crate) fn of(number: u64) -> Self {
        Self([number.to_le_bytes()[0]; MESSAGE_BYTES])
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw;
        impl Visitor<'_> for Raw {
            type Value = Numbers;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("128 bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Numbers, E> {
                bytes.try_into().map(Numbers).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Raw)
    }
}
