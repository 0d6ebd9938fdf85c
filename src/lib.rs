//! Actors that survive crashes.
//!
//! Each message that an actor receives, and each nondeterministic event that it meets, is on stable storage before it
//! may affect anything. Independent checkpoints bound the log. After a crash an actor is restored from its checkpoint
//! and *relives* the logged events, deterministically, to the state it had. A library and a directory; no server.
//!
//! The way of a message, and of a crash, by file:
//!
//! | module | what it knows |
//! | --- | --- |
//! | `builder` | what a runtime is opened with, and the order of opening |
//! | `actor_ref`, `request`, `producer` | what callers hold; `tell` and `ask` from outside |
//! | `mailbox`, `envelope`, `slot`, `core` | messages that wait; one on its way; an actor; what all parts share |
//! | `turn` | **the way of a message**: mailbox, then |
//! | `receive`, `received`, `encoder` | duplicate table, position, log; what is to be told when it is stable |
//! | `backlog` | what is logged and not handled yet |
//! | `handle` | step, effects |
//! | `committer`, `watermark`, `retained` | group commit; how far the log is stable; how much of it is kept |
//! | `live` | outcomes of side effects that happen now |
//! | `outbox`, `pins`, `needs` | what an actor owes; which log it needs; which all need |
//! | `checkpointer`, `maintenance` | checkpoints, cutting the log, idle actors |
//! | `hashes`, `stored`, `dormant` | millions of passive actors in little memory: names; who has a checkpoint; which log they need |
//! | `survey`, `covered`, `recovery`, `report` | **the way of a crash**, for a whole store: scan; restore, compare channels; tell |
//! | `suspects`, `settling` | what may have ended the process, and getting through it with care |
//! | `quarantine` | deliveries that are left out, for whoever looks |
//! | `shutdown` | the end in good order: drain, checkpoint, close |
//! | `restart`, `supervision`, `activation` | the same for one actor: after a panic, or from passive |
//! | `active` | an actor in memory |
//! | `conversion` | a store that is moved to another medium |
//! | `config`, `limits`, `error`, `stats`, `clock`, `stop` | what can be set, what is bounded, what can go wrong, what is counted, time, the end |
//! | `replayers` | threads that restore actors, with a stack as large as any |
//! | `waiting`, `handling`, `timer` | how callers wait for an actor, and not for themselves; time without a time driver |
//! | `replay_filter` | hides the log lines of a replay |
//!
//! Below it lie `relive-storage` (what is durable) and `relive-replay` (what is deterministic).

mod activation;
mod active;
mod actor_ref;
mod backlog;
mod builder;
mod checkpointer;
mod clock;
mod committer;
mod config;
mod conversion;
mod core;
mod covered;
mod dormant;
mod encoder;
mod envelope;
mod error;
mod handle;
mod handling;
mod hashes;
mod limits;
mod live;
mod mailbox;
mod maintenance;
mod needs;
mod outbox;
mod patience;
mod pins;
mod producer;
mod quarantine;
mod receive;
mod received;
mod recovery;
#[cfg(feature = "tracing-filter")]
mod replay_filter;
mod replayers;
mod report;
mod request;
mod restart;
mod retained;
mod runtime;
mod settling;
mod shutdown;
mod slot;
mod stats;
mod stop;
mod stored;
mod supervision;
mod survey;
mod suspects;
mod timer;
mod turn;
mod waiting;
mod watermark;

pub use actor_ref::ActorRef;
pub use builder::Builder;
pub use config::{CheckpointPolicy, Config, RestartPolicy, WhenExhausted};
pub use conversion::convert;
pub use envelope::Receipted;
pub use error::{ActorFailure, AskError, FailureCause, OpenError, Refused, TellError};
pub use producer::{Producer, ProducerReceipt};
pub use relive_replay::{
    Actor, Context, Divergence, Halt, Handle, KindBuilder, Message, Quarantined, SendError,
};
pub use relive_storage::MediumKind as Medium;
pub use relive_storage::{ActorId, Durability, ErrorKind, Lsn, Rsn, Ssn, StoreError, StoreId, Timestamp};
#[cfg(feature = "tracing-filter")]
pub use replay_filter::HideReplays;
pub use report::{RecoveryProgress, RecoveryReport};
pub use request::{Ask, Receipt, Tell};
pub use runtime::{ReferError, Runtime};
pub use shutdown::{LeftForReplay, ShutdownReport};
pub use stats::Stats;

/// The two crates below, for backends and tools.
pub use {relive_replay as replay, relive_storage as storage};

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
