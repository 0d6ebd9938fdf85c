//! Threads that nobody joins. Knows nothing of what they do.

use std::io;
use std::sync::mpsc;
use std::thread::Builder;

/// Starts a thread that nobody joins. It runs `body` once it is detached.
///
/// Dropping a [`JoinHandle`](std::thread::JoinHandle) detaches its thread. `pthread_detach` of
/// glibc (2.36 and others) still reads the thread's own memory after the detached thread may end
/// and free it: a thread that ends just then takes the process with it, by a `SIGSEGV`. A large
/// stack is freed at once, so a thread that has one and is soon done is in danger. Here it waits
/// until its handle is dropped.
///
/// # Errors
/// The operating system starts no thread. Nothing of `body` has run.
///
/// # Examples
/// ```
/// # use relive_storage::threads::start_detached;
/// let (done, outcome) = std::sync::mpsc::channel();
/// start_detached(std::thread::Builder::new(), move || done.send(2 + 2).unwrap_or_default())?;
/// assert_eq!(outcome.recv(), Ok(4));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn start_detached(thread: Builder, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (handle_is_there, until_detached) = mpsc::channel::<()>();
    let handle = thread.spawn(move || {
        // An error, once the other end is dropped.
        let _ = until_detached.recv();
        body();
    })?;
    // In this order.
    drop(handle);
    drop(handle_is_there);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Each runs once, also when the one that started it does not wait. With a dropped handle in
    /// place of this function, six processes that run this at the same time on two cores end by a
    /// `SIGSEGV` within some 100,000 threads.
    #[test]
    fn threads_with_large_stacks_end_while_others_begin() {
        let ended = Arc::new(AtomicU64::new(0));
        for _ in 0..2_000 {
            let ended = Arc::clone(&ended);
            let thread = Builder::new().stack_size(64 << 20);
            let body = move || {
                ended.fetch_add(1, Ordering::Release);
            };
            start_detached(thread, body).unwrap();
        }
        while ended.load(Ordering::Acquire) < 2_000 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_does_not_start_is_an_error() {
        let refused = start_detached(Builder::new().stack_size(1 << 60), || unreachable!());
        assert!(refused.is_err());
    }
}
