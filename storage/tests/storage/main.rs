//! The tests of the storage crate from outside, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and shows what it counted"
)]

mod boundaries;
mod conformance;
mod content;
mod conversion;
mod conversion_kills;
mod flips;
mod golden;
mod golden_content;
mod killing;
mod layered;
mod layered_power;
mod media;
mod opening;
mod power;
mod processes;
mod raising;
mod scanning;
mod segment_calls;
mod segment_crashes;
mod segment_damage;
mod segment_kills;
mod segments;
mod simulated;
mod space;
mod store_kills;
mod tiers;
