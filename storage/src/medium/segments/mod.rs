//! A medium in a directory of plain files. Knows how values get onto a disk and back; must not know
//! what they mean.
//!
//! ```text
//! relive.lock              who has it open, and which store it once held
//! relive.store             "RLSG" format:u32 store:u128 crc:u32                     written last
//! relive.segments.creating as long as a creation is not finished
//! relive.super             the superblock, see `superblock_file`
//! relive.segments          "RLSM" format:u32 store:u128 first:u64 generation:u64 count:u64 listed* crc:u32
//!   listed                 := number:u64 generation:u64 bytes:u64
//! segment.<number>         head value* , then zeros or what was there before        the stream 0, the log
//! stream.<id>              head value*                                              each other stream
//!   head                   := "RLSH" format:u32 store:u128 stream:u64 number:u64 generation:u64 first:u64 crc:u32 0:u32
//!   value                  := "RLSV" crc:u32 generation:u64 position:u64 length:u32 sum:u32 bytes, zeros up to 8
//! ```
//! All numbers are little-endian. The `crc` of a value covers store, stream and generation, and
//! then the rest of its header; `sum` covers its bytes. `first` of a manifest is the position that
//! the log begins with, 2^64 - 1 before it begins; `first` of a head is the position that the
//! stream begins with, and 2^64 - 1 in a segment.
//!
//! A segment is filled with zeros and synced before the manifest lists it. So a commit is one
//! `pwrite` over bytes that the file already has, and one `fdatasync` that has no metadata to
//! write. The manifest lists a segment before the log needs it, so going on in the next segment
//! changes no other file. Each use of a segment has a generation that no other use ever has, so
//! that a reader never takes an old value for a new one. The manifest has the order of the values,
//! which stand without a gap from `first` on: an opening detects a missing segment, and a missing
//! value that has another one after it.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `handle`, `options` | the calls of a medium; how it is opened |
//! | `opening`, `identity`, `names` | recognizing, making and reading a directory |
//! | `manifest`, `value`, `file` | the bytes of each file |
//! | `scan`, `part` | where values stand, whatever the bytes are |
//! | `stream` | one stream: gathering, writing, syncing, reading |
//! | `chain`, `preparer` | the segments of the log, and the thread that makes the next one |
//!
//! Why not an existing crate: `raft-engine` (0.4.2, of April 2024) writes files ahead and uses them
//! again, but is made for the Multi-Raft logs of TiKV: protobuf entries and key-value pairs in
//! batches of its own, with a memtable for each group. `okaywal` (0.3.1, of November 2023) asks not
//! to be used in production yet, and calls its file format unstable. `commitlog` (0.2.0) is of
//! November 2021, and keeps an index beside its segments. None of them keeps a superblock, or
//! streams that a caller creates and removes as a whole.

mod chain;
mod file;
mod handle;
mod identity;
mod manifest;
mod names;
mod opening;
mod options;
mod part;
mod preparer;
mod scan;
mod stream;
mod value;

pub use handle::SegmentFiles;
pub(crate) use names::CREATING as SEGMENTS_CREATING;
pub use options::SegmentOptions;
