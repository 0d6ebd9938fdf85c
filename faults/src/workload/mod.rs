//! What the process under test does, and what must come back of it. The plan says what each message asks for, as a pure
//! function of a seed; the actors do it; the model says what they must have become; the judge holds a survey of what
//! came back against what was acknowledged and seen. No process, file or signal is known here, so that every kind of
//! fault can be judged by it.
//!
//! The way of a message: `till` (a producer) -> one of the accounts -> one of the audits -> the summary -> back to the
//! account. Beside it trials, which a [`Version`] of the handlers may fail.

pub mod actors;
pub mod from_start;
pub mod journal;
pub mod judge;
pub mod line;
pub mod model;
pub mod outside;
pub mod part;
pub mod part_judge;
pub mod plan;
pub mod survey;
pub mod trial;
pub mod version;
pub mod witness;

pub use judge::{Outcome, Violation, judge};
pub use line::Line;
pub use outside::Outside;
pub use part::{Part, part};
pub use part_judge::judge_part;
pub use plan::Plan;
pub use survey::{Survey, survey};
pub use version::Version;
pub use witness::{Effect, EffectKey, Effects, Witness};
