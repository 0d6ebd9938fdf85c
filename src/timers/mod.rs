//! When durable timers are due, and of which actors: so that a runtime wakes an actor in time,
//! whether the actor is in memory or not. Knows due times and names of actors; no timer's name, no
//! message, no actor's state and no turn.
//!
//! An actor in memory says itself when its next timer is due. Of passive actors only those whose
//! timers are due next are known, as many as fit the [window](window::Window). The checkpoints of
//! all know it too, so when the window ends, a listing of the checkpoints fills the next one.

pub(crate) mod due_times;
pub(crate) mod window;
