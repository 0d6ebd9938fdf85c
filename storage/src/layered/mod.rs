//! A store over any medium: everything that is judged, framed and counted, written once. Knows streams of opaque values and
//! one superblock, and no file.
//!
//! The log is stream 0, a block in each value. Checkpoints stand in *packs*, a stream each: many small ones in one value,
//! large ones in several. A pack that is full ends with its index, and is only read from then on. The superblock says where
//! the log begins, how far it was acknowledged, and which packs there are, with how many values each has at least. By file:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `store` | the handle, and the log's half of the seam |
//! | `ahead` | blocks that were read before they are asked for |
//! | `shared` | what the threads share: the medium, the superblock, the maps in memory |
//! | `log_writer`, `log_index` | what changes the log; where its blocks stand in the stream |
//! | `checkpoints` | the checkpoints' half of the seam |
//! | `gathering`, `reading` | checkpoints into values of a pack, and out of them |
//! | `packer`, `cleaning` | what writes packs; what empties those that are mostly dead |
//! | `packs`, `pack` | which packs there are, and how much of each lives; the values of one |
//! | `places` | where the newest two checkpoints of each actor stand |
//! | `opening` | reads indexes at an opening, and judges what is missing |
//! | `superblock` | its bytes |
//! | `beginning` | what a store says of itself that begins where another one did |

mod ahead;
mod beginning;
mod checkpoints;
mod cleaning;
mod gathering;
mod log_index;
mod log_writer;
mod opening;
mod pack;
mod packer;
mod packs;
mod places;
mod reading;
mod shared;
mod store;
mod superblock;

pub(crate) use beginning::begin;
pub use store::{LayeredOptions, LayeredStore};
