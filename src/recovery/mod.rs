//! **The way of a crash**, for a whole store: analysis of the log, replay of each actor, probation
//! of deliveries that may have ended the process (which breaks crash loops), and the report.
//!
//! Must not know callers, or the owner's handle.

pub(crate) mod analysis;
pub(crate) mod catalog;
pub(crate) mod covered;
pub(crate) mod notes;
pub(crate) mod probation;
pub(crate) mod replay;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod testing;
