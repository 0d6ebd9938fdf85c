//! Real processes under real faults: what the ordinary test run does of each, in small.

#![expect(clippy::print_stdout, reason = "a test shows what it counted")]
#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]

mod calls;
mod damage;
mod kill;
mod openers;
mod power;
mod resources;
mod versions;
mod workload;
