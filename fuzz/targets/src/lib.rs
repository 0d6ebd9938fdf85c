//! What the fuzz targets do with an input: plain functions that panic when a promise is broken.
//! libFuzzer calls them with inputs that it makes up (`fuzz/fuzz_targets`), a test calls them with
//! the corpus (`tests/corpus.rs`).
//!
//! | module | what it attacks |
//! | --- | --- |
//! | [`frame`], [`block`], [`checkpoint`], [`payload`] | one decoder each, with any bytes; once as given, once with its checksum repaired |
//! | [`record`] | valid blocks with damage whose lengths and checksums are repaired, up to replay |
//! | [`replay`] | a whole runtime that opens a log of well-formed records that contradict themselves |
//! | [`log_operations`] | the store on sled against the store in memory |
//! | `hostile`, `reencode` | reading as recovery would; a frame written again |
//! | `repair`, `value`, `model` | checksums made right; MessagePack without a type; the actor that replays |
//! | [`seeds`] | the inputs to begin with |

pub mod block;
pub mod checkpoint;
pub mod frame;
mod hostile;
pub mod log_operations;
mod model;
pub mod payload;
pub mod record;
mod reencode;
mod repair;
pub mod replay;
pub mod seeds;
mod value;

/// What runs one input; it panics when a promise is broken.
pub type Target = fn(&[u8]);

/// All targets with their names, which are also those of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame::run),
    ("block", block::run),
    ("record", record::run),
    ("checkpoint", checkpoint::run),
    ("payload", payload::run),
    ("replay", replay::run),
    ("log_operations", log_operations::run),
];
