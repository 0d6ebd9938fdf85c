//! What relive promises, on the real backend and on the memory backend with faults.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]
#![expect(clippy::print_stdout, reason = "a test prints the seed that repeats it, and what it counted")]

mod actors;
mod blame;
mod bursts;
mod codecs;
mod crash_points;
mod devices;
mod examples;
mod failing;
mod families;
mod giving_up;
mod golden;
mod kill;
mod logs;
mod medium;
mod nondeterminism;
mod poison;
mod promises;
mod properties;
mod refusals;
mod restarts;
mod sentences;
mod shrinking;
mod sizes;
mod stability;
mod surroundings;
mod unwinding;
mod versions;
