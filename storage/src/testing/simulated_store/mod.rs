//! A store on a simulated device, which knows whether each write was synced. It tests the users of
//! a store: a plan says which call fails and how, and a seed decides what a crash leaves. No
//! program stores its data on it.
//!
//! A crash leaves more states than a prefix of the writes: each write that was not synced may be
//! there, be gone or be torn, whatever happened to those before and after it.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `disk` | the device as a test holds it: opening, plans, the loss of power, the trace |
//! | `store` | one opening of it: the backend |
//! | `plan`, `trace` | which call goes wrong how; which calls were made |
//! | `shared` | what the device and its openings share; does to a call what is planned for it |
//! | `device`, `image` | what is written, what is synced, and what of it a crash leaves |
//! | `draws` | choices out of a seed |
//!
//! Nothing in it waits for time to pass: a call that hangs does so until the test releases it.
//!
//! # Source
//! The states that a crash may leave: Pillai et al., "All File Systems Are Not Created Equal: On
//! the Complexity of Crafting Crash-Consistent Applications", OSDI 2014.

mod device;
mod disk;
mod image;
mod plan;
mod shared;
mod store;
mod trace;

pub use device::Lie;
pub use disk::SimulatedDisk;
pub use plan::{Call, Crash, Fault, Moment, Unsynced};
pub use store::SimulatedStore;
pub use trace::Step;
