//! Real processes under real faults: a short run of each campaign, as part of the ordinary tests.

#![expect(clippy::print_stdout, reason = "a test shows what it counted")]
#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]

mod corruption;
mod kill;
mod openers;
mod power_loss;
mod requests;
mod resources;
mod syscall_faults;
mod versions;
mod workload;
