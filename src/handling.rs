//! Which actor's handler runs on this thread. A call that would wait for that very actor gets an
//! error at once. Knows an address, no actor.

use std::cell::Cell;

thread_local! {
    static HANDLING: Cell<usize> = const { Cell::new(0) };
}

/// A handler runs on this thread until this guard is dropped. The address of the actor's cell
/// stands for the actor.
pub(crate) struct Handling {
    before: usize,
}

impl Handling {
    pub(crate) fn enter<T>(actor: &T) -> Self {
        Self { before: HANDLING.replace(address(actor)) }
    }

    /// The address of the actor whose handler runs on this thread.
    pub(crate) fn current() -> Option<usize> {
        Some(HANDLING.get()).filter(|address| *address != 0)
    }

    /// Whether a handler of the actor runs on this thread.
    pub(crate) fn is_of<T>(actor: &T) -> bool {
        HANDLING.get() == address(actor)
    }
}

/// The address that stands for an actor.
pub(crate) fn address<T>(actor: &T) -> usize {
    std::ptr::from_ref(actor).addr()
}

impl Drop for Handling {
    fn drop(&mut self) {
        // Not to nothing: a handler that blocks on futures may run another one inside.
        HANDLING.set(self.before);
    }
}
