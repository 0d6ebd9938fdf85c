//! The measured shape of what sled is given, all in one place. A change of it leaves stores readable but for the
//! segment size, which sled remembers itself and refuses to change.
//!
//! sled splits a leaf at 17 keys whatever their size, and writes the whole leaf again at each split and each tenth
//! change: large values side by side are written five or six times. So parts of values stand behind fences, see
//! [`super::tree`]. What that gained, on a machine with 2 cores, with a gigabyte of blocks of 1 MiB, 64 MB of them
//! kept, each commit synced; a plain file, appended and synced likewise, makes 377 MB/s, as it grows each time:
//!
//! | values, segments | MB/s | written per byte logged | disk per byte kept | reopening |
//! | --- | --- | --- | --- | --- |
//! | 4 KiB, 512 KiB | 125 | 5.8 | 2.0 | 30 ms |
//! | 64 KiB, 8 MiB | 164 | 5.6 | 3.1 | 78 ms |
//! | 60 KiB, 2 MiB, 4 fences | 472 | 1.21 | 1.31 | 30 ms |
//! | **60 KiB, 1 MiB, 4 fences** | 554 | 1.23 | 1.27 | 31 ms |
//! | the same, cut in steps of 1 MiB | 406 | 2.0 | | |
//!
//! A checkpoint of 10 MB wrote 1.4 bytes per byte; with plain values of 12 KiB, 4.4. Together with the removal of the
//! one that it dooms it takes 41 ms and writes 1.5; when fences were removed from the front, 2.9.
//! `cargo run --release -p relive-storage --example value_shape -- <directory>` shows it in a minute.

/// The most bytes of one part of a value, with its header. A value is cut evenly into the fewest parts.
pub(super) const PART_BYTES: usize = 60 * 1024;

/// How many empty keys stand before each part.
pub(super) const FENCES: u8 = 4;

/// How many positions ahead of a value there must be fences: as many as it takes for a leaf to be split off, and two.
pub(super) const POSITIONS_AHEAD: u64 = (LEAF_KEYS_MAX / FENCES as usize) as u64 + 2;

/// How many parts, 4 MiB at most, are removed together. Each step costs a leaf or two at its edges.
pub(super) const PARTS_PER_REMOVAL: usize = 64;

/// The size of sled's segments and write buffers.
pub(super) const SEGMENT_BYTES: usize = 1 << 20;

/// What sled's page cache aims at; its real memory is a multiple of that, and comes on top of some 250 bytes for each page
/// of the store. A store of a million actors, each with a small checkpoint, took 78 MB when sled had opened it; with its
/// catalog read 256 MB with 64 MiB here, 153 MB with 16 MiB, 126 MB with 4 MiB. Commits, checkpoints and cuts were as fast.
pub(super) const CACHE_BYTES: u64 = 4 << 20;

/// How often sled writes out on its own: never, because each commit flushes. It also moves pages at no other time,
/// and need not: after 4 GB of commits the file was no larger than with it.
pub(super) const FLUSH_EVERY_MS: Option<u64> = None;

/// How many bytes are written to a stream until they are made stable, when no sync does, so that no commit has more to write
/// out than that beside its own.
pub(super) const UNSTABLE_BYTES_MAX: usize = 256 * 1024;

/// How often a part that was read is looked at again.
pub(super) const READS_OF_LAST: usize = 8;

/// The most keys of a leaf: 16 stay together, a 17th waits for the next visit to split it, and up to 3 more come
/// from a leaf that is merged into it.
const LEAF_KEYS_MAX: usize = 20;

/// The most parts among the keys of a leaf: the first may have its fences in the leaf before.
const LEAF_PARTS_MAX: usize = (LEAF_KEYS_MAX - 1) / (FENCES as usize + 1) + 1;

/// More than sled adds to a leaf, and to each of its keys, with our key.
const LEAF_OVERHEAD_BYTES: usize = 256;
const KEY_OVERHEAD_BYTES: usize = 64;

/// sled moves what is larger to a file of its own, a blob, which it never syncs.
const SLED_ITEM_BYTES_MAX: usize = SEGMENT_BYTES / 4 - 52;

const LEAF_BYTES_MAX: usize = SLED_ITEM_BYTES_MAX - LEAF_OVERHEAD_BYTES - LEAF_KEYS_MAX * KEY_OVERHEAD_BYTES;

// No blob can arise: a leaf is the largest item, and each fits.
const _: () = {
    assert!(LEAF_PARTS_MAX * PART_BYTES <= LEAF_BYTES_MAX);
};
