//! What each numbered message is and asks for: a pure function of a seed and the number. The
//! workload draws nothing while it runs, so a number means the same in every process that sends,
//! handles or judges it.

use relive_storage::frame::split_mix;
use serde::{Deserialize, Serialize};

/// How many accounts there are. Messages go to them in turn.
pub const ACCOUNTS: u64 = 5;

/// How many audits there are.
pub const AUDITS: u64 = 3;

/// The producer that sends all messages.
pub const PRODUCER: &str = "till";

/// Folds a value into a digest. The order of the values counts.
#[must_use]
pub fn fold(digest: u64, value: u64) -> u64 {
    split_mix(digest.rotate_left(17) ^ value, 1)
}

/// Folds bytes and their number into a digest.
#[must_use]
pub fn fold_bytes(digest: u64, bytes: &[u8]) -> u64 {
    let mut digest = fold(digest, bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        digest = fold(digest, u64::from_le_bytes(word));
    }
    digest
}

/// What the handler of a message does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Draw a random number into the state.
    pub random: bool,
    /// Read the clock into the state.
    pub now: bool,
    /// Perform this many side effects, one after the other.
    pub effects: u32,
    /// Tell an audit.
    pub tell: bool,
    /// The audit passes it on to the summary.
    pub pass: bool,
    /// The summary confirms it to the account.
    pub confirm: bool,
}

/// The messages of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) seed: u64,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// What a message asks for.
    #[must_use]
    pub fn steps(&self, number: u64) -> Steps {
        let bits = split_mix(self.seed, number);
        let one_in = |shift: u32, n: u64| (bits >> shift) & 0xff < 256 / n;
        let effects = if one_in(16, 32) { 2 } else { u32::from(one_in(24, 4)) };
        let tell = !one_in(32, 8);
        let pass = tell && one_in(40, 3);
        let confirm = pass && one_in(48, 2);
        Steps { random: one_in(0, 4), now: one_in(8, 4), effects, tell, pass, confirm }
    }

    /// The filler of a message: most are small, some fill several values of the store.
    #[must_use]
    pub fn filler(&self, number: u64) -> String {
        let bits = split_mix(self.seed ^ 0xf111, number);
        let length = match bits % 64 {
            0 => 6_000 + (bits >> 8) % 30_000,
            1..=8 => 500 + (bits >> 8) % 1_500,
            _ => (bits >> 8) % 200,
        };
        let letter = |at: u64| char::from(b'a' + (split_mix(bits, at) % 26).to_le_bytes()[0]);
        let line: Vec<char> = (0..61).map(letter).collect();
        line.iter().cycle().take(usize::try_from(length).unwrap_or_default()).collect()
    }

    /// The content of a message as an account passes it on.
    #[must_use]
    pub fn content(&self, number: u64) -> u64 {
        content(number, self.steps(number), &self.filler(number))
    }
}

/// The content of a received message as an account passes it on.
#[must_use]
pub fn content(number: u64, steps: Steps, filler: &str) -> u64 {
    let Steps { random, now, effects, tell, pass, confirm } = steps;
    let flags = [random, now, tell, pass, confirm];
    let flags = flags.iter().fold(u64::from(effects), |bits, flag| bits << 1 | u64::from(*flag));
    fold_bytes(fold(number, flags), filler.as_bytes())
}

/// The account that a message goes to.
#[must_use]
pub fn account_of(number: u64) -> u64 {
    assert!(number > 0, "messages are numbered from 1");
    (number - 1) % ACCOUNTS
}

/// The audit that an account tells.
#[must_use]
pub fn audit_of(account: u64) -> u64 {
    account % AUDITS
}

/// How many of the first messages up to `number` go to an account.
#[must_use]
pub fn share(account: u64, number: u64) -> u64 {
    (number + ACCOUNTS - 1 - account) / ACCOUNTS
}

/// The numbers of the first `count` messages of an account.
pub fn numbers(account: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |position| account + 1 + position * ACCOUNTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_numbers_say_the_same() {
        for last in 0..40 {
            for account in 0..ACCOUNTS {
                let to_it: Vec<u64> = (1..=last).filter(|number| account_of(*number) == account).collect();
                assert_eq!(share(account, last), to_it.len() as u64);
                assert_eq!(numbers(account, share(account, last)).collect::<Vec<_>>(), to_it);
            }
        }
    }

    #[test]
    fn each_kind_of_step_occurs_and_is_left_out() {
        let plan = Plan::new(1);
        let steps: Vec<Steps> = (1..400).map(|number| plan.steps(number)).collect();
        let kinds: [fn(&Steps) -> bool; 7] = [
            |s| s.random,
            |s| s.now,
            |s| s.effects == 1,
            |s| s.effects == 2,
            |s| s.tell,
            |s| s.pass,
            |s| s.confirm,
        ];
        for kind in kinds {
            let count = steps.iter().filter(|steps| kind(steps)).count();
            assert!((3..396).contains(&count), "{count}");
        }
        assert!((1..400).any(|number| plan.filler(number).len() > 6_000));
    }
}
