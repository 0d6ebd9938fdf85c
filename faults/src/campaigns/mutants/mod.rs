//! Mutation testing: the campaign removes the guards of the promises from a copy of the sources,
//! one at a time. Each removal makes a mutant, and the test named for the mutant must fail. A
//! mutant that no test catches is a mistake that the tests would let pass. Knows the sources as
//! text; runs nothing of them in its own process, and knows no other campaign.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `mutant` | what a mutant is: which text of a file, what stands in its place, which test catches it |
//! | `storage_mutants`, `media_mutants`, `segment_mutants`, `replay_mutants`, `runtime_mutants`, `surroundings_mutants`, `schedule_mutants` | the mutants |
//! | `source_copy` | a copy of the sources, in which the campaign makes mutants and runs tests |
//! | `run` | makes all mutants, and the table |
//!
//! # Source
//! Mutation testing: DeMillo, Lipton and Sayward, *Hints on Test Data Selection: Help for the
//! Practicing Programmer*, IEEE Computer 11(4), 1978.

mod media_mutants;
mod mutant;
mod replay_mutants;
mod run;
mod runtime_mutants;
mod schedule_mutants;
mod segment_mutants;
mod source_copy;
mod storage_mutants;
mod surroundings_mutants;

pub use run::{MutantRun, run};
