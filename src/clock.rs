//! What time it is for handlers: the seam at which a program may put a clock of its own, and the
//! machine's clock behind it. Only this file reads the wall clock. Must not know who asks.

use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use relive_storage::Timestamp;

use crate::limits::CLOCK_LOOK_INTERVAL;
use crate::timer::sleep;

/// The clock of a runtime; [`Builder::clock`](crate::Builder::clock) sets it. Default
/// [`SystemClock`].
///
/// The runtime reads it once a commit and logs the reading with the deliveries of that commit, so
/// that [`Context::now`](crate::Context::now) returns the same time in a replay. It may go back and
/// jump ahead. Time limits of the runtime itself, for example
/// [`Builder::store_timeout`](crate::Builder::store_timeout), stay on real time.
///
/// # Examples
/// A clock that stands an hour ahead of the machine's:
/// ```
/// use std::pin::Pin;
/// use std::time::Duration;
///
/// use relive::{Clock, SystemClock, Timestamp};
///
/// const HOUR: Duration = Duration::from_secs(3_600);
///
/// struct HourAhead;
///
/// impl Clock for HourAhead {
///     fn now(&self) -> Timestamp {
///         SystemClock.now().plus(HOUR)
///     }
///
///     fn wait_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
///         let early = until.as_micros().saturating_sub(HOUR.as_micros() as u64);
///         SystemClock.wait_until(Timestamp::from_micros(early))
///     }
/// }
///
/// let builder = relive::Runtime::builder().clock(HourAhead);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Now, as handlers see it.
    ///
    /// # Limits
    /// The runtime calls it under a lock that all commits need. So return at once, don't panic, and
    /// call nothing of the runtime.
    fn now(&self) -> Timestamp;

    /// Waits until `now` may have come to `until`. It may return early, so look at `now` again.
    /// By this clock it never returns much later, also when the clock jumps ahead.
    ///
    /// # Cancel safety
    /// Dropping the future must change nothing.
    fn wait_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The machine's clock. A clock before 1970 reads as 1970.
///
/// A wait looks at the clock again each second, because somebody may set it forward or back.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn wait_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(wait_by(|| Self.now(), until))
    }
}

/// Waits until `now` has come to `until`. The clock behind `now` may jump both ways.
async fn wait_by(now: impl Fn() -> Timestamp, until: Timestamp) {
    loop {
        let left = until.since(now());
        if left.is_zero() {
            return;
        }
        sleep(left.min(CLOCK_LOOK_INTERVAL)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn the_machines_clock_comes_to_a_time_and_not_early() {
        let until = SystemClock.now().plus(Duration::from_millis(20));
        SystemClock.wait_until(until).await;
        assert!(SystemClock.now() >= until);
        SystemClock.wait_until(Timestamp::default()).await;
    }

    /// Somebody sets the machine's clock forward by a day: the wait ends at its next look.
    #[tokio::test]
    async fn a_clock_that_jumps_ahead_ends_the_wait() {
        let (looks, began) = (Cell::new(0), Instant::now());
        let until = Timestamp::from_micros(86_400_000_000);
        let now = || {
            looks.set(looks.get() + 1);
            if looks.get() < 2 { Timestamp::default() } else { until }
        };
        wait_by(now, until).await;
        assert_eq!(looks.get(), 2);
        assert!(began.elapsed() < CLOCK_LOOK_INTERVAL * 30, "it looks each second, on a busy machine too");
    }

    /// Somebody sets it back in the middle of a wait: the wait goes on until the clock has come to
    /// the time again.
    #[tokio::test]
    async fn a_clock_that_goes_back_makes_the_wait_longer() {
        let readings = Cell::new(0);
        let shown = [90, 10, 99, 100];
        let now = || {
            let at = readings.replace(readings.get() + 1);
            Timestamp::from_micros(shown[at])
        };
        wait_by(now, Timestamp::from_micros(100)).await;
        assert_eq!(readings.get(), shown.len());
    }
}
