//! Faults from outside: processes that are killed, power that is lost, files that are damaged, disks that fail. What was
//! promised is kept here, in processes that live on, and held against what comes back.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`calls`] | calls to the system that fail |
//! | [`damage`] | files that are flipped, cut, deleted, exchanged, overwritten |
//! | [`workload`] | what the process under test does, what it must have become, and the judge between the two |
//! | [`worker`], `till`, `tries` | the process under test: it lives, sends, tells what it was promised, and dies |
//! | [`failpoint`] | dying at an exact boundary |
//! | [`process`] | a child process that is watched |
//! | [`effects`], [`ledger`] | where side effects go: the process, and the file that it keeps |
//! | [`kept`] | what keeps a store, and what its files are called |
//! | [`kill`] | the supervisor that kills workers and judges what comes back |
//! | [`versions`] | the same, with workers of which each has another version of the handlers |
//! | [`power`] | what a loss of power may leave, of recorded workers |
//! | [`preload`] | the library that records calls, and lets them fail |
//! | [`random`] | choices drawn from a seed |
//! | [`teeth`] | guards that are taken out of the sources, and the tests that notice |

pub mod calls;
pub mod damage;
pub mod effects;
pub mod failpoint;
pub mod kept;
pub mod kill;
pub mod ledger;
pub mod power;
pub mod preload;
pub mod process;
pub mod random;
pub mod teeth;
mod till;
mod tries;
pub mod versions;
pub mod worker;
pub mod workload;
