//! The payment provider: a process of its own, so that the money can be counted outside of the one
//! that dies. Charges a card once for each idempotency key. Knows nothing of relive.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::bank::Charge;

/// No charge comes of a card whose number begins so.
const DECLINED: &str = "declined";

/// The provider's memory, which its file holds too.
struct Ledger {
    file: File,
    charges: HashMap<String, Charge>,
    answers: u64,
    /// Each so-many-th answer gets lost; 0 for none.
    lose_every: u64,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(flatten)]
    charge: Charge,
}

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}:{line}: this is no charge: {source}", path.display())]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
}

/// The provider over the charges of a file.
pub(crate) fn routes(path: &Path, lose_every: u64) -> Result<Router, LedgerError> {
    let ledger = Ledger::open(path, lose_every)?;
    Ok(Router::new().route("/charges", post(charge)).with_state(Arc::new(Mutex::new(ledger))))
}

async fn charge(
    State(ledger): State<Arc<Mutex<Ledger>>>,
    headers: HeaderMap,
    Json(charge): Json<Charge>,
) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let Some(key) = key.map(str::to_owned) else { return StatusCode::BAD_REQUEST };
    let charged = tokio::task::spawn_blocking(move || {
        ledger.lock().unwrap_or_else(PoisonError::into_inner).charge(key, charge)
    });
    match charged.await {
        Ok(Ok(status)) => status,
        // Whether the line is on the disk is unknown, so nothing may come after it. The next start
        // reads what is there.
        failed => {
            tracing::error!(?failed, "the ledger can't be written");
            std::process::exit(1)
        }
    }
}

impl Ledger {
    fn open(path: &Path, lose_every: u64) -> Result<Self, LedgerError> {
        let in_path = |source| LedgerError::Io { path: path.to_owned(), source };
        let file = File::options().create(true).append(true).open(path).map_err(in_path)?;
        let text = std::fs::read_to_string(path).map_err(in_path)?;
        let mut charges = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let Line { key, charge } = serde_json::from_str(line).map_err(|source| LedgerError::Line {
                path: path.to_owned(),
                line: at + 1,
                source,
            })?;
            charges.insert(key, charge);
        }
        Ok(Self { file, charges, answers: 0, lose_every })
    }

    fn charge(&mut self, key: String, charge: Charge) -> io::Result<StatusCode> {
        match self.charges.get(&key) {
            Some(known) if *known == charge => {}
            Some(_) => return Ok(StatusCode::UNPROCESSABLE_ENTITY),
            None if charge.card.starts_with(DECLINED) => return Ok(StatusCode::PAYMENT_REQUIRED),
            None => {
                let line = Line { key, charge };
                let mut text = serde_json::to_string(&line)?;
                text.push('\n');
                // Charged is what is on the disk, and nothing is answered before.
                self.file.write_all(text.as_bytes())?;
                self.file.sync_data()?;
                self.charges.insert(line.key, line.charge);
            }
        }
        self.answers += 1;
        let lost = self.lose_every > 0 && self.answers.is_multiple_of(self.lose_every);
        // As in a network: the card is charged, and who asked does not hear of it.
        Ok(if lost { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::OK })
    }
}
