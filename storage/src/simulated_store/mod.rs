//! A store on a simulated device, which knows of each write whether it was synced. For tests of whoever uses a store:
//! what a crash leaves, and what goes wrong when, is planned and drawn from a seed. Never a backend of its own.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `disk` | the device as a test holds it: opening, plans, the loss of power, the trace |
//! | `store` | one opening of it: the seam |
//! | `plan`, `trace` | which call goes wrong how; which calls were made |
//! | `shared` | what the device and its openings share; does to a call what is planned for it |
//! | `device`, `image` | what is written, what is stable, and what of it a crash leaves |
//! | `draws` | choices out of a seed |
//!
//! Nothing in it waits for time to pass: a call that hangs does so until it is released.

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
