//! The durability tiers that can be chosen: those that a killed process leaves something of.

use clap::ValueEnum;
use relive::Durability;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Tier {
    PowerLoss,
    ProcessCrash,
}

impl Tier {
    /// As it is given to the child process.
    pub(crate) fn as_argument(self) -> &'static str {
        match self {
            Self::PowerLoss => "power-loss",
            Self::ProcessCrash => "process-crash",
        }
    }
}

impl From<Tier> for Durability {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::PowerLoss => Self::PowerLoss,
            Tier::ProcessCrash => Self::ProcessCrash,
        }
    }
}
