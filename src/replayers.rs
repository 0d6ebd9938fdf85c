//! Threads that restore actors, with a stack at least as large as handlers have live: a handler
//! that succeeded live must not overflow in a replay. Knows jobs, no actors.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use relive_replay::guard::guarded;
use relive_storage::threads::start_detached;
use tokio::sync::oneshot;

use crate::error::OpenError;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that restore actors. The first jobs start them, and they end with the runtime.
pub(crate) struct Replayers {
    shared: Arc<Shared>,
    stack_bytes: usize,
    threads_max: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: std::collections::VecDeque<Job>,
    threads: usize,
    idle: usize,
    over: bool,
}

/// Why a job has no outcome.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JobError {
    /// It panicked; the text of its panic.
    #[error("it panicked: {0}")]
    Panicked(String),
    /// There was no thread to run it on, and why.
    #[error("no thread could be started: {0}")]
    NoThread(String),
}

impl Replayers {
    /// Up to `threads_max` threads, each with `stack_bytes` of stack.
    pub(crate) fn new(threads_max: usize, stack_bytes: usize) -> Self {
        assert!(threads_max > 0, "without a thread no job is ever run");
        Self { shared: Arc::default(), stack_bytes, threads_max }
    }

    /// Runs a job on one of the threads.
    ///
    /// # Errors
    /// [`JobError::Panicked`] when it did; [`JobError::NoThread`] when it was not run.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobError> {
        let (done, outcome) = oneshot::channel();
        let tokio = tokio::runtime::Handle::try_current().ok();
        let queued = self.queue(Box::new(move || {
            // Users' code may expect to run within tokio, as it does live.
            let _context = tokio.as_ref().map(tokio::runtime::Handle::enter);
            drop(done.send(guarded(job)));
        }));
        queued.map_err(|error| JobError::NoThread(error.to_string()))?;
        match outcome.await {
            Ok(outcome) => outcome.map_err(JobError::Panicked),
            Err(_) => Err(JobError::NoThread("its thread has ended".to_owned())),
        }
    }

    /// Runs a part of an opening on one of the threads.
    pub(crate) async fn open<T: Send + 'static>(
        &self,
        part: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
    ) -> Result<T, OpenError> {
        match self.run(part).await {
            Ok(outcome) => outcome,
            Err(JobError::Panicked(panic)) => Err(OpenError::Panicked { panic }),
            Err(JobError::NoThread(reason)) => Err(OpenError::Thread { reason }),
        }
    }

    /// A thread with a stack of that size.
    pub(crate) fn thread(&self, name: &str) -> std::thread::Builder {
        std::thread::Builder::new().name(name.to_owned()).stack_size(self.stack_bytes)
    }

    fn queue(&self, job: Job) -> std::io::Result<()> {
        let mut queue = self.shared.queue();
        assert!(!queue.over, "no job comes after the end");
        queue.jobs.push_back(job);
        // An idle thread may have been promised to an earlier job that it has not taken yet, so
        // there must be one for each job that waits.
        if queue.idle >= queue.jobs.len() || queue.threads >= self.threads_max {
            self.shared.work.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        match start_detached(self.thread("relive-replay"), move || shared.work()) {
            // Still under the lock, so the thread finds itself counted.
            Ok(()) => queue.threads += 1,
            // Another thread takes the job, unless there is none.
            Err(_) if queue.threads > 0 => self.shared.work.notify_one(),
            Err(error) => {
                tracing::error!(%error, "no thread could be started to restore actors");
                queue.jobs.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Replayers {
    fn drop(&mut self) {
        self.shared.queue().over = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                // Without the lock: a job may take long. `run` has it catch panics.
                drop(queue);
                job();
                queue = self.queue();
            // After the queue is empty: a job that was queued is run, since somebody waits for it.
            } else if queue.over {
                return;
            } else {
                queue.idle += 1;
                assert!(queue.idle <= queue.threads, "{} of {} threads are idle", queue.idle, queue.threads);
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_and_panics_are_told() {
        let replayers = Replayers::new(2, 1 << 20);
        for number in 0..20 {
            assert_eq!(replayers.run(move || number + 1).await, Ok(number + 1));
        }
        let panic: Result<(), JobError> = replayers.run(|| panic!("told to")).await;
        assert_eq!(panic, Err(JobError::Panicked("told to".to_owned())));
        assert_eq!(replayers.run(|| 5).await, Ok(5));
    }

    fn deep(levels: usize) -> usize {
        let room = std::hint::black_box([levels; 512]);
        if levels == 0 { 0 } else { deep(levels - 1) + std::hint::black_box(room)[7].min(1) }
    }

    /// Class 27: what went well on a large stack does not overflow here.
    #[tokio::test]
    async fn class_27_they_have_the_stack_that_they_are_given() {
        let replayers = Replayers::new(1, 64 << 20);
        assert_eq!(replayers.run(|| deep(4000)).await, Ok(4000));
    }
}
