//! How many messages are logged and handled a second:
//! `cargo run --release --example throughput -- --help`.
//!
//! Tells of 128 bytes go to many actors from several tasks; the time is taken from the first tell
//! until every actor has handled everything, which with the tier `PowerLoss` means that all of it
//! was synced to the device first.

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::sync::Arc;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use relive::{Actor, Context, Durability, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Options {
    /// Messages in all.
    #[arg(long, default_value_t = 2_000_000)]
    messages: u64,
    /// Actors that they go to, in turn.
    #[arg(long, default_value_t = 1024)]
    actors: u64,
    /// Tasks that send.
    #[arg(long, default_value_t = 8)]
    senders: u64,
    /// What the store survives.
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    /// Where the store is made; a temporary directory when not given.
    #[arg(long)]
    data: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tier {
    PowerLoss,
    ProcessCrash,
    Volatile,
}

impl From<Tier> for Durability {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::PowerLoss => Self::PowerLoss,
            Tier::ProcessCrash => Self::ProcessCrash,
            Tier::Volatile => Self::Volatile,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Counter {
    messages: u64,
    sum: u64,
}

impl Actor for Counter {
    const KIND: &'static str = "counter";

    fn create(_key: &str) -> Self {
        Self { messages: 0, sum: 0 }
    }
}

/// 16 numbers of 8 bytes.
#[derive(Serialize, Deserialize)]
struct Numbers(#[serde(with = "raw")] [u8; 128]);

/// Bytes as MessagePack's binary type, not as an array of numbers.
mod raw {
    use serde::de::{Error, Visitor};

    pub(crate) fn serialize<S: serde::Serializer>(
        bytes: &[u8; 128],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 128], D::Error> {
        struct Raw;
        impl Visitor<'_> for Raw {
            type Value = [u8; 128];
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("128 bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; 128], E> {
                bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Raw)
    }
}

impl Message for Numbers {
    const NAME: &'static str = "numbers";
    type Reply = ();
}

impl Handle<Numbers> for Counter {
    async fn handle(&mut self, message: Numbers, _cx: &mut Context<'_>) {
        self.messages += 1;
        self.sum += u64::from(message.0[0]);
    }
}

#[derive(Serialize, Deserialize)]
struct Total;

impl Message for Total {
    const NAME: &'static str = "total";
    type Reply = u64;
}

impl Handle<Total> for Counter {
    async fn handle(&mut self, _message: Total, _cx: &mut Context<'_>) -> u64 {
        self.messages
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let temporary = tempfile::tempdir()?;
    let data = options.data.clone().unwrap_or_else(|| temporary.path().join("store"));
    let runtime = Runtime::builder()
        .actor::<Counter>(|counter| counter.handles::<Numbers>().handles::<Total>())
        .durability(options.tier.into())
        .open(&data)
        .await?;
    println!("{}", runtime.recovery().durability);
    let actors: Vec<_> = (0..options.actors)
        .map(|key| runtime.actor::<Counter>(&key.to_string()))
        .collect::<Result<_, _>>()?;
    let actors = Arc::new(actors);
    let before = total(&actors).await?;

    let began = Instant::now();
    let tasks: Vec<_> = (0..options.senders)
        .map(|sender| {
            let actors = Arc::clone(&actors);
            let (messages, senders) = (options.messages, options.senders);
            tokio::spawn(async move {
                for number in (sender..messages).step_by(usize::try_from(senders).unwrap_or(1)) {
                    let actor = &actors[usize::try_from(number % actors.len() as u64).unwrap_or(0)];
                    let receipt = actor.tell(Numbers([number.to_le_bytes()[0]; 128])).await;
                    drop(receipt.map_err(|error| error.reason)?);
                }
                Ok::<(), relive::Refused>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let accepted = began.elapsed();
    let handled = total(&actors).await? - before;
    let took = began.elapsed();
    let stats = runtime.stats();
    assert_eq!(handled, options.messages, "every message is handled once");
    let rate = |time: std::time::Duration| options.messages as f64 / time.as_secs_f64();
    println!("{handled} messages to {} actors in {took:.2?}: {:.0} a second", options.actors, rate(took));
    println!("accepted in {accepted:.2?}: {:.0} a second", rate(accepted));
    println!(
        "{} commits, {:.0} KiB and {:.0} records each, {:.2?} each; {:.1} bytes logged a message",
        stats.commits,
        stats.bytes as f64 / 1024.0 / stats.commits as f64,
        stats.records as f64 / stats.commits as f64,
        stats.commit_time / u32::try_from(stats.commits.max(1))?,
        stats.bytes as f64 / stats.deliveries as f64,
    );
    println!("{} checkpoints, {} MiB of log kept", stats.checkpoints, runtime.log_bytes() >> 20);
    runtime.shutdown().await?;
    Ok(())
}

async fn total(actors: &[relive::ActorRef<Counter>]) -> Result<u64, Box<dyn std::error::Error>> {
    let mut sum = 0;
    let mut asks = tokio::task::JoinSet::new();
    for actor in actors {
        let actor = actor.clone();
        asks.spawn(async move { actor.ask(Total).await });
    }
    while let Some(answer) = asks.join_next().await {
        sum += answer??;
    }
    Ok(sum)
}
