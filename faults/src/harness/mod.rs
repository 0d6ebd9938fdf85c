//! The process under test, and the tools that run it, make it fail, and record what it did. Knows
//! the workload; must not know the campaigns, which decide what fails and how often.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`worker`] | the process under test: it lives, sends, prints the promises that it got, and dies |
//! | [`campaign`] | parallel jobs, and the report of what they found |
//! | [`process`] | a child process that is watched |
//! | [`failpoint`] | dying at an exact boundary |
//! | [`preload`] | the library that records calls, and lets them fail |
//! | [`effect_server`], [`effect_ledger`] | where side effects go: the process, and the file that it keeps |
//! | [`medium`] | what keeps a store, and what its files are called |
//! | [`random`] | choices drawn from a seed |

pub mod campaign;
pub mod effect_ledger;
pub mod effect_server;
pub mod failpoint;
pub mod medium;
pub mod preload;
pub mod process;
pub mod random;
pub mod worker;
