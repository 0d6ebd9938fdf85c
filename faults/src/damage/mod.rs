//! Damaged files: a store is built, its files are damaged in a copy, and what opens of the copy is held against what was
//! stored. Allowed are the same content, a typed error, and the cut of a tail that nobody was told about; a shorter
//! history without a word, the death of the process and a hang are not.
//!
//! A case is a seed and a number, nothing else: any number of them can be done, and any one of them again.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `image` | the files of a store, in memory |
//! | `injury` | what can happen to a file |
//! | `specimens` | the stores that are damaged, each with its model in the memory backend |
//! | `case` | which injuries a number stands for |
//! | `judge` | what may come of it: the store |
//! | `living`, `bank` | what may come of it: a runtime with actors, and the actors |
//! | `child`, `sweep` | processes that do cases in turn; who starts them, waits, and writes down what came out |
//! | `histogram` | how often what came of what |

mod bank;
mod case;
mod child;
mod histogram;
mod image;
mod injury;
mod judge;
mod living;
mod random;
mod specimens;
mod sweep;

pub use child::{Work, work};
pub use histogram::Histogram;
pub use sweep::{Sweep, sweep};
