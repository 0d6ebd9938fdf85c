//! The actors of the stores that a runtime opens, the script that makes their history, and the
//! arithmetic that says what it must be.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use relive::{Actor, ActorRef, Builder, Context, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::options::{CALL_TIMEOUT, LOG_BYTES};
use crate::harness::medium::StoreMedium;

/// All bookings of an account, in order.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) booked: Vec<i64>,
}

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_key: &str) -> Self {
        Self { booked: Vec::new() }
    }
}

/// Books an amount.
#[derive(Serialize, Deserialize)]
pub(super) struct Deposit(pub(super) i64);

impl Message for Deposit {
    const NAME: &'static str = "deposit";
    type Reply = ();
}

impl Handle<Deposit> for Account {
    async fn handle(&mut self, message: Deposit, _cx: &mut Context<'_>) {
        self.booked.push(message.0);
    }
}

/// Books an amount off, and sends it to another account or asks that to take it, with a fee that a
/// side effect gives. Sets a timer.
#[derive(Serialize, Deserialize)]
struct Transfer {
    to: String,
    cents: i64,
}

impl Message for Transfer {
    const NAME: &'static str = "transfer";
    type Reply = ();
}

impl Handle<Transfer> for Account {
    async fn handle(&mut self, message: Transfer, cx: &mut Context<'_>) {
        let fee = cx.side_effect("fee", || async { FEE }).await;
        self.booked.push(-message.cents - fee);
        let receiver = cx.to::<Self>(&message.to);
        if message.cents % 2 == 0 {
            receiver.send(Deposit(message.cents)).expect("the account has a valid key");
        } else {
            // A receiver that damage has stopped is judged by itself.
            drop(receiver.ask(Deposit(message.cents)).await);
        }
        // It is never due here, and stands in the log and in checkpoints.
        let timer = cx.timer("interest").after(YEAR).to_self::<Self>();
        timer.send(Deposit(1)).expect("one small timer");
    }
}

/// Replies with the whole history.
#[derive(Serialize, Deserialize)]
pub(super) struct Show;

impl Message for Show {
    const NAME: &'static str = "show";
    type Reply = Vec<i64>;
}

impl Handle<Show> for Account {
    async fn handle(&mut self, _message: Show, _cx: &mut Context<'_>) -> Vec<i64> {
        self.booked.clone()
    }
}

pub(super) fn builder() -> Builder {
    let builder = Runtime::builder().store_timeout(CALL_TIMEOUT).log_bytes(LOG_BYTES);
    builder.actor::<Account>(|account| account.handles::<Deposit>().handles::<Transfer>().handles::<Show>())
}

pub(super) fn account(runtime: &Runtime, key: &str) -> ActorRef<Account> {
    runtime.actor(key).expect("the kind is registered and the key valid")
}

/// What was booked on each account, now and when the older copy was made.
pub(super) struct Books {
    pub(super) now: BTreeMap<String, Vec<i64>>,
    pub(super) before: BTreeMap<String, Vec<i64>>,
}

/// What the script books, by arithmetic.
pub(super) fn books() -> Books {
    Books { now: booked(STEPS), before: booked(OLDER_AT) }
}

fn booked(steps: u64) -> BTreeMap<String, Vec<i64>> {
    let mut books = BTreeMap::<_, Vec<_>>::new();
    for (payer, receiver, cents) in (0..steps).map(step) {
        books.entry(payer).or_default().extend([cents * 3, -cents - FEE]);
        books.entry(receiver).or_default().push(cents);
    }
    books
}

/// Who pays whom how much.
fn step(number: u64) -> (String, String, i64) {
    let payer = format!("payer {}", number % 3);
    let receiver = format!("receiver {}", number % 3);
    (payer, receiver, i64::try_from(number % 89).expect("it is small") + 1)
}

/// Makes a store with that history, and an older copy of it.
pub(super) fn build(
    root: &Path,
    medium: StoreMedium,
    closed: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    tokio.block_on(async {
        let live = root.join("live");
        let mut runtime = builder().medium(medium.into()).open(&live).await?;
        for number in 0..STEPS {
            if number == OLDER_AT {
                settle(&runtime, number).await?;
                Image::read_open(&live)?.write(&root.join("older"))?;
            }
            if number == REOPENED_AT {
                runtime.shutdown().await?;
                runtime = builder().open(&live).await?;
            }
            let (payer, to, cents) = step(number);
            let mut producer = runtime.producer("script")?;
            let payer = account(&runtime, &payer);
            producer.resume(&payer, relive::Ssn::new(number / 3));
            producer.tell(&payer, Deposit(cents * 3)).await?.durable().await?;
            let key = format!("transfer {number}");
            payer.ask(Transfer { to, cents }).idempotency_key(&key).await?;
            if number % 10 == 9 {
                for key in booked(number).into_keys() {
                    account(&runtime, &key).checkpoint().await?;
                }
                runtime.cut_log().await?;
            }
        }
        settle(&runtime, STEPS).await?;
        if closed {
            runtime.shutdown().await?;
            Image::read(&live)?.write(&root.join("store"))?;
        } else {
            Image::read_open(&live)?.write(&root.join("store"))?;
            runtime.crash().await;
        }
        std::fs::remove_dir_all(&live)?;
        Ok(())
    })
}

/// Waits until all messages have arrived.
async fn settle(runtime: &Runtime, steps: u64) -> Result<(), Box<dyn std::error::Error>> {
    for (key, booked) in booked(steps) {
        while account(runtime, &key).ask(Show).await? != booked {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

const FEE: i64 = 2;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const STEPS: u64 = 64;
const REOPENED_AT: u64 = 25;
const OLDER_AT: u64 = 44;
