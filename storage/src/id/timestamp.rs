//! Wall-clock time as it is stored. Reads no clock.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Wall-clock time in microseconds since 1970-01-01 UTC, read when a block is opened. It displays
/// as in RFC 3339, serializes as the number of microseconds, and converts from and into a
/// [`SystemTime`].
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use relive_storage::Timestamp;
/// let paid = Timestamp::from_micros(1_700_000_000_000_000);
/// assert_eq!(paid.to_string(), "2023-11-14T22:13:20.000000Z");
/// let due = paid.plus(Duration::from_secs(15 * 60));
/// assert_eq!(due.since(paid), Duration::from_secs(900));
/// assert_eq!(SystemTime::from(due), SystemTime::UNIX_EPOCH + due.since_epoch());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Wraps microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time since 1970-01-01 UTC.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// The time since an earlier one; zero when that is later, since clocks may be set back.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This time plus `time`, in whole microseconds; at most the last one that there is, in the
    /// year 586,524.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self > YEAR_9999 {
            // RFC 3339 has no year for it.
            return write!(f, "{} us after 1970", self.0);
        }
        fmt::Display::fmt(&humantime::format_rfc3339_micros((*self).into()), f)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        Self::UNIX_EPOCH + time.since_epoch()
    }
}

/// A time that is out of the range of a [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time before 1970, or after the year 586,524, can't be stored")]
pub struct NoTimestamp;

impl TryFrom<SystemTime> for Timestamp {
    type Error = NoTimestamp;

    fn try_from(time: SystemTime) -> Result<Self, NoTimestamp> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| NoTimestamp)?;
        u64::try_from(since.as_micros()).map(Self).map_err(|_| NoTimestamp)
    }
}

/// The last microsecond of the year 9999.
const YEAR_9999: Timestamp = Timestamp(253_402_300_799_999_999);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_can_be_shown() {
        let shown = |micros| Timestamp::from_micros(micros).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(YEAR_9999.0), "9999-12-31T23:59:59.999999Z");
        assert_eq!(shown(YEAR_9999.0 + 1), "253402300800000000 us after 1970");
        assert_eq!(shown(u64::MAX), format!("{} us after 1970", u64::MAX));
    }

    #[test]
    fn it_goes_into_a_system_time_and_back() {
        for micros in [0, 1, 1_700_000_000_000_001, u64::MAX / 4] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::try_from(SystemTime::from(time)), Ok(time));
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp::try_from(before), Err(NoTimestamp));
    }

    #[test]
    fn sums_stay_within_what_there_is() {
        let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(u64::MAX - 1));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.plus(Duration::from_secs(1)), Timestamp::from_micros(u64::MAX));
        assert_eq!(early.plus(Duration::MAX), Timestamp::from_micros(u64::MAX));
    }
}
