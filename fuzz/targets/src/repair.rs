//! Makes lengths and checksums right, so that the checks behind them are reached. Knows the layouts
//! as the heads of the decoders' files draw them; written apart from the decoders.

/// Where the frames of a block begin.
pub(crate) const BLOCK_HEADER_BYTES: usize = relive_storage::block::BLOCK_HEADER_BYTES;

/// A frame with this body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = varint(body.len() as u64);
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The body of a frame, if its length fits.
pub(crate) fn body(frame: &[u8]) -> Option<&[u8]> {
    let (length, at) = read_varint(frame)?;
    frame.get(at + 4..)?.get(..length)
}

/// A block of this header and these frames, with the length and the checksum that belong to them.
pub(crate) fn block(header: &[u8; BLOCK_HEADER_BYTES], frames: &[u8]) -> Vec<u8> {
    let mut bytes = header[..BLOCK_HEADER_BYTES - 8].to_vec();
    bytes[..4].copy_from_slice(b"RLVB");
    bytes[4..8].copy_from_slice(&1_u32.to_le_bytes());
    let length = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    crc.update(frames);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes.extend_from_slice(frames);
    bytes
}

/// The same frames with right checksums; what is not a frame becomes the body of one.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut repaired = Vec::with_capacity(bytes.len() + 16);
    while !bytes.is_empty() {
        let (content, whole) = match body(bytes) {
            Some(content) => (content, varint(content.len() as u64).len() + 4 + content.len()),
            None => (bytes, bytes.len()),
        };
        repaired.extend_from_slice(&frame(content));
        bytes = bytes.get(whole..).unwrap_or_default();
    }
    repaired
}

/// A stored checkpoint with this content.
pub(crate) fn checkpoint(content: &[u8]) -> Vec<u8> {
    let mut bytes = b"RLVC".to_vec();
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// A number in the form of the format.
pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

fn read_varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}
