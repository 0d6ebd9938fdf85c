//! Every limit of what is stored, with its unit in its name.
//!
//! A value over a limit is refused with a typed error before anything is written; a stored length over a limit
//! is damage, and is reported as such before anything is allocated for it.

/// The longest name of an actor kind, a message type, a side effect or a producer.
pub const NAME_BYTES_MAX: usize = 64;

/// The longest key of an actor within its kind.
pub const KEY_BYTES_MAX: usize = 256;

/// The largest payload of one delivery or one event.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// The longest reason of a quarantine; a longer one is shortened.
pub const QUARANTINE_REASON_BYTES_MAX: usize = 512;

/// The largest position, number of a message or epoch. No store comes near it, so that one beyond is damage, and counting
/// on from any that was read can't run past the end of its 64 bits.
pub const POSITION_MAX: u64 = u64::MAX >> 2;

/// The most records that one frame carries.
pub const FRAME_RECORDS_MAX: usize = 4096;

/// The largest frame. A frame may always hold one record with the largest payload.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (1 << 16);

/// The largest block: a full commit buffer, and one largest frame that is let in on top of it.
pub const BLOCK_BYTES_MAX: usize = 8 << 20;

/// The largest checkpoint of one actor.
pub const CHECKPOINT_BYTES_MAX: usize = 256 << 20;
