//! Calls a service outside, under a key that lets the service recognise a repetition:
//! `cargo run --example charge`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use relive::{Actor, Context, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order {
    receipts: Vec<String>,
}

impl Actor for Order {
    const KIND: &'static str = "order";

    fn create(_key: &str) -> Self {
        Order { receipts: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
struct Pay {
    cents: u64,
}

impl Message for Pay {
    const NAME: &'static str = "pay";
    type Reply = Result<String, String>;
}

impl Handle<Pay> for Order {
    async fn handle(&mut self, Pay { cents }: Pay, cx: &mut Context<'_>) -> Result<String, String> {
        // The outcome is on the disk before the handler continues. After a crash before that, the
        // handler charges again under the same key. A replay after that calls nothing outside.
        let receipt = cx.keyed_side_effect("charge", |key| charge(key, cents)).await?;
        self.receipts.push(receipt.clone());
        Ok(receipt)
    }
}

/// A payment service. For it, the same key is the same payment.
async fn charge(key: String, cents: u64) -> Result<String, String> {
    println!("charging {cents} cents under the key {key}");
    // Put a time limit here, inside the side effect: `tokio::time::timeout(…, request).await`.
    Ok(format!("receipt for {cents} cents"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join("relive-charge-example");
    let open = || Runtime::builder().actor::<Order>(|order| order.handles::<Pay>()).open(&directory);
    let runtime = open().await?;
    let paid = runtime.actor::<Order>("17")?.ask(Pay { cents: 500 }).await?;
    println!("paid: {paid:?}");
    runtime.crash().await;

    // The order relives its delivery with the recorded outcome, and charges nothing again.
    let runtime = open().await?;
    println!("relived {} deliveries", runtime.recovery().replayed);
    runtime.shutdown().await?;
    Ok(())
}
