//! Faults from outside: processes that are killed, power that is lost, files that are damaged, disks that fail. What was
//! promised is kept here, in processes that live on, and held against what comes back.
//!
//! | module | the fault |
//! | --- | --- |
//! | [`damage`] | files that are flipped, cut, deleted, exchanged, overwritten |

pub mod damage;
