//! Stored checkpoints: a header that the store understands, and a body that only the actor
//! understands.
//!
//! ```text
//! checkpoint := "RLVC" version:u32 length:u32 crc:u32 content      length and crc are of the content
//! content    := number:varint rsn:varint state_version:varint flags:u8 [wake_at:varint] actor:text body
//! ```

use bytes::Bytes;

use crate::id::actor_id::{ACTOR_ID_BYTES_MAX, ActorId};
use crate::id::position::{CheckpointNumber, Rsn};
use crate::id::timestamp::Timestamp;
use crate::limits::CHECKPOINT_BYTES_MAX;
use crate::wire::{Malformed, Reader, put_bytes, put_varint};

const MAGIC: u32 = u32::from_le_bytes(*b"RLVC");

/// The version of stored checkpoints.
pub const CHECKPOINT_VERSION: u32 = 1;

const FLAG_RESTORE_AT_OPEN: u8 = 1;
const FLAG_WAKE_AT: u8 = 2;

/// The header of a checkpoint: what the store knows without the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// The actor.
    pub actor: ActorId,
    /// The number of the checkpoint in the store.
    pub number: CheckpointNumber,
    /// The last delivery that it contains.
    pub rsn: Rsn,
    /// The schema version of the actor's state.
    pub state_version: u32,
    /// Whether it holds messages that their receivers may not have yet, or deliveries in
    /// quarantine. Then an opening must restore the actor even when no message comes for it.
    pub restore_at_open: bool,
    /// When the earliest durable timer of the actor is due, so that an opening, or a look at the
    /// list of checkpoints, knows when to wake a passive actor. `None` when it has no timer.
    pub wake_at: Option<Timestamp>,
}

/// An actor's state at an rsn, with everything that the actor needs to go on from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What the store knows of it.
    pub header: CheckpointHeader,
    /// The state, opaque to the store.
    pub body: Bytes,
}

impl Checkpoint {
    /// Encodes it for storing.
    ///
    /// # Errors
    /// The size in bytes, when it is over [`CHECKPOINT_BYTES_MAX`].
    pub fn encode(&self) -> Result<Bytes, usize> {
        let header = &self.header;
        let mut head = Vec::with_capacity(64);
        header.write(&mut head);
        let length = head.len() + self.body.len();
        // Before the body is copied: an actor may have a state of any size.
        let limited = u32::try_from(length).ok().filter(|_| length <= CHECKPOINT_BYTES_MAX);
        let limited = limited.ok_or(length)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        in_pieces(&self.body, |piece| crc.update(piece));
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + length);
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&CHECKPOINT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&limited.to_le_bytes());
        bytes.extend_from_slice(&crc.finalize().to_le_bytes());
        bytes.extend_from_slice(&head);
        assert!(bytes.len() == PREFIX_BYTES + head.len(), "a checkpoint has its prefix before its content");
        in_pieces(&self.body, |piece| bytes.extend_from_slice(piece));
        Ok(bytes.into())
    }

    /// Decodes untrusted bytes.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Checkpoint::encode`] would not have made.
    #[expect(clippy::needless_pass_by_value, reason = "the body is a part of what is given, and keeps it")]
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&bytes);
        if reader.u32()? != MAGIC {
            return Err(Malformed("a checkpoint does not begin as one"));
        }
        if reader.u32()? != CHECKPOINT_VERSION {
            return Err(Malformed("a checkpoint has an unknown version"));
        }
        let length = reader.u32()? as usize;
        let crc = reader.u32()?;
        let content = reader.take(length)?;
        if !reader.is_empty() {
            return Err(Malformed("a checkpoint has bytes after its end"));
        }
        if crc32fast::hash(&content) != crc {
            return Err(Malformed("the checksum of a checkpoint does not match"));
        }
        let (header, body) = read_header(&content)?;
        // A view, not a copy: a body may have hundreds of megabytes.
        let body = content.slice(body..);
        Ok(Self { header, body })
    }

    /// The length in bytes and the header of the encoded checkpoint at the beginning of untrusted
    /// bytes. It does not look at the body, which may be missing.
    pub(crate) fn peek(bytes: &Bytes) -> Result<(CheckpointHeader, usize), Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u32()? != MAGIC {
            return Err(Malformed("a checkpoint does not begin as one"));
        }
        if reader.u32()? != CHECKPOINT_VERSION {
            return Err(Malformed("a checkpoint has an unknown version"));
        }
        let length = reader.u32()? as usize;
        if length > CHECKPOINT_BYTES_MAX {
            return Err(Malformed("a checkpoint is over its limit"));
        }
        let content = bytes.slice(PREFIX_BYTES.min(bytes.len())..(PREFIX_BYTES + length).min(bytes.len()));
        let (header, _) = read_header(&content)?;
        Ok((header, PREFIX_BYTES + length))
    }
}

/// Decodes the header of a content, and says where the body begins.
fn read_header(content: &Bytes) -> Result<(CheckpointHeader, usize), Malformed> {
    let mut reader = Reader::new(content);
    let header = CheckpointHeader::read(&mut reader)?;
    Ok((header, reader.position()))
}

impl CheckpointHeader {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number.get());
        put_varint(out, self.rsn.get());
        put_varint(out, u64::from(self.state_version));
        let restore_at_open = if self.restore_at_open { FLAG_RESTORE_AT_OPEN } else { 0 };
        let wake_at = if self.wake_at.is_some() { FLAG_WAKE_AT } else { 0 };
        out.push(restore_at_open | wake_at);
        if let Some(due) = self.wake_at {
            put_varint(out, due.as_micros());
        }
        put_bytes(out, self.actor.as_str().as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = CheckpointNumber::new(reader.counter()?);
        let rsn = Rsn::new(reader.counter()?);
        let state_version =
            u32::try_from(reader.varint()?).map_err(|_| Malformed("a state version is out of range"))?;
        let flags = reader.u8()?;
        if flags & !(FLAG_RESTORE_AT_OPEN | FLAG_WAKE_AT) != 0 {
            return Err(Malformed("a checkpoint has unknown flags"));
        }
        let wakes = flags & FLAG_WAKE_AT != 0;
        let wake_at = if wakes { Some(Timestamp::from_micros(reader.varint()?)) } else { None };
        let actor = reader.text(ACTOR_ID_BYTES_MAX, ActorId::parse)?;
        let actor = actor.map_err(|_| Malformed("a checkpoint has an impossible actor name"))?;
        let restore_at_open = flags & FLAG_RESTORE_AT_OPEN != 0;
        Ok(Self { actor, number, rsn, state_version, restore_at_open, wake_at })
    }
}

/// Computes the checksum of a body in steps, and yields to other threads in between: a large body
/// takes longer than a commit, and on few processors it would delay every caller who waits for a
/// commit.
fn in_pieces(body: &[u8], mut each: impl FnMut(&[u8])) {
    for piece in body.chunks(PIECE_BYTES) {
        each(piece);
        if piece.len() == PIECE_BYTES {
            std::thread::yield_now();
        }
    }
}

const PIECE_BYTES: usize = 64 << 10;
/// What stands before the content.
const PREFIX_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let header = CheckpointHeader {
            actor: ActorId::new("account", "alice").unwrap(),
            number: CheckpointNumber::new(300),
            rsn: Rsn::new(70_000),
            state_version: 2,
            restore_at_open: true,
            wake_at: Some(Timestamp::from_micros(1 << 50)),
        };
        Checkpoint { header, body: Bytes::from_static(b"state") }
    }

    #[test]
    fn checkpoints_come_back() {
        for wake_at in [None, Some(0), Some(1 << 50), Some(u64::MAX)] {
            for restore_at_open in [false, true] {
                let mut checkpoint = sample();
                checkpoint.header.wake_at = wake_at.map(Timestamp::from_micros);
                checkpoint.header.restore_at_open = restore_at_open;
                let bytes = checkpoint.encode().unwrap();
                assert_eq!(Checkpoint::peek(&bytes).unwrap(), (checkpoint.header.clone(), bytes.len()));
                assert_eq!(Checkpoint::decode(bytes).unwrap(), checkpoint);
            }
        }
    }

    /// A checkpoint of before timers has the same bytes as one of today without a timer.
    #[test]
    fn flags_are_refused_or_mean_themselves() {
        let mut checkpoint = sample();
        checkpoint.header.wake_at = None;
        let mut header = Vec::new();
        checkpoint.header.write(&mut header);
        let at = header.len() - 1 - checkpoint.header.actor.as_str().len() - 1;
        assert_eq!(header[at], FLAG_RESTORE_AT_OPEN, "the byte before the name");
        for flags in 0..=u8::MAX {
            header[at] = flags;
            let bytes = Bytes::from(header.clone());
            let Ok(read) = CheckpointHeader::read(&mut Reader::new(&bytes)) else { continue };
            let mut again = Vec::new();
            read.write(&mut again);
            assert_eq!(again, bytes[..again.len()], "flags {flags:08b}");
            assert_eq!(flags, u8::from(read.restore_at_open), "the byte that follows begins a name");
        }
    }

    /// Invariant: prefix. Damage is never taken for data.
    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let whole = sample().encode().unwrap().to_vec();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(damaged.into()).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(Checkpoint::decode(whole[..length].to_vec().into()).is_err(), "length {length}");
        }
    }
}
