//! When a kind of actors may handle what it receives, and when its outputs leave. The runtime keeps
//! to it; a replay does the same under both.
//!
//! # Source
//! Pessimistic logging, output commit and the always-no-orphans condition: Elnozahy, Alvisi, Wang
//! and Johnson, *A Survey of Rollback-Recovery Protocols in Message-Passing Systems*, ACM Computing
//! Surveys 34(3), 2002, sections 2.4 and 4.1; Strom and Yemini, *Optimistic Recovery in Distributed
//! Systems*, ACM TOCS 3(3), 1985.

/// What the actors of a kind wait for: each delivery and event, or each output.
/// [`KindBuilder::discipline`](crate::KindBuilder::discipline) sets it.
///
/// Under both, nobody outside ever sees anything that a crash takes back, in the tier of durability
/// that the store was opened with. *Outside* are callers of `ask` and `tell`, producers, and
/// whatever side effects reach. Other actors of the runtime are inside: they have the same log, and
/// a failed write ends them all together.
///
/// | | [`BeforeHandling`](Self::BeforeHandling) | [`BeforeOutput`](Self::BeforeOutput) |
/// | --- | --- | --- |
/// | a handler runs on | a delivery on stable storage | a delivery in the log's buffer |
/// | it learns a reply, the end of a sleep, an outcome | when that is on stable storage | at once |
/// | it sends to actors | at once | at once |
/// | a reply to a caller outside leaves | at once | when everything that it depends on is on stable storage |
/// | a receipt resolves | when the message is on stable storage | the same |
/// | a side effect begins | at once | when everything that it depends on is on stable storage |
/// | a checkpoint is taken | at once | when everything that it holds is on stable storage |
/// | a chain of ten actors waits for the disk | ten times | once |
///
/// # What a crash takes back
/// A crash may take back states of `BeforeOutput` actors: those that come of deliveries that were
/// not on stable storage yet, and that nobody outside has seen. All that they caused, in other
/// actors too, goes with them, so all actors agree after the opening. A crash takes back no handled
/// delivery of a `BeforeHandling` actor.
///
/// # Limits
/// - An actor holds 4,096 outputs or 8 MiB of replies back. Then it handles nothing more until the
///   log has caught up.
/// - What nobody outside waits for comes to stable storage within about a millisecond and a sync.
///   So a `tell` whose receipt nobody awaits may be lost for that long, as under `BeforeHandling`
///   for the length of a sync.
/// - When a handler ends the *process*, its delivery may not be in the log yet. Then no opening
///   counts this end against the message, so a client that sends it again and again may end
///   the process each time. Messages between actors that an opening sends again are an exception:
///   they are handled under `BeforeHandling`, and go into quarantine after their tries. Choose
///   `BeforeHandling` for kinds whose handlers may end the process on hostile input.
/// - What a handler does beside its context (a write to a static, a line on the terminal) is no
///   output that relive knows, and happens at once.
///
/// # Examples
/// ```
/// # use relive_replay::{Actor, Context, Discipline, Handle, KindBuilder, Message};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Add(u64);
/// # impl Message for Add { const NAME: &'static str = "add"; type Reply = (); }
/// # #[derive(Serialize, Deserialize)] struct Counter(u64);
/// # impl Actor for Counter { const KIND: &'static str = "counter"; fn create(_: &str) -> Self { Counter(0) } }
/// # impl Handle<Add> for Counter { async fn handle(&mut self, m: Add, _: &mut Context<'_>) { self.0 += m.0; } }
/// let counter = KindBuilder::<Counter>::new().handles::<Add>();
/// let kind = counter.discipline(Discipline::BeforeOutput).build()?;
/// assert_eq!(kind.discipline(), Discipline::BeforeOutput);
/// # Ok::<(), relive_replay::kind::KindError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discipline {
    /// Pessimistic logging, the default: a handler runs only on a delivery on stable storage, and
    /// continues past an event only when that is there too.
    #[default]
    BeforeHandling,
    /// Output commit: a handler runs at once, and what leaves the runtime waits until everything
    /// that it depends on is on stable storage.
    BeforeOutput,
}
