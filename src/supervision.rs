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

/// A panic may pass; everything else would come out the same again. What is the delivery's own fault is left out, unless it
/// may have been handled before; what contradicts the actor's records stops the actor.
pub(crate) fn judge(
    policy: &RestartPolicy,
    tried: &mut Option<(Rsn, u32)>,
    halt: &Halt,
    may_be_left_out: bool,
) -> Verdict {
    let rsn = halt.rsn();
    let tries = match (halt, &tried) {
        (Halt::ProcessEnded { tries, .. }, _) => *tries,
        (_, Some((last, tries))) if *last == rsn => *tries + 1,
        _ => 1,
    };
    *tried = Some((rsn, tries));
    match halt {
        Halt::Panicked { .. } if tries < policy.tries => Verdict::Retry { after: policy.wait(tries) },
        halt if is_of_the_delivery(halt)
            && may_be_left_out
            && policy.when_exhausted == WhenExhausted::Quarantine =>
        {
            Verdict::LeaveOut { tries }
        }
        _ => Verdict::Fail { tries },
    }
}

/// Whether the actor could go on without the delivery.
fn is_of_the_delivery(halt: &Halt) -> bool {
    matches!(
        halt,
        Halt::Panicked { .. }
            | Halt::ProcessEnded { .. }
            | Halt::TooLarge { .. }
            | Halt::Codec { .. }
            | Halt::ForeignAwait { .. }
            | Halt::GivenUp { .. }
            | Halt::Unhandled { .. }
    )
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
        assert_eq!(judge(&policy, &mut tried, &panicked(1), true), wait(10));
        assert_eq!(judge(&policy, &mut tried, &panicked(1), true), wait(20));
        assert_eq!(judge(&policy, &mut tried, &panicked(2), true), wait(10));
        assert_eq!(judge(&policy, &mut tried, &panicked(2), true), wait(20));
        assert_eq!(judge(&policy, &mut tried, &panicked(2), true), Verdict::LeaveOut { tries: 3 });
        let policy = policy.when_exhausted(WhenExhausted::Fail);
        assert_eq!(judge(&policy, &mut tried, &panicked(2), true), Verdict::Fail { tries: 4 });
        let policy = RestartPolicy::default();
        let actor = ActorId::new("account", "a").unwrap();
        let foreign = Halt::ForeignAwait { actor, rsn: Rsn::new(9), message: "m".into() };
        assert_eq!(judge(&policy, &mut None, &foreign, true), Verdict::LeaveOut { tries: 1 });
        assert_eq!(judge(&policy, &mut None, &foreign, false), Verdict::Fail { tries: 1 });
    }
}
