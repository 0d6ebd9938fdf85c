//! Amounts in hellers (hundredths of a crown) and how they are written. Never a float: a sum of
//! floats is not a balance.

use std::fmt;

/// A signed amount in hellers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hellers(pub(crate) i64);

impl Hellers {
    /// Reads crowns with exactly two decimals, such as `1234.50` or `-0.10`. `None` for anything
    /// else, and for what does not fit.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (crowns, decimals) = digits.split_once('.')?;
        if crowns.is_empty() || decimals.len() != 2 {
            return None;
        }
        let mut hellers = 0_i64;
        for digit in crowns.bytes().chain(decimals.bytes()) {
            if !digit.is_ascii_digit() {
                return None;
            }
            hellers = hellers.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
        }
        Some(Self(if negative { -hellers } else { hellers }))
    }
}

impl fmt::Display for Hellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let hellers = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", hellers / 100, hellers % 100)
    }
}
