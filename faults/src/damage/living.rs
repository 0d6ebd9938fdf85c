//! What may come of a damaged store, at the level of a runtime: its actors have the state that arithmetic gives them, or
//! there is a typed error, of the opening or of an actor.

use std::path::Path;

use relive::{AskError, Halt, OpenError, Refused, Runtime};
use tokio::runtime::Handle;

use super::bank::{Books, Deposit, Show, account, builder};
use super::judge::{CALL_TIMEOUT, SILENT, typed};

/// Opens a damaged store with its actors, asks each for its state, and lets it go on when that is wanted.
pub(super) fn outcome(
    tokio: &Handle,
    directory: &Path,
    expected: &Books,
    older_superblock: bool,
    goes_on: bool,
) -> String {
    let ended = tokio.block_on(async {
        let runtime = builder().open(directory).await.map_err(|error| opening(&error))?;
        let outcome = states(&runtime, expected, older_superblock, 0).await;
        let told = if goes_on { go_on(&runtime, expected).await } else { Ok(()) };
        let closed = runtime.shutdown().await.map(drop).map_err(|refused| refusal(&refused));
        let outcome = outcome?;
        told.and(closed).map_err(|error| format!("{outcome}, then {error}"))?;
        if goes_on {
            let reopened = builder().open(directory).await.map_err(|error| opening(&error));
            let runtime = reopened.map_err(|error| format!("{outcome}, then {error}"))?;
            let again = states(&runtime, expected, older_superblock, 1).await;
            runtime.crash().await;
            again.map_err(|error| {
                if error.starts_with(SILENT) { error } else { format!("{outcome}, then {error}") }
            })?;
        }
        Ok(outcome)
    });
    ended.unwrap_or_else(|error: String| error)
}

/// Compares all states, of which each has so many bookings more than were written.
async fn states(
    runtime: &Runtime,
    expected: &Books,
    older_superblock: bool,
    more: usize,
) -> Result<String, String> {
    let (mut older, mut failed) = (false, None);
    for (key, booked) in &expected.now {
        let found = match account(runtime, key).ask(Show).timeout(CALL_TIMEOUT).await {
            Ok(found) => found,
            Err(AskError::NotAccepted { reason, .. } | AskError::Unknown { reason }) => {
                failed = Some(refusal(&reason));
                continue;
            }
            Err(error @ AskError::Reply { .. }) => return Err(format!("{SILENT}: {error}")),
            Err(error) => return Err(format!("error: {error}")),
        };
        let written = &found[..found.len().saturating_sub(more)];
        let least = expected.before.get(key).map_or(0, Vec::len);
        if written == booked {
            continue;
        }
        if !(older_superblock && booked.starts_with(written) && written.len() >= least) {
            return Err(format!("{SILENT}: {key} has {} bookings of {}", found.len(), booked.len() + more));
        }
        older = true;
    }
    match failed {
        Some(failed) => Err(failed),
        None if older => Ok("older, as its superblock says".to_owned()),
        None => Ok("identical".to_owned()),
    }
}

/// Books something new on each account.
async fn go_on(runtime: &Runtime, expected: &Books) -> Result<(), String> {
    for key in expected.now.keys() {
        let asked = account(runtime, key).ask(Deposit(1)).timeout(CALL_TIMEOUT).await;
        asked.map_err(|error| error.reason().map_or_else(|| error.to_string(), refusal))?;
    }
    Ok(())
}

fn opening(error: &OpenError) -> String {
    match error {
        OpenError::Store(error) => typed(error),
        OpenError::Orphan { .. } => "error: Orphan".to_owned(),
        OpenError::Records(halt) => format!("error: Records ({})", stopped(halt)),
        other => format!("error: {other}"),
    }
}

fn refusal(refused: &Refused) -> String {
    match refused {
        Refused::Failed(error) => typed(error),
        Refused::Actor(failure) => format!("actor failed ({})", stopped(&failure.halt)),
        Refused::Timeout => format!("{NO_ANSWER} within {CALL_TIMEOUT:?}"),
        other => format!("error: {other}"),
    }
}

fn stopped(halt: &Halt) -> String {
    let debug = format!("{halt:?}");
    debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// The beginning of an outcome that must not be: nobody says why.
pub(super) const NO_ANSWER: &str = "HUNG: an actor gives no answer";
