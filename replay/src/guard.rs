//! Calls into users' code that may panic: panics become values, also panics in a drop. Knows
//! nothing of actors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Calls, and returns the text of the panic if there was one. The caller throws away what the call
/// may have left half changed.
///
/// # Errors
/// The text that the panic carried.
pub fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic_message(&*panic);
        // The payload of a panic is a user's value too, and may panic in its drop. The payload of
        // that second panic might do the same, so it is leaked: otherwise there would be no end.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(second);
        }
        text
    })
}

/// Drops a value whose `Drop` is users' code. A panic there becomes a warning.
pub fn drop_guarded<T>(what: &'static str, value: T) {
    if let Err(panic) = guarded(|| drop(value)) {
        tracing::warn!(what, panic, "it panicked while it was dropped");
    }
}

/// The text that a panic carries.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// A value that every drop drops under guard.
pub(crate) struct Dropped<T> {
    what: &'static str,
    value: Option<T>,
}

impl<T> Dropped<T> {
    pub(crate) fn new(what: &'static str, value: T) -> Self {
        Self { what, value: Some(value) }
    }

    pub(crate) fn get(&self) -> &T {
        self.value.as_ref().expect("it is there until it is dropped")
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Dropped<T> {
    fn drop(&mut self) {
        // Taken out first: what is left to drop behind this function is `None`.
        if let Some(value) = self.value.take() {
            drop_guarded(self.what, value);
        }
    }
}

/// A future whose panics become values, in a poll and in its drop.
pub(crate) struct GuardedFuture<'a, T>(Dropped<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<'a, T> GuardedFuture<'a, T> {
    pub(crate) fn new(what: &'static str, future: Pin<Box<dyn Future<Output = T> + Send + 'a>>) -> Self {
        Self(Dropped::new(what, future))
    }

    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Result<Poll<T>, String> {
        let future = self.0.get_mut();
        guarded(|| future.as_mut().poll(task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped, again and again.
    struct Bomb(u32);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Bomb(self.0 - 1));
            }
        }
    }

    /// Class 30: a payload that panics while it is dropped is a panic like any other.
    #[test]
    fn class_30_payloads_that_panic_do_not_unwind() {
        for depth in 0..4 {
            let panic = guarded(|| std::panic::panic_any(Bomb(depth))).unwrap_err();
            assert_eq!(panic, "a panic without a message");
            drop_guarded("a bomb", Bomb(depth));
            drop(Dropped::new("a bomb", Bomb(depth)));
        }
        assert_eq!(guarded(|| 5), Ok(5));
    }
}
