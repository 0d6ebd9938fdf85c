//! Where side effects go: a ledger in a process of its own, or, without one, a function. Each
//! carries the idempotency key that the context gave to the handler, and a payload computed from
//! the actor's state.

use std::io;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::plan::{fold, fold_bytes};

/// Where the side effects of all actors of this process go.
static OUTSIDE: RwLock<Outside> = RwLock::new(Outside { ledger: None, unkeyed: false });

/// Where side effects go.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The socket of the ledger; `None` for the function.
    pub ledger: Option<PathBuf>,
    /// Mixes the process into the payloads: the mistake that the ledger must notice.
    pub unkeyed: bool,
}

/// Sets where the side effects of this process go from now on.
pub fn set(outside: Outside) {
    *OUTSIDE.write().unwrap_or_else(PoisonError::into_inner) = outside;
}

/// Does something outside, and returns the answer. `what` names the effect without spaces,
/// independently of its key. Waits for ever when it can't reach the ledger: the handler must not go
/// on with an answer that the ledger never gave.
pub(super) async fn perform(key: String, payload: u64, what: String) -> u64 {
    let Outside { ledger, unkeyed } = OUTSIDE.read().unwrap_or_else(PoisonError::into_inner).clone();
    let payload = if unkeyed { fold(payload, u64::from(std::process::id())) } else { payload };
    let Some(socket) = ledger else { return answer_without_ledger(&key, payload) };
    let answer = match ask(&socket, &key, payload, &what).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, key, "the ledger of effects did not answer");
            std::future::pending().await
        }
    };
    relive_storage::boundary!("effect.performed");
    answer
}

/// The answer of the function that replaces the ledger.
#[must_use]
pub fn answer_without_ledger(key: &str, payload: u64) -> u64 {
    fold_bytes(payload, key.as_bytes())
}

async fn ask(socket: &std::path::Path, key: &str, payload: u64, what: &str) -> io::Result<u64> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    stream.write_all(format!("{key} {payload} {what}\n").as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let other = |_| io::Error::new(io::ErrorKind::InvalidData, format!("it answered {line:?}"));
    line.trim_end().parse().map_err(other)
}
