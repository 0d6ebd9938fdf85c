//! How long each part of a shutdown may take: a limit for each part, or a deadline for the whole
//! that is split between them. A deadline may come, or become earlier, while a part is under way.
//! Knows time only.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::limits::{TURNS_END_MIN, WAIT_MAX};
use crate::timer::{unless, within};

/// The parts of a shutdown, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Actors handle what was accepted, and what they send each other meanwhile.
    Messages,
    /// What actors send stays in their outboxes, and handlers under way may end.
    Handlers,
    /// Actors take checkpoints.
    Checkpoints,
    /// Everything has ended but turns that run users' code.
    Turns,
}

impl Part {
    /// Up to which sixteenth of a deadline the part lasts.
    fn sixteenths(self) -> u32 {
        match self {
            Self::Messages => 8,
            Self::Handlers => 12,
            Self::Checkpoints => 15,
            Self::Turns => 16,
        }
    }

    /// How long the part lasts in a shutdown that has a limit for each part.
    fn of_each(self, limit: Duration) -> Duration {
        match self {
            Self::Handlers => limit / 4,
            Self::Messages | Self::Checkpoints | Self::Turns => limit,
        }
    }
}

/// A deadline of a whole shutdown: until when each part lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    ends: [Instant; 4],
}

impl Deadline {
    /// A deadline at `time` after `now`.
    pub(crate) fn after(now: Instant, time: Duration) -> Self {
        let time = time.min(WAIT_MAX);
        let parts = [Part::Messages, Part::Handlers, Part::Checkpoints, Part::Turns];
        let deadline = Self { ends: parts.map(|part| now + time / 16 * part.sixteenths()) };
        assert!(deadline.ends.is_sorted(), "one part of a shutdown follows another");
        deadline
    }

    fn end(&self, part: Part) -> Instant {
        self.ends[part as usize]
    }

    /// Of each part the earlier end.
    fn earlier(self, other: Self) -> Self {
        let mut ends = self.ends;
        ends.iter_mut().zip(other.ends).for_each(|(end, other)| *end = (*end).min(other));
        Self { ends }
    }
}

/// How long the parts of one shutdown may take.
pub(crate) struct ShutdownTime {
    /// The limit of each part, when the shutdown has begun with one.
    each: OnceLock<Duration>,
    deadline: watch::Sender<Option<Deadline>>,
}

impl ShutdownTime {
    /// No limit yet.
    pub(crate) fn new() -> Self {
        Self { each: OnceLock::new(), deadline: watch::Sender::new(None) }
    }

    /// Limits each part.
    pub(crate) fn limit_each(&self, limit: Duration) {
        let first = self.each.set(limit.min(WAIT_MAX));
        assert!(first.is_ok(), "one shutdown has one limit for its parts");
    }

    /// Ends everything at a deadline. Of two deadlines the earlier one counts.
    pub(crate) fn shorten(&self, deadline: Deadline) {
        self.deadline.send_modify(|known| {
            *known = Some(known.map_or(deadline, |known| known.earlier(deadline)));
        });
    }

    /// Begins a part.
    pub(crate) fn begin(&self, part: Part) -> PartTime<'_> {
        PartTime { time: self, part, began: Instant::now() }
    }
}

/// The time of a part that is under way.
pub(crate) struct PartTime<'t> {
    time: &'t ShutdownTime,
    part: Part,
    began: Instant,
}

impl PartTime<'_> {
    /// Waits for `future` as long as the part lasts; `None` when its time is up.
    ///
    /// # Cancel safety
    /// As `future`.
    pub(crate) async fn within<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        unless(self.up(), future).await
    }

    /// Whether the time is up.
    pub(crate) fn is_up(&self) -> bool {
        self.left(*self.time.deadline.borrow()).is_zero()
    }

    async fn up(&self) {
        let mut deadline = self.time.deadline.subscribe();
        loop {
            let left = self.left(*deadline.borrow_and_update());
            if left.is_zero() {
                return;
            }
            // A deadline that comes meanwhile may be earlier than this end.
            let changed = within(left, deadline.changed()).await;
            assert!(changed.is_none_or(|changed| changed.is_ok()), "the sender is in the same place");
        }
    }

    fn left(&self, deadline: Option<Deadline>) -> Duration {
        let limit = self.time.each.get().map(|each| self.began + self.part.of_each(*each));
        let given = deadline.map(|deadline| deadline.end(self.part));
        let end = limit.into_iter().chain(given).min();
        let end = end.expect("a shutdown begins with a limit for its parts or with a deadline");
        // Turns end at once when they are polled, so that they get some time even when there is
        // none left: a thread has to come to each.
        let least = if self.part == Part::Turns { self.began + TURNS_END_MIN } else { self.began };
        end.max(least).saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    /// The end of each part after the beginning, in sixteenths of a deadline of 16 s.
    fn ends(deadline: Deadline, began: Instant) -> [u64; 4] {
        deadline.ends.map(|end| end.saturating_duration_since(began).as_secs())
    }

    /// A part of a deadline stays for what comes after the handlers, however long they wait.
    #[test]
    fn a_deadline_is_split_between_the_parts() {
        let now = Instant::now();
        assert_eq!(ends(Deadline::after(now, Duration::from_secs(16)), now), [8, 12, 15, 16]);
        assert_eq!(ends(Deadline::after(now, Duration::ZERO), now), [0; 4]);
        assert!(ends(Deadline::after(now, Duration::MAX), now)[3] > 86_400, "any time will do");
    }

    /// Two deadlines may cross: a part lasts until the earlier of its two ends.
    #[test]
    fn of_two_deadlines_the_earlier_one_counts() {
        let now = Instant::now();
        let (long, later) = (Duration::from_secs(16), now + Duration::from_secs(10));
        let (first, second) = (Deadline::after(now, long), Deadline::after(later, Duration::from_secs(4)));
        assert_eq!(ends(first.earlier(second), now), [8, 12, 13, 14]);
        assert_eq!(first.earlier(second), second.earlier(first));
    }

    /// Without a deadline each part has its limit, from its own beginning on.
    #[tokio::test]
    async fn each_part_has_its_limit() {
        let time = ShutdownTime::new();
        time.limit_each(LONG);
        for (part, least, most) in [
            (Part::Messages, LONG / 2, LONG),
            (Part::Handlers, LONG / 8, LONG / 4),
            (Part::Turns, LONG / 2, LONG),
        ] {
            let left = time.begin(part).left(None);
            assert!((least..=most).contains(&left), "{part:?}: {left:?}");
        }
        let part = time.begin(Part::Checkpoints);
        assert!(!part.is_up());
        assert_eq!(part.within(async { 5 }).await, Some(5));
    }

    /// A deadline that comes in the middle of a part ends the part.
    #[tokio::test]
    async fn a_deadline_shortens_the_part_under_way() {
        let time = ShutdownTime::new();
        time.limit_each(LONG);
        let part = time.begin(Part::Messages);
        let mut waiting = pin!(part.within(pending::<()>()));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        time.shorten(Deadline::after(Instant::now(), LONG * 2));
        assert!(!part.is_up(), "a later deadline lengthens and shortens nothing");
        time.shorten(Deadline::after(Instant::now(), Duration::ZERO));
        assert_eq!(waiting.await, None);
        assert!(part.is_up());
        time.shorten(Deadline::after(Instant::now(), LONG));
        assert!(part.is_up(), "the earlier one counts");
    }

    /// Turns are polled once more, even when no time is left.
    #[tokio::test]
    async fn turns_get_a_moment_to_end() {
        let time = ShutdownTime::new();
        time.shorten(Deadline::after(Instant::now(), Duration::ZERO));
        let began = Instant::now();
        assert_eq!(time.begin(Part::Turns).within(pending::<()>()).await, None);
        assert!(began.elapsed() >= TURNS_END_MIN);
    }
}
