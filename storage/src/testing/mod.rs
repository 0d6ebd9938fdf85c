//! Support for tests of a store: the contracts of a backend and of a medium, executable, and
//! devices that fail and lose their power as planned.
//!
//! Knows the contracts; nothing outside of tests may know this.

pub mod conformance;
mod draws;
pub mod simulated_medium;
pub mod simulated_store;
