//! How deep values may nest, and how deep the bytes of a value nest. Knows the markers of
//! MessagePack, and no type.
//!
//! # Source
//! The markers: *MessagePack specification*, Furuhashi, <https://github.com/msgpack/msgpack>,
//! `spec.md`.

/// How many arrays and maps a payload may nest. relive refuses deeper ones, so that neither a value
/// nor bytes exhaust the stack.
pub const NESTING_DEPTH_MAX: usize = 64;

/// How many `Some` and newtypes a value may go through on the way down, over all levels. They leave
/// no trace in the bytes, so they are counted apart; a type has a few of them a level.
pub(crate) const LAYERS_MAX: usize = 4 * NESTING_DEPTH_MAX;

/// Walks the one value that the bytes begin with, without recursion and without room of its own on
/// the heap.
///
/// # Errors
/// A sentence, when it is nested too deeply or is not whole.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    // Most values are shallow, and the walk clears room for few levels faster.
    walk::<8>(bytes).or_else(|_| walk::<NESTING_DEPTH_MAX>(bytes))
}

/// As [`check`], for at most `LEVELS` levels.
fn walk<const LEVELS: usize>(bytes: &[u8]) -> Result<(), String> {
    // How many values are still to come at each level; a map has two for each entry.
    let mut missing = [0_u64; LEVELS];
    let mut depth = 0;
    let mut rest = bytes;
    loop {
        let Some((marker, after)) = rest.split_first() else { return Err(TRUNCATED.to_owned()) };
        let Some((extent, after)) = extent(*marker, after) else { return Err(TRUNCATED.to_owned()) };
        match extent {
            Extent::Leaf(bytes) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                let Some(after) = after.get(bytes..) else { return Err(TRUNCATED.to_owned()) };
                rest = after;
            }
            Extent::Inside(values) => {
                // Each value takes at least one byte, so this finds a length that can't be true.
                if values > after.len() as u64 {
                    return Err(TRUNCATED.to_owned());
                }
                let Some(level) = missing.get_mut(depth) else { return Err(too_deep()) };
                *level = values;
                depth += 1;
                rest = after;
            }
            Extent::Reserved => return Err(format!("{marker:#04x} is no marker of MessagePack")),
        }
        while depth > 0 && missing[depth - 1] == 0 {
            depth -= 1;
        }
        match depth.checked_sub(1) {
            // Not zero: the levels that are complete were left just above.
            Some(level) => missing[level] -= 1,
            None => return Ok(()),
        }
    }
}

const TRUNCATED: &str = "the bytes end within a value";

/// The error for a value, or bytes, over the limit.
#[cold]
pub(crate) fn too_deep() -> String {
    format!("nested too deeply: at most {NESTING_DEPTH_MAX} levels are allowed")
}

enum Extent {
    /// The number of bytes to skip; no value lies inside.
    Leaf(u64),
    /// The number of values inside.
    Inside(u64),
    Reserved,
}

/// What comes after a marker, and the bytes after its length; `None` when the length is cut off.
fn extent(marker: u8, after: &[u8]) -> Option<(Extent, &[u8])> {
    let fixed = |bytes| Some((Extent::Leaf(bytes), after));
    match marker {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => fixed(0),
        0x80..=0x8f => Some((Extent::Inside(u64::from(marker & 0x0f) * 2), after)),
        0x90..=0x9f => Some((Extent::Inside(u64::from(marker & 0x0f)), after)),
        0xa0..=0xbf => fixed(u64::from(marker & 0x1f)),
        0xc1 => Some((Extent::Reserved, after)),
        0xcc | 0xd0 => fixed(1),
        0xcd | 0xd1 => fixed(2),
        0xca | 0xce | 0xd2 => fixed(4),
        0xcb | 0xcf | 0xd3 => fixed(8),
        // An extension has a byte for its type.
        0xd4..=0xd8 => fixed(1 + (1 << (marker - 0xd4))),
        0xc4 | 0xd9 => length::<1>(after).map(|(bytes, after)| (Extent::Leaf(bytes), after)),
        0xc5 | 0xda => length::<2>(after).map(|(bytes, after)| (Extent::Leaf(bytes), after)),
        0xc6 | 0xdb => length::<4>(after).map(|(bytes, after)| (Extent::Leaf(bytes), after)),
        0xc7 => length::<1>(after).map(|(bytes, after)| (Extent::Leaf(bytes + 1), after)),
        0xc8 => length::<2>(after).map(|(bytes, after)| (Extent::Leaf(bytes + 1), after)),
        0xc9 => length::<4>(after).map(|(bytes, after)| (Extent::Leaf(bytes + 1), after)),
        0xdc => length::<2>(after).map(|(values, after)| (Extent::Inside(values), after)),
        0xdd => length::<4>(after).map(|(values, after)| (Extent::Inside(values), after)),
        0xde => length::<2>(after).map(|(entries, after)| (Extent::Inside(entries * 2), after)),
        0xdf => length::<4>(after).map(|(entries, after)| (Extent::Inside(entries * 2), after)),
    }
}

fn length<const N: usize>(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (length, after) = bytes.split_first_chunk::<N>()?;
    Some((length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![0x91; depth];
        bytes.push(0xc0);
        bytes
    }

    #[test]
    fn as_many_levels_as_the_limit_says_pass() {
        assert_eq!(check(&nested(NESTING_DEPTH_MAX)), Ok(()));
        assert_eq!(check(&nested(NESTING_DEPTH_MAX + 1)), Err(too_deep()));
        assert_eq!(check(&vec![0x91; 1 << 20]), Err(too_deep()));
    }

    #[test]
    fn siblings_are_no_levels() {
        // [[], {}, {nil: [1]}] a thousand times over.
        let unit = [0x93, 0x90, 0x80, 0x81, 0xc0, 0x91, 0x01];
        let bytes = [&[0xdc, 0x03, 0xe8][..], &unit.repeat(1000)].concat();
        assert_eq!(check(&bytes), Ok(()));
        assert_eq!(check(&bytes[..bytes.len() - 1]), Err(TRUNCATED.to_owned()));
    }

    #[test]
    fn each_marker_has_its_length() {
        for (marker, header, content) in [
            (0xc4, 1, 7),
            (0xc5, 2, 7),
            (0xc6, 4, 7),
            (0xc7, 1, 8),
            (0xc8, 2, 8),
            (0xc9, 4, 8),
            (0xd9, 1, 7),
            (0xda, 2, 7),
            (0xdb, 4, 7),
        ] {
            let mut value = vec![marker];
            value.extend(vec![0; header - 1]);
            value.push(7);
            value.extend(vec![0xc1; content]);
            // Two of them, so that a length read wrongly makes a marker of the content.
            let bytes = [&[0x92][..], &value, &value].concat();
            assert_eq!(check(&bytes), Ok(()), "{marker:#04x}");
            assert!(check(&bytes[..bytes.len() - 1]).is_err(), "{marker:#04x}");
        }
        for (marker, content) in [
            (0xca, 4),
            (0xcb, 8),
            (0xcc, 1),
            (0xcd, 2),
            (0xce, 4),
            (0xcf, 8),
            (0xd0, 1),
            (0xd1, 2),
            (0xd2, 4),
            (0xd3, 8),
            (0xd4, 2),
            (0xd5, 3),
            (0xd6, 5),
            (0xd7, 9),
            (0xd8, 17),
            (0xa3, 3),
            (0xc0, 0),
            (0xff, 0),
        ] {
            let value = [&[marker][..], &vec![0xc1; content]].concat();
            let bytes = [&[0x92][..], &value, &value].concat();
            assert_eq!(check(&bytes), Ok(()), "{marker:#04x}");
            assert!(check(&bytes[..bytes.len() - 1]).is_err(), "{marker:#04x}");
        }
        assert!(check(&[0xc1]).is_err() && check(&[]).is_err());
    }

    #[test]
    fn a_length_that_cannot_be_true_is_refused() {
        assert_eq!(check(&[0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), Err(TRUNCATED.to_owned()));
        assert_eq!(check(&[0xc6, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]), Err(TRUNCATED.to_owned()));
    }
}
