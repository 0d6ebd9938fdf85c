//! The default medium: sled 0.34, with what sled leaves undone. Knows how values get into sled and out of it again; what they
//! mean, not at all.
//!
//! sled's `flush` hands data to the operating system and syncs nothing, it loses damaged parts without a word, and it can
//! panic. So this layer syncs itself, checks everything that comes back, and keeps beside sled what sled may lose while it
//! opens. By file, in the order of a call:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `handle` | the calls of a medium |
//! | `opening`, `identity`, `names` | recognizing and making a directory |
//! | `engine`, `rescue` | sled itself; what it overwrites while it opens |
//! | `streams` | where each stream begins and ends |
//! | `tree`, `key`, `value` | how values stand in sled's tree; their keys; how one is cut into parts |
//! | `stable` | flush and sync |
//! | `answers` | what sled's errors and panics mean: damage, or a failure of the system |
//! | `shape` | what was measured |

mod answers;
mod engine;
mod handle;
mod identity;
mod key;
mod names;
mod opening;
mod rescue;
mod shape;
mod stable;
mod streams;
mod tree;
mod value;

pub(crate) use answers::{backend, reading};
pub(crate) use engine::{open, tree};
pub use handle::SledMedium;
pub(crate) use names::{CONF, CREATING, DATA};
pub(crate) use value::Assembly;
