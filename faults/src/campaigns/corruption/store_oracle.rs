//! The outcomes that a damaged store may have at the level of the store.

use std::ops::ControlFlow;
use std::path::Path;

use relive_storage::conformance::{Content, block, checkpoint, id};
use relive_storage::{Checkpoint, CheckpointStore, ErrorKind, Log, StoreError, scan};
use relive_storage_sled::open_store;

use super::fixtures::{Known, Stored};
use super::options::store_options;

/// The beginning of a forbidden outcome.
pub(super) const SILENT: &str = "SILENT LOSS";
/// The prefix of a forbidden error: one that asks for a reopening after damage, as if that helped.
pub(super) const MISTOLD: &str = "DAMAGE TOLD AS A FAILURE, ";
/// The beginning of the outcome of a call that did not end. The call leaves its thread behind, so
/// the process stops after it.
pub(super) const HUNG_CALL: &str = "error: Hung";

/// Opens a store and reads everything, as a runtime would.
pub(super) fn read(directory: &Path) -> Result<Content, StoreError> {
    let store = open_store(directory, &store_options())?;
    let content = Content::read(&store)?;
    store.close()?;
    Ok(content)
}

/// Opens a damaged store and returns the outcome. With `goes_on`, a store that opens must also
/// accept something new.
pub(super) fn outcome(directory: &Path, expected: &Stored, older_superblock: bool, goes_on: bool) -> String {
    let found = match read(directory) {
        Ok(found) => found,
        Err(error) => return typed(&error),
    };
    let outcome = compare(&found, expected, older_superblock);
    if goes_on && !outcome.starts_with(SILENT) {
        match go_on(directory, &found) {
            Ok(true) => {}
            Ok(false) => {
                return format!("{SILENT} after {outcome}: what was written on top is not all there");
            }
            Err(error) => return format!("{outcome}, then {}", typed(&error)),
        }
    }
    outcome
}

/// The name under which an error counts. In every case only the files are wrong, so no error may
/// ask for a reopening.
pub(super) fn typed(error: &StoreError) -> String {
    let mistold = if error.kind() == ErrorKind::Reopen { MISTOLD } else { "" };
    format!("{mistold}{}", named(error))
}

fn named(error: &StoreError) -> String {
    let debug = format!("{error:?}");
    let variant = debug.split([' ', '(', '{']).next().unwrap_or_default();
    match error {
        StoreError::Backend { action, reason } if reason.starts_with("it panicked") => {
            format!("error: {variant} (a panic of sled, to {action})")
        }
        StoreError::CorruptStore { what } if what.contains("it panicked") => {
            format!("error: {variant} (a panic of sled)")
        }
        StoreError::Backend { action, .. }
        | StoreError::Hung { action, .. }
        | StoreError::Io { action, .. } => {
            format!("error: {variant} (to {action})")
        }
        _ => format!("error: {variant}"),
    }
}

fn compare(found: &Content, expected: &Stored, older_superblock: bool) -> String {
    let (now, before) = (&expected.now.content, &expected.before.content);
    if found == now {
        return "identical".to_owned();
    }
    // A log that begins earlier, because the store has lost a cut, has lost no record.
    let mut from_start: Vec<_> = found.blocks.iter().filter(|(first, _)| *first >= now.start).collect();
    let whole = expected.half.as_ref().map(|half| (half.header().first, half.bytes().clone()));
    if whole.is_some() && from_start.last().copied() == whole.as_ref() {
        from_start.pop();
    }
    let is_prefix = now.blocks.iter().zip(&from_start).all(|(expected, found)| expected == *found)
        && from_start.len() <= now.blocks.len();
    let reaches = |known: &Known| {
        let lost = now.blocks.iter().skip(from_start.len());
        lost.map(|(first, _)| *first).all(|first| first >= known.acknowledged)
    };
    if is_prefix && found.checkpoints == now.checkpoints && reaches(&expected.now) {
        let all = from_start.len() == now.blocks.len();
        return if all { "identical, and some that was cut" } else { "tail cut that was not acknowledged" }
            .to_owned();
    }
    if older_superblock && is_prefix && reaches(&expected.before) && genuine(found, now, before) {
        return "older, as its superblock says".to_owned();
    }
    format!(
        "{SILENT}: {} blocks of {}, from {} for {}, checkpoints {:?} for {:?}",
        from_start.len(),
        now.blocks.len(),
        found.start,
        now.start,
        numbers(found),
        numbers(now)
    )
}

/// Whether each checkpoint was once stored, and each actor with a checkpoint in the older copy
/// still has one.
fn genuine(found: &Content, now: &Content, before: &Content) -> bool {
    let written = |found: &Option<Checkpoint>| {
        found.as_ref().is_none_or(|found| {
            *found == checkpoint(&found.header.actor, found.header.number.get(), found.body.len())
        })
    };
    let known = |actor: &String| now.checkpoints.contains_key(actor);
    before.checkpoints.keys().all(|actor| found.checkpoints.contains_key(actor))
        && found.checkpoints.iter().all(|(actor, (newest, previous))| {
            known(actor) && newest.is_some() && written(newest) && written(previous)
        })
}

fn numbers(content: &Content) -> Vec<(Option<u64>, Option<u64>)> {
    let number = |checkpoint: &Option<Checkpoint>| checkpoint.as_ref().map(|found| found.header.number.get());
    content.checkpoints.values().map(|(newest, previous)| (number(newest), number(previous))).collect()
}

/// Writes more to the store that opened, and reads everything again in a new opening.
fn go_on(directory: &Path, found: &Content) -> Result<bool, StoreError> {
    let store = open_store(directory, &store_options())?;
    let next = scan(&store, &mut |_, _| Ok(()))?.next;
    let mut highest = 0;
    store.list(&mut |header| {
        highest = highest.max(header.number.get());
        ControlFlow::Continue(())
    })?;
    let new = block(next.get(), 2, next.get(), 9);
    store.append(&new)?;
    store.sync()?;
    let newest = checkpoint(&id("actor 0"), highest + 1, 500);
    store.put(std::slice::from_ref(&newest))?;
    store.close()?;
    let again = read(directory)?;
    let mut expected = found.clone();
    expected.blocks.push((next, new.bytes().clone()));
    let entry = expected.checkpoints.entry(id("actor 0").to_string()).or_default();
    *entry = (Some(newest), entry.0.take());
    Ok(again == expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaigns::corruption::options::CALL_TIMEOUT;

    #[test]
    fn an_error_that_asks_for_a_reopening_is_told_apart() {
        let reason = || "torn".to_owned();
        let action = "open";
        for error in
            [StoreError::Backend { action, reason: reason() }, StoreError::Poisoned { reason: reason() }]
        {
            assert!(typed(&error).starts_with(MISTOLD), "{error}");
        }
        let hung = typed(&StoreError::Hung { action, after: CALL_TIMEOUT });
        assert!(hung.starts_with(MISTOLD) && hung.contains(HUNG_CALL), "{hung}");
        assert_eq!(typed(&StoreError::CorruptStore { what: reason() }), "error: CorruptStore");
    }
}
