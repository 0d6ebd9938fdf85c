//! When to take the next checkpoint. A checkpoint that comes late makes recovery long, and one that
//! comes early costs more than it saves. Two questions are answered, from different measurements:
//!
//! - *How long may a recovery take?* [`RecoveryCost`] has what a recovery consists of: to load the
//!   last checkpoint and to replay what came after it. From a limit, the recovery-time objective,
//!   follows how much may come before the next checkpoint. No failure rate is involved.
//! - *How often does it fail?* [`FailureModel`] has the mean time between failures. The interval
//!   that loses the least time on average follows, by Young or by Daly, and so does the time that
//!   a computation is expected to take. No single recovery is bounded.
//!
//! All are pure functions of durations and counts. The module measures nothing, reads no clock and
//! knows no checkpoint; the driver of the system measures the costs and obeys the answer.
//!
//! # Assumptions
//!
//! - A recovery loads one checkpoint and replays everything after it, so its time is linear in the
//!   deliveries and the bytes. Message logging gives that; what is replayed in parallel takes less.
//! - For the failure model: failures are independent of each other and of time (a Poisson process),
//!   a failure is noticed at once, the mean time is that of the whole system which fails together,
//!   and the work since the last checkpoint is done again at the speed at which it was done first.
//!   The one who measures the mean time has to make sure of this.
//!
//! # Source
//!
//! - Young, *A First Order Approximation to the Optimum Checkpoint Interval*, Communications of the
//!   ACM 17(9), 1974.
//! - Daly, *A Higher Order Estimate of the Optimum Checkpoint Interval for Restart Dumps*, Future
//!   Generation Computer Systems 22(3), 2006: the complete model is equation 20; also the
//!   estimate of its optimum.

use std::fmt;
use std::time::Duration;

/// How many bytes [`RecoveryCost::per_mebibyte`] is about.
const MEBIBYTE: u128 = 1 << 20;

/// What has come since a checkpoint, and a recovery from it replays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of deliveries.
    pub deliveries: u64,
    /// The bytes of the log that have to be read for them.
    pub bytes: u64,
}

/// How fast deliveries and bytes come, as a measurement over some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    progress: Progress,
    over: Duration,
}

impl Rate {
    /// So much came in that time.
    ///
    /// # Errors
    /// [`InvalidInput::Measurement`] when no time has passed. Measure longer.
    pub fn new(progress: Progress, over: Duration) -> Result<Self, InvalidInput> {
        if over.is_zero() { Err(InvalidInput::Measurement) } else { Ok(Self { progress, over }) }
    }
}

/// What a recovery costs, as measured, and a checkpoint.
///
/// A recovery takes `load + deliveries * per_delivery + bytes * per_mebibyte / 2^20`, rounded up to
/// whole nanoseconds. Sums that no [`Duration`] holds saturate: a recovery then takes
/// [`Duration::MAX`], and a checkpoint is due early rather than late.
///
/// ```
/// use std::time::Duration;
///
/// use relive_protocols::interval::{Due, OutOfReach, Progress, Rate, RecoveryCost};
///
/// let cost = RecoveryCost {
///     load: Duration::from_millis(100),
///     per_delivery: Duration::from_micros(2),
///     per_mebibyte: Duration::from_millis(1),
///     write: Duration::from_millis(500),
/// };
/// // 100 ms to load, 400 ms for the deliveries, 100 ms for the bytes.
/// let since = Progress { deliveries: 200_000, bytes: 100 << 20 };
/// assert_eq!(cost.recovery_time(since), Duration::from_millis(600));
///
/// // Each second brings as much again, which takes half a second to replay. The limit leaves room
/// // for 400 ms of replay, so for 0.8 s of traffic, of which the checkpoint itself takes 0.5 s.
/// let rate = Rate::new(since, Duration::from_secs(1))?;
/// let due = cost.next_checkpoint(Duration::from_secs(1), since, rate);
/// let time = Duration::from_millis(300);
/// assert_eq!(due, Ok(Due::After { time, deliveries: 60_000, bytes: 30 << 20 }));
///
/// // No checkpoint is young enough for this.
/// let limit = Duration::from_millis(50);
/// let shortest = Duration::from_millis(100);
/// let due = cost.next_checkpoint(limit, since, rate);
/// assert_eq!(due, Err(OutOfReach::Load { limit, shortest }));
/// # Ok::<(), relive_protocols::interval::InvalidInput>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryCost {
    /// The time to read and decode a checkpoint.
    pub load: Duration,
    /// The time to replay one delivery, whatever its size.
    pub per_delivery: Duration,
    /// The time for 2^20 bytes of the log to be read and decoded. A byte alone takes less than a
    /// nanosecond, and that is the finest that a [`Duration`] has.
    pub per_mebibyte: Duration,
    /// The time from the beginning of a checkpoint until it is on stable storage. Until then a
    /// recovery begins at the one before. Zero when it is too short to count.
    pub write: Duration,
}

/// When to begin the next checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Not as long as the rate stays as it is: it brings nothing that takes time to replay.
    Never,
    /// When one of these has passed. At the given rate all of them pass at the same time; when the
    /// rate changes, the first one counts until the question is asked anew.
    After {
        /// The time from now.
        time: Duration,
        /// The further deliveries until then.
        deliveries: u64,
        /// The further bytes until then.
        bytes: u64,
    },
    /// At once. While it is written, a recovery may take longer than the limit.
    Now,
}

impl RecoveryCost {
    /// How long a recovery takes when this has to be replayed: what recovery would take now, when
    /// it is what came since the last checkpoint on stable storage.
    #[must_use]
    pub fn recovery_time(&self, since: Progress) -> Duration {
        duration(self.load.as_nanos().saturating_add(self.replay(since)))
    }

    /// How many deliveries may come after a checkpoint, as far as they alone are concerned.
    /// [`u64::MAX`] when replaying them takes no time.
    ///
    /// # Errors
    /// [`OutOfReach::Load`] when loading the checkpoint takes longer than the limit.
    pub fn deliveries_within(&self, limit: Duration) -> Result<u64, OutOfReach> {
        let room = self.room(limit)?;
        Ok(saturated(room.checked_div(self.per_delivery.as_nanos()).unwrap_or(u128::MAX)))
    }

    /// How many bytes may come after a checkpoint, as far as they alone are concerned.
    /// [`u64::MAX`] when reading them takes no time.
    ///
    /// # Errors
    /// [`OutOfReach::Load`] when loading the checkpoint takes longer than the limit.
    pub fn bytes_within(&self, limit: Duration) -> Result<u64, OutOfReach> {
        let room = self.room(limit)?.saturating_mul(MEBIBYTE);
        Ok(saturated(room.checked_div(self.per_mebibyte.as_nanos()).unwrap_or(u128::MAX)))
    }

    /// When to begin the next checkpoint, so that a failure at any moment until it is on stable
    /// storage is recovered from within `limit`, as long as `rate` holds. `since` is what came
    /// since the last checkpoint on stable storage began.
    ///
    /// The time is that in which the rest of the limit fills up with replay, less the time that
    /// writing takes, during which traffic goes on and the older checkpoint has to serve.
    ///
    /// # Errors
    /// - [`OutOfReach::Load`] when loading a checkpoint takes longer than the limit.
    /// - [`OutOfReach::Rate`] when too much comes: not even checkpoints back to back keep the
    ///   limit. What is replayed in a recovery that begins just before a checkpoint is complete
    ///   then came during the writing of two of them.
    pub fn next_checkpoint(&self, limit: Duration, since: Progress, rate: Rate) -> Result<Due, OutOfReach> {
        let room = self.room(limit)?;
        let (replay, over) = (self.replay(rate.progress), rate.over.as_nanos());
        assert!(over > 0, "a rate is measured over some time");
        let write = self.write.as_nanos();
        let least = replay.checked_mul(write.saturating_mul(2)).map_or(u128::MAX, |all| all.div_ceil(over));
        if least > room {
            let shortest = duration(self.load.as_nanos().saturating_add(least));
            return Err(OutOfReach::Rate { limit, shortest });
        }
        let Some(room) = room.checked_sub(self.replay(since)) else { return Ok(Due::Now) };
        if replay == 0 {
            return Ok(Due::Never);
        }
        // All of this rounds down, and so the recovery stays within the limit.
        let until = (room.saturating_mul(over) / replay).saturating_sub(write);
        if until == 0 || replay == u128::MAX {
            return Ok(Due::Now);
        }
        let passed = |count: u64| saturated(u128::from(count).saturating_mul(until) / over);
        let (deliveries, bytes) = (passed(rate.progress.deliveries), passed(rate.progress.bytes));
        Ok(Due::After { time: duration(until), deliveries, bytes })
    }

    /// What a limit leaves for replay, in nanoseconds.
    fn room(&self, limit: Duration) -> Result<u128, OutOfReach> {
        let room = limit.checked_sub(self.load).map(|room| room.as_nanos());
        room.ok_or(OutOfReach::Load { limit, shortest: self.load })
    }

    /// The time to replay, in nanoseconds. [`u128::MAX`] when it is longer than can be counted.
    fn replay(&self, progress: Progress) -> u128 {
        let deliveries = u128::from(progress.deliveries).checked_mul(self.per_delivery.as_nanos());
        let bytes = u128::from(progress.bytes).checked_mul(self.per_mebibyte.as_nanos());
        let both = deliveries.zip(bytes);
        both.and_then(|(deliveries, bytes)| deliveries.checked_add(bytes.div_ceil(MEBIBYTE)))
            .unwrap_or(u128::MAX)
    }
}

/// No interval between checkpoints keeps the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfReach {
    /// To load a checkpoint alone takes longer.
    Load {
        /// What was asked for.
        limit: Duration,
        /// How long the loading takes.
        shortest: Duration,
    },
    /// So much comes that checkpoints back to back are too few.
    Rate {
        /// What was asked for.
        limit: Duration,
        /// The longest recovery with checkpoints back to back.
        shortest: Duration,
    },
}

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { limit, shortest } => write!(
                f,
                "no recovery stays within {limit:?}, because loading a checkpoint takes {shortest:?}; \
                 allow more, or make the state smaller"
            ),
            Self::Rate { limit, shortest } => write!(
                f,
                "at this rate a recovery may take {shortest:?} even with checkpoints back to back, and not \
                 {limit:?}; allow more, or spread the load"
            ),
        }
    }
}

impl std::error::Error for OutOfReach {}

/// A computation that fails now and then and goes on from its last checkpoint: how long to compute
/// between two checkpoints, and what that costs.
///
/// An *interval* is the time τ of computing from the end of one checkpoint to the beginning of the
/// next, without the time that the checkpoints take. All results are rounded to whole nanoseconds
/// and saturate at [`Duration::MAX`]; an interval is never zero.
///
/// ```
/// use std::time::Duration;
///
/// use relive_protocols::interval::FailureModel;
///
/// // A day between failures, 5 minutes for a checkpoint, 10 minutes for a restart.
/// let [day, hour, minute] = [86_400, 3_600, 60].map(Duration::from_secs);
/// let model = FailureModel::new(day, 5 * minute, 10 * minute)?;
/// assert_eq!(model.young(), 120 * minute);
/// assert_eq!(model.daly().as_secs() / 60, 116);
///
/// // 500 hours of work, and 47 more for checkpoints, restarts and what is done again.
/// let overhead = model.expected_overhead(500 * hour, model.daly())?;
/// assert_eq!(overhead.as_secs() / 3_600, 47);
/// # Ok::<(), relive_protocols::interval::InvalidInput>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureModel {
    mean: Duration,
    checkpoint: Duration,
    restart: Duration,
}

impl FailureModel {
    /// A system with the mean time M between its failures, the time C in which a checkpoint keeps
    /// it from computing, and the time R from a failure until it computes again. R has no influence
    /// on the best interval, only on the time that is expected.
    ///
    /// # Errors
    /// [`InvalidInput::MeanTime`] or [`InvalidInput::CheckpointCost`] when M or C is zero: a system
    /// that always fails does nothing, and one that saves at no cost has no best interval.
    pub fn new(mean: Duration, checkpoint: Duration, restart: Duration) -> Result<Self, InvalidInput> {
        if mean.is_zero() {
            return Err(InvalidInput::MeanTime);
        }
        if checkpoint.is_zero() {
            return Err(InvalidInput::CheckpointCost);
        }
        Ok(Self { mean, checkpoint, restart })
    }

    /// The interval by Young's first-order approximation: `sqrt(2 * C * M)`.
    ///
    /// A unit of work pays C / τ for its checkpoints, and τ / (2 * M) for what failures destroy,
    /// because each failure loses half an interval on average. The sum is least where both are
    /// equal. It leaves out failures during checkpoints and restarts, and holds for C far below M.
    ///
    /// # Source
    /// Young 1974.
    #[must_use]
    pub fn young(&self) -> Duration {
        let [mean, checkpoint] = [self.mean, self.checkpoint].map(|time| time.as_secs_f64());
        from_seconds((2.0 * checkpoint * mean).sqrt())
    }

    /// The interval by Daly's higher-order estimate:
    /// `sqrt(2 * C * M) * (1 + 1/3 * sqrt(C / (2 * M)) + 1/9 * (C / (2 * M))) - C` for C below
    /// 2 * M, and M otherwise.
    ///
    /// It is a perturbation solution for the minimum of [`expected_time`](Self::expected_time). The
    /// minimum has no closed form in elementary functions: it is where
    /// `(1 - τ / M) * e^((τ + C) / M) = 1`. For C far below M the estimate tends to that of Young.
    ///
    /// # Source
    /// Daly 2006, equation 37.
    #[must_use]
    pub fn daly(&self) -> Duration {
        let [mean, checkpoint] = [self.mean, self.checkpoint].map(|time| time.as_secs_f64());
        let ratio = checkpoint / (2.0 * mean);
        if ratio >= 1.0 {
            return self.mean;
        }
        let series = 1.0 + ratio.sqrt() / 3.0 + ratio / 9.0;
        from_seconds((2.0 * checkpoint * mean).sqrt() * series - checkpoint)
    }

    /// The wall-clock time that `work` is expected to take with checkpoints at this interval:
    /// `M * e^(R / M) * (e^((τ + C) / M) - 1) * work / τ`.
    ///
    /// The work is cut into work / τ segments of τ + C each. An exponentially distributed failure
    /// in a segment costs what was done of it, and a restart, in which it may fail again. A segment
    /// therefore takes `M * e^(R / M) * (e^((τ + C) / M) - 1)` on average. The last one, too, is
    /// taken to end with a checkpoint, so the formula is meant for work that is much longer than
    /// the interval. [`Duration::MAX`] means that there will hardly be an end.
    ///
    /// # Errors
    /// [`InvalidInput::Interval`] when the interval is zero.
    ///
    /// # Source
    /// Daly 2006, equation 20.
    pub fn expected_time(&self, work: Duration, interval: Duration) -> Result<Duration, InvalidInput> {
        if interval.is_zero() {
            return Err(InvalidInput::Interval);
        }
        if work.is_zero() {
            return Ok(Duration::ZERO);
        }
        let times = [self.mean, self.checkpoint, self.restart, interval, work];
        let [mean, checkpoint, restart, interval, work] = times.map(|time| time.as_secs_f64());
        let segment = mean * (restart / mean).exp() * ((interval + checkpoint) / mean).exp_m1();
        Ok(from_seconds(segment * (work / interval)))
    }

    /// How much longer than `work` it is expected to take: checkpoints, restarts and the work that
    /// is done again. [`expected_time`](Self::expected_time) less `work`.
    ///
    /// # Errors
    /// [`InvalidInput::Interval`] when the interval is zero.
    pub fn expected_overhead(&self, work: Duration, interval: Duration) -> Result<Duration, InvalidInput> {
        Ok(self.expected_time(work, interval)?.saturating_sub(work))
    }
}

/// A duration that must not be zero is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidInput {
    /// The time over which a rate was measured.
    Measurement,
    /// The mean time between failures.
    MeanTime,
    /// The cost of a checkpoint.
    CheckpointCost,
    /// The interval between checkpoints.
    Interval,
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measurement => "a rate that is measured over no time is none; measure longer",
            Self::MeanTime => "a mean time of zero between failures leaves no time to compute",
            Self::CheckpointCost => "checkpoints that cost nothing have no best interval; measure the cost",
            Self::Interval => "an interval of zero between checkpoints leaves no time to compute",
        })
    }
}

impl std::error::Error for InvalidInput {}

/// Saturates, as does infinity.
fn from_seconds(seconds: f64) -> Duration {
    assert!(seconds >= 0.0, "{seconds} s: the sums and products of positive durations are positive");
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Saturates.
fn duration(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let subsecond = u32::try_from(nanos % SECOND).expect("less than a second in nanoseconds fits 32 bits");
    u64::try_from(nanos / SECOND).map_or(Duration::MAX, |seconds| Duration::new(seconds, subsecond))
}

fn saturated(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
