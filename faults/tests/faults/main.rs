//! Real processes under real faults: what the ordinary test run does of each, in small.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]

mod damage;
mod workload;
