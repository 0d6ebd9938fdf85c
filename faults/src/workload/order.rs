//! What each numbered request to a clerk asks for: a pure function of a seed and the number.

use relive_storage::frame::split_mix;
use serde::{Deserialize, Serialize};

use super::plan::{Plan, fold};

/// How many clerks of each discipline there are.
pub const CLERKS: u64 = 2;

/// After how many firings a periodic timer of an order is taken away.
pub const TICKS: usize = 3;

/// Added to the number of a request that reuses the key of another one. It must be refused.
pub const REUSED: u64 = 1 << 40;

/// What a clerk does for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Ask a vault for a payment.
    Draw,
    /// Ask both vaults at once.
    DrawBoth,
    /// Ask a vault, but give up after so many milliseconds.
    DrawWithin(u64),
    /// A race of an ask of a vault against a sleep of so many microseconds. The outside is told who
    /// has won.
    Race(u64),
    /// Set a timer, due after so many microseconds.
    Remind(u64),
    /// Set a timer that sends to a vault.
    Post(u64),
    /// Set a periodic timer, which its third firing takes away.
    Tick(u64),
    /// Set a timer, and one that takes it away, due after so many microseconds each.
    Revoke(u64, u64),
}

impl Order {
    /// To which vaults it sends a request.
    #[must_use]
    pub fn draws(self, number: u64) -> &'static [bool] {
        match self {
            Self::DrawBoth => &[false, true],
            Self::Draw | Self::DrawWithin(_) | Self::Race(_) => vault_of(number),
            Self::Remind(_) | Self::Post(_) | Self::Tick(_) | Self::Revoke(..) => &[],
        }
    }
}

/// The vault that a request concerns: whether it is the one that waits for its outputs alone.
#[must_use]
pub fn vault_of(number: u64) -> &'static [bool] {
    if fold(number, 0xa17).is_multiple_of(2) { &[false] } else { &[true] }
}

/// The clerk that a request goes to: its key, and whether it waits for its outputs alone.
#[must_use]
pub fn clerk_of(number: u64) -> (String, bool) {
    let number = number % REUSED;
    ((number % CLERKS).to_string(), number / CLERKS % 2 == 1)
}

impl Plan {
    /// What a request asks for.
    #[must_use]
    pub fn order(&self, number: u64) -> Order {
        let bits = split_mix(self.seed ^ 0x0de5, number);
        let micros = |shift: u32| (bits >> shift) % 3_000;
        match bits % 9 {
            0 => Order::Draw,
            1 => Order::DrawBoth,
            2 => Order::DrawWithin((bits >> 8) % 12),
            3 => Order::Race(micros(8)),
            // About as long as an ask takes on a busy machine.
            4 => Order::Race(10 * micros(8)),
            5 => Order::Remind(micros(8)),
            6 => Order::Post(micros(8)),
            7 => Order::Tick(1_000 + micros(8)),
            _ => Order::Revoke(micros(8), micros(24)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_occurs_at_each_clerk_and_with_each_vault() {
        let plan = Plan::new(1);
        for eager in [false, true] {
            let numbers: Vec<u64> = (1..600).filter(|number| clerk_of(*number).1 == eager).collect();
            let kinds = numbers.iter().map(|number| plan.order(*number));
            let kinds: std::collections::BTreeSet<_> =
                kinds.map(|order| format!("{order:?}").split('(').next().map(str::to_owned)).collect();
            assert_eq!(kinds.len(), 8, "{kinds:?}");
            let draws = |order: Order, number: u64, vault| order.draws(number).contains(&vault);
            for vault in [false, true] {
                let some = numbers.iter().any(|number| {
                    matches!(plan.order(*number), Order::Race(_))
                        && draws(plan.order(*number), *number, vault)
                });
                assert!(some, "a race of a clerk with each vault");
            }
        }
    }
}
