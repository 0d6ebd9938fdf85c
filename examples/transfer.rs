//! One actor sends to another: money leaves one account and arrives at the other exactly once, also
//! when the process ends in between. `cargo run --example transfer`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use relive::{Actor, Context, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Account {
    cents: i64,
}

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_key: &str) -> Self {
        Account { cents: 0 }
    }
}

#[derive(Serialize, Deserialize)]
struct Deposit(i64);

impl Message for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = i64;
}

#[derive(Serialize, Deserialize)]
struct Transfer {
    to: String,
    cents: i64,
}

impl Message for Transfer {
    const NAME: &'static str = "transfer";
    type Reply = bool;
}

impl Handle<Deposit> for Account {
    async fn handle(&mut self, Deposit(cents): Deposit, _cx: &mut Context<'_>) -> i64 {
        self.cents += cents;
        self.cents
    }
}

impl Handle<Transfer> for Account {
    async fn handle(&mut self, Transfer { to, cents }: Transfer, cx: &mut Context<'_>) -> bool {
        // The message leaves after the handler is done: the account changes and sends the message,
        // or does neither.
        if cents > self.cents || cx.to::<Account>(&to).send(Deposit(cents)).is_err() {
            return false;
        }
        self.cents -= cents;
        true
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join("relive-transfer-example");
    let open = || {
        let builder = Runtime::builder().actor::<Account>(|a| a.handles::<Deposit>().handles::<Transfer>());
        builder.open(&directory)
    };
    let runtime = open().await?;
    let alice = runtime.actor::<Account>("alice")?;
    alice.ask(Deposit(10)).await?;
    println!("transferred: {}", alice.ask(Transfer { to: "bob".into(), cents: 10 }).await?);
    // Ends like a crash. If the deposit is on its way, it arrives in the next life, once.
    runtime.crash().await;

    let runtime = open().await?;
    println!("alice has {}", runtime.actor::<Account>("alice")?.ask(Deposit(0)).await?);
    println!("bob has {}", runtime.actor::<Account>("bob")?.ask(Deposit(0)).await?);
    runtime.shutdown().await?;
    Ok(())
}

/// `cargo test --example transfer`
#[cfg(test)]
mod tests {
    use relive::Builder;
    use relive::testing::{CrashTest, TestResult, TestStore, crash_at_every_point};

    use super::*;

    struct Transfers;

    impl CrashTest for Transfers {
        fn builder(&self) -> Builder {
            Runtime::builder().actor::<Account>(|a| a.handles::<Deposit>().handles::<Transfer>())
        }

        async fn run(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
            let alice = runtime.actor::<Account>("alice")?;
            alice.ask(Deposit(10)).await?;
            for cents in [7, 2, 9] {
                alice.ask(Transfer { to: "bob".into(), cents }).await?;
            }
            Ok(())
        }

        async fn check(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
            let alice = runtime.actor::<Account>("alice")?.ask(Deposit(0)).await?;
            let bob = runtime.actor::<Account>("bob")?.ask(Deposit(0)).await?;
            // Money is neither made nor lost, whatever of the run has happened.
            assert!([(0, 0), (10, 0), (3, 7), (1, 9)].contains(&(alice, bob)), "{alice} and {bob}");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_crash_at_any_point_keeps_the_sum() -> TestResult {
        let report = crash_at_every_point(|| Transfers).await?;
        assert_eq!(report.missed, 0);
        Ok(())
    }
}
