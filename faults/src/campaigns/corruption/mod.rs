//! Damaged files: the campaign builds a store, damages the files of a copy, opens the copy, and
//! compares the result with what the store held. It allows the same content, a typed error, and the
//! cut of an unacknowledged tail. It forbids a silently shorter history, the death of the process,
//! and a hang.
//!
//! A case is a seed and a number, nothing else: so the campaign can run any number of cases, and
//! repeat any one. Knows no other campaign, and the names of files only from `harness::medium`.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `image` | the files of a store, in memory |
//! | `file_corruption` | what can happen to a file |
//! | `options` | the options with which the stores are opened |
//! | `fixtures`, `bank_actors` | the stores to damage, each with its model in the memory backend; the actors of some |
//! | `case` | which corruption a number stands for |
//! | `store_oracle`, `runtime_oracle` | the allowed outcomes, for a store, and for a runtime with its actors |
//! | `child`, `driver` | processes that run cases in turn; the driver that starts them, waits, and counts the outcomes |
//! | `histogram` | how often each corruption had each outcome |

mod bank_actors;
mod case;
mod child;
mod driver;
mod file_corruption;
mod fixtures;
mod histogram;
mod image;
mod options;
mod runtime_oracle;
mod store_oracle;

pub use child::{Work, work};
pub use driver::{CorruptionCases, run};
pub use histogram::Histogram;
