//! For tests of your own actors. It needs the feature `test-support`:
//!
//! ```toml
//! [dev-dependencies]
//! relive = { version = "0.1", features = ["test-support"] }
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | run actors in memory, on a store that survives crashes within the test | [`TestStore`] |
//! | wait until nothing moves | [`TestStore::quiet`] |
//! | move time, and have everything happen in its order | [`TestStore::advance`] |
//! | crash at one point of your choice, and reopen | [`TestStore::crash`], [`TestStore::lose_power`], [`TestStore::open`] |
//! | crash at every point of a run | [`crash_at_every_point`], [`CrashTest`] |
//! | see one of these crashes alone | [`crash_at`] |
//! | decide what time it is, on any store | [`ManualClock`] |
//! | see what survives on a real disk | [`Runtime::crash`](crate::Runtime::crash) |
//!
//! Tests are fastest and repeat exactly in a tokio runtime of one thread, which `#[tokio::test]`
//! makes. All of it is right in one of several threads too.

mod crash_point;
mod crashes;
mod manual_clock;
mod quiet;
mod store;

pub use crash_point::{CrashPoint, NoCrashPoint};
pub use crashes::{CrashFailure, CrashReport, CrashTest, TestResult, crash_at, crash_at_every_point};
pub use manual_clock::ManualClock;
pub use quiet::QuietError;
pub use store::TestStore;
