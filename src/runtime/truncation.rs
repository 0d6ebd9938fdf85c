//! Truncation of the log: cuts what no actor needs any more, and asks the actors that hold the cut
//! back for checkpoints. Knows the budget; must not know when it is called.

use std::sync::Arc;

use relive_storage::{ActorId, Lsn, Store, StoreError};

use crate::actor::table::ActorTable;
use crate::error::Ended;
use crate::harness::Moving;
use crate::limits::{
    CARRIED_TOGETHER_MAX, CHECKPOINTS_ASKED_MAX, checkpoints_from_bytes, cut_from_bytes, cut_worth_bytes,
};
use crate::runtime::carrying::carry;
use crate::shared::Core;
use crate::turn::dispatch::request_checkpoint;

/// Cuts the log when it has reached half its budget. Asks for checkpoints of the actors that hold
/// the cut back when it has reached five eighths. That is as late as possible while it leaves time
/// for them: the less log the store keeps, the more often actors need a checkpoint.
pub(crate) async fn trim(core: &Arc<Core>) -> Result<(), Ended> {
    let (log_budget, budget) = (&core.services.log_budget, core.services.config.log_bytes);
    if log_budget.bytes() > cut_from_bytes(budget) {
        let below = needed_by_all(core);
        // Each cut syncs, so it must free enough to be worth that.
        if log_budget.bytes_below(below) >= cut_worth_bytes(budget) {
            core.services.checkpointer.cut(below).await?;
        }
    }
    if log_budget.bytes() > checkpoints_from_bytes(budget) {
        checkpoint_laggards(core, log_budget.position_keeping(cut_from_bytes(budget))).await?;
    }
    Ok(())
}

/// Asks for checkpoints of the actors that need log from before `target`, until neither of an
/// actor's two checkpoints needs any. Of those whose handlers wait it carries the log. Asks only as
/// many as the checkpointer can write soon, since an actor does nothing else while it waits to take
/// its checkpoint. The others follow when some of these are durable.
async fn checkpoint_laggards(core: &Arc<Core>, target: Lsn) -> Result<(), Ended> {
    wake_laggards(core, target).await?;
    let laggards = core.actors.pin_index().before(target, CARRIED_TOGETHER_MAX);
    let (mut waiting, mut asked, all) = (Vec::new(), 0, laggards.len());
    for actor in laggards {
        // One that is on its way comes first. The log is looked at again when it is durable.
        let Some(cell) = core.actors.get(&actor).filter(|cell| !cell.pins().is_pending()) else { continue };
        if cell.is_waiting() {
            waiting.push(cell);
        } else if asked < CHECKPOINTS_ASKED_MAX {
            request_checkpoint(core, &cell, None);
            asked += 1;
        }
    }
    // After the others were asked: they must not wait for it.
    let more = waiting.len() == all && all == CARRIED_TOGETHER_MAX;
    carry(core, waiting, more).await
}

/// Gives cells to passive actors that hold the cut back, so that they can take a checkpoint. Reads
/// their names in the block where the log begins that they need.
async fn wake_laggards(core: &Arc<Core>, target: Lsn) -> Result<(), Ended> {
    while let Some(at) = core.actors.pin_index().passive_before(target, CHECKPOINTS_ASKED_MAX) {
        let (store, reading) = (core.services.store.get()?, Arc::clone(core));
        let _motion = core.services.harness.begin(|| Moving::Task("the names of actors are read"));
        match core.services.replayers.run(move || wake_those_at(&reading.actors, &*store, at)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_corrupt() => {
                // The log grows, but everybody is served. A cut would lose what these need.
                tracing::error!(%error, "the log is kept for actors whose names can't be read");
                return Ok(());
            }
            Ok(Err(error)) => {
                core.lifecycle.stop(Ended::from(Arc::new(error)));
                return Err(core.lifecycle.stopped().await);
            }
            Err(error) => {
                tracing::error!(%error, "the log is kept for actors whose names can't be read");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Gives cells to actors that need the log from the block at `at` on. Blocking.
fn wake_those_at(actors: &ActorTable, store: &dyn Store, at: Lsn) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::CorruptLog { at, what };
    let gone = || damaged("it ends before what is needed".to_owned());
    let block = store.read(at)?.ok_or_else(gone)?.block.map_err(damaged)?;
    let mut woken = 0;
    for head in block.heads() {
        let head = head.map_err(|malformed| damaged(malformed.to_string()))?;
        if let Some(name) =
            head.actor(block.bytes()).filter(|name| actors.pin_index().is_passive_at(name, at))
            && let Ok(actor) = ActorId::parse(name)
        {
            woken += usize::from(actors.get_or_insert(&actor).is_some());
            assert!(!actors.pin_index().is_passive_at(actor.as_str(), at), "{actor} takes its pin along");
            if woken == CHECKPOINTS_ASKED_MAX {
                break;
            }
        }
    }
    // An error and not a silent end: the caller would ask for this block for ever.
    if woken == 0 { Err(damaged("those who need it have no records there".to_owned())) } else { Ok(()) }
}

/// Cuts the log below everything that any actor needs. Returns the new beginning.
pub(crate) async fn cut(core: &Arc<Core>) -> Result<Lsn, Ended> {
    core.services.checkpointer.cut(needed_by_all(core)).await
}

fn needed_by_all(core: &Core) -> Lsn {
    // The end is read first: what is appended afterwards lies at or after it, what was appended
    // before has its pin.
    let end = core.services.end_of_log();
    core.actors.pin_index().first().map_or(end, |first| first.min(end))
}

#[cfg(test)]
mod tests {
    use relive_storage::{Log, MemoryStore};

    use super::*;
    use crate::backpressure::Backpressure;
    use crate::config::Config;
    use crate::recovery::analysis::analyze;
    use crate::recovery::testing::{Deposit, Note, TestLog, id, kinds};
    use crate::retention::pin_index::PinIndex;
    use crate::runtime::testing::{account, at_rest, cell, runtime};

    const LOG_BYTES: u64 = 64 << 10;
    const NOTE_BYTES: usize = 2 << 10;

    fn bounded() -> (Arc<Core>, MemoryStore) {
        runtime(Config { log_bytes: LOG_BYTES, ..Config::default() })
    }

    /// An account takes notes until the log has more than so many bytes.
    async fn fill(core: &Arc<Core>, key: &str, bytes: u64) {
        while core.services.log_budget.bytes() <= bytes {
            let text = "x".repeat(NOTE_BYTES);
            account(core, key).ask(Note(text)).await.unwrap();
        }
        at_rest(core).await;
    }

    /// Both checkpoints of an account hold everything, so that it needs no log.
    async fn cover(core: &Arc<Core>, key: &str) {
        for _ in 0..2 {
            account(core, key).checkpoint().await.unwrap();
        }
        at_rest(core).await;
        assert_eq!(cell(core, key).pins().needed(), None);
    }

    fn begins(store: &MemoryStore) -> Lsn {
        store.extent().unwrap().start
    }

    /// Invariant: checkpoint-covers-log. The log is needed from the first pin on, and only the
    /// part behind its end when there is none.
    #[tokio::test]
    async fn the_log_is_needed_from_the_first_pin_on() {
        let (core, _) = bounded();
        assert_eq!(needed_by_all(&core), core.services.end_of_log());
        account(&core, "alice").ask(Deposit(1)).await.unwrap();
        let first = cell(&core, "alice").pins().needed();
        account(&core, "bob").ask(Deposit(1)).await.unwrap();
        assert_eq!(Some(needed_by_all(&core)), first);
        cover(&core, "alice").await;
        assert_eq!(Some(needed_by_all(&core)), cell(&core, "bob").pins().needed());
        cover(&core, "bob").await;
        assert_eq!(needed_by_all(&core), core.services.end_of_log());
    }

    /// The less log the store keeps, the more often it syncs for a cut.
    #[tokio::test]
    async fn a_log_under_half_of_its_budget_is_kept() {
        let (core, store) = bounded();
        fill(&core, "alice", cut_from_bytes(LOG_BYTES) / 2).await;
        cover(&core, "alice").await;
        assert!(core.services.log_budget.bytes() <= cut_from_bytes(LOG_BYTES));
        trim(&core).await.unwrap();
        assert_eq!(begins(&store), Lsn::FIRST);
        fill(&core, "alice", cut_from_bytes(LOG_BYTES)).await;
        cover(&core, "alice").await;
        trim(&core).await.unwrap();
        assert!(begins(&store) > Lsn::FIRST);
        assert!(core.services.log_budget.bytes() < cut_from_bytes(LOG_BYTES));
    }

    /// A cut must free enough to be worth its sync.
    #[tokio::test]
    async fn a_cut_that_would_free_little_is_not_made() {
        let (core, store) = bounded();
        account(&core, "bob").ask(Deposit(1)).await.unwrap();
        cover(&core, "bob").await;
        // It needs all but the first blocks.
        fill(&core, "alice", cut_from_bytes(LOG_BYTES)).await;
        let needed = needed_by_all(&core);
        assert!(needed > Lsn::FIRST);
        trim(&core).await.unwrap();
        assert_eq!(begins(&store), Lsn::FIRST);
        assert_eq!(cut(&core).await.unwrap(), needed, "who asks for a cut gets it");
    }

    /// Invariant: bounded. Actors that hold the cut back are asked for checkpoints, until neither
    /// of their two needs the log.
    #[tokio::test]
    async fn actors_that_hold_the_cut_back_take_checkpoints() {
        let (core, store) = bounded();
        account(&core, "bob").ask(Deposit(1)).await.unwrap();
        fill(&core, "alice", cut_from_bytes(LOG_BYTES)).await;
        trim(&core).await.unwrap();
        at_rest(&core).await;
        assert_eq!(core.services.counters.snapshot().checkpoints, 0, "that is as late as possible");
        fill(&core, "alice", checkpoints_from_bytes(LOG_BYTES)).await;
        for _ in 0..3 {
            trim(&core).await.unwrap();
            at_rest(&core).await;
        }
        assert!(begins(&store) > Lsn::FIRST);
        assert!(core.services.log_budget.bytes() <= cut_from_bytes(LOG_BYTES));
        let checkpoints = core.services.counters.snapshot().checkpoints;
        assert_eq!(checkpoints, 4, "two of each account");
    }

    /// The actors that an opening finds passive in a log of theirs, and where that begins.
    fn passive(log: &mut TestLog) -> (ActorTable, Lsn) {
        let first = log.deposit(&id("alice"), 1);
        log.deposit(&id("bob"), 1);
        for (number, key) in (1..).zip(["alice", "bob"]) {
            log.checkpoint(&id(key), 1, number);
        }
        let analysis = analyze(&log.store, &kinds(), &|_| ()).unwrap_or_else(|error| panic!("{error}"));
        let pin_index = Arc::new(PinIndex::new(analysis.passive_pins));
        (ActorTable::new(kinds(), pin_index, Backpressure::none()), first)
    }

    /// A passive actor has no name in memory: the block has it. It takes its pin along.
    #[test]
    fn passive_actors_are_found_by_the_block_that_they_need() {
        let mut log = TestLog::default();
        let (actors, first) = passive(&mut log);
        assert_eq!(actors.pin_index().front(), Some((first, None)));
        wake_those_at(&actors, &log.store, first).unwrap();
        assert_eq!(actors.pin_index().front(), Some((first, Some(id("alice")))));
        assert!(actors.get(&id("bob")).is_none(), "it needs only what is behind");
    }

    /// The search for actors that hold the cut back comes to an end.
    #[test]
    fn a_block_without_those_who_need_it_is_damage() {
        let mut log = TestLog::default();
        let (actors, first) = passive(&mut log);
        wake_those_at(&actors, &log.store, first).unwrap();
        let refused = |at| wake_those_at(&actors, &log.store, at).unwrap_err().to_string();
        assert!(refused(first).contains("those who need it have no records there"));
        assert!(refused(first.plus(9)).contains("it ends before what is needed"));
        assert!(actors.get(&id("bob")).is_none());
    }
}
