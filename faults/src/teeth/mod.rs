//! Whether the tests bite: each guard is taken out of a copy of the sources, in turn, and the test that is named for it
//! must fail then. A guard that can be taken out without a test noticing is one that somebody will take out.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `guard` | what a guard is: where it stands, what is there without it, who notices |
//! | `storage_guards`, `media_guards`, `segment_guards`, `replay_guards`, `runtime_guards`, `surroundings_guards` | the guards |
//! | `workshop` | a copy of the sources in which they are taken out and tests are run |
//! | `run` | all of them, and the table |

mod guard;
mod media_guards;
mod replay_guards;
mod run;
mod runtime_guards;
mod segment_guards;
mod storage_guards;
mod surroundings_guards;
mod workshop;

pub use run::{Teeth, run};
