//! Mutation testing: the campaign removes the guards of the promises from a copy of the sources,
//! one at a time. Each removal makes a mutant, and the test named for the mutant must fail. A
//! mutant that no test catches is a mistake that the tests would let pass. Knows the sources as
//! text; runs nothing of them in its own process, and knows no other campaign.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `mutant` | what a mutant is: which text of a file, what stands in its place, which test catches it |
//! | the files `*_mutants` | the mutants |
//! | `source_copy` | a copy of the sources, in which the campaign makes mutants and runs tests |
//! | `run` | makes all mutants, and the table |
//!
//! # Source
//! Mutation testing: DeMillo, Lipton and Sayward, *Hints on Test Data Selection: Help for the
//! Practicing Programmer*, IEEE Computer 11(4), 1978.

mod carrying_mutants;
mod example_mutants;
mod format_mutants;
mod host_mutants;
mod kit_mutants;
mod media_mutants;
mod mutant;
mod output_mutants;
mod protocol_mutants;
mod query_mutants;
mod replay_mutants;
mod request_mutants;
mod run;
mod runtime_mutants;
mod schedule_mutants;
mod segment_mutants;
mod source_copy;
mod storage_mutants;
mod surroundings_mutants;
mod timer_mutants;

pub use run::{MutantRun, run};

use mutant::Mutant;

/// The mutants of stores and media.
const STORE_MUTANTS: &[&[Mutant]] =
    &[storage_mutants::MUTANTS, media_mutants::MUTANTS, segment_mutants::MUTANTS, format_mutants::MUTANTS];

/// The mutants of everything above.
const UPPER_MUTANTS: &[&[Mutant]] = &[
    replay_mutants::MUTANTS,
    runtime_mutants::MUTANTS,
    surroundings_mutants::MUTANTS,
    host_mutants::MUTANTS,
    kit_mutants::MUTANTS,
    output_mutants::MUTANTS,
    query_mutants::MUTANTS,
    request_mutants::MUTANTS,
    schedule_mutants::MUTANTS,
    timer_mutants::MUTANTS,
    protocol_mutants::MUTANTS,
    example_mutants::MUTANTS,
    carrying_mutants::MUTANTS,
];
