//! The primitives for tests that explore schedules. With shuttle's locks and atomics one thread
//! runs at a time, and at each operation shuttle chooses the thread that goes on. Tokio's `Notify`
//! knows nothing of shuttle, so this file wraps it.

pub(crate) use shuttle::sync::{Condvar, atomic};
pub(super) use shuttle::sync::{Mutex, MutexGuard};

use atomic::{AtomicBool, Ordering};

/// Tokio's `Notify`. Before each operation another thread may go on.
pub(crate) struct Notify {
    inner: tokio::sync::Notify,
    point: AtomicBool,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self { inner: tokio::sync::Notify::new(), point: AtomicBool::new(false) }
    }

    pub(crate) fn notify_one(&self) {
        self.others_go_on();
        self.inner.notify_one();
    }

    pub(crate) fn notify_waiters(&self) {
        self.others_go_on();
        self.inner.notify_waiters();
    }

    pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        self.others_go_on();
        self.inner.notified()
    }

    fn others_go_on(&self) {
        // Any operation of a shuttle atomic lets shuttle choose another thread; the value is of no
        // use.
        self.point.load(Ordering::SeqCst);
    }
}
