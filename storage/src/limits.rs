//! Every limit of what is stored, with its unit in its name.
//!
//! The store refuses a value over a limit with a typed error before it writes anything. A stored
//! length over a limit is damage, and the reader reports it before it allocates anything.

/// The longest name of an actor kind, a message type, an event, a timer or a producer.
pub const NAME_BYTES_MAX: usize = 64;

/// The longest key of an actor within its kind.
pub const KEY_BYTES_MAX: usize = 256;

/// The longest idempotency key of a request from outside.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;

/// How many requests with idempotency keys one actor keeps.
pub const IDEMPOTENCY_KEYS_MAX: usize = 65_536;

/// How many bytes of replies to such requests one actor keeps, before it takes in no new ones; they
/// are part of each of its checkpoints. Requests that it has ahead may add theirs to that.
pub const IDEMPOTENCY_REPLIES_BYTES_MAX: usize = 16 << 20;

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

/// The most bytes that a carried frame has beside the frame that it carries: a version, and the
/// position, the clock and the seed that this one had.
pub const CARRIED_HEADER_BYTES_MAX: usize = 1 + 10 + 8 + 8;

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
