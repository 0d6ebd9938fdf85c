//! Bytes that no layer can compress or share, made before anything is timed.

/// How far the begin of a block wanders, so that no two blocks after each other are the same.
const WANDER_BYTES: usize = 4096;

/// Incompressible bytes, from which blocks are cut.
pub(crate) struct Noise(Vec<u8>);

impl Noise {
    /// For blocks of up to so many bytes.
    pub(crate) fn new(block: usize) -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let bytes = (0..block + WANDER_BYTES).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        });
        Self(bytes.collect())
    }

    /// The block of this number.
    pub(crate) fn block(&self, number: u64, bytes: usize) -> &[u8] {
        let begin = usize::try_from(number % WANDER_BYTES as u64).expect("it is below 4096");
        &self.0[begin..][..bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_long_as_asked_and_differ() {
        let noise = Noise::new(100);
        for number in [0, 1, 4095, 4096, u64::MAX] {
            assert_eq!(noise.block(number, 100).len(), 100);
        }
        assert_ne!(noise.block(0, 100), noise.block(1, 100));
    }
}
