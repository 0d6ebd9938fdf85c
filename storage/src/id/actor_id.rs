//! Names: of an actor, and of the shorter things that a record names.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX};

/// A name or key that breaks a rule. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    #[error("the {what} is empty: give it 1 to {max} bytes")]
    Empty {
        /// Which name.
        what: &'static str,
        /// Its limit in bytes.
        max: usize,
    },
    /// The name is longer than its limit.
    #[error("the {what} {name:?}… has {bytes} bytes, at most {max} are allowed: shorten it")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// How it begins.
        name: String,
        /// Its length in bytes.
        bytes: usize,
        /// Its limit in bytes.
        max: usize,
    },
    /// The kind holds a slash, which separates kind and key in `kind/key`.
    #[error("the actor kind {name:?} holds a '/', which separates kind and key: use another character")]
    Slash {
        /// The kind.
        name: String,
    },
}

/// Checks the name of a kind, a message type, an event, a timer or a producer against its limit.
///
/// # Errors
/// [`NameError`] when it is empty, too long, or a kind with a slash in it.
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    check_length(what, name, NAME_BYTES_MAX)
}

/// Checks the idempotency key of a request against its limit, [`IDEMPOTENCY_KEY_BYTES_MAX`].
///
/// # Errors
/// [`NameError`] when it is empty or too long.
pub fn check_idempotency_key(key: &str) -> Result<(), NameError> {
    check_length("idempotency key", key, IDEMPOTENCY_KEY_BYTES_MAX)
}

fn check_length(what: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what, max });
    }
    if name.len() > max {
        let begin = name.chars().take(24).collect();
        return Err(NameError::TooLong { what, name: begin, bytes: name.len(), max });
    }
    Ok(())
}

/// A unit of state, named by kind and key: `account/alice`.
///
/// The kind has 1 to [`NAME_BYTES_MAX`] bytes without `/`, the key 1 to [`KEY_BYTES_MAX`] bytes of
/// any UTF-8. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(Arc<str>);

impl ActorId {
    /// Names an actor.
    ///
    /// # Errors
    /// [`NameError`] when kind or key is empty or over its limit, or the kind holds a slash.
    pub fn new(kind: &str, key: &str) -> Result<Self, NameError> {
        check_name("actor kind", kind)?;
        check_length("actor key", key, KEY_BYTES_MAX)?;
        if kind.contains('/') {
            return Err(NameError::Slash { name: kind.to_owned() });
        }
        Ok(Self(Arc::from(format!("{kind}/{key}"))))
    }

    /// Takes `kind/key` apart again.
    ///
    /// # Errors
    /// [`NameError`] as [`ActorId::new`]; a text without a slash has an empty key.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::check(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Whether a text is the name of an actor.
    pub(crate) fn check(text: &str) -> Result<(), NameError> {
        let (kind, key) = text.split_once('/').unwrap_or((text, ""));
        check_name("actor kind", kind)?;
        check_length("actor key", key, KEY_BYTES_MAX)
    }

    /// The kind: `account` of `account/alice`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(kind, _)| kind)
    }

    /// The key: `alice` of `account/alice`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, key)| key)
    }

    /// `kind/key` as one text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Two ids with the same text are the same, so that one can be looked up by its text.
impl Borrow<str> for ActorId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A cache of ids by their text, so that a repeated id costs no allocation. It empties itself when
/// it is full, so that it takes little memory.
#[derive(Debug, Default)]
pub struct ActorIds(HashSet<ActorId>);

impl ActorIds {
    /// The id with this text.
    ///
    /// # Errors
    /// [`NameError`] as [`ActorId::parse`].
    pub fn get(&mut self, text: &str) -> Result<ActorId, NameError> {
        if let Some(id) = self.0.get(text) {
            return Ok(id.clone());
        }
        let id = ActorId::parse(text)?;
        if self.0.len() == IDS_MET_MAX {
            self.0.clear();
        }
        self.0.insert(id.clone());
        Ok(id)
    }
}

/// The most ids in the cache.
const IDS_MET_MAX: usize = 1 << 16;

/// The longest text of an [`ActorId`].
pub(crate) const ACTOR_ID_BYTES_MAX: usize = NAME_BYTES_MAX + 1 + KEY_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_key_come_apart_at_the_first_slash() {
        let id = ActorId::new("account", "eu/alice").unwrap();
        assert_eq!((id.kind(), id.key()), ("account", "eu/alice"));
        assert_eq!(ActorId::parse(id.as_str()).unwrap(), id);
    }

    #[test]
    fn limits_are_typed_errors() {
        assert!(matches!(ActorId::new("", "a"), Err(NameError::Empty { .. })));
        assert!(matches!(ActorId::new("a/b", "a"), Err(NameError::Slash { .. })));
        assert!(matches!(ActorId::new("a", &"x".repeat(257)), Err(NameError::TooLong { bytes: 257, .. })));
        assert!(ActorId::new("a", &"x".repeat(256)).is_ok());
        assert!(check_idempotency_key(&"x".repeat(256)).is_ok());
        assert!(matches!(check_idempotency_key(&"x".repeat(257)), Err(NameError::TooLong { max: 256, .. })));
        assert!(matches!(check_idempotency_key(""), Err(NameError::Empty { what: "idempotency key", .. })));
        assert!(matches!(ActorId::parse("account"), Err(NameError::Empty { what: "actor key", .. })));
    }
}
