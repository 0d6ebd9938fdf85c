//! A counter that shuts down on a signal: `cargo run --example signal`, then Ctrl-C. Run it again,
//! and it continues.
//!
//! A task serves requests with a clone of the runtime. `main` waits for the signal, and shuts the
//! runtime down.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use relive::{Actor, Context, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Serialize, Deserialize)]
struct Counter {
    total: u64,
}

impl Actor for Counter {
    const KIND: &'static str = "counter";

    fn create(_key: &str) -> Self {
        Counter { total: 0 }
    }
}

#[derive(Serialize, Deserialize)]
struct Add(u64);

impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

impl Handle<Add> for Counter {
    async fn handle(&mut self, message: Add, _cx: &mut Context<'_>) -> u64 {
        self.total += message.0;
        self.total
    }
}

async fn serve(runtime: Runtime) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let counter = runtime.actor::<Counter>("requests")?;
    loop {
        println!("request {}", counter.ask(Add(1)).await?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Waits for Ctrl-C. With tokio's feature `signal` this is `tokio::signal::ctrl_c()`.
async fn signal() -> Result<(), ctrlc::Error> {
    let signalled = Arc::new(Notify::new());
    let tell = Arc::clone(&signalled);
    ctrlc::set_handler(move || tell.notify_one())?;
    signalled.notified().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let directory = std::env::temp_dir().join("relive-signal-example");
    let runtime =
        Runtime::builder().actor::<Counter>(|counter| counter.handles::<Add>()).open(&directory).await?;
    let serving = tokio::spawn(serve(runtime.clone()));

    signal().await?;
    let report = runtime.shutdown().await?;
    println!("shut down; left to replay: {}", report.left.len());

    serving.abort();
    Ok(())
}
