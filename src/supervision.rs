//! Decides what becomes of an actor that halted. Decides only.

use std::time::Duration;

use relive_replay::Halt;
use relive_storage::Rsn;

use crate::config::{RestartPolicy, WhenExhausted};

/// What becomes of an actor that halted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is restored and tries the delivery again after a wait.
    Retry { after: Duration },
    /// It is restored and leaves the delivery out, after so many tries.
    LeaveOut { tries: u32 },
    /// It fails for good, after so many tries.
    Fail { tries: u32 },
}

/// A panic may pass; everything else would come out the same again. What is the delivery's own fault is left out; what
/// the actor's code, or its records, did wrong ends the actor.
pub(crate) fn judge(policy: &RestartPolicy, tried: &mut Option<(Rsn, u32)>, halt: &Halt) -> Verdict {
    let rsn = halt.rsn();
    let tries = match (halt, &tried) {
        (Halt::ProcessEnded { tries, .. }, _) => *tries,
        (_, Some((last, tries))) if *last == rsn => *tries + 1,
        _ => 1,
    };
    *tried = Some((rsn, tries));
    match halt {
        Halt::Panicked { .. } if tries < policy.tries => Verdict::Retry { after: policy.wait(tries) },
        Halt::Panicked { .. } | Halt::TooLarge { .. } | Halt::ProcessEnded { .. }
            if policy.when_exhausted == WhenExhausted::Quarantine =>
        {
            Verdict::LeaveOut { tries }
        }
        _ => Verdict::Fail { tries },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relive_storage::ActorId;

    fn panicked(rsn: u64) -> Halt {
        let actor = ActorId::new("account", "a").unwrap();
        Halt::Panicked { actor, rsn: Rsn::new(rsn), message: "m".into(), panic: "p".into() }
    }

    #[test]
    fn tries_are_counted_by_delivery_and_waits_double() {
        let policy = RestartPolicy::default();
        let mut tried = None;
        let wait = |millis| Verdict::Retry { after: Duration::from_millis(millis) };
        assert_eq!(judge(&policy, &mut tried, &panicked(1)), wait(10));
        assert_eq!(judge(&policy, &mut tried, &panicked(1)), wait(20));
        assert_eq!(judge(&policy, &mut tried, &panicked(2)), wait(10));
        assert_eq!(judge(&policy, &mut tried, &panicked(2)), wait(20));
        assert_eq!(judge(&policy, &mut tried, &panicked(2)), Verdict::LeaveOut { tries: 3 });
        let policy = policy.when_exhausted(WhenExhausted::Fail);
        assert_eq!(judge(&policy, &mut tried, &panicked(2)), Verdict::Fail { tries: 4 });
        let actor = ActorId::new("account", "a").unwrap();
        let foreign = Halt::ForeignAwait { actor, rsn: Rsn::new(9), message: "m".into() };
        assert_eq!(judge(&policy, &mut None, &foreign), Verdict::Fail { tries: 1 });
    }
}
