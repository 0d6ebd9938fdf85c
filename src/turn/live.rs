//! The determinants of a handler that runs live. Only events from before a crash have a record. New
//! events go to the log. The handler continues when they are on stable storage, or, when its actor
//! waits for its outputs alone, at once: then its side effects wait.
//!
//! # Source
//! Output commit: Strom and Yemini, *Optimistic Recovery in Distributed Systems*, ACM TOCS 3(3),
//! 1985; Elnozahy, Alvisi, Wang and Johnson, *A Survey of Rollback-Recovery Protocols in
//! Message-Passing Systems*, ACM Computing Surveys 34(3), 2002.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use relive_replay::ask::Answered;
use relive_replay::determinants::{Happened, Logging, NoOutcome};
use relive_replay::{
    AskFailure, Determinants, Discipline, Divergence, Outgoing, QueryFailure, Recorded, Tape, Wait, WaitFor,
    inquiry,
};
use relive_storage::record::{Event, EventKind};
use relive_storage::{ActorId, Lsn, Rsn, Ssn, StoreError, Timestamp};

use crate::actor::activation::finish_frame;
use crate::actor::cell::ActorCell;
use crate::actor::pause::Offer;
use crate::actor::replies::Unlearned;
use crate::actor::wait_graph::{Others, named};
use crate::handling::address;
use crate::harness::{Motion, Moving};
use crate::log::frame_pool::PooledFrameWriter;
use crate::shared::Core;
use crate::turn::dispatch::{acknowledge_reply, release};
use crate::turn::inquiries::Inquiries;
use crate::turn::intake::commit_of;

/// Determinants that happen now.
pub(crate) struct Live<'a> {
    pub(crate) core: &'a Arc<Core>,
    pub(crate) cell: &'a Arc<ActorCell>,
    pub(crate) tape: &'a mut Tape,
    pub(crate) unlearned: &'a mut Unlearned,
    /// An asker outside waits for the reply.
    pub(crate) wants_reply: bool,
    /// For somebody who wants to know what no frame says of the delivery.
    offer: &'a Offer,
    /// What the delivery depends on stands below.
    appended: Lsn,
    discipline: Discipline,
    /// `None` until the handler waits. Most wait for nothing.
    waiting: Option<Box<Waiting<'a>>>,
}

/// What a handler that waits has beside.
#[derive(Default)]
struct Waiting<'a> {
    so_far: Waited,
    /// The queries that the handler waits for.
    inquiries: Inquiries,
    /// The wait for the first of those replies, and that of a side effect.
    until_learned: Option<UntilDurable<'a>>,
    until_stable: Option<UntilDurable<'a>>,
    asleep: Option<Asleep>,
    /// The wait graph has the handler, unless a reply has taken it out.
    in_graph: bool,
    /// Moves while the handler waits for a side effect.
    acts: Motion,
}

/// What a handler that has waited leaves.
#[derive(Default)]
pub(crate) struct Waited {
    /// The end of what it has logged; how many events that were, and the bytes of their frames.
    pub(crate) appended: Lsn,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// The delivery's messages that have left.
    pub(crate) released: Vec<Outgoing>,
    /// Replies that it has learned. Who has answered is told when they are on stable storage.
    pub(crate) learned: VecDeque<(Lsn, ActorId, Ssn)>,
}

/// A wait for a part of the log.
type UntilDurable<'a> = Pin<Box<dyn Future<Output = Result<(), Arc<StoreError>>> + Send + 'a>>;

/// The moment that the handler waits for first.
struct Asleep {
    until: Timestamp,
    timer: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        (core, cell, discipline): (&'a Arc<Core>, &'a Arc<ActorCell>, Discipline),
        (tape, unlearned): (&'a mut Tape, &'a mut Unlearned),
        (offer, wants_reply): (&'a Offer, bool),
        appended: Lsn,
    ) -> Self {
        let waiting = None;
        Self { core, cell, tape, unlearned, wants_reply, offer, appended, discipline, waiting }
    }

    /// The step is over. Returns what its handler has left, if it has waited.
    pub(crate) fn end(mut self) -> Option<Waited> {
        self.leave_graph();
        self.waiting.take().map(|waiting| waiting.so_far)
    }

    fn waiting(&mut self) -> &mut Waiting<'a> {
        self.waiting.get_or_insert_default()
    }

    /// The handler goes on. The graph is one for all actors, so only those that were in it ask.
    fn leave_graph(&mut self) {
        if self.waiting.as_mut().is_some_and(|waiting| std::mem::take(&mut waiting.in_graph)) {
            self.core.actors.wait_graph().goes_on(&self.cell.id);
        }
    }

    /// Acknowledges the learned replies that are on stable storage. The handler may wait for long.
    fn acknowledge_learned(&mut self, task: &mut Context<'_>) {
        let (core, cell) = (self.core, self.cell);
        let Waiting { so_far: Waited { learned, .. }, until_learned, .. } = self.waiting();
        while let Some((end, _, _)) = learned.front() {
            let end = *end;
            let committer = &core.services.committer;
            let wait = until_learned.get_or_insert_with(|| Box::pin(committer.until_durable(end)));
            if !matches!(wait.as_mut().poll(task), Poll::Ready(Ok(()))) {
                return;
            }
            *until_learned = None;
            while learned.front().is_some_and(|(at, _, _)| *at <= end)
                && let Some((_, from, ssn)) = learned.pop_front()
            {
                acknowledge_reply(core, cell, &from, ssn);
            }
        }
    }

    /// The reply that has come first to one of the waits.
    fn reply(&mut self, waits: &[Wait], task: &Context<'_>) -> Option<Happened> {
        self.unlearned.extend(self.cell.take_replies(Some(task.waker())));
        let (index, reply) = self.unlearned.take_first(|reply| {
            let is_for = |wait: &&Wait| match &wait.what {
                WaitFor::Reply { from, ssn } => *from == reply.from && *ssn == reply.ssn,
                _ => false,
            };
            waits.iter().find(is_for).map(|wait| wait.index)
        })?;
        let kind = EventKind::Reply { from: reply.from, ssn: reply.ssn };
        Some(Happened { index, kind, outcome: reply.outcome })
    }

    /// What has come of one of the queries. Asks those that were not asked before.
    fn answer(&mut self, waits: &[Wait], task: &mut Context<'_>) -> Option<Happened> {
        let (core, cell) = (self.core, self.cell);
        self.waiting().inquiries.poll((core, &cell.id), waits, task)
    }

    /// The end of the sleep that is due first.
    fn waking(&mut self, waits: &[Wait], task: &mut Context<'_>) -> Option<Happened> {
        let sleeps = waits.iter().filter_map(|wait| match wait.what {
            WaitFor::Time(until) => Some((until, wait.index)),
            _ => None,
        });
        let clock = &self.core.services.clock;
        let Waiting { asleep, .. } = self.waiting.get_or_insert_default().as_mut();
        let Some((until, index)) = sleeps.min() else {
            *asleep = None;
            return None;
        };
        loop {
            if clock.now() >= until {
                let (kind, outcome) = (EventKind::Elapsed, Bytes::new());
                return Some(Happened { index, kind, outcome });
            }
            if asleep.as_ref().is_none_or(|asleep| asleep.until != until) {
                *asleep = Some(Asleep { until, timer: clock.wait_until(until) });
            }
            let timer = asleep.as_mut().map(|asleep| asleep.timer.as_mut().poll(task));
            if timer.is_some_and(|timer| timer.is_pending()) {
                return None;
            }
            // The clock may have gone back meanwhile.
            *asleep = None;
        }
    }

    /// An ask or a query that nobody answers: its receiver has stopped, or it has closed a cycle.
    fn failure(&mut self, waits: &[Wait], task: &Context<'_>) -> Option<Happened> {
        let asks: Vec<_> = waits.iter().filter_map(|wait| Some((wait, wait.what.actor()?))).collect();
        let (core, cell) = (self.core, self.cell);
        let graph = core.actors.wait_graph();
        // A side effect may call an actor from outside.
        let calls = graph.calls(address(&**cell));
        if asks.is_empty() && calls.is_empty() {
            return None;
        }
        let sleeps = waits.iter().any(|wait| matches!(wait.what, WaitFor::Time(_)));
        let side_effects = waits.iter().filter(|wait| wait.what == WaitFor::SideEffect).count();
        let waits_for_actors = !sleeps && side_effects <= calls.len();
        let others = if waits_for_actors { Others::Nothing } else { Others::Something };
        let on = asks.iter().map(|(_, from)| (*from).clone()).chain(calls).collect();
        let waiting = self.waiting();
        waiting.in_graph = true;
        // Before the look at the receivers: one that stops from now on wakes this handler.
        let has_news = || cell.has_replies() || waiting.inquiries.have_news();
        let cycle = graph.waits(&cell.id, on, others, task.waker(), has_news);
        if let Some(cycle) = cycle {
            let next = cycle.get(1).expect("a cycle has a second actor");
            let Some((wait, _)) = asks.iter().rev().find(|(_, from)| next == *from) else {
                graph.close(address(&**cell), next, cycle.clone());
                return None;
            };
            let (wait, cycle) = (*wait, named(&cycle));
            self.leave_graph();
            return Some(happened(wait, Failure::Deadlock { cycle }));
        }
        let (wait, from, failure) =
            asks.iter().find_map(|(wait, from)| Some((*wait, *from, core.actors.get(from)?.failure()?)))?;
        let (receiver, reason) = (from.to_string(), failure.to_string());
        self.leave_graph();
        Some(happened(wait, Failure::Stopped { receiver, reason }))
    }
}

/// Why nobody answers an ask or a query.
enum Failure {
    Deadlock { cycle: Vec<String> },
    Stopped { receiver: String, reason: String },
}

/// The end of a wait that nobody ends.
fn happened(wait: &Wait, failure: Failure) -> Happened {
    let index = wait.index;
    if let WaitFor::Answer { .. } = wait.what {
        let outcome = inquiry::Answered::failure(match failure {
            Failure::Deadlock { cycle } => QueryFailure::Deadlock { cycle },
            Failure::Stopped { receiver, reason } => QueryFailure::Stopped { receiver, reason },
        });
        return Happened { index, kind: EventKind::Answer, outcome };
    }
    let outcome = Answered::failure(match failure {
        Failure::Deadlock { cycle } => AskFailure::Deadlock { cycle },
        Failure::Stopped { receiver, reason } => AskFailure::Stopped { receiver, reason },
    });
    Happened { index, kind: EventKind::AskFailed, outcome }
}

impl Determinants for Live<'_> {
    fn recorded(&mut self, rsn: Rsn, waits: &[Wait]) -> Result<Recorded, Divergence> {
        Ok(self.tape.next_event(rsn, waits)?.map_or(Recorded::Nothing, Recorded::Event))
    }

    fn release(&mut self, sends: &[Outgoing]) {
        let released = &mut self.waiting.get_or_insert_default().so_far.released;
        let news = &sends[released.len()..];
        if news.is_empty() {
            return;
        }
        released.extend_from_slice(news);
        // Kept before they leave: a receiver may acknowledge at once.
        self.cell.keep_until_acknowledged(news);
        release(self.core, self.cell, news.to_vec());
    }

    fn poll_happened(&mut self, waits: &[Wait], task: &mut Context<'_>) -> Poll<Happened> {
        let (core, cell) = (self.core, self.cell);
        core.services.harness.set(&mut self.waiting().acts, || {
            let acts = waits.iter().any(|wait| wait.what == WaitFor::SideEffect);
            acts.then(|| Moving::SideEffect(cell.id.clone()))
        });
        self.acknowledge_learned(task);
        // What has come counts before what has not: a receiver may answer and then stop.
        let happened = self.reply(waits, task);
        let happened = happened.or_else(|| self.answer(waits, task));
        let happened = happened.or_else(|| self.waking(waits, task));
        let happened = happened.or_else(|| self.failure(waits, task));
        if happened.is_none() {
            // Not otherwise: an event is logged next, and what is said here would be old.
            let released = self.waiting.as_ref().map_or(&[][..], |waiting| &waiting.so_far.released);
            self.offer.waits(self.tape, released);
        }
        happened.map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_stable(&mut self, task: &mut Context<'_>) -> Poll<Result<(), NoOutcome>> {
        if self.discipline == Discipline::BeforeHandling {
            return Poll::Ready(Ok(()));
        }
        let (committer, end) = (&self.core.services.committer, self.appended);
        let until_stable = &mut self.waiting.get_or_insert_default().until_stable;
        let wait = until_stable.get_or_insert_with(|| {
            committer.want(end);
            Box::pin(committer.until_durable(end))
        });
        let stable = std::task::ready!(wait.as_mut().poll(task));
        *until_stable = None;
        Poll::Ready(stable.map_err(|_| NoOutcome))
    }

    fn log(&mut self, event: Event) -> Logging<'_> {
        Box::pin(async move {
            self.leave_graph();
            let mut encoder = PooledFrameWriter::borrow();
            encoder.put_event(&event);
            // The delivery is under way, so the frame says that the one before is handled.
            let handled = event.rsn.prev();
            let frame = finish_frame(self.tape, &self.cell.id, handled, &mut encoder);
            let so_far = &mut self.waiting().so_far;
            so_far.events += 1;
            so_far.bytes += frame.len() as u64;
            let placed = |block| self.cell.change_pins(|pins| pins.placed(block));
            let committer = &self.core.services.committer;
            let appended = committer.append(frame, commit_of(self.discipline), placed).await;
            let appended = appended.map_err(|_| NoOutcome)?;
            self.appended = appended.end;
            self.waiting().so_far.appended = appended.end;
            // Back to the thread before the wait, which may end on another one.
            drop(encoder);
            if self.discipline == Discipline::BeforeHandling {
                committer.until_durable(appended.end).await.map_err(|_| NoOutcome)?;
            }
            match event.kind {
                EventKind::Reply { from, ssn } if appended.end <= committer.durable() => {
                    acknowledge_reply(self.core, self.cell, &from, ssn);
                }
                EventKind::Reply { from, ssn } => {
                    self.waiting().so_far.learned.push_back((appended.end, from, ssn));
                }
                _ => {}
            }
            Ok(appended.context.clock)
        })
    }

    fn wants_reply(&self) -> bool {
        self.wants_reply
    }

    fn checks(&self) -> bool {
        true
    }

    fn finish(&mut self, rsn: Rsn, digest: Option<u64>) -> Result<(), Divergence> {
        self.tape.finish(rsn, digest)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.leave_graph();
    }
}
