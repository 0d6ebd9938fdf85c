//! Ids and positions as types of their own; all arithmetic on them stands in this file.
//!
//! An overflow is a bug in relive, or damage that no check found. It panics, and never wraps.

use std::fmt;

use super::random::random_u128;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a number read from storage or given by a caller.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The bare number, for encoding and for display.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The position `count` further on.
            ///
            /// # Panics
            /// When the range of 64 bits is used up, which no store reaches.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                match self.0.checked_add(count) {
                    Some(number) => Self(number),
                    None => panic!(concat!(stringify!($name), " ran past 2^64 - 1")),
                }
            }

            /// The position after this one.
            ///
            /// # Panics
            /// When the range of 64 bits is used up, which no store reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                self.plus(1)
            }

            /// The position before.
            ///
            /// # Panics
            /// When there is none.
            #[must_use]
            pub const fn prev(self) -> Self {
                match self.0.checked_sub(1) {
                    Some(before) => Self(before),
                    None => panic!(concat!(stringify!($name), " has nothing before 0")),
                }
            }

            /// The position `count` further on, or `None` past the end of the range: for untrusted
            /// numbers.
            #[must_use]
            pub const fn checked_plus(self, count: u64) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The distance from `earlier` to this; `None` when this lies before it.
            #[must_use]
            pub const fn since(self, earlier: Self) -> Option<u64> {
                self.0.checked_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

position!(
    /// Log sequence number: the position of a record in the log of a store, gapless from 0.
    Lsn,
    "lsn "
);
position!(
    /// Receive sequence number: the position of a delivery in the life of one actor, gapless from
    /// 1. 0 stands for "before the first delivery".
    Rsn,
    "rsn "
);
position!(
    /// Send sequence number: the position of a message in one channel (sender, receiver), gapless
    /// from 1. 0 stands for "nothing sent yet".
    Ssn,
    "ssn "
);
position!(
    /// Counts the incarnations of a store: each opening for writing is one more.
    Epoch,
    "epoch "
);
position!(
    /// Numbers the checkpoints of a store in the order written, from 1; unique within the store.
    CheckpointNumber,
    "checkpoint "
);

impl Lsn {
    /// The position of the first record ever.
    pub const FIRST: Self = Self(0);
}

impl Rsn {
    /// Before the first delivery.
    pub const NONE: Self = Self(0);
}

impl Ssn {
    /// Before the first send.
    pub const NONE: Self = Self(0);
}

/// Names one store for ever: drawn at its creation, kept in the store and beside it, and part of
/// every idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(u128);

impl StoreId {
    /// A random id, which no other store has.
    #[must_use]
    pub fn random() -> Self {
        Self(random_u128())
    }

    /// Wraps an id that was read or drawn.
    #[must_use]
    pub const fn new(id: u128) -> Self {
        Self(id)
    }

    /// The bare number, for encoding.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_step_and_measure() {
        assert_eq!(Rsn::NONE.next(), Rsn::new(1));
        assert_eq!(Lsn::new(9).since(Lsn::new(4)), Some(5));
        assert_eq!(Lsn::new(4).since(Lsn::new(9)), None);
        assert_eq!(Ssn::new(u64::MAX).checked_plus(1), None);
    }

    #[test]
    #[should_panic(expected = "Rsn ran past")]
    fn overflow_is_asserted() {
        let _ = Rsn::new(u64::MAX).next();
    }
}
