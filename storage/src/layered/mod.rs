//! A store over any medium: the judging, framing and counting that all media share. Knows streams
//! of opaque values and one superblock, and no file.
//!
//! The log is stream 0, a block in each value. Checkpoints stand in *packs*, a stream each: many
//! small ones in one value, large ones in several. A full pack ends with its index, and takes no
//! more values. The superblock says where the log begins, how far it was acknowledged, and which
//! packs there are, with how many values each has at least. By file:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `store` | the handle, and the log's half of the backend |
//! | `read_ahead` | blocks read before a caller asks for them |
//! | `shared` | the state that the threads share: the medium, the superblock, the maps in memory |
//! | `log_writer`, `log_index` | changes the log; where its blocks stand in the stream |
//! | `checkpoints` | the checkpoints' half of the backend |
//! | `value_builder`, `reading` | checkpoints into values of a pack, and out of them |
//! | `packer`, `cleaning` | writes packs; empties those that are mostly dead |
//! | `packs`, `pack` | which packs there are, and how much of each lives; the values of one |
//! | `checkpoint_index` | where the newest two checkpoints of each actor stand |
//! | `opening` | reads indexes at an opening, and judges what is missing |
//! | `superblock` | its bytes |
//! | `beginning` | the first superblock of a store that begins where another one does |

mod beginning;
mod checkpoint_index;
mod checkpoints;
mod cleaning;
mod log_index;
mod log_writer;
mod opening;
mod pack;
mod packer;
mod packs;
mod read_ahead;
mod reading;
mod shared;
mod store;
mod superblock;
mod value_builder;

pub(crate) use beginning::begin;
pub use store::{LayeredOptions, LayeredStore};
