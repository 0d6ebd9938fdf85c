//! The campaigns: each injects one kind of fault as often as its arguments say, and reports the
//! results. Each knows the workload and the harness. They know of each other what their rows in
//! `ARCHITECTURE.md` allow. None knows the command that runs it.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`kill`] | workers that are killed, and what comes back |
//! | [`versions`] | the same, with another version of the handlers in each worker |
//! | [`power_loss`] | what a loss of power may leave, of recorded workers |
//! | [`syscall_faults`] | calls to the system that fail |
//! | [`corruption`] | files that are flipped, cut, deleted, exchanged, overwritten |
//! | [`mutants`] | guards that are taken out of the sources, and the tests that notice |

pub mod corruption;
pub mod kill;
pub mod mutants;
pub mod power_loss;
pub mod syscall_faults;
pub mod versions;
