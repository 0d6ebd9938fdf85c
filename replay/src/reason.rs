//! Texts of which the log keeps a part: why something failed, often in the words of users' code.

/// The most bytes of a reason that an event keeps.
pub(crate) const REASON_BYTES_MAX: usize = 1024;

/// Cuts a text to so many bytes at most. It may be of a user's panic, so the limit may fall into
/// the middle of a character.
#[must_use]
pub fn shortened(mut text: String, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        const BYTES_MAX: usize = 200;
        for length in BYTES_MAX - 60..BYTES_MAX + 4 {
            let whole = "x".repeat(length % 3) + &"\u{20ac}".repeat(length / 3);
            let short = shortened(whole.clone(), BYTES_MAX);
            assert!(short.len() <= BYTES_MAX && whole.starts_with(&short));
            assert!(short.len() == whole.len() || short.len() > BYTES_MAX - 3);
        }
    }
}
