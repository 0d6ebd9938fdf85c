//! Stable storage in memory for one test, with the clock and the crashes of what runs on it. Knows
//! the simulated device; no actor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relive_storage::Timestamp;
use relive_storage::simulated_store::{SimulatedDisk, Unsynced};
use tokio::sync::Notify;

use crate::error::{Ended, OpenError};
use crate::harness::Harness;
use crate::runtime::Runtime;
use crate::runtime::builder::Builder;
use crate::shared::Core;
use crate::testing::ManualClock;
use crate::testing::quiet::QuietError;

/// Stable storage in memory for one test, and the time in it. It outlives the runtimes that you
/// open on it, and crashes them. Clones are the same store.
///
/// It needs no directory and no disk. Its clock stands still until you move it. Actors in it get
/// the same randomness and the same idempotency keys in each run of a test.
///
/// # Limits
/// One runtime at a time is open on it. A commit waits until all actors wait, so that a run that
/// does the same makes the same commits; in a tokio runtime of one thread that holds exactly. Don't
/// measure speed with it. It keeps everything in memory, and a note of each call, until its last
/// clone is dropped.
///
/// # Examples
/// An order that is paid after a day, whatever crashes in between:
/// ```
/// use std::time::Duration;
///
/// use relive::testing::TestStore;
/// use relive::{Actor, Builder, Context, Handle, Message, Runtime};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Order { paid: bool }
/// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false } } }
/// # #[derive(Serialize, Deserialize)] struct Place;
/// # impl Message for Place { const NAME: &'static str = "place"; type Reply = (); }
/// # #[derive(Serialize, Deserialize)] struct IsPaid;
/// # impl Message for IsPaid { const NAME: &'static str = "is-paid"; type Reply = bool; }
/// # impl Handle<IsPaid> for Order {
/// #     async fn handle(&mut self, _: IsPaid, _: &mut Context<'_>) -> bool { self.paid }
/// # }
/// const DAY: Duration = Duration::from_secs(86_400);
///
/// impl Handle<Place> for Order {
///     async fn handle(&mut self, _: Place, cx: &mut Context<'_>) {
///         cx.sleep(DAY).await;
///         self.paid = true;
///     }
/// }
///
/// fn builder() -> Builder {
///     Runtime::builder().actor::<Order>(|order| order.handles::<Place>().handles::<IsPaid>())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = TestStore::new();
/// let runtime = store.open(builder()).await?;
/// runtime.actor::<Order>("17")?.tell(Place).await?.durable().await?;
/// store.advance(DAY / 2).await?;
/// store.crash().await;
///
/// let runtime = store.open(builder()).await?;
/// store.advance(DAY / 2).await?;
/// assert!(runtime.actor::<Order>("17")?.ask(IsPaid).await?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TestStore {
    shared: Arc<Shared>,
}

struct Shared {
    disk: SimulatedDisk,
    clock: ManualClock,
    harness: Harness,
    /// What runs on it.
    open: Mutex<Option<Runtime>>,
    /// Tells that something else does.
    opened: Notify,
}

impl TestStore {
    /// An empty store. Its clock shows the beginning of 2026.
    #[must_use]
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// One that tears writes in another way.
    pub(super) fn seeded(seed: u64) -> Self {
        let shared = Shared {
            disk: SimulatedDisk::new(seed),
            clock: ManualClock::new(Timestamp::from_micros(BEGINNING_MICROS)),
            harness: Harness::new(),
            open: Mutex::new(None),
            opened: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The clock. Move it by [`TestStore::advance`], or here, to jump: timers and sleeps whose
    /// times have come by then are due at once.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.shared.clock
    }

    /// Opens a runtime on the store: the same actors again, or other versions of them. A runtime
    /// that is open on the store ends first, as by [`TestStore::crash`].
    ///
    /// The store holds a clone of the runtime, which goes on when you drop yours. The runtime sees
    /// the store's clock, unless the builder sets another one. Returns as
    /// [`Builder::open`] does: what the opening found goes on meanwhile, and [`TestStore::quiet`]
    /// waits for it.
    ///
    /// # Errors
    /// As [`Builder::open_on`].
    ///
    /// # Cancel safety
    /// As [`Builder::open_on`].
    pub async fn open(&self, builder: Builder) -> Result<Runtime, OpenError> {
        self.crash().await;
        let shared = &self.shared;
        let builder = builder.in_test(shared.harness.clone(), shared.clock.clone());
        let runtime = builder.open_on(Arc::new(shared.disk.open())).await?;
        *shared.open() = Some(runtime.clone());
        shared.opened.notify_waiters();
        Ok(runtime)
    }

    /// Waits until nothing moves in the runtime: no message is under way, no handler runs or is
    /// about to, every commit and checkpoint is on stable storage, and every timer that is due has
    /// fired. Looks at no time, and uses none.
    ///
    /// A handler that waits for time alone is quiet, and so are those who wait for its actor. One
    /// that waits for a side effect is not. In a tokio runtime of one thread, tasks of the test
    /// that are ready run once before the first look, so what they send at once counts.
    ///
    /// # Limits
    /// A side effect that never ends is waited for. [`TestStore::moving`] says what that is. What a
    /// side effect leaves to a task of its own is not seen.
    ///
    /// # Errors
    /// - [`QuietError::Restless`]: something still moves after 100,000 polls of turns. See
    ///   [`TestStore::quiet_within`].
    /// - [`QuietError::Ended`]: the runtime has ended, or none was opened. After a planned crash
    ///   this ends a run; see [`CrashTest`](crate::testing::CrashTest).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn quiet(&self) -> Result<(), QuietError> {
        self.quiet_within(ROUNDS_MAX).await
    }

    /// As [`TestStore::quiet`], with another limit: so many polls of turns, and of what else moves
    /// in the runtime. A turn is polled when it begins, and whenever something that it waits for
    /// has happened.
    ///
    /// # Errors
    /// As [`TestStore::quiet`].
    ///
    /// # Cancel safety
    /// As [`TestStore::quiet`].
    pub async fn quiet_within(&self, rounds: u64) -> Result<(), QuietError> {
        tokio::task::yield_now().await;
        let core = self.running().ok_or(Ended::Stopped)?;
        let quiet = core.lifecycle.unless_stopped(self.shared.harness.quiet(rounds)).await?;
        if quiet.is_err() {
            return Err(QuietError::Restless { rounds, moving: self.moving() });
        }
        match core.lifecycle.stop_reason() {
            Some(ended) => Err(ended.into()),
            None => Ok(()),
        }
    }

    /// What moves now, a sentence for each. Empty when it is quiet.
    #[must_use]
    pub fn moving(&self) -> Vec<String> {
        self.shared.harness.moving().iter().map(ToString::to_string).collect()
    }

    /// Moves the clock ahead, from one time that anything waits for to the next, and waits at each
    /// until it is quiet. So timers fire in their order, each handler sees the time that it waited
    /// for, and what it begins then falls due within the same call.
    ///
    /// Each firing is one step: for a short period and a long time move [`TestStore::clock`]
    /// instead, which lets a periodic timer fire once with the count of what was missed.
    ///
    /// # Errors
    /// As [`TestStore::quiet`]. The clock stands where it was when that failed.
    ///
    /// # Cancel safety
    /// When you drop the future, the clock may stand anywhere on its way.
    pub async fn advance(&self, time: Duration) -> Result<(), QuietError> {
        self.quiet().await?;
        let clock = &self.shared.clock;
        let until = crate::clock::Clock::now(clock).plus(time);
        while let Some(next) = clock.next_wait().filter(|next| *next <= until) {
            clock.set(next);
            self.quiet().await?;
        }
        clock.set(until);
        self.quiet().await
    }

    /// Ends the runtime as the death of its process would, also while handlers wait: what it has
    /// not handed to the store is gone, and what the store has not synced is still there. Returns
    /// when everything has ended. The clock stays.
    ///
    /// Without a runtime it does nothing.
    ///
    /// # Cancel safety
    /// When you drop the future, the runtime has ended all the same.
    pub async fn crash(&self) {
        let open = self.shared.open().take();
        if let Some(runtime) = open {
            runtime.crash().await;
        }
    }

    /// Ends the runtime as a loss of power would: as [`TestStore::crash`], and what was not synced
    /// is gone too. Nothing that was acknowledged is.
    ///
    /// # Cancel safety
    /// As [`TestStore::crash`].
    pub async fn lose_power(&self) {
        self.shared.disk.lose_power(Unsynced::Dropped);
        self.crash().await;
    }

    /// The device itself.
    pub(super) fn disk(&self) -> &SimulatedDisk {
        &self.shared.disk
    }

    pub(super) fn harness(&self) -> &Harness {
        &self.shared.harness
    }

    /// What runs on it now.
    pub(super) fn running(&self) -> Option<Arc<Core>> {
        self.shared.open().as_ref().map(Runtime::core)
    }

    /// Waits until a runtime on it has ended because the power is gone.
    pub(super) async fn until_power_is_lost(&self) {
        loop {
            // Made before the look: from its making on, it hears of every opening.
            let opened = self.shared.opened.notified();
            if let Some(core) = self.running() {
                core.lifecycle.stopped().await;
                if !self.shared.disk.has_power() {
                    return;
                }
            }
            opened.await;
        }
    }
}

impl Default for TestStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for TestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestStore").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Option<Runtime>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of 2026, in microseconds since 1970.
const BEGINNING_MICROS: u64 = 1_767_225_600_000_000;

/// How many polls of turns a wait for quiet lasts at most.
const ROUNDS_MAX: u64 = 100_000;
