//! The keys of a tree with fences, see [`super::fenced`]: where a value stands. Touches no tree.

use sled::IVec;

use super::part::Key;

/// Where a value stands: its key in sled, which is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(IVec);

impl Place {
    /// Of a value in a group.
    pub(super) fn new(group: u64, key: Key) -> Self {
        let mut bytes = [VALUE_MARK; VALUE_KEY_BYTES];
        bytes[..8].copy_from_slice(&group.to_be_bytes());
        bytes[9..17].copy_from_slice(&key.number.to_be_bytes());
        bytes[17..].copy_from_slice(&key.part.to_be_bytes());
        Self(IVec::from(&bytes))
    }

    /// Of a key that was found; `None` when it is one of a fence.
    pub(super) fn found(key: IVec) -> Option<Self> {
        (!is_fence(&key)).then_some(Self(key))
    }

    /// The key.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number, or what there is of it.
    pub(super) fn number(&self) -> u64 {
        u64_at(&self.0, 9)
    }

    /// Number and part, when it is as long as it should be.
    pub(super) fn key(&self) -> Option<Key> {
        let part = self.0.get(17..)?.try_into().ok()?;
        Some(Key { number: self.number(), part: u16::from_be_bytes(part) })
    }

    /// Groups count up from 0, so one that is not far below the end is of a damaged key.
    pub(super) fn group(&self) -> u64 {
        group(&self.0).min(GROUPS_MAX)
    }
}

/// The key of a fence.
pub(super) fn fence(group: u64, index: u8) -> [u8; FENCE_KEY_BYTES] {
    let mut bytes = [index; FENCE_KEY_BYTES];
    bytes[..8].copy_from_slice(&group.to_be_bytes());
    bytes
}

/// Whether a key is one of a fence.
pub(super) fn is_fence(key: &[u8]) -> bool {
    key.len() == FENCE_KEY_BYTES
}

/// The group of a key of either kind.
pub(super) fn group(key: &[u8]) -> u64 {
    u64_at(key, 0)
}

/// The number at a place in a key; what a key that is too short lacks is zero.
fn u64_at(key: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(key.iter().skip(at)) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// The length of a fence's key, which no value's has.
pub(super) const FENCE_KEY_BYTES: usize = 9;
const VALUE_KEY_BYTES: usize = 19;
/// Stands where fences have their index, so that values come after them.
const VALUE_MARK: u8 = u8::MAX;
/// More groups than there will ever be: what is over it is damaged, and leaves room to count on.
const GROUPS_MAX: u64 = 1 << 62;
