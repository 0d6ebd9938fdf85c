//! The way of a query to its answer, between two deliveries: on the thread of its caller when the
//! actor rests, otherwise in the actor's turn. Logs nothing.
//!
//! An answer shows the state itself, so it leaves when the state depends on nothing that could be
//! lost. An actor that waits for its outputs alone answers when the log has all that it appended;
//! but at once when the answer goes [into the log](crate::turn::inquiries) behind that.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use relive_replay::guard::{drop_guarded, guarded};
use relive_replay::{Discipline, Process};
use relive_storage::Lsn;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::coop::{consume_budget, poll_proceed};

use crate::actor::activation::Activation;
use crate::actor::cell::{ActorCell, Wake};
use crate::actor::lending::{Asked, TakenBack};
use crate::actor::queries::{AnyQuery, WaitingQuery};
use crate::error::{Ended, Unavailable};
use crate::handling::Handling;
use crate::harness::{Motion, Moving};
use crate::lifecycle::{Lifecycle, TurnGuard};
use crate::limits::QUERIES_LENT_MAX;
use crate::shared::Core;
use crate::turn::dispatch::begin;
use crate::turn::{Turn, TurnError};

/// An actor at rest that a query has. Dropping it gives the actor back, and begins a turn when
/// something came for the actor meanwhile.
pub(crate) struct Lent<'c> {
    core: &'c Arc<Core>,
    cell: &'c Arc<ActorCell>,
    /// `None` once it is given back.
    active: Option<Box<Activation>>,
    /// Mail may come meanwhile.
    _motion: Motion,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A caller outside, of whom a runtime that closes takes nothing.
    Outside,
    /// A handler. Its turn is under way, so a shutdown waits for it and for the turns that it
    /// begins.
    Handler,
}

impl Asker {
    fn may_ask(self, lifecycle: &Lifecycle) -> Result<(), Ended> {
        match self {
            Self::Outside => lifecycle.intake(),
            Self::Handler => lifecycle.stop_reason().map_or(Ok(()), Err),
        }
    }
}

/// Lends an actor to a query, when it rests in memory; `None` when it does not.
pub(crate) fn lend<'c>(
    core: &'c Arc<Core>,
    cell: &'c Arc<ActorCell>,
    asker: Asker,
) -> Result<Option<Lent<'c>>, Unavailable> {
    let motion = core.services.harness.begin(|| Moving::Task("a query is answered"));
    let active = cell.lend(core.lifecycle.now(), || asker.may_ask(&core.lifecycle))?;
    Ok(active.map(|active| Lent { core, cell, active: Some(active), _motion: motion }))
}

/// Lets a query wait until its actor answers between two deliveries.
pub(crate) fn ask(
    core: &Arc<Core>,
    cell: &Arc<ActorCell>,
    query: Box<dyn AnyQuery>,
    place: OwnedSemaphorePermit,
    asker: Asker,
) -> Result<(), Unavailable> {
    // Counted before the look at whether the runtime is open, and until the turn is.
    let _turn = TurnGuard::begin(core);
    let wake = cell.ask(query, place, core.lifecycle.now(), || asker.may_ask(&core.lifecycle))?;
    begin(core, wake);
    Ok(())
}

impl Lent<'_> {
    /// Answers a query with this name from the actor's state. `answer` must not unwind.
    pub(crate) fn answer<T>(&self, query: &str, answer: impl FnOnce(&Process) -> T) -> T {
        let active = self.active.as_ref().expect("it is given back when it is dropped");
        answer_from(self.cell, state_of(self.core, self.cell, active, Follows::Nothing), query, answer)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let (core, cell) = (self.core, self.cell);
        let Some(mut active) = self.active.take() else { return };
        let is_due =
            |active: &Activation| active.since_checkpoint.is_due(core.services.config.checkpoints.age);
        let mut answered = 0;
        loop {
            match cell.take_back(active, is_due) {
                TakenBack::Rests => return,
                TakenBack::Works(start) => return begin(core, Wake::Start(start)),
                TakenBack::Asked(again, waiting) => {
                    active = again;
                    let follows = Follows::the(&waiting);
                    answer_waiting(cell, state_of(core, cell, &active, follows), waiting);
                }
            }
            answered += 1;
            if answered < QUERIES_LENT_MAX || !cell.is_queried() {
                continue;
            }
            // This caller has waited for others long enough. As in `ask`: a shutdown that has
            // closed the runtime finds no turn that it has not waited for.
            let _turn = TurnGuard::begin(core);
            match core.lifecycle.intake() {
                Ok(()) => return begin(core, Wake::Start(cell.hand_over(active))),
                Err(ended) => cell.refuse_queries(&ended.into()),
            }
        }
    }
}

impl Turn<'_> {
    /// Answers the queries that wait by now. Those that come meanwhile wait for the next delivery,
    /// so that queries don't keep messages waiting, nor messages queries.
    pub(crate) async fn answer_queries(&mut self) -> Result<(), TurnError> {
        let Asked { queries, look } = self.cell.asked();
        if look && self.active.since_checkpoint.is_due(self.core.services.config.checkpoints.age) {
            self.active.request.get_or_insert_default();
        }
        if queries == 0 || !self.active.may_answer() {
            return Ok(());
        }
        for _ in 0..queries {
            consume_budget().await;
            let Some(waiting) = self.cell.next_query() else { break };
            let follows = Follows::the(&waiting);
            if follows == Follows::Nothing {
                self.until_state_is_stable().await?;
            }
            answer_waiting(self.cell, state_of(self.core, self.cell, &self.active, follows), waiting);
        }
        Ok(())
    }
}

/// What queries may be shown of an actor, between two deliveries.
pub(crate) struct Shown<'a> {
    pub(crate) core: &'a Core,
    pub(crate) cell: &'a Arc<ActorCell>,
    /// The only reference: one to a state that others may see would not be `Send`.
    pub(crate) process: &'a mut Process,
    /// What the state depends on stands below.
    pub(crate) appended: Lsn,
}

impl<'a> Shown<'a> {
    /// `None` when no query may be answered: most kinds have none, and their turns pay nothing.
    pub(crate) fn of(core: &'a Core, cell: &'a Arc<ActorCell>, active: &'a mut Activation) -> Option<Self> {
        let appended = active.appended;
        may_show(cell, active).then(|| Self { core, cell, process: active.instance.process(), appended })
    }
}

/// Whether an actor may answer queries now.
pub(crate) fn may_show(cell: &ActorCell, active: &Activation) -> bool {
    cell.kind.has_queries() && active.may_answer()
}

/// Waits for `future`, which is no part of a delivery, and answers the queries that come meanwhile:
/// queries don't wait for the disk.
///
/// The caller pins it, so that turns stay small: an `async fn` would have it twice.
pub(crate) fn answering<T>(
    shown: Option<Shown<'_>>,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = T> {
    poll_fn(move |task| {
        if let Poll::Ready(value) = future.as_mut().poll(task) {
            return Poll::Ready(value);
        }
        let Some(Shown { core, cell, process, appended }) = &shown else { return Poll::Pending };
        if !is_stable(core, cell, *appended) {
            return Poll::Pending;
        }
        loop {
            // Wakes the task when its time is up, to go on with the next queries.
            let proceeds = ready!(poll_proceed(task));
            let Some(waiting) = cell.next_query_or_wake(task.waker()) else { return Poll::Pending };
            proceeds.made_progress();
            answer_waiting(cell, process, waiting);
        }
    })
}

/// Answers a query that has waited, and gives its place back after that.
fn answer_waiting(cell: &Arc<ActorCell>, process: &Process, waiting: WaitingQuery) {
    let WaitingQuery { query, place } = waiting;
    // Both wake callers, and a waker is foreign code: a panic there must not reach the actor.
    let name = query.name();
    if let Err(panic) = guarded(|| answer_from(cell, process, &name, |process| query.answer(process))) {
        tracing::warn!(actor = %cell.id, panic, "a caller could not be told the answer of its query");
    }
    drop_guarded("the place of a query", place);
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follows {
    Nothing,
    /// The record of the answer, which a crash that takes the state back takes back too.
    Record,
}

impl Follows {
    fn the(waiting: &WaitingQuery) -> Self {
        if waiting.query.is_recorded() { Self::Record } else { Self::Nothing }
    }
}

/// Invariant: no-orphan. What a query is shown of an actor between two deliveries.
///
/// # Panics
/// When the state is not to be shown yet, or no record follows and it depends on what could be
/// lost.
fn state_of<'a>(core: &Core, cell: &ActorCell, active: &'a Activation, follows: Follows) -> &'a Process {
    assert!(active.may_answer(), "the state of {} is not to be shown yet", cell.id);
    let may_leave = follows == Follows::Record || is_stable(core, cell, active.appended);
    assert!(may_leave, "{} answers from what could be lost", cell.id);
    active.instance.view()
}

/// Whether a state that depends on what stands below `appended` depends on nothing that could be
/// lost.
fn is_stable(core: &Core, cell: &ActorCell, appended: Lsn) -> bool {
    match cell.kind.discipline() {
        // What it has handled is on stable storage.
        Discipline::BeforeHandling => true,
        Discipline::BeforeOutput => appended <= core.services.committer.durable(),
    }
}

/// Shows an actor's state to a query. Every answer comes from here.
fn answer_from<T>(
    cell: &Arc<ActorCell>,
    process: &Process,
    query: &str,
    answer: impl FnOnce(&Process) -> T,
) -> T {
    let span = tracing::debug_span!("relive::query", actor = %cell.id, query);
    let _entered = span.enter();
    // The code of an answer that waits for its own actor would wait for ever.
    let _handling = Handling::enter(&**cell);
    answer(process)
}

#[cfg(test)]
#[path = "queries_tests.rs"]
mod tests;
