//! Every limit of what is stored, with its unit in its name.
//!
//! The store refuses a value over a limit with a typed error before it writes anything. A stored
//! length over a limit is damage, and the reader reports it before it allocates anything.

/// The longest name of an actor kind, a message type, a side effect or a producer.
pub const NAME_BYTES_MAX: usize = 64;

/// The longest key of an actor within its kind.
pub const KEY_BYTES_MAX: usize = 256;

/// The largest payload of one delivery or one event.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// The longest reason of a quarantine; the runtime shortens a longer one.
pub const QUARANTINE_REASON_BYTES_MAX: usize = 512;

/// The largest position, number of a message or epoch. No store comes near it, so a larger one is
/// damage, and counting on from a smaller one does not overflow 64 bits.
pub const POSITION_MAX: u64 = u64::MAX >> 2;

/// The most records that one frame carries.
pub const FRAME_RECORDS_MAX: usize = 4096;

/// The largest frame. A frame may always hold one record with the largest payload.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (1 << 16);

/// The largest block: a full commit buffer, and one largest frame on top of it.
pub const BLOCK_BYTES_MAX: usize = 8 << 20;

/// The largest checkpoint of one actor.
pub const CHECKPOINT_BYTES_MAX: usize = 256 << 20;

/// The most bytes of a value of a medium.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// The most bytes of a superblock.
pub const SUPERBLOCK_BYTES_MAX: usize = 64 << 10;

/// The least distance, in bytes, between the positions of which a scan of the log remembers how
/// many bytes stand before them.
pub(crate) const MILESTONE_BYTES: u64 = 64 << 10;
