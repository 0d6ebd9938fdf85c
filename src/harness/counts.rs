//! What moves, and who waits until nothing does: the commits, the pauses that stand for a time, and
//! at last the test. Knows the names of what moves.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::harness::{Moving, Restless};
use crate::sync::{Condvar, Mutex, MutexGuard, Rank};

/// How long a commit waits at most until all others wait. Only code that runs on and on, or blocks
/// its thread, lets a commit wait so long.
const PATIENCE: Duration = Duration::from_millis(100);

/// What moves, and who waits for its end.
pub(super) struct Counts {
    inner: Mutex<Inner>,
    /// Wakes the commits that wait.
    all_wait: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Everything that moves, by the number that it got when it began.
    moving: BTreeMap<u64, Moving>,
    /// How many of it run: neither commits nor side effects.
    running: usize,
    /// How many of it are commits.
    commits: usize,
    /// How many of it are side effects.
    outside: usize,
    last: u64,
    /// How often the end of a runtime has ended the waits of commits.
    given_way: u64,
    /// The tasks that pause.
    pauses: BTreeMap<u64, Waker>,
    /// How often nothing moved.
    quiet: u64,
    /// The tests that wait for that, each with the round in which it gives up.
    waiting: BTreeMap<u64, (u64, Waker)>,
    /// How often anything tracked was polled.
    rounds: u64,
    seeds: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { inner: Mutex::new(Rank::Harness, Inner::default()), all_wait: Condvar::new() }
    }
}

impl Counts {
    /// Something begins to move; returns its number.
    pub(super) fn begin(&self, what: Moving) -> u64 {
        self.inner.lock().begin(what)
    }

    /// It moves no more.
    pub(super) fn end(&self, id: u64) {
        let mut inner = self.inner.lock();
        inner.end(id);
        self.settle(inner);
    }

    /// Something that is tracked is polled.
    pub(super) fn round(&self) {
        let mut inner = self.inner.lock();
        inner.rounds += 1;
        let now = inner.rounds;
        let mut given_up = Vec::new();
        inner.waiting.retain(|_, (limit, waker)| {
            let waits = *limit >= now;
            if !waits {
                given_up.push(waker.clone());
            }
            waits
        });
        drop(inner);
        given_up.into_iter().for_each(Waker::wake);
    }

    pub(super) fn seed(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.seeds += 1;
        mixed(inner.seeds)
    }

    pub(super) fn moving(&self) -> Vec<Moving> {
        self.inner.lock().moving.values().cloned().collect()
    }

    pub(super) fn until_all_wait(&self) {
        let (mut inner, began) = (self.inner.lock(), Instant::now());
        let given_way = inner.given_way;
        while inner.running > 0 && inner.given_way == given_way {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            inner = inner.wait_for(&self.all_wait, left);
        }
    }

    pub(super) fn give_way(&self) {
        self.inner.lock().given_way += 1;
        self.all_wait.notify_all();
    }

    /// Waits until nothing runs, and no commit is under way.
    pub(super) async fn pause(&self) {
        let mut pause = Registered { counts: self, id: None };
        poll_fn(|task| pause.poll_pause(task)).await;
    }

    /// Waits until nothing moves, for so many rounds at most.
    pub(super) async fn quiet(&self, rounds: u64) -> Result<(), Restless> {
        let (before, limit) = {
            let inner = self.inner.lock();
            (inner.quiet, inner.rounds.saturating_add(rounds))
        };
        let mut wait = Registered { counts: self, id: None };
        poll_fn(|task| wait.poll_quiet(before, limit, task)).await
    }

    /// Tells those who wait for what holds now: commits before pauses, and these before tests.
    fn settle(&self, mut inner: MutexGuard<'_, Inner>) {
        if inner.running == 0 {
            self.all_wait.notify_all();
        }
        if inner.running > 0 || inner.commits > 0 {
            return;
        }
        if !inner.pauses.is_empty() {
            let woken = std::mem::take(&mut inner.pauses);
            // Until all of them are awake: else it would look quiet meanwhile.
            let id = inner.begin(Moving::Task("a pause ends"));
            drop(inner);
            woken.into_values().for_each(Waker::wake);
            return self.end(id);
        }
        if inner.moving.is_empty() {
            inner.quiet += 1;
            let told = std::mem::take(&mut inner.waiting);
            drop(inner);
            told.into_values().for_each(|(_, waker)| waker.wake());
        }
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn begin(&mut self, what: Moving) -> u64 {
        let id = self.number();
        *self.count(&what) += 1;
        self.moving.insert(id, what);
        id
    }

    fn end(&mut self, id: u64) {
        if let Some(what) = self.moving.remove(&id) {
            *self.count(&what) -= 1;
        }
    }

    fn count(&mut self, what: &Moving) -> &mut usize {
        match what {
            Moving::Turn(_) | Moving::Task(_) => &mut self.running,
            Moving::Commit => &mut self.commits,
            Moving::SideEffect(_) => &mut self.outside,
        }
    }
}

/// A pause, or a test that waits. Forgotten when it is dropped.
struct Registered<'c> {
    counts: &'c Counts,
    id: Option<u64>,
}

impl Registered<'_> {
    fn poll_pause(&mut self, task: &Context<'_>) -> Poll<()> {
        let mut inner = self.counts.inner.lock();
        match self.id {
            Some(id) if !inner.pauses.contains_key(&id) => return Poll::Ready(()),
            None if inner.running == 0 && inner.commits == 0 => return Poll::Ready(()),
            _ => {}
        }
        let id = *self.id.get_or_insert_with(|| inner.number());
        inner.pauses.insert(id, task.waker().clone());
        Poll::Pending
    }

    fn poll_quiet(&mut self, before: u64, limit: u64, task: &Context<'_>) -> Poll<Result<(), Restless>> {
        let mut inner = self.counts.inner.lock();
        // Who asks may be tracked itself, and then moves while it is polled.
        if inner.quiet != before || (inner.moving.is_empty() && inner.pauses.is_empty()) {
            return Poll::Ready(Ok(()));
        }
        if inner.rounds > limit {
            return Poll::Ready(Err(Restless));
        }
        let id = *self.id.get_or_insert_with(|| inner.number());
        inner.waiting.insert(id, (limit, task.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut inner = self.counts.inner.lock();
        inner.waiting.remove(&id);
        if inner.pauses.remove(&id).is_some() {
            // It was what the tests had to wait for, maybe.
            self.counts.settle(inner);
        }
    }
}

/// Spreads a number over 64 bits.
///
/// # Source
/// The finalizer of SplitMix64: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
/// Generators*, OOPSLA 2014.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
