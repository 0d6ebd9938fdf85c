//! Reads the stores on sled of formats 1 and 2, which had no medium as a layer of its own, so that
//! a conversion can copy them. Changes nothing in them except what sled changes when it opens.
//!
//! Knows how those formats kept blocks and checkpoints; must not know how a medium is opened or
//! written.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `reader` | such a store as a read-only [`relive_storage::Store`] |
//! | `high_water_mark` | the side file that says how far the log went |
//! | `values` | how blocks and checkpoints stand in the trees |
//! | `catalog`, `catalog_digest` | which checkpoints there are, and whether none is missing |

mod catalog;
mod catalog_digest;
mod high_water_mark;
mod reader;
mod values;

pub(crate) use reader::{OlderStore, is_older};
