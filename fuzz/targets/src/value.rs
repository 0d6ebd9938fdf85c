//! MessagePack without a type: for what the types of the project would refuse to write.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// A value that says itself what it is.
#[derive(Clone)]
pub(crate) enum Value {
    Text(String),
    Number(u64),
    Binary(Vec<u8>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Binary(bytes) => serializer.serialize_bytes(bytes),
            Self::List(list) => serializer.collect_seq(list),
            Self::Map(map) => serializer.collect_map(map),
        }
    }
}

impl Value {
    /// A text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A map of these entries.
    pub(crate) fn map<'n>(entries: impl IntoIterator<Item = (&'n str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
