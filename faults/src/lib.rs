//! Faults from outside: killed processes, lost power, damaged files, failing disks. Processes that
//! live on remember the promises of the process under test, and compare them with what comes back.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`workload`] | what the process under test does, what it must have become, and the oracle between the two |
//! | [`harness`] | that process, what makes it fail, and the records of what it did |
//! | [`campaigns`] | the campaigns: each injects one kind of fault as often as its arguments say |
//! | [`cli`] | the commands, and what they print |
//!
//! No module knows one in a later row.

pub mod campaigns;
pub mod cli;
pub mod harness;
pub mod workload;
