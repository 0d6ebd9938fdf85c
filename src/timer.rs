//! Waits for time to pass. Works without the time driver of tokio, which the host may leave out,
//! and outside tokio. Knows durations only.

use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;

use crate::limits::WAIT_MAX;

/// Waits for a duration, exact to some milliseconds.
///
/// # Cancel safety
/// Dropping the future changes nothing.
pub(crate) async fn sleep(time: Duration) {
    Delay::new(time.min(WAIT_MAX)).await;
}

/// Waits for `future`, but at most for `time`; `None` when the time is up.
///
/// # Cancel safety
/// As `future`.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    unless(sleep(time), future).await
}

/// Waits for `future`, but not after `up`; `None` when `up` came first.
///
/// # Cancel safety
/// As `future`.
pub(crate) async fn unless<T>(up: impl Future<Output = ()>, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut up) = (pin!(future), pin!(up));
    std::future::poll_fn(|task| {
        // The future first: with no time left, what is ready still counts.
        if let std::task::Poll::Ready(value) = future.as_mut().poll(task) {
            return std::task::Poll::Ready(Some(value));
        }
        up.as_mut().poll(task).map(|()| None)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_ready_wins_and_what_never_is_ends() {
        assert_eq!(within(Duration::ZERO, async { 5 }).await, Some(5));
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, None);
        assert_eq!(within(Duration::MAX, async { 5 }).await, Some(5));
    }
}
