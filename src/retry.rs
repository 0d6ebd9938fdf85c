//! Trying something outside again: how often, after which waits, and what is not worth another try.
//! Knows time, no actor: a side effect uses it inside.

use std::fmt::Display;
use std::time::Duration;

use crate::timer::sleep;

/// How often to try something outside, and how long to wait in between: for use inside a side
/// effect. The log records the last outcome only, so a replay tries nothing.
///
/// A crash in between begins the tries anew, since the side effect runs again. Each failed try is a
/// warning through `tracing`, with its number, its error and the wait that follows.
///
/// # Limits
/// Waits count by the machine's time, not by [`Clock`](crate::Clock). The handler waits as long as
/// the tries take, and its actor handles nothing else. A shutdown waits for them, within its time.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use relive::{Actor, Context, Handle, Message, Retry};
/// use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Order { paid: bool }
/// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false } } }
/// # #[derive(Serialize, Deserialize)] struct Pay { cents: u64 }
/// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = Result<(), Refusal>; }
///
/// #[derive(Debug, Serialize, Deserialize, thiserror::Error)]
/// enum Refusal {
///     #[error("the bank is busy")]
///     Busy,
///     #[error("the card has expired")]
///     Expired,
/// }
///
/// async fn charge(key: &str, cents: u64) -> Result<(), Refusal> {
///     # let _ = (key, cents);
///     Ok(()) // a request with the key, which is the same on every try
/// }
///
/// impl Handle<Pay> for Order {
///     async fn handle(&mut self, Pay { cents }: Pay, cx: &mut Context<'_>) -> Result<(), Refusal> {
///         let retry = Retry::new(5, Duration::from_millis(100));
///         let is_permanent = |refusal: &Refusal| matches!(refusal, Refusal::Expired);
///         let charged = cx.keyed_side_effect("charge", |key| async move {
///             retry.run_unless(is_permanent, |_try| charge(&key, cents)).await
///         });
///         charged.await?; // an `Err` is a value: the state and what was sent are kept
///         self.paid = true;
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    tries: u32,
    wait: Duration,
    wait_max: Duration,
}

impl Retry {
    /// At most so many tries, at least one. Waits `first_wait` before the second one, and twice as
    /// long before each further one, up to a minute.
    #[must_use]
    pub const fn new(tries: u32, first_wait: Duration) -> Self {
        Self { tries, wait: first_wait, wait_max: Duration::from_secs(60) }
    }

    /// Sets the longest wait between two tries. Default one minute.
    #[must_use]
    pub const fn wait_max(mut self, wait: Duration) -> Self {
        self.wait_max = wait;
        self
    }

    /// Tries until it succeeds, or the tries are used up. `perform` gets the number of the try,
    /// from 1.
    ///
    /// # Errors
    /// The error of the last try.
    ///
    /// # Cancel safety
    /// As that of `perform`.
    pub async fn run<T, E, F>(&self, perform: impl FnMut(u32) -> F) -> Result<T, E>
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        self.run_unless(|_| false, perform).await
    }

    /// As [`Retry::run`], but ends with the first error that `is_permanent` says another try would
    /// not change.
    ///
    /// # Errors
    /// The error of the last try.
    ///
    /// # Cancel safety
    /// As that of `perform`.
    pub async fn run_unless<T, E, F>(
        &self,
        is_permanent: impl Fn(&E) -> bool,
        mut perform: impl FnMut(u32) -> F,
    ) -> Result<T, E>
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        let mut wait = self.wait.min(self.wait_max);
        let mut number = 1;
        loop {
            let error = match perform(number).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if number >= self.tries || is_permanent(&error) {
                tracing::warn!(number, %error, "a try has failed, it was the last");
                return Err(error);
            }
            tracing::warn!(number, of = self.tries, %error, ?wait, "a try has failed");
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(self.wait_max);
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the numbered tries saw, and how it ended.
    async fn run(
        retry: Retry,
        outcomes: &[Result<u8, &'static str>],
    ) -> (Vec<u32>, Result<u8, &'static str>) {
        let mut seen = Vec::new();
        let ended = retry.run_unless(
            |error| *error == "permanent",
            |number| {
                seen.push(number);
                std::future::ready(outcomes[number as usize - 1])
            },
        );
        let ended = ended.await;
        (seen, ended)
    }

    #[tokio::test]
    async fn it_ends_with_success_with_the_last_try_or_with_what_is_permanent() {
        let retry = Retry::new(3, Duration::ZERO);
        assert_eq!(run(retry, &[Ok(5)]).await, (vec![1], Ok(5)));
        assert_eq!(run(retry, &[Err("a"), Ok(5)]).await, (vec![1, 2], Ok(5)));
        assert_eq!(run(retry, &[Err("a"), Err("b"), Err("c")]).await, (vec![1, 2, 3], Err("c")));
        assert_eq!(run(retry, &[Err("a"), Err("permanent")]).await, (vec![1, 2], Err("permanent")));
        assert_eq!(
            run(Retry::new(0, Duration::ZERO), &[Err("a")]).await,
            (vec![1], Err("a")),
            "at least one"
        );
    }

    #[tokio::test]
    async fn no_wait_is_longer_than_the_longest() {
        let retry = Retry::new(40, Duration::MAX).wait_max(Duration::from_micros(1));
        let outcomes = [Err("a"); 40];
        assert_eq!(run(retry, &outcomes).await.0.len(), 40);
    }
}
