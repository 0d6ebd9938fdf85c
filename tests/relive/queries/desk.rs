//! An actor whose handlers query tellers, and what they learn by it.

use std::future::IntoFuture;
use std::path::Path;
use std::time::Duration;

use relive::{
    Actor, ActorRef, Answer, Builder, Context, Either, Handle, Medium, Message, Query, QueryFailure, Runtime,
};
use serde::{Deserialize, Serialize};

use super::teller::{self, Audit, Counted, OtherBalance, Panics, Pay, Teller};
use crate::actors::{happen, happened};

/// What a handler of a desk does, one after the other. A query names its teller, and what an answer
/// counts outside.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) enum Want {
    Balance(String, String),
    /// The same, for so many milliseconds at most.
    Within(String, String, u64),
    /// The first of two.
    Either([(String, String); 2]),
    /// All at once.
    All(Vec<(String, String)>),
    /// A query whose answer panics.
    Panics(String),
    /// Queries that no teller answers.
    Unregistered(String),
    OtherType(String),
    /// Of a kind that may not be registered.
    Lost,
    /// An answer of so many bytes.
    Bytes(usize),
    /// A query of so many bytes.
    Asked(usize),
    /// Pays at a teller.
    Pay(String, i64),
    /// Waits until something has happened. Says when it does.
    Until(String),
    /// Panics at the first try.
    Stumble(String),
}

#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Desk {
    seen: Vec<Result<i64, QueryFailure>>,
}

impl Actor for Desk {
    const KIND: &'static str = "desk";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

/// The reply is all that the desk has ever seen.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Look(pub(crate) Vec<Want>);

impl Message for Look {
    const NAME: &'static str = "look";
    type Reply = Vec<Result<i64, QueryFailure>>;
}

/// Answers a text of so many bytes, without those beside it; is large itself, if it is to be.
#[derive(Serialize, Deserialize)]
pub(crate) struct Text(usize, String);

impl Query for Text {
    const NAME: &'static str = "text";
    type Answer = String;
}

/// Answers texts.
#[derive(Serialize, Deserialize)]
pub(crate) struct Library;

impl Actor for Library {
    const KIND: &'static str = "library";

    fn create(_key: &str) -> Self {
        Self
    }
}

impl Answer<Text> for Library {
    fn answer(&self, Text(bytes, _): Text) -> String {
        "x".repeat(bytes)
    }
}

/// A kind that is registered in some lives.
#[derive(Serialize, Deserialize)]
pub(crate) struct Lost;

impl Actor for Lost {
    const KIND: &'static str = "lost";

    fn create(_key: &str) -> Self {
        Self
    }
}

impl Answer<Text> for Lost {
    fn answer(&self, Text(bytes, _): Text) -> String {
        "x".repeat(bytes)
    }
}

impl Handle<Look> for Desk {
    async fn handle(&mut self, Look(wants): Look, cx: &mut Context<'_>) -> Vec<Result<i64, QueryFailure>> {
        for want in wants {
            self.look(want, cx).await;
        }
        self.seen.clone()
    }
}

impl Desk {
    async fn look(&mut self, want: Want, cx: &Context<'_>) {
        let ask = |key: &str, what: String| cx.to::<Teller>(key).query(Counted { what });
        let length = |text: Result<String, _>| text.map(|text| text.len() as i64);
        self.seen.push(match want {
            Want::Balance(key, what) => ask(&key, what).await,
            Want::Within(key, what, millis) => ask(&key, what).timeout(Duration::from_millis(millis)).await,
            Want::Either([a, b]) => {
                match cx.race(ask(&a.0, a.1).into_future(), ask(&b.0, b.1).into_future()).await {
                    Either::First(seen) => seen,
                    Either::Second(seen) => seen.map(|cents| -cents),
                }
            }
            Want::All(all) => {
                let all = all.into_iter().map(|(key, what)| ask(&key, what).into_future());
                self.seen.extend(cx.join_all(all).await);
                return;
            }
            Want::Panics(key) => cx.to::<Teller>(&key).query(Panics {}).await.map(|()| 0),
            Want::Unregistered(key) => cx.to::<Teller>(&key).query(Audit {}).await.map(|()| 0),
            Want::OtherType(key) => cx.to::<Teller>(&key).query(OtherBalance {}).await,
            Want::Lost => length(cx.to::<Lost>("l").query(Text(1, String::new())).await),
            Want::Bytes(bytes) => length(cx.to::<Library>("l").query(Text(bytes, String::new())).await),
            Want::Asked(bytes) => length(cx.to::<Library>("l").query(Text(1, "x".repeat(bytes))).await),
            Want::Pay(key, cents) => {
                cx.to::<Teller>(&key).ask(Pay { cents }).await.unwrap();
                return;
            }
            Want::Until(what) => {
                cx.side_effect("until", || async {
                    happen(&format!("{what} is waited for"));
                    while happened(&what) == 0 {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
                return;
            }
            Want::Stumble(what) => {
                assert!(happen(&what) > 1, "told to stumble");
                return;
            }
        });
    }
}

/// Desks and tellers.
pub(crate) fn builder() -> Builder {
    let builder = teller::builder().actor::<Desk>(|desk| desk.handles::<Look>());
    builder.actor::<Library>(|library| library.answers::<Text>())
}

/// The same, with the kind that is registered in some lives.
pub(crate) fn with_lost() -> Builder {
    builder().actor::<Lost>(|lost| lost.answers::<Text>())
}

pub(crate) async fn open(medium: Medium, path: &Path) -> Runtime {
    builder().medium(medium).open(path).await.unwrap()
}

pub(crate) fn desk(runtime: &Runtime, key: &str) -> ActorRef<Desk> {
    runtime.actor(key).unwrap()
}

/// What a desk has seen after it has done this.
pub(crate) async fn look(runtime: &Runtime, key: &str, wants: Vec<Want>) -> Vec<Result<i64, QueryFailure>> {
    desk(runtime, key).ask(Look(wants)).timeout(teller::LONG).await.unwrap()
}

/// A query of a teller that counts under this.
pub(crate) fn balance(key: &str, what: &str) -> Want {
    Want::Balance(key.to_owned(), what.to_owned())
}
