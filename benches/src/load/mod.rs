//! The load that every runtime of actors gets: the same messages, sent in the same way, and the
//! same way to see that all was handled. Knows no runtime; each is a [`Peer`].

mod kameo;
mod message;
mod relive;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

pub(crate) use self::kameo::Kameo;
pub(crate) use self::message::{MESSAGE_BYTES, Numbers};
pub(crate) use self::relive::{Counter, Queried, Relive, Tier, fired, set_timers};

/// Some actors that count what they receive, in some runtime.
pub(crate) trait Peer: Send + Sync + 'static {
    /// How many actors there are.
    fn actors(&self) -> usize;
    /// Sends 128 bytes to an actor; waits only when its mailbox is full.
    fn tell(&self, actor: usize, message: Numbers) -> impl Future<Output = Result<()>> + Send;
    /// Sends 128 bytes to an actor, and waits for the answer: how many messages it has received,
    /// this one included.
    fn ask(&self, actor: usize, message: Numbers) -> impl Future<Output = Result<u64>> + Send;
}

/// How long a burst of tells took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    /// What was handled: the tells, and at the end one ask to each actor.
    pub(crate) handled: u64,
    /// Until the last tell was accepted.
    pub(crate) accepted: Duration,
    /// From the first tell until every actor had answered.
    pub(crate) took: Duration,
}

impl Burst {
    /// Messages handled a second.
    pub(crate) fn rate(&self) -> f64 {
        self.handled as f64 / self.took.as_secs_f64()
    }
}

/// Tells from several tasks to all actors in turn, then asks each actor, which is also the proof
/// that all was handled; `before` is how many messages were handled before.
pub(crate) async fn burst<P: Peer>(peer: &Arc<P>, tells: u64, senders: usize, before: u64) -> Result<Burst> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for sender in 0..senders {
        let peer = Arc::clone(peer);
        tasks.spawn(async move {
            let actors = peer.actors();
            let mut actor = sender % actors;
            for number in (sender as u64..tells).step_by(senders) {
                peer.tell(actor, Numbers::of(number)).await?;
                actor = (actor + senders) % actors;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    let accepted = began.elapsed();
    let total = ask_all(peer).await?;
    let took = began.elapsed();
    let handled = tells + peer.actors() as u64;
    ensure!(total == before + handled, "{total} messages were handled, {} were sent", before + handled);
    Ok(Burst { handled, accepted, took })
}

/// Asks each actor once, all at the same time; gives the sum of the answers.
pub(crate) async fn ask_all<P: Peer>(peer: &Arc<P>) -> Result<u64> {
    let mut asks = JoinSet::new();
    for actor in 0..peer.actors() {
        let peer = Arc::clone(peer);
        asks.spawn(async move { peer.ask(actor, Numbers::of(0)).await });
    }
    let mut sum = 0;
    while let Some(answer) = asks.join_next().await {
        sum += answer.context("an ask ended early")??;
    }
    Ok(sum)
}

/// Tells each actor in turn, one of several senders, until it is told to end; gives how many it
/// told.
pub(crate) async fn tell_until<P: Peer>(
    ended: Arc<AtomicBool>,
    peer: Arc<P>,
    sender: usize,
    senders: usize,
) -> Result<u64> {
    let (mut told, mut actor) = (0, sender % peer.actors());
    while !ended.load(Ordering::Relaxed) {
        peer.tell(actor, Numbers::of(told)).await?;
        actor = (actor + senders) % peer.actors();
        told += 1;
    }
    Ok(told)
}

/// Waits for tasks, and gives the first error.
pub(crate) async fn join(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task ended early")??;
    }
    Ok(())
}
