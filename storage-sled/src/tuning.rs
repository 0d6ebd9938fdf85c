//! The measured sizes for sled, all in one place. Stores stay readable after a change of any of
//! them but the segment size, which sled stores and refuses to change.
//!
//! sled splits a leaf at 17 keys whatever their size, and writes the whole leaf again at each split
//! and each tenth change: large values side by side are written five or six times. So parts of
//! values stand behind fences, see `tree::values`. What that gained, on a machine with 2 cores,
//! with a gigabyte of blocks of 1 MiB, 64 MB of them kept, each commit synced; a plain file,
//! appended and synced likewise, makes 377 MB/s, as it grows each time:
//!
//! | values, segments | MB/s | written per byte logged | disk per byte kept | reopening |
//! | --- | --- | --- | --- | --- |
//! | 4 KiB, 512 KiB | 125 | 5.8 | 2.0 | 30 ms |
//! | 64 KiB, 8 MiB | 164 | 5.6 | 3.1 | 78 ms |
//! | 60 KiB, 2 MiB, 4 fences | 472 | 1.21 | 1.31 | 30 ms |
//! | **60 KiB, 1 MiB, 4 fences** | 554 | 1.23 | 1.27 | 31 ms |
//! | the same, cut in steps of 1 MiB | 406 | 2.0 | | |
//!
//! A checkpoint of 10 MB wrote 1.4 bytes per byte; with plain values of 12 KiB, 4.4. Together with
//! the removal of the checkpoint that it replaces it takes 41 ms and writes 1.5; when a removal
//! began with the fences at the front, it wrote 2.9. `cargo run --release -p relive-storage-sled
//! --example value_shape -- <directory>` repeats the measurement in a minute.

/// The most bytes of one part of a value, with its header. A value is cut evenly into the fewest
/// parts.
pub(crate) const PART_BYTES: usize = 60 * 1024;

/// The bytes before the content of a part.
pub(crate) const PART_HEADER_BYTES: usize = 16;

/// How many empty keys stand before each part.
pub(crate) const FENCES: u8 = 4;

/// A value of at most this many bytes has no fences: a leaf full of such values is small, and four
/// more keys for each took a fifth of the time of a single commit.
pub(crate) const UNFENCED_BYTES_MAX: usize = 2 << 10;

/// How many parts behind a value must have fences: as many as make sled split a leaf off, and two.
pub(crate) const PARTS_AHEAD: usize = LEAF_KEYS_MAX / FENCES as usize + 2;

/// A removal waits until the first number of parts, at most 4 MiB, stand at the front of a stream,
/// and one step removes at most the second number, 15 MiB: at the edge of each step sled moves the
/// rest of a segment, some parts.
pub(crate) const PARTS_PER_REMOVAL_MIN: usize = 64;
pub(crate) const PARTS_PER_REMOVAL_MAX: usize = 256;

/// The size of sled's segments and write buffers.
pub(crate) const SEGMENT_BYTES: usize = 1 << 20;

/// The target size of sled's page cache. Its real memory is a multiple of that, and about 250 bytes
/// for each page of the store come on top. A store of a million actors, each with a small
/// checkpoint, took 78 MB after sled had opened it. After a read of its catalog it took 256 MB with
/// 64 MiB here, 153 MB with 16 MiB, and 126 MB with 4 MiB. Commits, checkpoints and cuts were as
/// fast.
pub(crate) const CACHE_BYTES: u64 = 4 << 20;

/// How often sled writes out on its own: never, because each commit flushes. sled also moves pages
/// only at that time. It need not: after 4 GB of commits the file was no larger than with it.
pub(crate) const FLUSH_EVERY_MS: Option<u64> = None;

/// How many bytes the medium writes to streams before it syncs them unasked, so that a commit
/// writes out no more than that beside its own bytes.
pub(crate) const UNSYNCED_BYTES_MAX: usize = 256 * 1024;

/// How often the medium reads a part again, so that sled checks the size of its cache.
pub(crate) const READS_OF_LAST: usize = 8;

/// The most keys of a leaf: 16 stay together, a 17th waits for the next visit to split it, and up
/// to 3 more come from a leaf that is merged into it.
const LEAF_KEYS_MAX: usize = 20;

/// The most parts among the keys of a leaf: the first may have its fences in the leaf before.
const LEAF_PARTS_MAX: usize = (LEAF_KEYS_MAX - 1) / (FENCES as usize + 1) + 1;

/// Upper bounds for what sled adds to a leaf, and to each of its keys, the key included.
const LEAF_OVERHEAD_BYTES: usize = 256;
const KEY_OVERHEAD_BYTES: usize = 64;

/// sled moves a larger item to a file of its own, a blob, and never syncs that.
const SLED_ITEM_BYTES_MAX: usize = SEGMENT_BYTES / 4 - 52;

const LEAF_BYTES_MAX: usize = SLED_ITEM_BYTES_MAX - LEAF_OVERHEAD_BYTES - LEAF_KEYS_MAX * KEY_OVERHEAD_BYTES;

// sled makes no blob: a leaf is the largest item, and each one fits.
const _: () = {
    let others = LEAF_KEYS_MAX - (LEAF_PARTS_MAX - 1) * (FENCES as usize + 1) - 1;
    assert!(
        LEAF_PARTS_MAX * PART_BYTES + others * (UNFENCED_BYTES_MAX + PART_HEADER_BYTES) <= LEAF_BYTES_MAX
    );
    assert!(LEAF_KEYS_MAX * (UNFENCED_BYTES_MAX + PART_HEADER_BYTES) <= PART_BYTES);
};
