//! Stable storage for relive.
//!
//! Knows bytes, ids and their order; knows no actor, no handler and no replay. The way of a record
//! to the medium, by module: [`record`] -> [`frame`] -> [`block`] -> [`log`], the interface -> a
//! backend. The way back: a backend -> [`mod@scan`].
//!
//! Each module knows only those above it:
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`limits`], `wire`, [`boundary`] | every limit, with its unit; primitive values as bytes; the phases of a store as trace events |
//! | `id` | the names of actors; ids, positions and times as types |
//! | `format` | [`record`], [`frame`], [`block`] and [`checkpoint`], and their bytes |
//! | `contract` | [`log`] and [`checkpoint_store`], the eight methods of a backend; tiers and errors |
//! | [`mod@scan`], `threads`, `directory` | which log is whole, torn or damaged; threads that make a backend's calls; a directory that one handle has open |
//! | [`memory_store`], [`medium`] | the backend in memory; what a disk does for a store, in memory, and in plain files |
//! | [`medium_support`] | what a medium in a directory needs: lock, identity, superblock file, first failure |
//! | `layered` | the backend over any medium |
//! | `opening` | opening the store of a directory on one of the media that a program hands in, and moving it to another |
//! | `testing` | with feature `test-support`: `conformance`, the contracts executable; `simulated_store` and `simulated_medium`, devices that crash and fail as planned |

pub mod boundary;
mod contract;
mod directory;
mod format;
mod id;
mod layered;
pub mod limits;
pub mod medium;
pub mod medium_support;
pub mod memory_store;
mod opening;
pub mod scan;
pub mod threads;
mod wire;

#[cfg(feature = "test-support")]
mod testing;

pub use contract::checkpoint_store::{CheckpointStore, Generation, Store};
pub use contract::durability::Durability;
pub use contract::error::{ErrorKind, StoreError};
pub use contract::log::{Extent, Log, StoredBlock};
pub use contract::medium_kind::MediumKind;
pub use contract::{checkpoint_store, log};
pub use format::block::{Block, BlockHeader};
pub use format::carried::{CarriedFrame, Carries, Placing, Read};
pub use format::checkpoint::{Checkpoint, CheckpointHeader};
pub use format::frame::Frame;
pub use format::frame_writer::{FrameBytes, FrameWriter};
pub use format::tell_run::Run;
pub use format::{block, checkpoint, frame, record};
pub use id::actor_id::{ActorId, ActorIds, NameError, check_idempotency_key, check_name};
pub use id::name::Name;
pub use id::position;
pub use id::position::{CheckpointNumber, Epoch, Lsn, Rsn, Ssn, StoreId};
pub use id::timestamp::{NoTimestamp, Timestamp};
pub use layered::{LayeredOptions, LayeredStore};
pub use medium::segments::{SegmentFiles, SegmentOptions};
pub use memory_store::MemoryStore;
pub use opening::choice::medium_of;
pub use opening::conversion::convert_store;
pub use opening::directory_medium::{DirectoryMedium, Media, SEGMENT_FILES};
pub use opening::open_store::open_store;
pub use opening::options::StoreOptions;
pub use scan::{Scanned, scan};
#[cfg(feature = "test-support")]
pub use testing::{conformance, simulated_medium, simulated_store};
pub use wire::Malformed;
