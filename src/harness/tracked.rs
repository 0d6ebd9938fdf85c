//! A task that counts as moving while it is polled, and from each wake to the next poll. Knows
//! nothing of what it does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::harness::Moving;
use crate::harness::counts::Counts;
use crate::sync::{Mutex, Rank};

/// Tells the counts when its task moves. Counts as moving from the beginning: a task that was
/// spawned is going to be polled.
pub(super) struct Tracked {
    counts: Arc<Counts>,
    what: Moving,
    state: Mutex<State>,
}

struct State {
    /// Under which number it counts as moving.
    moves: Option<u64>,
    /// It was woken in the middle of a poll.
    woken: bool,
    /// It is polled no more.
    over: bool,
    /// That of the task that polls it.
    waker: Option<Waker>,
}

/// Runs a task, tracked or not.
pub(super) async fn tracked<F: Future>(tracked: Option<Arc<Tracked>>, task: F) -> F::Output {
    // Also when the task is dropped, polled or not.
    let tracked = tracked.map(Tracking);
    let mut task = pin!(task);
    let Some(Tracking(tracked)) = &tracked else { return task.await };
    let own = Waker::from(Arc::clone(tracked));
    poll_fn(|host| {
        tracked.begins(host.waker());
        let polled = task.as_mut().poll(&mut Context::from_waker(&own));
        if polled.is_pending() {
            tracked.ends();
        }
        polled
    })
    .await
}

/// Ends the count of a task with it.
struct Tracking(Arc<Tracked>);

impl Drop for Tracking {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.over = true;
        let (moves, waker) = (state.moves.take(), state.waker.take());
        drop(state);
        drop(waker);
        if let Some(id) = moves {
            self.0.counts.end(id);
        }
    }
}

impl Tracked {
    pub(super) fn new(counts: &Arc<Counts>, what: Moving) -> Arc<Self> {
        let moves = Some(counts.begin(what.clone()));
        let state = State { moves, woken: false, over: false, waker: None };
        Arc::new(Self { counts: Arc::clone(counts), what, state: Mutex::new(Rank::Tracked, state) })
    }

    /// A poll begins.
    fn begins(&self, host: &Waker) {
        let mut state = self.state.lock();
        state.woken = false;
        // A poll that nobody has woken it for.
        self.moves(&mut state);
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(host)) {
            state.waker = Some(host.clone());
        }
        drop(state);
        self.counts.round();
    }

    /// A poll has ended, and the task waits.
    fn ends(&self) {
        let mut state = self.state.lock();
        let waits = if state.woken { None } else { state.moves.take() };
        drop(state);
        if let Some(id) = waits {
            self.counts.end(id);
        }
    }

    /// Under its lock, so that a wake and the end of a poll agree.
    fn moves(&self, state: &mut State) {
        state.moves.get_or_insert_with(|| self.counts.begin(self.what.clone()));
    }
}

impl Wake for Tracked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.over {
            return;
        }
        state.woken = true;
        self.moves(&mut state);
        let waker = state.waker.clone();
        drop(state);
        // Without the lock: a waker is foreign code. Before the first poll there is none.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
