//! The actor of these tests, its messages and its queries, and the media on which they run.

use std::path::Path;
use std::time::Duration;

use relive::{Actor, ActorRef, Answer, Builder, Context, Handle, Medium, Message, Query, Runtime};
use serde::{Deserialize, Serialize};

use crate::actors::{happen, happened};

/// The media on which stores of these tests are.
pub(crate) const MEDIA: [Medium; 2] = [Medium::Sled, Medium::SegmentFiles];

/// Longer than anything takes here that does not hang.
pub(crate) const LONG: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Teller {
    cents: i64,
}

impl Actor for Teller {
    const KIND: &'static str = "teller";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

macro_rules! message {
    ($name:ident $fields:tt, $text:literal, $reply:ty) => {
        #[derive(Serialize, Deserialize, Debug)]
        pub(crate) struct $name $fields

        impl Message for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    };
}

message!(Pay { pub(crate) cents: i64 }, "pay", i64);
// Pays a cent before it waits until something has happened, and a cent after that.
message!(Hold { pub(crate) until: String }, "hold", ());
// Always panics.
message!(Boom {}, "boom", ());

impl Handle<Pay> for Teller {
    async fn handle(&mut self, message: Pay, _cx: &mut Context<'_>) -> i64 {
        self.cents += message.cents;
        self.cents
    }
}

impl Handle<Hold> for Teller {
    async fn handle(&mut self, message: Hold, cx: &mut Context<'_>) {
        self.cents += 1;
        let happens = || async {
            happen(&format!("{} is waited for", message.until));
            while happened(&message.until) == 0 {
                tokio::task::yield_now().await;
            }
        };
        cx.side_effect("hold", happens).await;
        self.cents += 1;
    }
}

impl Handle<Boom> for Teller {
    async fn handle(&mut self, _message: Boom, _cx: &mut Context<'_>) {
        self.cents = i64::MIN;
        panic!("told to");
    }
}

macro_rules! query {
    ($name:ident $fields:tt, $text:literal, $answer:ty) => {
        #[derive(Serialize, Deserialize, Debug)]
        pub(crate) struct $name $fields

        impl Query for $name {
            const NAME: &'static str = $text;
            type Answer = $answer;
        }
    };
}

// Named like a message, which it may be.
query!(Balance {}, "pay", i64);
// The balance, and the times it was asked count outside.
query!(Counted { pub(crate) what: String }, "counted", i64);
query!(Panics {}, "panics", ());
// Panics when it is dropped.
query!(Bomb {}, "bomb", ());
// Keeps its thread until something has happened.
query!(Blocks { pub(crate) until: String }, "blocks", i64);
// Takes some time.
query!(Takes { pub(crate) time: Duration }, "takes", i64);
// The answers to these are not registered.
query!(Audit {}, "audit", ());
query!(OtherBalance {}, "pay", i64);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a query is dropped");
    }
}

impl Answer<Balance> for Teller {
    fn answer(&self, _query: Balance) -> i64 {
        self.cents
    }
}

impl Answer<OtherBalance> for Teller {
    fn answer(&self, _query: OtherBalance) -> i64 {
        self.cents
    }
}

impl Answer<Counted> for Teller {
    fn answer(&self, query: Counted) -> i64 {
        happen(&query.what);
        self.cents
    }
}

impl Answer<Panics> for Teller {
    fn answer(&self, _query: Panics) {
        panic!("told to");
    }
}

impl Answer<Bomb> for Teller {
    fn answer(&self, _query: Bomb) {}
}

impl Answer<Blocks> for Teller {
    fn answer(&self, query: Blocks) -> i64 {
        happen(&format!("{} is waited for", query.until));
        while happened(&query.until) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.cents
    }
}

impl Answer<Takes> for Teller {
    fn answer(&self, query: Takes) -> i64 {
        std::thread::sleep(query.time);
        self.cents
    }
}

impl Answer<Audit> for Teller {
    fn answer(&self, _query: Audit) {}
}

pub(crate) fn builder() -> Builder {
    Runtime::builder().actor::<Teller>(|teller| {
        let teller = teller.handles::<Pay>().handles::<Hold>().handles::<Boom>();
        let teller = teller.answers::<Balance>().answers::<Counted>().answers::<Panics>();
        teller.answers::<Bomb>().answers::<Blocks>().answers::<Takes>()
    })
}

pub(crate) async fn open(medium: Medium, path: &Path) -> Runtime {
    builder().medium(medium).open(path).await.unwrap()
}

pub(crate) fn teller(runtime: &Runtime, key: &str) -> ActorRef<Teller> {
    runtime.actor(key).unwrap()
}

pub(crate) async fn balance(teller: &ActorRef<Teller>) -> i64 {
    teller.query(Balance {}).timeout(LONG).await.unwrap()
}

/// Makes a handler wait, and returns when it does.
pub(crate) async fn hold(teller: &ActorRef<Teller>, until: &str) {
    drop(teller.tell(Hold { until: until.to_owned() }).await.unwrap());
    is_waited_for(until).await;
}

/// Waits until somebody waits for this to happen.
pub(crate) async fn is_waited_for(what: &str) {
    let waited = format!("{what} is waited for");
    while happened(&waited) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
