//! The front of the shop: HTTP requests become messages and queries, errors become status codes.
//! Knows what the actors answer, and nothing of how they come to it.

use std::fmt::Display;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use relive::{AskError, ErrorKind, QueryError, ReferError, Runtime};
use serde_json::json;

use crate::order::{Order, OrderError, OrderShown, Pay, Place, ShowOrder, Status};
use crate::stock::{NotReserved, ShowStock, Stock, StockShown};

/// How long a caller waits for an order, which may wait for the payment provider itself. Nothing is
/// lost after that: the order goes on, and the caller asks again under the same key.
const PATIENCE: Duration = Duration::from_secs(10);
/// Well below what a message may have, so that those which an order sends fit too.
const BODY_BYTES_MAX: usize = 4096;
const KEY_BYTES_MAX: usize = 64;

/// The requests that the shop takes.
pub(crate) fn routes(runtime: Runtime) -> Router {
    Router::new()
        .route("/orders", post(place))
        .route("/orders/{order}", get(show_order))
        .route("/orders/{order}/pay", post(pay))
        .route("/stock/{article}", get(show_stock))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(runtime)
}

async fn place(
    State(runtime): State<Runtime>,
    IdempotencyKey(key): IdempotencyKey,
    place: Result<Json<Place>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    let Json(place) = place?;
    // The key names the order as well. An actor knows the keys of its own requests, so a request
    // that comes again has to come to the same actor.
    let order = runtime.actor::<Order>(&key)?;
    let shown = order.ask(place).idempotency_key(&key).timeout(PATIENCE).await??;
    let location = [(header::LOCATION, format!("/orders/{key}"))];
    Ok((StatusCode::CREATED, location, Json(shown)))
}

async fn pay(
    State(runtime): State<Runtime>,
    Path(order): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    pay: Result<Json<Pay>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    let Json(pay) = pay?;
    let order = runtime.actor::<Order>(&order)?;
    // A message to an order that nobody has placed would stay in the store for ever. A query leaves
    // no trace, so it looks first.
    if order.query(ShowOrder {}).timeout(PATIENCE).await?.is_none() {
        return Err(OrderError::NoSuchOrder.into());
    }
    let shown = order.ask(pay).idempotency_key(&key).timeout(PATIENCE).await??;
    let status = if shown.status == Status::Paying { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(shown)))
}

async fn show_order(
    State(runtime): State<Runtime>,
    Path(order): Path<String>,
) -> Result<Json<OrderShown>, Failure> {
    let shown = runtime.actor::<Order>(&order)?.query(ShowOrder {}).timeout(PATIENCE).await?;
    Ok(Json(shown.ok_or(OrderError::NoSuchOrder)?))
}

async fn show_stock(
    State(runtime): State<Runtime>,
    Path(article): Path<String>,
) -> Result<Json<StockShown>, Failure> {
    let shown = runtime.actor::<Stock>(&article)?.query(ShowStock {}).timeout(PATIENCE).await?;
    Ok(Json(shown.ok_or(Failure::new(StatusCode::NOT_FOUND, &NotReserved::NoSuchArticle))?))
}

/// The header `Idempotency-Key`: 1 to 64 letters, digits, `-` and `_`, since it stands in the
/// address of the order too.
struct IdempotencyKey(String);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        let key = parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or("");
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(fits) {
            let rule = "expected the header Idempotency-Key: 1 to 64 letters, digits, - and _";
            return Err(Failure::new(StatusCode::BAD_REQUEST, &rule));
        }
        Ok(Self(key.to_owned()))
    }
}

/// What a caller gets instead of an answer. All errors become status codes here, and nowhere else.
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, message: &dyn Display) -> Self {
        Self { status, message: message.to_string() }
    }

    /// relive's errors say themselves what to do about them.
    fn of_kind(kind: ErrorKind, message: &dyn Display) -> Self {
        let status = match kind {
            ErrorKind::Input => StatusCode::UNPROCESSABLE_ENTITY,
            // What was acknowledged is there: the caller asks again, under the same key.
            ErrorKind::Retry | ErrorKind::Reopen => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, message)
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Self {
        let status = match &error {
            OrderError::NoSuchOrder => StatusCode::NOT_FOUND,
            OrderError::Declined => StatusCode::PAYMENT_REQUIRED,
            OrderError::NotReserved(NotReserved::NoSuchArticle) => StatusCode::UNPROCESSABLE_ENTITY,
            OrderError::OtherOrder
            | OrderError::NotReserved(NotReserved::OutOfStock { .. })
            | OrderError::NoStock(_)
            | OrderError::Cancelled => StatusCode::CONFLICT,
        };
        Self::new(status, &error)
    }
}

impl<M> From<AskError<M>> for Failure {
    fn from(error: AskError<M>) -> Self {
        Self::of_kind(error.kind(), &error)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::of_kind(error.kind(), &error)
    }
}

impl From<ReferError> for Failure {
    fn from(error: ReferError) -> Self {
        Self::new(StatusCode::NOT_FOUND, &error)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), &rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = %self.status, reason = self.message, "a request has failed");
        }
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}
