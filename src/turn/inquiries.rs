//! The queries of a handler that waits. The actor that answers logs nothing of them; the answer is
//! an event of the one that asks, as each thing that a handler learns.
//!
//! Such an answer does not wait until the state that it shows is on stable storage. The log is one
//! sequence, and what comes back of it after a crash is a prefix. The record of the answer stands
//! behind all that the state depends on, since the actor has handled only what had its position. So
//! a crash that takes the state back takes the answer back with it, and whatever the handler does
//! outside waits for the record of the answer.

use std::any::TypeId;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use relive_replay::answering::answer_encoded;
use relive_replay::determinants::Happened;
use relive_replay::inquiry::Answered;
use relive_replay::query::AnswerError;
use relive_replay::{Process, QueryFailure, Wait, WaitFor};
use relive_storage::record::EventKind;
use relive_storage::{ActorId, Name};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use crate::actor::cell::ActorCell;
use crate::actor::expected::{Came, ExpectedAnswer};
use crate::actor::queries::AnyQuery;
use crate::actor::wait_graph::WaitGraph;
use crate::error::Unavailable;
use crate::shared::Core;
use crate::turn::queries::{Asker, ask, lend};

/// The queries of one handler that it waits for.
#[derive(Default)]
pub(crate) struct Inquiries(Vec<Inquiry>);

/// A query that a handler waits for.
struct Inquiry {
    /// The index of the wait.
    index: u32,
    stage: Stage,
}

enum Stage {
    /// Nobody is asked yet.
    New,
    /// It waits for a place among the queries that wait for the actor.
    Placing(Arc<ActorCell>, Placing),
    /// The actor is to answer.
    Asked(Arc<ExpectedAnswer>),
    /// What came of it, encoded.
    Came(Bytes),
    /// The runtime has ended. The handler goes on waiting, and asks after the next opening.
    Ended,
}

type Placing = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl Inquiries {
    /// Asks what the handler of `asker` waits for and has not asked, gives up what it waits for no
    /// more, and returns what has come of one of them.
    pub(crate) fn poll(
        &mut self,
        (core, asker): (&Arc<Core>, &ActorId),
        waits: &[Wait],
        task: &mut Context<'_>,
    ) -> Option<Happened> {
        self.0.retain(|inquiry| waits.iter().any(|wait| wait.index == inquiry.index));
        // All of them, also when the first has come: each begins when the handler waits for it.
        for wait in waits {
            let WaitFor::Answer { from, query, payload } = &wait.what else { continue };
            let at = self.0.iter().position(|inquiry| inquiry.index == wait.index);
            let at = at.unwrap_or_else(|| {
                self.0.push(Inquiry { index: wait.index, stage: Stage::New });
                self.0.len() - 1
            });
            let query = (wait.name.clone(), *query);
            self.0[at].go_on(&Question { core, asker, from, query, payload }, task);
        }
        let at = self.0.iter().position(|inquiry| matches!(inquiry.stage, Stage::Came(_)))?;
        let mut inquiry = self.0.remove(at);
        let Stage::Came(outcome) = std::mem::replace(&mut inquiry.stage, Stage::Ended) else {
            unreachable!("it was just looked at")
        };
        Some(Happened { index: inquiry.index, kind: EventKind::Answer, outcome })
    }

    /// Whether an answer has come that the handler has not seen.
    pub(crate) fn have_news(&self) -> bool {
        let has_come = |inquiry: &Inquiry| match &inquiry.stage {
            Stage::Asked(expected) => expected.has_come(),
            _ => false,
        };
        self.0.iter().any(has_come)
    }
}

impl Inquiry {
    fn go_on(&mut self, question: &Question<'_>, task: &mut Context<'_>) {
        loop {
            self.stage = match &mut self.stage {
                Stage::New => question.begin(),
                Stage::Placing(cell, placing) => match placing.as_mut().poll(task) {
                    Poll::Ready(Ok(place)) => question.ask(cell, place),
                    // Nobody closes the places.
                    Poll::Ready(Err(_)) | Poll::Pending => return,
                },
                Stage::Asked(expected) => match expected.take_or_wake(task.waker()) {
                    Some(Came::Outcome(outcome)) => Stage::Came(outcome),
                    Some(Came::Refused) => Stage::New,
                    None => return,
                },
                Stage::Came(_) | Stage::Ended => return,
            };
        }
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        if let Stage::Asked(expected) = &self.stage {
            expected.give_up();
        }
    }
}

/// What a handler wants to know, and of whom.
struct Question<'a> {
    core: &'a Arc<Core>,
    asker: &'a ActorId,
    from: &'a ActorId,
    query: (Name, TypeId),
    payload: &'a Bytes,
}

impl Question<'_> {
    /// Asks an actor that rests at once, as a caller outside does.
    fn begin(&self) -> Stage {
        let Self { core, from, query: (name, of), payload, .. } = self;
        let not_asked = |reason| Stage::Came(Answered::failure(QueryFailure::NotAsked { reason }));
        let Some(cell) = core.actors.get_or_insert(from) else {
            let kind = from.kind();
            return not_asked(format!(
                "the actor kind {kind:?} is not registered: register it with the builder"
            ));
        };
        if cell.kind.query(name) != Some(*of) {
            return not_asked(AnswerError::Unanswered.to_string());
        }
        match lend(core, &cell, Asker::Handler) {
            Ok(Some(lent)) => {
                Stage::Came(lent.answer(name, |process| answered_by(process, from, name, payload)))
            }
            Ok(None) => Stage::Placing(Arc::clone(&cell), Box::pin(cell.query_places().acquire_owned())),
            Err(reason) => unavailable(from, &reason),
        }
    }

    /// Lets the query wait for its actor, with its place.
    fn ask(&self, cell: &Arc<ActorCell>, place: OwnedSemaphorePermit) -> Stage {
        let expected = Arc::new(ExpectedAnswer::new());
        let query = HandlerQuery {
            asker: self.asker.clone(),
            receiver: self.from.clone(),
            name: self.query.0.clone(),
            payload: self.payload.clone(),
            wait_graph: Arc::clone(self.core.actors.wait_graph()),
            expected: Arc::clone(&expected),
        };
        match ask(self.core, cell, Box::new(query), place, Asker::Handler) {
            Ok(()) => Stage::Asked(expected),
            Err(reason) => unavailable(self.from, &reason),
        }
    }
}

fn unavailable(receiver: &ActorId, reason: &Unavailable) -> Stage {
    match stopped(receiver, reason) {
        Some(outcome) => Stage::Came(outcome),
        None => Stage::Ended,
    }
}

/// The outcome of a query of an actor that has stopped; `None` when the runtime has: that is no
/// answer, and the next opening asks again.
fn stopped(receiver: &ActorId, reason: &Unavailable) -> Option<Bytes> {
    let Unavailable::Actor(failure) = reason else { return None };
    let (receiver, reason) = (receiver.to_string(), failure.to_string());
    Some(Answered::failure(QueryFailure::Stopped { receiver, reason }))
}

fn answered_by(process: &Process, receiver: &ActorId, name: &Name, payload: &[u8]) -> Bytes {
    Answered::by(receiver, answer_encoded(process, name, payload))
}

/// A query of a handler among those that wait for an actor.
struct HandlerQuery {
    asker: ActorId,
    receiver: ActorId,
    name: Name,
    payload: Bytes,
    wait_graph: Arc<WaitGraph>,
    expected: Arc<ExpectedAnswer>,
}

impl HandlerQuery {
    fn bring(&self, came: Came) {
        // In one step: who looks for a deadlock finds the answer, or the handler waiting for it.
        let handler = self.wait_graph.news_for(&self.asker, || self.expected.bring(came));
        // Without the lock: a waker is foreign code.
        if let Some(handler) = handler {
            handler.wake();
        }
    }
}

impl AnyQuery for HandlerQuery {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn answer(self: Box<Self>, process: &Process) {
        if self.expected.is_open() {
            let Self { receiver, name, payload, .. } = &*self;
            self.bring(Came::Outcome(answered_by(process, receiver, name, payload)));
        }
    }

    fn refuse(self: Box<Self>, reason: Unavailable) {
        let stopped = stopped(&self.receiver, &reason);
        self.bring(stopped.map_or(Came::Refused, Came::Outcome));
    }
}

#[cfg(test)]
#[path = "inquiries_tests.rs"]
mod tests;
