//! The oracles can fail: they find devices that silently do wrong.

use relive::OpenError;
use relive_storage::simulated_store::{Lie, Unsynced};
use relive_storage::{Lsn, StoreError};

use super::cases::{all_words, cases_of, judge, one_thread};
use super::run::Run;
use super::words::Case;

/// How many cases find a lie, and how many there are.
fn found_out(lie: Lie, length_max: usize, which: impl Fn(&Case) -> bool) -> (usize, usize, Vec<String>) {
    let tokio = one_thread();
    let (mut cases, _) = cases_of(&all_words(length_max));
    cases.retain(which);
    let judged = cases.iter().filter_map(|case| judge(&tokio, case, Some(lie)).err());
    let first_line = |what: String| what.lines().next().unwrap_or_default().to_owned();
    let found: Vec<_> = judged.map(first_line).collect();
    (found.len(), cases.len(), found)
}

/// Acknowledge-after-sync: a device that reports syncs which it does not do loses what was
/// acknowledged, and each of the oracles sees it somewhere: the scan when the mark survived, the
/// comparison with what was acknowledged when it did not.
#[test]
fn acknowledging_without_syncing_is_found_out() {
    let (found, of, what) = found_out(Lie::SyncsNothing, 2, |_| true);
    println!("{found} of {of} cases found it out");
    for text in ["are lost", "is damaged", "the actors have done", "is in the ledger", "serves after"] {
        assert!(what.iter().any(|line| line.contains(text)), "never {text:?} in {what:#?}");
    }
}

/// A checkpoint that the store read back from a cache, and that is gone after a loss of power.
#[test]
fn a_put_that_stays_in_the_cache_is_found_out() {
    let (found, of, what) =
        found_out(Lie::PutsIntoTheCache, 2, |case| case.to_string().contains(",checkpoint"));
    println!("{found} of {of} cases found it out");
    assert!(found > 0);
    assert!(what.iter().any(|line| line.contains("was checkpointed at")), "{what:#?}");
}

/// Runs the operations of a text on a device that lies, if `lie` says so, and drops everything
/// unsynced.
fn after(text: &str, lie: Option<Lie>, then: impl FnOnce(&Run)) -> Result<relive::Runtime, OpenError> {
    let case: Case = text.parse().unwrap();
    let mut run = Run::new(&case);
    run.lie = lie;
    one_thread().block_on(async {
        run.all(&case.word).await.unwrap();
        run.crash(Unsynced::Dropped).await;
        then(&run);
        super::outside::builder(relive::Discipline::BeforeHandling).open_on(run.disk.open().unwrap()).await
    })
}

/// The runtime itself notices it too once the log is cut, and does not let the actor start over.
#[test]
fn a_checkpoint_lost_without_a_word_is_an_error_at_open() {
    let lost = after("tell:a,checkpoint:a,checkpoint:a,cut", Some(Lie::PutsIntoTheCache), |_| {});
    assert!(matches!(lost, Err(OpenError::Store(StoreError::CorruptStore { .. }))), "{lost:?}");
}

/// Gap check: the runtime does not open on a log that lacks a block in its middle, and says where.
#[test]
fn a_lost_block_is_an_error_at_open_with_its_position() {
    for lost in 0..4 {
        let at = Lsn::new(lost);
        let opened = after("tell:a,tell:b,tell:a,tell:a", None, |run| assert!(run.disk.lose_block(at)));
        let found = matches!(&opened, Err(OpenError::Store(StoreError::CorruptLog { at: found, .. })) if *found == at);
        assert!(found, "{opened:?}");
    }
}
