//! kameo as a peer: actors as plain tokio tasks, which forget everything. Knows no measurement.

use anyhow::{Result, anyhow};
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::message::{Context, Message};

use super::{Numbers, Peer};

#[derive(Actor)]
struct Counter {
    messages: u64,
    sum: u64,
}

impl Counter {
    fn receive(&mut self, message: &Numbers) -> u64 {
        self.messages += 1;
        self.sum += u64::from(message.0[0]);
        self.messages
    }
}

impl Message<Numbers> for Counter {
    type Reply = ();

    async fn handle(&mut self, message: Numbers, _context: &mut Context<Self, Self::Reply>) {
        self.receive(&message);
    }
}

/// The same bytes, for an answer.
struct Question(Numbers);

impl Message<Question> for Counter {
    type Reply = u64;

    async fn handle(&mut self, message: Question, _context: &mut Context<Self, Self::Reply>) -> u64 {
        self.receive(&message.0)
    }
}

/// Counters as actors of kameo, with its default mailbox: bounded, 64 messages.
pub(crate) struct Kameo {
    actors: Vec<ActorRef<Counter>>,
}

impl Kameo {
    /// Starts the actors, in the tokio runtime that it is called in.
    pub(crate) fn start(actors: usize) -> Self {
        Self { actors: (0..actors).map(|_| Counter::spawn(Counter { messages: 0, sum: 0 })).collect() }
    }
}

impl Peer for Kameo {
    fn actors(&self) -> usize {
        self.actors.len()
    }

    // `send` is what awaiting the request does too, without a box around it.
    async fn tell(&self, actor: usize, message: Numbers) -> Result<()> {
        self.actors[actor].tell(message).send().await.map_err(|error| anyhow!("not sent: {error}"))
    }

    async fn ask(&self, actor: usize, message: Numbers) -> Result<u64> {
        self.actors[actor].ask(Question(message)).send().await.map_err(|error| anyhow!("no answer: {error}"))
    }
}
