//! What the process under test does, and what must come back. The plan says, as a pure function of
//! a seed, what each message asks for. The actors do it. The model says what states they must have.
//! A readback is what came back, and the oracle compares it with what was acknowledged and seen.
//! Must not know processes, files or signals, so that every campaign can use it as its judge.
//!
//! The way of a message: `till` (a producer) -> one of the accounts -> one of the audits -> the
//! summary -> back to the account. The audits wait for their outputs alone. Beside it requests to
//! clerks, who ask vaults and set timers; and trials, which a [`Version`] of the handlers may fail.

pub mod actors;
pub mod clerk;
pub mod client_view;
mod effect_oracle;
pub mod failure;
pub mod full_replay;
pub mod journal;
pub mod model;
mod offices;
pub mod oracle;
pub mod order;
pub mod outside;
pub mod part;
pub mod part_oracle;
pub mod plan;
pub mod protocol;
pub mod readback;
pub mod request_oracle;
pub mod request_view;
pub mod trial;
pub mod version;
pub mod violation;

pub use client_view::{ClientView, Effect, EffectKey, Effects};
pub use oracle::{Outcome, Violation, judge};
pub use outside::Outside;
pub use part::{Part, part};
pub use part_oracle::judge_part;
pub use plan::Plan;
pub use protocol::Line;
pub use readback::{Readback, read_back};
pub use request_oracle::{Offices, judge_requests};
pub use request_view::RequestView;
pub use version::Version;
