//! Actors that survive crashes.
//!
//! relive writes each message that an actor receives, and each nondeterministic event that it
//! meets, to stable storage before the message or event may affect anything. Independent
//! checkpoints bound the log. After a crash relive restores an actor from its checkpoint, and the
//! actor *relives* the logged events, deterministically, to the state it had. relive is a library
//! and a directory, not a server.
//!
//! ```no_run
//! use relive::{Actor, Context, Handle, Message, Runtime};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Counter {
//!     total: u64,
//! }
//!
//! impl Actor for Counter {
//!     const KIND: &'static str = "counter";
//!
//!     fn create(_key: &str) -> Self {
//!         Counter { total: 0 }
//!     }
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Add(u64);
//!
//! impl Message for Add {
//!     const NAME: &'static str = "add";
//!     type Reply = u64;
//! }
//!
//! impl Handle<Add> for Counter {
//!     async fn handle(&mut self, message: Add, _cx: &mut Context<'_>) -> u64 {
//!         self.total += message.0;
//!         self.total
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let builder = Runtime::builder().actor::<Counter>(|counter| counter.handles::<Add>());
//!     let runtime = builder.open("counters").await?;
//!     let total = runtime.actor::<Counter>("visits")?.ask(Add(1)).await?;
//!     println!("visited {total} times, whatever crashes");
//!     runtime.shutdown().await?;
//!     Ok(())
//! }
//! ```
//!
//! # What you need, and where it is
//!
//! | to | use |
//! | --- | --- |
//! | say what an actor is and what it handles | [`Actor`], [`Message`], [`Handle`] |
//! | send, call a service outside, read the clock in a handler | [`Context`]: `to`, `side_effect`, `keyed_side_effect`, `now`, `random` |
//! | be told later, or again and again, also after a crash | [`Context::timer`], [`Firing`], [`TimerError`] |
//! | give handlers a client of a service, or a configuration | [`Builder::provide`], [`Context`]: `dependency` |
//! | open a store and choose what it survives | [`Runtime::builder`], [`Builder`], [`Durability`], [`Medium`] |
//! | send from outside, wait until the message is on the disk, or for the reply | [`ActorRef`], [`Tell`], [`Receipt`], [`Ask`] |
//! | ask what changes nothing, without the disk | [`Query`], [`Answer`], [`ActorRef::query`], in a handler [`Recipient::query`] |
//! | send everything again after a crash, and have it count once | [`Producer`] |
//! | see what an opening found, and what has failed since | [`RecoveryReport`], [`Runtime::failed_actors`], [`ActorFailure`] |
//! | inspect, retry or drop deliveries on which an actor keeps failing | [`RestartPolicy`], [`Runtime::quarantined`], [`Quarantined`] |
//! | bound the log | [`CheckpointPolicy`], [`Builder::log_bytes`] |
//! | shut down with nothing left to replay, by a deadline | [`Runtime::shutdown`], [`Runtime::shutdown_within`], [`ShutdownReport`] |
//! | know what to do about an error | [`ErrorKind`], which `kind()` of each error returns; [`Unavailable`], which the errors of all calls on an actor share |
//! | keep actors in a store of your own, or in memory | [`backend`], [`Builder::open_on`] |
//! | set the clock that handlers see | [`Clock`], [`Builder::clock`] |
//! | test your actors: crashes at every point, time, quiet | `testing`, with the feature `test-support` |
//!
//! The README lists the guarantees and limits. `examples/` has five programs; the README gives
//! their reading order.

mod actor;
pub mod backend;
mod backpressure;
mod checkpoint;
mod client;
mod clock;
mod config;
mod conversion;
mod error;
mod handling;
mod harness;
mod lifecycle;
mod limits;
mod log;
mod recovery;
mod replayers;
mod retention;
mod retry;
mod runtime;
#[cfg(test)]
#[cfg(feature = "__schedules")]
mod schedules;
mod services;
mod shared;
mod stats;
mod stop_signal;
mod supervision;
mod sync;
#[cfg(feature = "test-support")]
pub mod testing;
mod timer;
mod timers;
#[cfg(feature = "tracing-filter")]
mod tracing_filter;
mod turn;

pub use actor::envelope::Receipted;
pub use client::actor_ref::ActorRef;
pub use client::producer::{Producer, ProducerReceipt};
pub use client::query::QueryRequest;
pub use client::request::{Ask, Receipt, Tell};
pub use clock::{Clock, SystemClock};
pub use config::{CheckpointPolicy, RestartPolicy, WhenExhausted};
pub use conversion::convert;
pub use error::{
    ActorFailure, AskError, CheckpointError, Ended, FailureCause, NoAnswer, OpenError, QuarantineError,
    QueryError, ReceiptError, Refused, RuntimeFailure, TellError, Unavailable,
};
pub use recovery::report::{RecoveryProgress, RecoveryReport};
pub use relive_replay::{
    Actor, Answer, AskFailure, Context, Discipline, Divergence, Either, Elapsed, Firing, Halt, HaltReason,
    Handle, KindBuilder, Message, MessageError, NewTimer, Quarantined, Query, QueryFailure, Recipient,
    SendError, TimerError, TimerRecipient, TimerSetting,
};
pub use relive_storage::{
    ActorId, Durability, ErrorKind, Lsn, NoTimestamp, Rsn, Ssn, StoreError, StoreId, Timestamp,
};
pub use relive_storage::{MediumKind as Medium, medium_of};
pub use retry::Retry;
pub use runtime::builder::Builder;
pub use runtime::shutdown::{LeftForReplay, ShutdownReport, StillWaiting};
pub use runtime::{ReferError, Runtime};
pub use stats::Stats;
#[cfg(feature = "tracing-filter")]
pub use tracing_filter::HideReplays;

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
