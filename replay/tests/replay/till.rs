//! The actor that is replayed here: a till that counts, draws, sends and does things outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use relive_replay::{Actor, Context, Handle, Kind, KindBuilder, Message};
use serde::{Deserialize, Serialize};

/// How often anything was done outside, by any till.
pub(crate) static DONE: AtomicU64 = AtomicU64::new(0);

/// What the till asks for; a test may run the same records against another one.
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
pub(crate) struct Till<const BEHAVIOUR: u8> {
    pub(crate) total: u64,
    pub(crate) drawn: Vec<u64>,
    pub(crate) keys: Vec<String>,
}

/// As recorded.
pub(crate) const AS_RECORDED: u8 = 0;
/// Sends another amount than was recorded.
pub(crate) const SENDS_ANOTHER: u8 = 1;
/// Asks for a side effect of another name.
pub(crate) const RENAMES: u8 = 2;
/// Asks for one side effect less.
pub(crate) const OMITS: u8 = 3;
/// Asks for one side effect more.
pub(crate) const ADDS: u8 = 4;
/// Awaits something outside the context.
pub(crate) const AWAITS: u8 = 5;
/// Draws once more.
pub(crate) const DRAWS: u8 = 6;
/// Sends nothing.
pub(crate) const SENDS_NOTHING: u8 = 7;

impl<const B: u8> Actor for Till<B> {
    const KIND: &'static str = "till";
    fn create(_key: &str) -> Self {
        Self { total: 0, drawn: Vec::new(), keys: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Add(pub(crate) u64);

impl Message for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

impl<const B: u8> Handle<Add> for Till<B> {
    async fn handle(&mut self, message: Add, cx: &mut Context<'_>) -> u64 {
        self.total += message.0;
        if B == AWAITS {
            std::future::pending::<()>().await;
        }
        if message.0.is_multiple_of(2) && B != SENDS_NOTHING {
            let amount = if B == SENDS_ANOTHER { message.0 + 1 } else { message.0 };
            cx.to::<Self>("other").send(Add(amount)).unwrap();
        }
        if B == DRAWS {
            let _ = cx.random();
        }
        self.total
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Do;

impl Message for Do {
    const NAME: &'static str = "do";
    type Reply = ();
}

impl<const B: u8> Handle<Do> for Till<B> {
    async fn handle(&mut self, _message: Do, cx: &mut Context<'_>) {
        self.drawn.push(cx.random());
        self.drawn.push(cx.now().as_micros());
        self.keys.push(cx.idempotency_key());
        let name = if B == RENAMES { "renamed" } else { "first" };
        self.drawn.push(cx.side_effect(name, done).await);
        if B != OMITS {
            self.keys.push(cx.idempotency_key());
            self.drawn.push(cx.side_effect("second", done).await);
        }
        if B == ADDS {
            self.drawn.push(cx.side_effect("third", done).await);
        }
    }
}

async fn done() -> u64 {
    DONE.fetch_add(1, Ordering::SeqCst)
}

pub(crate) fn kind<const B: u8>() -> Arc<dyn Kind> {
    KindBuilder::<Till<B>>::new().handles::<Add>().handles::<Do>().build().unwrap()
}
