//! A clock that stands still until a test moves it. Knows no runtime.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relive_storage::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;

/// A clock that a test moves. All clones are one clock.
///
/// # Examples
/// ```
/// # use relive::{Actor, Context, Durability, Handle, Message, Runtime, Timestamp};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Meter;
/// # impl Actor for Meter { const KIND: &'static str = "meter"; fn create(_: &str) -> Self { Meter } }
/// # #[derive(Serialize, Deserialize)] struct Now;
/// # impl Message for Now { const NAME: &'static str = "now"; type Reply = Timestamp; }
/// # impl Handle<Now> for Meter {
/// #     async fn handle(&mut self, _: Now, cx: &mut Context<'_>) -> Timestamp { cx.now() }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use relive::testing::ManualClock;
///
/// let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
/// let builder = Runtime::builder().actor::<Meter>(|meter| meter.handles::<Now>());
/// let builder = builder.clock(clock.clone()).durability(Durability::Volatile);
/// let runtime = builder.open("unused").await?;
/// let before = runtime.actor::<Meter>("a")?.ask(Now).await?;
/// clock.advance(Duration::from_secs(86_400));
/// let after = runtime.actor::<Meter>("a")?.ask(Now).await?;
/// assert_eq!(after.since(before), Duration::from_secs(86_400));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

struct Shared {
    now: watch::Sender<Timestamp>,
    /// The times that somebody waits for, each with how many do.
    waits: Mutex<BTreeMap<Timestamp, usize>>,
}

impl ManualClock {
    /// A clock that shows `now` until somebody moves it.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let shared = Shared { now: watch::Sender::new(now), waits: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Moves the clock ahead, and wakes those whose time has come.
    pub fn advance(&self, time: Duration) {
        self.shared.now.send_modify(|now| *now = now.plus(time));
    }

    /// Sets the clock, also back, and wakes those whose time has come.
    pub fn set(&self, now: Timestamp) {
        self.shared.now.send_replace(now);
    }

    /// The first time ahead that somebody waits for.
    pub(crate) fn next_wait(&self) -> Option<Timestamp> {
        let now = self.now();
        let after = (Bound::Excluded(now), Bound::Unbounded);
        self.shared.waits().range(after).next().map(|(until, _)| *until)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.shared.now.borrow()
    }

    fn wait_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // It holds the clock, so that a wait has somebody who can end it.
        let waiting = Waiting::begin(&self.shared, until);
        Box::pin(async move {
            let until = waiting.until;
            let outcome = waiting.clock.now.subscribe().wait_for(|now| *now >= until).await.map(drop);
            assert!(outcome.is_ok(), "the clock is there as long as somebody waits for it");
        })
    }
}

impl Shared {
    fn waits(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a time, until this is dropped.
struct Waiting {
    clock: Arc<Shared>,
    until: Timestamp,
}

impl Waiting {
    fn begin(clock: &Arc<Shared>, until: Timestamp) -> Self {
        *clock.waits().entry(until).or_default() += 1;
        Self { clock: Arc::clone(clock), until }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = self.clock.waits();
        if let Entry::Occupied(mut count) = waits.entry(self.until) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn it_stands_where_it_was_moved() {
        let clock = ManualClock::new(at(5));
        let same = clock.clone();
        assert_eq!(same.now(), at(5));
        clock.advance(Duration::from_micros(7));
        assert_eq!(same.now(), at(12));
        same.set(at(3));
        assert_eq!(clock.now(), at(3), "also back");
        clock.advance(Duration::MAX);
        assert_eq!(format!("{same:?}"), format!("ManualClock({:?})", at(u64::MAX)));
    }

    /// A wait ends when the clock has come to its time, and not when the clock has merely moved.
    #[test]
    fn a_wait_ends_when_its_time_has_come() {
        let clock = ManualClock::new(at(5));
        let mut task = Context::from_waker(Waker::noop());
        let (mut early, mut late) = (clock.wait_until(at(10)), clock.wait_until(at(20)));
        assert!(clock.wait_until(at(5)).as_mut().poll(&mut task).is_ready());
        assert!(early.as_mut().poll(&mut task).is_pending() && late.as_mut().poll(&mut task).is_pending());
        clock.set(at(9));
        assert!(early.as_mut().poll(&mut task).is_pending());
        clock.advance(Duration::from_micros(1));
        assert!(early.as_mut().poll(&mut task).is_ready() && late.as_mut().poll(&mut task).is_pending());
        clock.set(at(1));
        assert!(late.as_mut().poll(&mut task).is_pending());
        // Nobody else has the clock: the wait does.
        drop(clock);
        assert!(late.as_mut().poll(&mut task).is_pending());
    }

    /// The next time that somebody waits for is ahead, and nobody waits any more who was dropped.
    #[test]
    fn it_knows_the_next_time_that_somebody_waits_for() {
        let clock = ManualClock::new(at(5));
        assert_eq!(clock.next_wait(), None);
        let (late, early) = (clock.wait_until(at(20)), [clock.wait_until(at(10)), clock.wait_until(at(10))]);
        assert_eq!(clock.next_wait(), Some(at(10)));
        let [one, other] = early;
        drop(one);
        assert_eq!(clock.next_wait(), Some(at(10)));
        clock.set(at(10));
        assert_eq!(clock.next_wait(), Some(at(20)), "nobody waits for what has come");
        clock.set(at(0));
        drop(other);
        assert_eq!(clock.next_wait(), Some(at(20)));
        drop(late);
        assert_eq!(clock.next_wait(), None);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let clock = ManualClock::new(at(0));
        let waiting = tokio::spawn(clock.wait_until(at(10)));
        tokio::task::yield_now().await;
        clock.set(at(10));
        waiting.await.unwrap();
    }
}
