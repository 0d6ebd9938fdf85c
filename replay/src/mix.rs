//! Hashes the calls to a serializer: steps of a few instructions, and a word for each kind of call.
//! Nothing stores these hashes, so they may change.
//!
//! # Source
//! [`finish`] and [`SEED`] are the finalizer and the increment of `SplitMix64`: Steele, Lea and
//! Flood, *Fast Splittable Pseudorandom Number Generators*, OOPSLA 2014, with the constants of
//! Stafford's variant 13 that Java's `SplittableRandom` uses.

/// The first word of a hash.
pub(crate) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes a word into a hash, in order.
#[inline(always)]
pub(crate) fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Spreads a hash over all bits, so that callers can add it to others, or cut it.
#[inline(always)]
pub(crate) fn finish(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A word for the name of a field or variant, from its length and both ends: the compiler folds it
/// to a constant.
#[inline(always)]
pub(crate) fn name(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let ends = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => mix(u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    mix(ends, bytes.len() as u64)
}

/// The kinds of calls.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Bool = 1,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    Bytes,
    None,
    Some,
    Unit,
    UnitStruct,
    UnitVariant,
    NewtypeStruct,
    NewtypeVariant,
    Seq,
    Map,
    Tuple,
    TupleStruct,
    TupleVariant,
    Struct,
    StructVariant,
    Skipped,
}

impl Kind {
    /// The call itself as a word.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        self as u64
    }

    /// The call for a variant.
    #[inline(always)]
    pub(crate) fn variant(self, index: u32, variant: &str) -> u64 {
        mix(name(variant), u64::from(index) << 8 | self.word())
    }

    /// The call for something with a number of parts.
    #[inline(always)]
    pub(crate) fn of(self, parts: usize) -> u64 {
        (parts as u64) << 8 | self.word()
    }
}
