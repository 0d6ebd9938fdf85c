//! Tests of the machines against what the field proves of them.
#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]

mod chandy_lamport;
mod explorer;
mod interval;
mod purses;
mod random;
mod recovery_line;
mod stable_property;
mod two_phase;
