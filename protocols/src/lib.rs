//! The protocols of rollback recovery as pure state machines, without a system around them: a
//! student of the field can read them one by one, and a runtime can drive them.
//!
//! A system is a set of *processes* that send each other messages in *channels*. Each process has a
//! state, and keeps copies of it, its *checkpoints*. A *cut* is one state of each process, with
//! what the channels hold. It is *consistent* when no process has received in it what nobody has
//! sent in it; such a message is an *orphan*. A message that was sent and not received in the cut
//! is *in transit*. After a failure the processes go back to a consistent cut, the *recovery line*.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`machine`] | the interface of all machines: what comes to a process goes in, what it is to do comes out |
//! | [`chandy_lamport`] | a snapshot by markers: nobody stops |
//! | [`two_phase`] | a checkpoint of all together: all are blocked, and it counts for all or for none |
//! | [`recovery_line`] | where processes go back to that took checkpoints each on its own, and why |
//! | [`stable_property`] | what is true of a cut and stays true: deadlock, termination, garbage |
//! | [`interval`] | when to take a checkpoint |
//!
//! Nothing here has a clock, draws at random, depends on the order of a hash, does I/O, or needs
//! another crate. Names of processes and messages are types of the caller's. Each machine has been
//! explored through every order of events of small systems, and each computation is compared with
//! one that tries everything (`tests/protocols/`).

pub mod chandy_lamport;
pub mod interval;
pub mod machine;
pub mod recovery_line;
pub mod stable_property;
pub mod two_phase;
