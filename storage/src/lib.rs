//! Stable storage for relive: what is durable.
//!
//! Knows bytes, ids and their order; knows no actor, no handler and no replay. The way of a record to the medium, by
//! file: [`record`] -> [`frame`] -> [`block`] -> [`log`] (the seam) -> a backend. The way back: a backend -> [`mod@scan`].
//!
//! | module | what it knows |
//! | --- | --- |
//! | `actor_id`, [`position`] | the names of actors; ids and positions as types |
//! | [`limits`] | every limit, with its unit |
//! | [`record`], `run`, [`frame`], [`block`] | what is logged, one by one and many at once, and its bytes |
//! | [`checkpoint`] | a stored checkpoint, and its bytes |
//! | [`log`], [`checkpoint_store`] | the seam: eight methods that a backend has |
//! | [`mod@scan`] | which log is whole, which ends in a torn tail, which is damaged |
//! | `layered`, [`memory_store`] | the backends: over any medium, and in memory |
//! | [`medium`] | what a disk does for a store: streams of values, and a superblock; in memory, on sled, and in plain files |
//! | `old_sled` | reads the stores on sled of older formats |
//! | `conformance`, `simulated_store` | with feature `test-support`: the executable contract of a backend; a device that crashes and fails as planned |
//! | `simulated_medium`, `draws` | with the same feature: a medium that loses its power; choices out of a seed |
//! | `open_store`, `choice`, `medium_kind` | opening the store of a directory; which medium keeps it |
//! | `conversion` | from one medium to another, crash-safe |
//! | `admission` | what a backend may take next |
//! | `worker`, `poison`, `directory` | threads that make a backend's calls; the first failure ends an opening; that one handle has a directory open |
//! | [`boundary`] | the phases of a store as trace events |
//! | `durability`, `error`, `wire`, `random` | the tiers; what can go wrong; primitive shapes; fresh ids |

mod actor_id;
mod admission;
pub mod block;
pub mod boundary;
pub mod checkpoint;
pub mod checkpoint_store;
mod choice;
mod conversion;
mod directory;
mod durability;
mod error;
pub mod frame;
mod frame_writer;
mod layered;
pub mod limits;
pub mod log;
pub mod medium;
mod medium_kind;
pub mod memory_store;
mod name;
mod old_sled;
mod open_store;
mod poison;
pub mod position;
mod random;
pub mod record;
mod run;
pub mod scan;
mod wire;
mod worker;

#[cfg(feature = "test-support")]
pub mod conformance;
#[cfg(feature = "test-support")]
mod draws;
#[cfg(feature = "test-support")]
pub mod simulated_medium;
#[cfg(feature = "test-support")]
pub mod simulated_store;

pub use actor_id::{ActorId, ActorIds, NameError, check_name};
pub use block::{Block, BlockHeader};
pub use checkpoint::{Checkpoint, CheckpointHeader};
pub use checkpoint_store::{CheckpointStore, Generation, Store};
pub use choice::StoreOptions;
pub use conversion::convert_store;
pub use durability::Durability;
pub use error::{ErrorKind, StoreError};
pub use frame::Frame;
pub use frame_writer::{FrameBytes, FrameWriter};
pub use layered::{LayeredOptions, LayeredStore};
pub use log::{Extent, Log, StoredBlock};
pub use medium::segments::{SegmentFiles, SegmentOptions};
pub use medium::sled::SledMedium;
pub use medium_kind::MediumKind;
pub use memory_store::MemoryStore;
pub use name::Name;
pub use open_store::open_store;
pub use position::{CheckpointNumber, Epoch, Lsn, Rsn, Ssn, StoreId, Timestamp};
pub use run::Run;
pub use scan::{Scanned, scan};
pub use wire::Malformed;
