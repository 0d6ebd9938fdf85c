//! The client of the payment provider. Knows HTTP, no actor.

use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// How long a charge may take. Here, inside of the side effect, is the place for such a limit.
const CHARGE_MAX: Duration = Duration::from_secs(5);

/// The payment provider, as handlers reach it.
pub(crate) struct Bank {
    http: reqwest::Client,
    charges: String,
}

/// What the provider is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) order: String,
    pub(crate) cents: u64,
    pub(crate) card: String,
}

/// Why there is no charge, or none that anybody knows of. The log records it as the outcome of the
/// side effect.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum NotCharged {
    #[error("the card was declined")]
    Declined,
    /// No answer, or none that says anything. The provider may have charged all the same.
    #[error("it is unknown whether the card was charged: {0}")]
    Unknown(String),
}

impl NotCharged {
    /// Whether it is no use to try again.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Declined)
    }
}

impl Bank {
    /// The provider at this address.
    pub(crate) fn new(provider: &str) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(CHARGE_MAX).build()?;
        Ok(Self { http, charges: format!("{provider}/charges") })
    }

    /// Charges a card. For the provider, the same key is the same charge.
    pub(crate) async fn charge(&self, key: &str, charge: &Charge) -> Result<(), NotCharged> {
        let request = self.http.post(&self.charges).header("idempotency-key", key).json(charge);
        match request.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) if answer.status() == StatusCode::PAYMENT_REQUIRED => Err(NotCharged::Declined),
            Ok(answer) => Err(NotCharged::Unknown(format!("the provider answered {}", answer.status()))),
            Err(error) => Err(NotCharged::Unknown(error.to_string())),
        }
    }
}
