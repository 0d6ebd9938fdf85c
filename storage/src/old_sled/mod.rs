//! Reads the stores on sled of the formats 1 and 2, which were no medium under a store in two layers, so that they are converted.
//! Changes nothing in them but what sled changes when it opens.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `reader` | such a store as a [`crate::Store`] that takes nothing |
//! | `mark` | the side file that says how far the log went |
//! | `values` | how blocks and checkpoints stand in the trees |
//! | `catalog`, `census` | which checkpoints there are, and whether none is missing |

mod catalog;
mod census;
mod mark;
mod reader;
mod values;

pub(crate) use reader::{OldSled, is_old};
