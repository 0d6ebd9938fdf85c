//! A producer outside that may send everything again: after a crash it starts over, and nothing
//! counts twice. `cargo run --example import`

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
struct Book(i64);

impl Message for Book {
    const NAME: &'static str = "book";
    type Reply = i64;
}

impl Handle<Book> for Account {
    async fn handle(&mut self, Book(cents): Book, _cx: &mut Context<'_>) -> i64 {
        self.cents += cents;
        self.cents
    }
}

/// The lines to import: the same lines in the same order each time.
const LINES: [i64; 5] = [1_000, -250, 75, -3, 20];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join("relive-import-example");
    let open = || Runtime::builder().actor::<Account>(|account| account.handles::<Book>()).open(&directory);
    for lines in [3, LINES.len()] {
        let runtime = open().await?;
        let account = runtime.actor::<Account>("bank")?;
        // The producer numbers its messages from 1. The numbers show the account what it has.
        let mut import = runtime.producer("statement-2026-11")?;
        let mut last = None;
        for cents in &LINES[..lines] {
            last = Some(import.tell(&account, Book(*cents)).await?);
        }
        if let Some(receipt) = last {
            println!("the last line: {:?}", receipt.durable().await?);
        }
        println!("the account has {} cents", account.ask(Book(0)).await?);
        // The first run ends in the middle of the file, like a crash.
        runtime.crash().await;
    }
    Ok(())
}
