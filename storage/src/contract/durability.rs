//! The durability tiers, named after the failures that they survive.

use std::fmt;

/// What the stored data of a store survives. Chosen at open, for all actors of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Survives the loss of power: the store writes a commit and syncs it through to the device
    /// with `fdatasync` before it counts.
    #[default]
    PowerLoss,
    /// Survives the death of the process (`kill -9`, panic, abort), not of the machine: the store
    /// hands a commit to the operating system before it counts, and never waits until it reaches
    /// the device.
    ProcessCrash,
    /// Survives nothing beyond the store object itself: kept in memory. For tests, and for actors
    /// that may start over.
    Volatile,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerLoss => "PowerLoss (survives the loss of power)",
            Self::ProcessCrash => "ProcessCrash (survives kill -9, not the loss of power)",
            Self::Volatile => "Volatile (survives nothing)",
        })
    }
}
