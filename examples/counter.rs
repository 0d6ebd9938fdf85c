//! One actor that keeps its state: `cargo run --example counter`, as often as you like.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use relive::{Actor, Context, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join("relive-counter-example");
    let runtime =
        Runtime::builder().actor::<Counter>(|counter| counter.handles::<Add>()).open(&directory).await?;
    let visits = runtime.actor::<Counter>("visits")?;
    // The reply means that the message is on the disk: a crash right after this line loses nothing.
    println!("visited {} times", visits.ask(Add(1)).await?);
    runtime.shutdown().await?;
    Ok(())
}
