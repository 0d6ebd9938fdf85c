//! One shutdown for all clones of a runtime: who comes first begins it, all get its report. It runs
//! on a thread of its own, so that neither a caller who is gone nor a tokio whose threads are busy
//! holds it up. Must not know what a shutdown does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use relive_replay::guard::guarded;
use relive_storage::threads::start_detached;
use tokio::sync::watch;

use crate::error::RuntimeFailure;
use crate::log::committer::panicked;
use crate::runtime::shutdown::{ShutdownReport, shut_down};
use crate::runtime::shutdown_time::{Deadline, ShutdownTime};
use crate::shared::Core;

type Outcome = Result<ShutdownReport, RuntimeFailure>;

/// When a caller wants the end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    /// After as long as each part may take by the settings.
    InParts,
    /// At a deadline, which also shortens a shutdown that is under way.
    By(Deadline),
}

/// The shutdown of a runtime.
pub(crate) struct SharedShutdown {
    begun: AtomicBool,
    time: ShutdownTime,
    outcome: watch::Sender<Option<Outcome>>,
}

impl SharedShutdown {
    pub(crate) fn new() -> Arc<Self> {
        let (begun, outcome) = (AtomicBool::new(false), watch::Sender::new(None));
        Arc::new(Self { begun, time: ShutdownTime::new(), outcome })
    }

    /// Begins the shutdown, unless it has begun, and waits for its end.
    ///
    /// # Cancel safety
    /// When the future is dropped, the shutdown goes on.
    pub(crate) async fn run(self: &Arc<Self>, core: &Arc<Core>, ends: Ends) -> Outcome {
        let first = !self.begun.swap(true, Ordering::AcqRel);
        match ends {
            Ends::InParts if first => self.time.limit_each(core.services.config.shutdown_timeout),
            Ends::InParts => {}
            Ends::By(deadline) => self.time.shorten(deadline),
        }
        let mut outcome = self.outcome.subscribe();
        if first {
            self.begin(core);
        }
        let outcome = outcome.wait_for(Option::is_some).await;
        let outcome = outcome.expect("the sender is in the same place").clone();
        outcome.expect("it was waited for")
    }

    fn begin(self: &Arc<Self>, core: &Arc<Core>) {
        let (shared, shut_down) = (Arc::clone(self), Arc::clone(core));
        // The log lines go where those of the caller go.
        let lines = tracing::dispatcher::get_default(Clone::clone);
        let body = move || {
            tracing::dispatcher::with_default(&lines, || block_on(Promise(shared).keep(shut_down)));
        };
        if let Err(error) = start_detached(thread::Builder::new().name("relive-shutdown".to_owned()), body) {
            tracing::warn!(%error, "no thread could be started for the shutdown: it runs on the host's");
            core.services.tokio.spawn(Promise(Arc::clone(self)).keep(Arc::clone(core)));
        }
    }
}

/// The promise of an outcome. When nobody can keep it, it says that the host is gone.
struct Promise(Arc<SharedShutdown>);

impl Promise {
    async fn keep(self, core: Arc<Core>) {
        let outcome = {
            let mut ending = pin!(shut_down(&core, &self.0.time));
            poll_fn(|task| match guarded(|| ending.as_mut().poll(task)) {
                Ok(poll) => poll,
                Err(panic) => {
                    let failure = RuntimeFailure::Store(Arc::new(panicked("shut down", &panic)));
                    core.lifecycle.stop(failure.clone().into());
                    Poll::Ready(Err(failure))
                }
            })
            .await
        };
        // Before anybody hears of the end: who opens the store next finds nothing of this runtime.
        drop(core);
        self.0.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.outcome.send_if_modified(|outcome| {
            let is_kept = outcome.is_some();
            outcome.get_or_insert(Err(RuntimeFailure::HostGone));
            !is_kept
        });
    }
}

/// Drives a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let (mut task, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut task) {
            Poll::Ready(value) => return value,
            // A wake that came before leaves a permit, so none is lost.
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Config;
    use crate::runtime::testing::runtime;

    #[test]
    fn a_thread_drives_a_future_to_its_end() {
        let (told, hears) = tokio::sync::oneshot::channel();
        let telling = thread::spawn(move || told.send(5));
        assert_eq!(block_on(hears), Ok(5));
        telling.join().unwrap().unwrap();
    }

    /// Nobody waits for a shutdown that nobody runs.
    #[tokio::test]
    async fn a_promise_that_nobody_keeps_says_that_the_host_is_gone() {
        let shared = SharedShutdown::new();
        let (core, _) = runtime(Config::default());
        drop(Promise(Arc::clone(&shared)).keep(Arc::clone(&core)));
        assert!(matches!(*shared.outcome.borrow(), Some(Err(RuntimeFailure::HostGone))));
    }

    /// All callers get the report of one shutdown, which goes on without the caller who began it.
    #[tokio::test]
    async fn a_shutdown_goes_on_without_its_caller() {
        let shared = SharedShutdown::new();
        let (core, _) = runtime(Config::default());
        {
            let mut begun = pin!(shared.run(&core, Ends::InParts));
            let polled = begun.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            assert!(polled.is_pending());
        }
        let by = Ends::By(Deadline::after(Instant::now(), Duration::from_secs(60)));
        for ends in [Ends::InParts, by] {
            assert_eq!(shared.run(&core, ends).await.unwrap(), ShutdownReport::default());
        }
        assert!(core.lifecycle.stop_reason().is_some());
    }
}
