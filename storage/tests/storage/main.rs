//! The tests of the storage crate from outside, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and shows what it counted"
)]

mod conformance;
mod content;
<<<<<<< HEAD
mod faulty;
=======
mod damage;
mod damage_case;
>>>>>>> 816f113abdf7dd5167d68ab58b449f41347ecaaa
mod killing;
mod opening;
mod power;
mod simulated;
mod space;
mod tiers;
