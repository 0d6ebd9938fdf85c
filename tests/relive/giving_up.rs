//! Class 29: side effects that a handler begins and gives up, as other libraries' combinators do.
//! Whatever succeeds live must replay, so relive detects a given-up side effect live, by name,
//! before it releases anything. Our own combinators may give up, and a replay does the same.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use relive::{Actor, AskError, Context, Durability, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

use crate::medium;

#[derive(Serialize, Deserialize, Default)]
struct Impatient {
    handled: Vec<How>,
}

impl Actor for Impatient {
    const KIND: &'static str = "impatient";
    fn create(_key: &str) -> Self {
        Self::default()
    }
}

/// The ways in which a handler gives up a side effect that it has begun.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
enum How {
    Timeout,
    Select,
    PolledOnce,
    Leaked,
    LeakedAndAnother,
    CaughtPanic,
    /// Awaits it to its end, within a time limit of another library that is not reached.
    Patient,
    /// Gives up within a time limit of ours.
    Ours,
    /// Makes it, and drops it before it begins.
    NeverBegun,
    /// A time limit inside of the side effect.
    Inside,
}

const GIVING_UP: [How; 7] = [
    How::Timeout,
    How::Select,
    How::PolledOnce,
    How::Leaked,
    How::LeakedAndAnother,
    How::CaughtPanic,
    How::Patient,
];

#[derive(Serialize, Deserialize)]
struct Try(How);

impl Message for Try {
    const NAME: &'static str = "try";
    type Reply = ();
}

#[derive(Serialize, Deserialize)]
struct Handled {}

impl Message for Handled {
    const NAME: &'static str = "handled";
    type Reply = Vec<How>;
}

#[derive(Serialize, Deserialize)]
struct Count {}

impl Message for Count {
    const NAME: &'static str = "count";
    type Reply = ();
}

/// How often a handler performed a side effect after it had given up another one.
static DONE_AFTERWARDS: AtomicU64 = AtomicU64::new(0);

async fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> bool {
    let mut future = Some(future);
    poll_fn(move |task| {
        Poll::Ready(future.take().is_some_and(|mut future| future.as_mut().poll(task).is_ready()))
    })
    .await
}

/// Catches a panic of the future, as a combinator may.
async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|task| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.as_mut().poll(task)));
        match polled {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

impl Handle<Try> for Impatient {
    async fn handle(&mut self, Try(how): Try, cx: &mut Context<'_>) {
        let slow = || async { pending::<u64>().await };
        let soon = Duration::from_millis(5);
        match how {
            How::Timeout => {
                let outcome = tokio::time::timeout(soon, cx.side_effect("slow", slow)).await;
                assert!(outcome.is_err());
            }
            How::Select => tokio::select! {
                _ = cx.side_effect("slow", slow) => {}
                () = tokio::time::sleep(soon) => {}
            },
            How::PolledOnce => {
                assert!(!poll_once(pin!(cx.side_effect("slow", slow))).await);
            }
            How::Leaked | How::LeakedAndAnother => {
                let mut effect = Box::pin(cx.side_effect("slow", slow));
                assert!(!poll_once(effect.as_mut()).await);
                std::mem::forget(effect);
                // A wait may be put aside and awaited later, so that only the end shows the leak.
                if how == How::LeakedAndAnother {
                    cx.side_effect("another", || async {}).await;
                }
            }
            How::CaughtPanic => {
                let effect = cx.side_effect("slow", || async { panic!("it is not caught by the runtime") });
                assert_eq!(caught::<()>(effect).await, None);
            }
            How::Patient => {
                let quick = cx.side_effect("quick", || async { 5 });
                assert_eq!(tokio::time::timeout(Duration::from_secs(60), quick).await, Ok(5));
            }
            How::Ours => assert!(cx.timeout(soon, cx.side_effect("slow", slow)).await.is_err()),
            How::NeverBegun => drop(cx.side_effect("slow", slow)),
            How::Inside => {
                let limited = || async move { tokio::time::timeout(soon, pending::<()>()).await.is_err() };
                assert!(cx.side_effect("limited", limited).await);
            }
        }
        // Nothing of all this may show.
        self.handled.push(how);
        cx.to::<Self>("other").send(Count {}).unwrap();
        // relive detects a leaked side effect even when nothing follows it.
        if GIVING_UP.contains(&how) && !matches!(how, How::Leaked | How::LeakedAndAnother) {
            cx.side_effect("afterwards", || async { DONE_AFTERWARDS.fetch_add(1, Ordering::Relaxed) }).await;
        }
    }
}

impl Handle<Handled> for Impatient {
    async fn handle(&mut self, _message: Handled, _cx: &mut Context<'_>) -> Vec<How> {
        self.handled.clone()
    }
}

impl Handle<Count> for Impatient {
    async fn handle(&mut self, _message: Count, _cx: &mut Context<'_>) {
        self.handled.push(How::Ours);
    }
}

async fn open(path: &std::path::Path) -> Runtime {
    let builder = medium::runtime()
        .actor::<Impatient>(|actor| actor.handles::<Try>().handles::<Handled>().handles::<Count>());
    builder.durability(Durability::ProcessCrash).open(path).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn class_29_a_side_effect_that_is_given_up_is_found_out_live() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut runtime = open(&path).await;
    let mut quarantined = Vec::new();
    for how in GIVING_UP {
        let error = runtime.actor::<Impatient>("a").unwrap().ask(Try(how)).await.unwrap_err();
        let AskError::Quarantined(entry) = &error else { panic!("{how:?}: {error}") };
        let (said, name) = match how {
            How::Timeout | How::Select => ("awaited something outside the context beside", "\"slow\""),
            How::Patient => ("awaited something outside the context beside", "\"quick\""),
            _ => ("gave it up before it was done", "\"slow\""),
        };
        for text in [said, name, "`cx.timeout`"] {
            assert!(entry.reason.contains(text), "{how:?}: {}", entry.reason);
        }
        quarantined.push(entry.rsn);
    }
    assert_eq!(DONE_AFTERWARDS.load(Ordering::Relaxed), 0, "it is stopped at once");
    let good = [How::Ours, How::NeverBegun, How::Inside];
    for how in good {
        runtime.actor::<Impatient>("a").unwrap().ask(Try(how)).await.unwrap();
    }
    while runtime.actor::<Impatient>("other").unwrap().ask(Handled {}).await.unwrap().len() < good.len() {}
    // Whatever succeeded replays with unchanged code, at every opening.
    for _ in 0..3 {
        runtime.crash().await;
        runtime = open(&path).await;
        assert!(runtime.recovery().failed.is_empty(), "{:?}", runtime.recovery().failed);
        assert_eq!(runtime.actor::<Impatient>("a").unwrap().ask(Handled {}).await.unwrap(), good);
        let other = runtime.actor::<Impatient>("other").unwrap().ask(Handled {}).await.unwrap();
        assert_eq!(other.len(), good.len(), "nothing of what was given up was released");
        let left_out: Vec<_> = runtime.quarantined().iter().map(|entry| entry.rsn).collect();
        assert_eq!(left_out, quarantined);
    }
    runtime.shutdown().await.unwrap();
}
