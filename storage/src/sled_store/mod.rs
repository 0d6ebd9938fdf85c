//! The default backend: stable storage on sled 0.34, with what sled leaves undone.
//!
//! sled's `flush` hands data to the operating system and syncs nothing, it loses damaged parts without a word, and it
//! can hang or panic. So this layer syncs itself, checks everything that comes back, keeps beside sled what it takes
//! to notice a loss, and makes all calls on threads that can be given up. By file, in the order of a call:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `store`, `store_checkpoints` | the handle: the two halves of the seam |
//! | `options`, `shape` | what a user may choose; what was measured |
//! | `ahead` | blocks that were read before they are asked for |
//! | `answers` | what sled's errors and panics mean: damage, or a failure of the system |
//! | `writer` | every change of the store, one short job at a time |
//! | `stable` | flush and sync |
//! | `blocks`, `checkpoints`, `catalog`, `part` | the three trees; how something is cut into values |
//! | `readback` | that a checkpoint is there as it was written |
//! | `fenced`, `place`, `seek` | how the values of the first two are laid out, their keys, and how one is found |
//! | `census`, `mark` | which checkpoints there should be; the side file that remembers that, and how far the log goes |
//! | `identity`, `files` | what a directory is; names |
//! | `engine`, `rescue` | sled itself; what it overwrites while it opens |

mod ahead;
mod answers;
mod blocks;
mod catalog;
mod census;
mod checkpoints;
mod engine;
mod fenced;
mod files;
mod identity;
mod mark;
mod options;
mod part;
mod place;
mod readback;
mod rescue;
mod seek;
mod shape;
mod stable;
mod store;
mod store_checkpoints;
mod writer;

pub use options::SledOptions;
pub use store::SledStore;
