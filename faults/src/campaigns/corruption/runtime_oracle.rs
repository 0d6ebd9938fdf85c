//! The outcomes that a damaged store may have at the level of a runtime: its actors have the state
//! that arithmetic predicts, or the opening or an actor fails with a typed error.

use std::path::Path;

use relive::{AskError, Halt, NoAnswer, OpenError, Refused, Runtime, RuntimeFailure, Unavailable};
use tokio::runtime::Handle;

use super::bank_actors::{Books, Deposit, Show, account, builder};
use super::options::CALL_TIMEOUT;
use super::store_oracle::{SILENT, typed};

/// Opens a damaged store with its actors, asks each for its state, and with `goes_on` sends new
/// messages.
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
        let closed = runtime.shutdown().await.map(drop).map_err(|failure| failed(&failure));
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

/// Compares all states. Each has `more` bookings beyond those of the fixture.
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
            Err(error @ (AskError::NotAccepted { .. } | AskError::Unknown { .. })) => {
                failed = Some(refusal(&error));
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
        asked.map_err(|error| refusal(&error))?;
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

fn failed(failure: &RuntimeFailure) -> String {
    match failure {
        RuntimeFailure::Store(error) => typed(error),
        other => format!("error: {other}"),
    }
}

fn refusal<M>(error: &AskError<M>) -> String {
    match (error, error.unavailable()) {
        (_, Some(Unavailable::Failed(failure))) => failed(failure),
        (_, Some(Unavailable::Actor(failure))) => format!("actor failed ({})", stopped(&failure.halt)),
        (
            AskError::NotAccepted { reason: Refused::Timeout, .. }
            | AskError::Unknown { reason: NoAnswer::Timeout },
            _,
        ) => format!("{NO_ANSWER} within {CALL_TIMEOUT:?}"),
        (AskError::NotAccepted { reason, .. }, _) => format!("error: {reason}"),
        (AskError::Unknown { reason }, _) => format!("error: {reason}"),
        (other, _) => other.to_string(),
    }
}

fn stopped(halt: &Halt) -> String {
    let debug = format!("{:?}", halt.reason);
    debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// The beginning of a forbidden outcome: no error says why.
pub(super) const NO_ANSWER: &str = "HUNG: an actor gives no answer";
