//! `Frame::decode` on any bytes: once as they are, once as the body of a frame whose checksum is
//! right.

use bytes::Bytes;
use relive_storage::frame::FrameContext;
use relive_storage::{Frame, Lsn, Timestamp};

use crate::{reencode, repair};

/// Runs one input.
///
/// # Panics
/// When a decoder breaks its promise.
pub fn run(input: &[u8]) {
    decode(input.to_vec());
    decode(repair::frame(input));
    if let Some(body) = repair::body(input) {
        decode(repair::frame(body));
    }
}

fn decode(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    for first in [17, u64::MAX - 1] {
        let context = FrameContext { first: Lsn::new(first), clock: Timestamp::from_micros(5), seed: 7 };
        if let Ok((frame, length)) = Frame::decode(&bytes, context) {
            assert!(length <= bytes.len());
            reencode::check(&frame, length, context);
        }
    }
}
