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
    #[cfg(test)]
    tests::note(&key);
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

/// `cargo test --example charge`
#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use relive::Builder;
    use relive::testing::{CrashTest, TestResult, TestStore, crash_at_every_point};

    use super::*;

    thread_local! {
        /// The keys under which the service was called; the tests run handlers on their own thread.
        static KEYS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(key: &str) {
        KEYS.with_borrow_mut(|keys| keys.push(key.to_owned()));
    }

    struct Charge;

    impl Charge {
        fn new() -> Self {
            KEYS.with_borrow_mut(Vec::clear);
            Charge
        }
    }

    impl CrashTest for Charge {
        fn builder(&self) -> Builder {
            Runtime::builder().actor::<Order>(|order| order.handles::<Pay>())
        }

        async fn run(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
            // Sent under a key, so that it may be sent again.
            let order = runtime.actor::<Order>("17")?;
            order.ask(Pay { cents: 500 }).idempotency_key("order-17").await??;
            Ok(())
        }

        async fn check(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
            let order = runtime.actor::<Order>("17")?;
            let receipt = order.ask(Pay { cents: 500 }).idempotency_key("order-17").await??;
            assert_eq!(receipt, "receipt for 500 cents");
            // The service may have been called more than once, always under one key.
            let mut keys = KEYS.with_borrow(Vec::clone);
            keys.dedup();
            assert_eq!(keys.len(), 1, "{keys:?}");
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_try_has_the_same_key() -> TestResult {
        let report = crash_at_every_point(Charge::new).await?;
        assert_eq!(report.missed, 0);
        Ok(())
    }
}
