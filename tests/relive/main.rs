//! What relive promises, on the real backend and on the memory backend with faults.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]
#![expect(clippy::print_stdout, reason = "a test prints the seed that repeats it, and what it counted")]

#[macro_use]
mod message;

mod actors;
mod asks;
mod blame;
mod bursts;
mod carrying;
mod clock;
mod codecs;
mod crash_points;
mod deadlines;
mod dependencies;
mod devices;
mod examples;
mod failing;
mod families;
mod giving_up;
mod golden;
mod idempotency;
mod kill;
mod kit;
mod links;
mod logs;
mod medium;
mod nondeterminism;
mod output_commit;
mod poison;
mod programs;
mod promises;
mod properties;
mod queries;
mod random_programs;
mod refusals;
mod restarts;
mod sentences;
mod shrinking;
mod sizes;
mod stability;
mod surroundings;
mod timers;
mod undone;
mod unwinding;
mod versions;
