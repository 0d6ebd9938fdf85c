//! The firings of an actor's timers on their way into its log. A turn makes them itself, between
//! two deliveries: it has the timers, and no firing is of a timer that is gone.
//!
//! Knows which timers are due; not who has woken the turn for them.

use std::collections::BTreeSet;
use std::pin::pin;

use relive_replay::timers::DueTimer;
use relive_storage::record::Sender;
use relive_storage::{Lsn, Name, Timestamp};

use crate::actor::envelope::{Envelope, Waiter};
use crate::log::frame_pool::PooledFrameWriter;
use crate::turn::acks::Acks;
use crate::turn::intake::Intake;
use crate::turn::queries::answering;
use crate::turn::{Turn, TurnError};

impl Turn<'_> {
    /// Takes in a firing of each timer that is due. Returns where the log ends with them; they are
    /// on stable storage when everything below is. `None` when none was due.
    pub(crate) async fn fire(&mut self) -> Result<Option<Lsn>, TurnError> {
        let due = self.due_timers();
        if due.is_empty() {
            return Ok(None);
        }
        let count = due.len() as u64;
        let (intake, shown) = self.intake_beside_queries();
        let end = answering(shown, pin!(take_in(intake, due))).await?;
        self.core.services.counters.delivered(count);
        Ok(Some(end))
    }

    /// Whether there is anything that could be due.
    pub(crate) fn may_fire(&self) -> bool {
        self.active.instance.next_timer().is_some()
    }

    /// The timers that are due and whose firing is not ahead already.
    fn due_timers(&mut self) -> Vec<DueTimer> {
        let active = &mut *self.active;
        // A runtime that shuts down would go on for as long as an actor has a period.
        if self.core.lifecycle.intake().is_err() {
            return Vec::new();
        }
        let mut due = active.instance.due_timers(self.core.services.clock.now());
        if !due.is_empty() {
            let ahead: BTreeSet<(Name, Timestamp)> = active.backlog.firings().collect();
            due.retain(|timer| !ahead.contains(&(timer.name.clone(), timer.due)));
        }
        due
    }

    /// Says when the actor's next timer is due, before the actor rests.
    pub(crate) fn register_timers(&mut self) {
        let next = self.active.instance.next_timer();
        if self.active.registered != Some(next) {
            self.active.registered = Some(next);
            self.core.services.due_times.set(&self.cell.id, next);
        }
    }
}

/// Takes in a firing of each timer. Returns where the log ends with them.
async fn take_in(mut intake: Intake<'_>, due: Vec<DueTimer>) -> Result<Lsn, TurnError> {
    let (mut encoder, mut logged) = (PooledFrameWriter::borrow(), Acks::default());
    let count = due.len() as u64;
    for DueTimer { name, due, message, payload } in due {
        if !encoder.has_room_for(1, payload.len()) {
            intake.append(&mut encoder, &mut logged).await?;
        }
        let sender = Sender::Timer { name, due };
        let envelope = Envelope::new(sender, message, payload, Waiter::Nobody);
        let admitted = intake.admit(&mut encoder, envelope, Default::default(), &mut logged);
        admitted.map_err(|corrupt| TurnError::Halted(Box::new(corrupt.of(&intake.cell.id))))?;
    }
    let end = intake.append(&mut encoder, &mut logged).await?;
    assert_eq!(logged.fresh, count, "each timer of {} that is due fires once", intake.cell.id);
    Ok(end)
}

#[cfg(test)]
mod tests {
    use crate::actor::cell::Wake;
    use crate::shared::testing::{Remind, account};
    use crate::turn::tests::{arrives, begin, memory_core, state};

    /// Invariants: log-before-handle, exactly-once inside. A firing is handled when it is durable,
    /// and a look in between does not make a second one.
    #[tokio::test]
    async fn a_timer_that_is_due_fires_once_and_is_logged_before() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        arrives(&turn, &Remind);
        assert!(turn.round().await.is_ok_and(|more| more));
        assert!(turn.round().await.is_ok_and(|more| !more));
        assert_eq!(state(&turn), (0, 1, 0));
        assert!(turn.round().await.is_ok_and(|more| more));
        assert_eq!(state(&turn), (0, 1, 1));
        assert_eq!(core.services.committer.durable(), core.services.end_of_log());
        assert!(turn.fire().await.is_ok_and(|fired| fired.is_none()), "its firing is ahead");
        assert!(turn.round().await.is_ok());
        assert_eq!(state(&turn), (7, 2, 0));
        assert!(turn.fire().await.is_ok_and(|fired| fired.is_none()));
        assert!(cell.rest(turn.active).is_none());
    }

    /// The task that wakes an actor has forgotten when it is due. So a turn that is about to rest
    /// looks once more, and says it again.
    #[tokio::test]
    async fn a_wake_keeps_a_turn_from_resting() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        turn.register_timers();
        assert_eq!(turn.active.registered, Some(None));
        assert!(matches!(cell.wake_for_timers(0), Wake::Running));
        let Some(active) = cell.rest(turn.active) else { panic!("it rests and has not looked") };
        turn.active = active;
        assert!(turn.round().await.is_ok());
        assert_eq!(turn.active.registered, None);
        assert!(cell.rest(turn.active).is_none());
    }

    /// A runtime that shuts down fires nothing: an actor with a short period would keep it from
    /// ending.
    #[tokio::test]
    async fn nothing_fires_in_a_shutdown() {
        let core = memory_core();
        let cell = account(&core, "alice");
        let mut turn = begin(&core, &cell).await;
        arrives(&turn, &Remind);
        for _ in 0..2 {
            assert!(turn.round().await.is_ok());
        }
        core.lifecycle.close();
        assert!(turn.fire().await.is_ok_and(|fired| fired.is_none()));
        assert!(turn.active.instance.next_timer().is_some(), "it fires after the next opening");
    }
}
