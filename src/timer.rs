//! Waiting for time to pass, without the time driver of tokio, which the host may have left out, and outside of tokio
//! too. Knows durations only.

use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;

/// Waits for so long, within some milliseconds.
///
/// # Cancel safety
/// Dropped, nothing changes.
pub(crate) async fn sleep(time: Duration) {
    Delay::new(time.min(LONGEST)).await;
}

/// Waits for `future`, but not longer than so long; `None` when the time is up.
///
/// # Cancel safety
/// As `future`.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut up) = (pin!(future), pin!(sleep(time)));
    std::future::poll_fn(|task| {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(task) {
            return std::task::Poll::Ready(Some(value));
        }
        up.as_mut().poll(task).map(|()| None)
    })
    .await
}

/// An instant that is further away than the clock can tell is as good as never.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

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
