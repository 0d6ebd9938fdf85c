//! The deterministic half of relive: what an actor is, which events it met, and the one step that
//! live and replay share.
//!
//! Pure: no runtime, no clock, no input or output, no order that differs from run to run
//! (`clippy.toml` of this crate holds the list). Users see the contract as `relive::Actor` and its
//! neighbours; inspection of a dead system needs this crate and `relive-storage` only.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`actor`] | the contract: `Actor`, `Message` |
//! | [`context`] | `Handle`: what a handler may do, and the only things it may wait for |
//! | [`kind`] | an actor type with its handlers and answers, behind one trait for all types |
//! | [`side_effect`], [`ask`], [`inquiry`], [`together`] | what it may wait for; several waits at once |
//! | `waits`, `waiting`, `probe` | what a handler has begun, and what came of it; whether it awaits anything else |
//! | [`schedule`], [`timers`] | setting timers; the timers of an actor, and what a firing does to them |
//! | [`dependencies`], `provided` | what the program provides to handlers, and how they reach it |
//! | [`recipient`], `peers` | sending to another actor; which kinds, messages and queries there are |
//! | [`query`], [`answering`] | `Query`, `Answer`: what an actor tells without a change; running a query on an instance |
//! | [`guard`] | calls into users' code, whose panics become values |
//! | [`effects`] | the effects that a handler asked for, as data, and their digest |
//! | [`determinants`] | where outcomes come from: the one difference between live and replay |
//! | [`instance`], `inbound`, `outbound` | an actor in memory: state, duplicate table, sequence numbers |
//! | `requests` | requests with idempotency keys, and their replies |
//! | [`checkpoint_body`], `checkpoint_parts` | an instance as the bytes of a checkpoint |
//! | [`quarantine`] | deliveries that an actor left out |
//! | [`tape`], `tape_only`, [`receptions`] | the recorded determinants of one actor; what receivers have of it |
//! | [`mod@step`] | the one function that applies a delivery |
//! | [`engine`] | checkpoint and tape to state |
//! | [`reason`] | texts of which the log keeps a part |
//! | [`halt`] | why an actor stopped, divergence among the reasons |
//! | [`payload`] | MessagePack with limits, and the check that a value survives it |
//! | `encoder`, `track`, `depth` | limits and shape of a value while it is encoded; the limits in bytes |
//! | `fingerprint`, `shapes`, `mix` | whether a value came back unchanged, and which shapes need no new check |

pub mod actor;
pub mod answering;
pub mod ask;
mod binary;
mod call;
pub mod checkpoint_body;
mod checkpoint_parts;
#[cfg(test)]
mod codec_tests;
pub mod context;
pub mod dependencies;
mod depth;
pub mod determinants;
mod discipline;
pub mod effects;
mod encoder;
pub mod engine;
mod fingerprint;
pub mod guard;
pub mod halt;
mod inbound;
pub mod inquiry;
pub mod instance;
pub mod kind;
mod mix;
mod outbound;
pub mod payload;
mod peers;
mod probe;
mod provided;
pub mod quarantine;
pub mod query;
pub mod reason;
pub mod receptions;
pub mod recipient;
mod reel;
mod requests;
pub mod schedule;
mod shapes;
pub mod side_effect;
pub mod step;
pub mod tape;
mod tape_only;
pub mod timers;
pub mod together;
mod track;
mod waiting;
pub mod waits;

pub use actor::{Actor, Message};
pub use ask::AskFailure;
pub use call::Fallible;
pub use context::{Context, Handle};
pub use dependencies::{Dependencies, Dependency};
pub use determinants::{Determinants, Recorded};
pub use discipline::Discipline;
pub use effects::{Effects, Outgoing, OutgoingReply, Owed};
pub use engine::{Restored, restore};
pub use halt::{Divergence, Halt, HaltReason};
pub use inbound::{Admission, Inbound};
pub use inquiry::QueryFailure;
pub use instance::{Instance, Process};
pub use kind::{Kind, KindBuilder};
pub use peers::{MessageShapes, Messages, Peers, Queries};
pub use quarantine::Quarantined;
pub use query::{Answer, Query};
pub use receptions::SeenByOthers;
pub use recipient::{MessageError, Recipient, SendError};
pub use reel::Reel;
pub use requests::{KeptReply, Known};
pub use schedule::{NewTimer, TimerError, TimerRecipient, TimerSetting};
pub use step::{StepError, step};
pub use tape::Tape;
pub use tape_only::TapeOnly;
pub use timers::Firing;
pub use together::{Either, Elapsed};
pub use waits::{Wait, WaitFor};
