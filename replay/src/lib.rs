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
//! | [`kind`] | an actor type with its handlers, behind one trait for all types |
//! | [`recipient`], `peers` | sending to another actor; which kinds and messages there are |
//! | [`guard`] | calls into users' code, whose panics become values |
//! | [`effects`] | the effects that a handler asked for, as data, and their digest |
//! | [`determinants`] | where outcomes come from: the one difference between live and replay |
//! | [`instance`], `channels` | an actor in memory: state, sequence numbers, duplicate table |
//! | [`checkpoint_body`] | an instance as the bytes of a checkpoint |
//! | [`quarantine`] | deliveries that an actor left out |
//! | [`tape`], `receptions` | the recorded determinants of one actor; what receivers have of it |
//! | [`mod@step`] | the one function that applies a delivery |
//! | [`engine`] | checkpoint and tape to state |
//! | [`halt`] | why an actor stopped, divergence among the reasons |
//! | [`payload`] | MessagePack with limits, and the check that a value survives it |
//! | `encoder`, `track`, `depth` | limits and shape of a value while it is encoded; the limits in bytes |
//! | `fingerprint`, `shapes`, `mix` | whether a value came back unchanged, and which shapes need no new check |

pub mod actor;
mod channels;
pub mod checkpoint_body;
#[cfg(test)]
mod codec_tests;
pub mod context;
mod depth;
pub mod determinants;
pub mod effects;
mod encoder;
pub mod engine;
mod fingerprint;
pub mod guard;
pub mod halt;
pub mod instance;
pub mod kind;
mod mix;
pub mod payload;
mod peers;
pub mod quarantine;
mod receptions;
pub mod recipient;
mod shapes;
pub mod step;
pub mod tape;
mod track;

pub use actor::{Actor, Message};
pub use context::{Context, Handle};
pub use determinants::{Determinants, Recorded};
pub use effects::{Effects, Outgoing};
pub use engine::{Restored, restore};
pub use halt::{Divergence, Halt, HaltReason};
pub use instance::{Admission, Instance};
pub use kind::{Kind, KindBuilder};
pub use peers::{MessageShapes, Messages, Peers};
pub use quarantine::Quarantined;
pub use recipient::{MessageError, Recipient, SendError};
pub use step::{StepError, step};
pub use tape::{SeenByOthers, Tape, TapeOnly};
