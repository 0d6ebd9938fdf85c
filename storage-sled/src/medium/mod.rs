//! The medium: recognizes its directory, makes or opens it, and serves its calls.
//!
//! Knows the order of the steps and what a failed call means for those after it; must not know how
//! values stand in sled.

pub(crate) mod handle;
mod identity;
mod opening;
