//! Decides what happens to an actor that halted. Decides only.

use std::time::Duration;

use relive_replay::{Halt, HaltReason};
use relive_storage::Rsn;

use crate::config::{RestartPolicy, WhenExhausted};

/// What happens to an actor that halted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Restore it, and let it try the delivery again after a wait.
    Retry { after: Duration },
    /// Restore it, and let it leave the delivery out.
    LeaveOut { tries: u32 },
    /// Let it fail for good.
    Fail { tries: u32 },
}

/// What is known of the delivery on which an actor halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was never handled.
    Unhandled,
    /// It may have been handled in a life before, so that it must not be left out.
    Undecided,
}

/// Only a panic may pass on the next try; every other halt would come again. A delivery that is
/// itself at fault is left out, unless the actor may have handled it before. A halt that
/// contradicts the actor's records stops the actor, and so does one of this opening's settings: the
/// next opening may have others.
pub(crate) fn judge(
    policy: &RestartPolicy,
    tried: &mut Option<(Rsn, u32)>,
    halt: &Halt,
    known: Known,
) -> Verdict {
    let rsn = halt.rsn;
    // A process that ended remembers nothing, so those tries come from the log.
    let tries = match (&halt.reason, &tried) {
        (HaltReason::ProcessEnded { tries, .. }, _) => *tries,
        (_, Some((last, tries))) if *last == rsn => *tries + 1,
        _ => 1,
    };
    *tried = Some((rsn, tries));
    match &halt.reason {
        // Also one that may have been handled: another try leaves nothing out.
        HaltReason::Panicked { .. } if tries < policy.tries => Verdict::Retry { after: policy.wait(tries) },
        reason
            if is_of_the_delivery(reason)
                && known == Known::Unhandled
                && policy.when_exhausted == WhenExhausted::Quarantine =>
        {
            Verdict::LeaveOut { tries }
        }
        _ => Verdict::Fail { tries },
    }
}

/// Whether the actor could go on without the delivery.
fn is_of_the_delivery(reason: &HaltReason) -> bool {
    matches!(
        reason,
        HaltReason::Panicked { .. }
            | HaltReason::ProcessEnded { .. }
            | HaltReason::TooLarge { .. }
            | HaltReason::Codec { .. }
            | HaltReason::ForeignAwait { .. }
            | HaltReason::GivenUp { .. }
            | HaltReason::Unhandled { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use relive_storage::ActorId;

    fn panicked(rsn: u64) -> Halt {
        let actor = ActorId::new("account", "a").unwrap();
        let reason = HaltReason::Panicked { message: "m".into(), panic: "p".into() };
        Halt::new(actor, Rsn::new(rsn), reason)
    }

    #[test]
    fn tries_are_counted_by_delivery_and_waits_double() {
        let policy = RestartPolicy::default();
        let mut tried = None;
        let wait = |millis| Verdict::Retry { after: Duration::from_millis(millis) };
        assert_eq!(judge(&policy, &mut tried, &panicked(1), Known::Unhandled), wait(10));
        assert_eq!(judge(&policy, &mut tried, &panicked(1), Known::Unhandled), wait(20));
        assert_eq!(judge(&policy, &mut tried, &panicked(2), Known::Unhandled), wait(10));
        assert_eq!(judge(&policy, &mut tried, &panicked(2), Known::Unhandled), wait(20));
        assert_eq!(
            judge(&policy, &mut tried, &panicked(2), Known::Unhandled),
            Verdict::LeaveOut { tries: 3 }
        );
        let policy = policy.when_exhausted(WhenExhausted::Fail);
        assert_eq!(judge(&policy, &mut tried, &panicked(2), Known::Unhandled), Verdict::Fail { tries: 4 });
        let policy = RestartPolicy::default();
        let actor = ActorId::new("account", "a").unwrap();
        let foreign =
            Halt::new(actor, Rsn::new(9), HaltReason::ForeignAwait { message: "m".into(), beside: None });
        assert_eq!(judge(&policy, &mut None, &foreign, Known::Unhandled), Verdict::LeaveOut { tries: 1 });
        assert_eq!(judge(&policy, &mut None, &foreign, Known::Undecided), Verdict::Fail { tries: 1 });
    }

    /// Settings that are missing change no history: the delivery is neither left out nor tried in a
    /// loop, whatever is known of it.
    #[test]
    fn a_dependency_that_is_missing_stops_the_actor() {
        let actor = ActorId::new("account", "a").unwrap();
        let reason = HaltReason::MissingDependency { message: "m".into(), dependency: "d".into() };
        let halt = Halt::new(actor, Rsn::new(1), reason);
        for known in [Known::Unhandled, Known::Undecided] {
            let verdict = judge(&RestartPolicy::default(), &mut None, &halt, known);
            assert_eq!(verdict, Verdict::Fail { tries: 1 });
        }
    }
}
