//! The specification of replay: what comes out of a checkpoint and records, whole, damaged or
//! contradictory.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]

mod contradictions;
mod cost;
mod deep;
mod receiving;
mod recorder;
mod restoring;
mod shapes;
mod till;
