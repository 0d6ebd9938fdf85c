//! A short text in a record: the name of a message type, an event, a timer or a producer, or an
//! idempotency key. A clone copies no text on the heap.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A short name. A clone of a name from the program's own text costs nothing. A name that was read
/// is held in place when it is short enough, so that threads do not contend for a shared counter; a
/// longer one is shared.
#[derive(Clone)]
pub struct Name(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
    /// The length, and the text, followed by zeros.
    Inline(u8, [u8; INLINE_BYTES_MAX]),
}

/// As many bytes as fit into the space of the other variants.
const INLINE_BYTES_MAX: usize = 22;
const _: () = assert!(size_of::<Name>() == 24);

impl Name {
    /// A name from the program's own text.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(Repr::Static(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(name) => name,
            Repr::Shared(name) => name,
            Repr::Inline(..) => std::str::from_utf8(self.as_bytes()).expect("it was made of a text"),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Static(name) => name.as_bytes(),
            Repr::Shared(name) => name.as_bytes(),
            Repr::Inline(length, bytes) => &bytes[..usize::from(*length)],
        }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        match (u8::try_from(name.len()), bytes.get_mut(..name.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(name.as_bytes());
                Self(Repr::Inline(length, bytes))
            }
            _ => Self(Repr::Shared(Arc::from(name))),
        }
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_come_back_and_compare_as_texts() {
        let long = "äb".repeat(20);
        for length in (0..=long.len()).filter(|length| long.is_char_boundary(*length)) {
            let text = &long[..length];
            let name = Name::from(text);
            assert_eq!(name.as_str(), text);
            assert_eq!(name, Name(Repr::Shared(Arc::from(text))));
            assert_ne!(name, Name::from(format!("{text}b")));
        }
        assert!(Name::from("ab") < Name::from_static("b"));
    }
}
