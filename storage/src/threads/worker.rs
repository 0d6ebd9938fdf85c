//! A thread that makes the calls into a backend, so that a panic there becomes an error, and a hang
//! is left behind. Knows no backend; the [`ErrorRules`] that it is given say what an error or a
//! panic means.
//!
//! A call has hung when it takes longer than its timeout. Only the time in which this process runs
//! counts: a stopped process or a sleeping machine says nothing about the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::contract::error::{ErrorKind, StoreError};
use crate::threads::poison::Poison;
use crate::threads::start_detached;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// What a job does, in the words of its error; and whether it may change what is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    action: &'static str,
    writes: bool,
}

/// A job that changes nothing that counts.
pub(crate) const fn reads(action: &'static str) -> Task {
    Task { action, writes: false }
}

/// A job that may change what is stored.
pub(crate) const fn writes(action: &'static str) -> Task {
    Task { action, writes: true }
}

/// What the answers of a backend mean.
#[derive(Clone, Copy)]
pub(crate) struct ErrorRules {
    /// What a panic with this text in that action means.
    pub(crate) panicked: fn(&'static str, &str) -> StoreError,
    /// What an error means in a call that only reads.
    pub(crate) in_reading: fn(StoreError) -> StoreError,
}

/// A thread with a state that no other thread touches.
pub(crate) struct Worker<S> {
    /// Its queue: a job for each caller that waits, and the blocks of a commit. `None` after the
    /// worker was stopped.
    jobs: Option<mpsc::Sender<Job<S>>>,
    /// Answers when the thread has dropped its state. A mutex only because a receiver can't be
    /// shared.
    ended: Mutex<mpsc::Receiver<()>>,
    poison: Arc<Poison>,
    rules: ErrorRules,
    timeout: Duration,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts the thread and has it make its state, within `first_timeout`.
    pub(crate) fn start(
        name: &str,
        task: Task,
        (first_timeout, timeout): (Duration, Duration),
        (poison, rules): (Arc<Poison>, ErrorRules),
        make: impl FnOnce() -> Result<S, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job<S>>();
        let (end, ended) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let body = move || {
            match guarded(task, rules, make) {
                Err(Failed { error, .. }) => drop(answer.send(Err(error))),
                Ok(mut state) => {
                    // When this took too long no caller waits any more, and the state is dropped at
                    // once.
                    if answer.send(Ok(())).is_ok() {
                        for job in queue {
                            job(&mut state);
                        }
                    }
                    // Dropping a backend may write, and may panic.
                    if let Err(Failed { error, .. }) = guarded(writes("close"), rules, move || {
                        drop(state);
                        Ok(())
                    }) {
                        tracing::warn!(reason = error.cause(), "closing failed");
                    }
                }
            }
            drop(end);
        };
        start_detached(thread::Builder::new().name(name.to_owned()), body)
            .map_err(|error| StoreError::Backend { action: "start a thread", reason: error.to_string() })?;
        wait(&answered, task.action, first_timeout)??;
        Ok(Self { jobs: Some(jobs), ended: Mutex::new(ended), poison, rules, timeout })
    }

    /// Has the thread do `work` and waits for the answer. An error after which the medium is in an
    /// unknown state, a panic and a timeout poison the store.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        task: Task,
        work: impl FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin(task, work).wait()
    }

    /// The same, for a caller that waits later.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        task: Task,
        work: impl FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<T> {
        let (answer, answered) = mpsc::channel();
        // A caller that gave the call up is gone, and the answer is for nobody.
        self.queue(task, work, move |result| drop(answer.send(result)));
        Pending { answered, action: task.action, after: self.timeout, poison: Arc::clone(&self.poison) }
    }

    /// Has the thread do `work` before the next call's, and does not wait. Any error poisons the
    /// store, so that no later job is done on top of it, and the next call can tell.
    pub(crate) fn post(
        &self,
        task: Task,
        work: impl FnOnce(&mut S) -> Result<(), StoreError> + Send + 'static,
    ) {
        let poison = Arc::clone(&self.poison);
        self.queue(task, work, move |result| {
            if let Err(error) = result {
                poison.set(&error);
            }
        });
    }

    fn queue<T: 'static>(
        &self,
        task: Task,
        work: impl FnOnce(&mut S) -> Result<T, StoreError> + Send + 'static,
        answer: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let (poison, rules) = (Arc::clone(&self.poison), self.rules);
        let job: Job<S> = Box::new(move |state| {
            let result = guarded(task, rules, AssertUnwindSafe(|| work(state)));
            // The worker notes the error here, so that the next job in the queue can't run on top
            // of a failed one.
            if let Err(Failed { error, panicked }) = &result {
                match error.kind() {
                    // Nobody knows what a job that panicked has left, nor what a write that met
                    // damage has left.
                    ErrorKind::Corrupt if *panicked || task.writes => poison.set(error),
                    _ => poison.note(error),
                }
            }
            answer(result.map_err(|failed| failed.error));
        });
        // When the thread is gone the send fails and drops the job, and the caller gets an error.
        if let Some(jobs) = &self.jobs {
            drop(jobs.send(job));
        }
    }

    /// Stops the thread after the jobs in its queue and waits until its state is dropped.
    pub(crate) fn stop(&mut self) -> Result<(), StoreError> {
        // The thread ends when the last sender is gone, after the jobs that are queued.
        self.jobs = None;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match wait(&ended, "close", self.timeout) {
            Err(hung @ StoreError::Hung { .. }) => Err(hung),
            // The end of the thread is what is waited for.
            _ => Ok(()),
        }
    }
}

/// The answer to a call, which may still be under way.
pub(crate) struct Pending<T> {
    answered: mpsc::Receiver<Result<T, StoreError>>,
    action: &'static str,
    after: Duration,
    poison: Arc<Poison>,
}

impl<T> Pending<T> {
    /// Waits for it.
    pub(crate) fn wait(self) -> Result<T, StoreError> {
        let result = wait(&self.answered, self.action, self.after).flatten();
        // Here too: a call that hangs has an error that its thread knows nothing of.
        if let Err(error) = &result {
            self.poison.note(error);
        }
        result
    }
}

/// How a job failed.
struct Failed {
    error: StoreError,
    panicked: bool,
}

fn guarded<T>(
    task: Task,
    rules: ErrorRules,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, Failed> {
    let (error, panicked) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => (error, false),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            ((rules.panicked)(task.action, &text.unwrap_or_default()), true)
        }
    };
    let error = if task.writes { error } else { (rules.in_reading)(error) };
    Err(Failed { error, panicked })
}

/// Waits in slices. A slice counts for at most twice its length: when it took longer, this process
/// did not run for most of it.
fn wait<T>(answered: &mpsc::Receiver<T>, action: &'static str, after: Duration) -> Result<T, StoreError> {
    let slice = (after / SLICES).clamp(SLICE_MIN, SLICE_MAX);
    let mut waited = Duration::ZERO;
    loop {
        // A stop of the process shows only in the clock: it jumps over a slice.
        let since = Instant::now();
        match answered.recv_timeout(slice.min(after.saturating_sub(waited))) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) => waited += since.elapsed().min(2 * slice),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(StoreError::Backend { action, reason: "its thread has ended".to_owned() });
            }
        }
        if waited >= after {
            return Err(StoreError::Hung { action, after });
        }
    }
}

const SLICES: u32 = 50;
const SLICE_MIN: Duration = Duration::from_millis(1);
const SLICE_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// A backend whose panics carry only a text, and mean damage in a call that only reads.
    const ERROR_RULES: ErrorRules = ErrorRules {
        panicked: |action, text| StoreError::Backend { action, reason: text.to_owned() },
        in_reading: |error| match error {
            StoreError::Backend { action, reason } => {
                StoreError::CorruptStore { what: format!("{action}: {reason}") }
            }
            other => other,
        },
    };

    fn worker(timeout: Duration) -> (Worker<u32>, Arc<Poison>) {
        let poison = Arc::new(Poison::default());
        let timeouts = (Duration::from_secs(30), timeout);
        let worker =
            Worker::start("test", reads("open"), timeouts, (Arc::clone(&poison), ERROR_RULES), || Ok(7));
        (worker.unwrap(), poison)
    }

    #[test]
    fn jobs_share_a_state_and_answer() {
        let (mut worker, poison) = worker(Duration::from_secs(30));
        let add = worker.call(writes("add"), |state| {
            *state += 1;
            Ok(())
        });
        add.unwrap();
        assert_eq!(worker.call(reads("read"), |state| Ok(*state)).unwrap(), 8);
        worker.stop().unwrap();
        poison.check().unwrap();
        let after = worker.call(reads("read"), |state| Ok(*state));
        assert!(matches!(after, Err(StoreError::Backend { .. })));
    }

    /// Invariant: fail-stop.
    #[test]
    fn a_panic_is_an_error_and_poisons() {
        let (worker, poison) = worker(Duration::from_secs(30));
        let error = worker.call::<()>(writes("append"), |_| panic!("duplicate segment")).unwrap_err();
        assert!(error.to_string().contains("duplicate segment"), "{error}");
        assert!(matches!(poison.check(), Err(StoreError::Poisoned { .. })));
    }

    /// Invariant: fail-stop. No caller gets the error itself, not even one that would not poison
    /// the store in a call.
    #[test]
    fn a_failure_that_nobody_waits_for_poisons_before_the_next_job() {
        let (worker, poison) = worker(Duration::from_secs(30));
        worker.post(writes("append"), |_| {
            let what = "lost".to_owned();
            Err(StoreError::CorruptStore { what })
        });
        let seen = Arc::clone(&poison);
        let next = worker.call(writes("sync"), move |_| seen.check());
        // Damage stays damage, so that nobody reopens in hope.
        assert!(matches!(next, Err(StoreError::CorruptStore { .. })), "{next:?}");
    }

    /// A panic of a call that reads means that it read something that it can't understand.
    #[test]
    fn a_panic_in_a_read_is_damage_and_poisons() {
        let (worker, poison) = worker(Duration::from_secs(30));
        let error = worker.call::<()>(reads("read"), |_| panic!("index out of bounds")).unwrap_err();
        assert!(error.is_corrupt() && error.to_string().contains("index out of bounds"), "{error}");
        assert!(matches!(poison.check(), Err(StoreError::CorruptStore { .. })));
    }

    /// Invariant: fail-stop.
    #[test]
    fn a_write_that_meets_damage_poisons_and_a_read_does_not() {
        let damage = || StoreError::CorruptStore { what: "lost".to_owned() };
        let (worker, poison) = worker(Duration::from_secs(30));
        worker.call::<()>(reads("read"), move |_| Err(damage())).unwrap_err();
        poison.check().unwrap();
        worker.call::<()>(writes("sync"), move |_| Err(damage())).unwrap_err();
        assert!(poison.check().is_err());
    }

    /// Invariant: fail-stop.
    #[test]
    fn a_hang_is_an_error_and_poisons() {
        let (mut worker, poison) = worker(Duration::from_millis(20));
        let (release, hang) = mpsc::channel::<()>();
        let hung = worker.call(writes("sync"), move |_| {
            assert!(hang.recv().is_err(), "nothing is ever sent");
            Ok(())
        });
        assert!(matches!(hung, Err(StoreError::Hung { action: "sync", .. })), "{hung:?}");
        assert!(matches!(poison.check(), Err(StoreError::Poisoned { .. })));
        assert!(matches!(worker.stop(), Err(StoreError::Hung { .. })));
        drop(release);
    }

    #[test]
    fn a_hang_is_found_after_about_its_timeout() {
        let timeout = Duration::from_millis(300);
        let (worker, _) = worker(timeout);
        let (release, hang) = mpsc::channel::<()>();
        let since = Instant::now();
        let hung = worker.call(writes("sync"), move |_| {
            assert!(hang.recv().is_err(), "nothing is ever sent");
            Ok(())
        });
        assert!(matches!(hung, Err(StoreError::Hung { .. })), "{hung:?}");
        let after = since.elapsed();
        assert!(after >= timeout / 2 && after < 10 * timeout, "{after:?}");
        drop(release);
    }

    /// The symptom: a process was stopped for longer than the timeout in the middle of a call, and
    /// on going on took the healthy disk for a dead one.
    #[test]
    fn time_in_which_the_process_is_stopped_does_not_count() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["threads::worker::tests::stopped", "--exact", "--ignored", "--nocapture"])
            .env(STOPPED, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "begun"), "it began a call");
        let signal = |name: &str| {
            let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
            assert!(sent.unwrap().success(), "{name}");
        };
        signal("-STOP");
        thread::sleep(Duration::from_millis(2_500));
        signal("-CONT");
        let rest: Vec<_> = lines.collect();
        assert!(child.wait().unwrap().success(), "{rest:?}");
    }

    #[test]
    #[ignore = "run by the test above, in a process of its own"]
    fn stopped() {
        if std::env::var_os(STOPPED).is_none() {
            return;
        }
        let (worker, _) = worker(Duration::from_secs(1));
        println!();
        let call = worker.call(writes("sync"), |_| {
            println!("begun");
            // It takes that much longer after it was stopped.
            for _ in 0..40 {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        });
        call.unwrap();
    }

    const STOPPED: &str = "RELIVE_STOPPED";

    #[test]
    fn the_mistakes_of_a_caller_do_not_poison() {
        let (worker, poison) = worker(Duration::from_secs(30));
        let what = "a gap".to_owned();
        let refused = worker.call::<()>(writes("append"), |_| Err(StoreError::Misuse { what }));
        assert!(matches!(refused, Err(StoreError::Misuse { .. })));
        poison.check().unwrap();
    }
}
