//! One actor after a panic: the policy, and the restart from its checkpoint and the log. A process
//! that ends instead is the matter of `recovery::probation`, which breaks crash loops.
//!
//! Must not know callers, or how a store is opened.

pub(crate) mod policy;
pub(crate) mod restart;
