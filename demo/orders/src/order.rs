//! An order, from the reservation of its goods to the parcel. Asks the stock, charges by a side
//! effect, and cancels itself by a timer when nobody pays.

use std::num::NonZeroU32;
use std::time::Duration;

use relive::{Actor, Answer, Context, Handle, Message, Query, Retry};
use serde::{Deserialize, Serialize};

use crate::bank::{Bank, Charge, NotCharged};
use crate::mails::{Mail, Mails, Says};
use crate::stock::{NotReserved, Release, Reserve, Sell, Stock};

/// The timer that cancels an order.
const UNPAID: &str = "unpaid";
/// The timer that charges again while it is unknown whether the money has moved.
const CHARGE: &str = "charge";
pub(crate) const CHARGE_AGAIN: Duration = Duration::from_secs(2);
/// The tries of one side effect. The order answers nothing meanwhile, so they are few.
const CHARGE_TRIES: Retry = Retry::new(3, Duration::from_millis(50));

/// What the program sets for all orders.
pub(crate) struct Terms {
    /// How long goods stay reserved for an order that is not paid.
    pub(crate) pay_within: Duration,
}

/// `order/17`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    name: String,
    placed: Option<Placed>,
}

#[derive(Serialize, Deserialize)]
struct Placed {
    wanted: Place,
    cents: u64,
    status: Status,
    paying: Option<Paying>,
}

/// Where an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Reserved,
    /// The money may have moved, or not. So the order is neither shipped nor cancelled.
    Paying,
    Paid,
    Shipped,
    Cancelled,
}

/// A charge that is under way.
#[derive(Clone, Serialize, Deserialize)]
struct Paying {
    card: String,
    key: String,
}

impl Actor for Order {
    const KIND: &'static str = "order";
    const MESSAGES: &'static [&'static str] =
        &[Place::NAME, Pay::NAME, ChargeAgain::NAME, Expire::NAME, Shipped::NAME];

    fn create(name: &str) -> Self {
        Self { name: name.to_owned(), placed: None }
    }
}

/// Why an order does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("there is no such order")]
    NoSuchOrder,
    #[error("there is another order of this name")]
    OtherOrder,
    #[error("the order is cancelled: {0}")]
    NotReserved(NotReserved),
    #[error("the order is cancelled, since the stock can't answer: {0}")]
    NoStock(String),
    #[error("the order is cancelled")]
    Cancelled,
    #[error("the card was declined")]
    Declined,
}

/// Places the order.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) article: String,
    pub(crate) quantity: NonZeroU32,
    pub(crate) mail: String,
}

impl Message for Place {
    const NAME: &'static str = "place";
    type Reply = Result<OrderShown, OrderError>;
}

impl Handle<Place> for Order {
    async fn handle(&mut self, wanted: Place, cx: &mut Context<'_>) -> Result<OrderShown, OrderError> {
        if let Some(placed) = &self.placed {
            // relive forgets an idempotency key after a day. The order is there for longer.
            return if placed.wanted == wanted { self.shown() } else { Err(OrderError::OtherOrder) };
        }
        // The stock reserves once, and the order learns the reply once, whatever crashes meanwhile.
        let reserve = Reserve { order: self.name.clone(), quantity: wanted.quantity };
        let reserved = cx.to::<Stock>(&wanted.article).ask(reserve).await;
        let (status, price_cents, refused) = match reserved {
            Ok(Ok(price_cents)) => (Status::Reserved, price_cents, None),
            Ok(Err(why)) => (Status::Cancelled, 0, Some(OrderError::NotReserved(why))),
            // The stock may handle the request all the same, when it goes on. Messages keep their
            // order, so this one takes back whatever that will reserve.
            Err(failure) => {
                // One whose name no actor can have is none that has reserved anything.
                let _ = cx.to::<Stock>(&wanted.article).send(Release { order: self.name.clone() });
                (Status::Cancelled, 0, Some(OrderError::NoStock(failure.to_string())))
            }
        };
        let cents = u64::from(price_cents) * u64::from(wanted.quantity.get());
        self.placed = Some(Placed { wanted, cents, status, paying: None });
        if let Some(refused) = refused {
            return Err(refused);
        }
        // A replay must set the same timer, although the setting may be another one by then. So
        // the log records what it was, as the outcome of a side effect.
        let terms = cx.dependency::<Terms>();
        let pay_within = cx.side_effect("terms", || async { terms.pay_within }).await;
        expire_after(pay_within, cx);
        self.shown()
    }
}

/// Pays the order.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pay {
    pub(crate) card: String,
}

impl Message for Pay {
    const NAME: &'static str = "pay";
    type Reply = Result<OrderShown, OrderError>;
}

impl Handle<Pay> for Order {
    async fn handle(&mut self, Pay { card }: Pay, cx: &mut Context<'_>) -> Result<OrderShown, OrderError> {
        let placed = self.placed.as_mut().ok_or(OrderError::NoSuchOrder)?;
        match placed.status {
            Status::Reserved => {}
            Status::Cancelled => return Err(OrderError::Cancelled),
            // An order is charged once, however many requests ask for that, also under other keys.
            Status::Paying | Status::Paid | Status::Shipped => return self.shown(),
        }
        placed.status = Status::Paying;
        // The key of the side effect that comes next. It stays in the state, since later tries are
        // side effects of other deliveries, with keys of their own: one order must have one key.
        placed.paying = Some(Paying { card, key: cx.idempotency_key() });
        self.charge(cx).await
    }
}

/// Goes on with a charge whose outcome is unknown.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChargeAgain {}

impl Message for ChargeAgain {
    const NAME: &'static str = "charge-again";
    type Reply = ();
}

impl Handle<ChargeAgain> for Order {
    async fn handle(&mut self, _message: ChargeAgain, cx: &mut Context<'_>) {
        // Nobody waits for this reply. A query shows what came of it.
        let _ = self.charge(cx).await;
    }
}

/// Cancels the order, unless it is paid.
#[derive(Serialize, Deserialize)]
pub(crate) struct Expire {}

impl Message for Expire {
    const NAME: &'static str = "expire";
    type Reply = ();
}

impl Handle<Expire> for Order {
    async fn handle(&mut self, _message: Expire, cx: &mut Context<'_>) {
        let Some(placed) = &mut self.placed else { return };
        match placed.status {
            Status::Reserved => {
                placed.status = Status::Cancelled;
                let release = Release { order: self.name.clone() };
                cx.to::<Stock>(&placed.wanted.article).send(release).expect("it has reserved");
                self.mail(Says::Cancelled, cx);
            }
            // First it must be known whether the money has moved.
            Status::Paying => expire_after(CHARGE_AGAIN, cx),
            Status::Paid | Status::Shipped | Status::Cancelled => {}
        }
    }
}

/// The goods have left the house.
#[derive(Serialize, Deserialize)]
pub(crate) struct Shipped {}

impl Message for Shipped {
    const NAME: &'static str = "shipped";
    type Reply = ();
}

impl Handle<Shipped> for Order {
    async fn handle(&mut self, _message: Shipped, cx: &mut Context<'_>) {
        if let Some(placed) = &mut self.placed {
            placed.status = Status::Shipped;
            self.mail(Says::Shipped, cx);
        }
    }
}

impl Order {
    /// Charges the card, and goes on by what came of it.
    async fn charge(&mut self, cx: &Context<'_>) -> Result<OrderShown, OrderError> {
        let placed = self.placed.as_mut().ok_or(OrderError::NoSuchOrder)?;
        let Some(Paying { card, key }) = placed.paying.clone() else { return self.shown() };
        let charge = Charge { order: self.name.clone(), cents: placed.cents, card };
        let bank = cx.dependency::<Bank>();
        // After a crash in here the handler runs again, and charges again under the same key. Once
        // the outcome is in the log, a replay charges nothing.
        let tries = || CHARGE_TRIES.run_unless(NotCharged::is_final, |_try| bank.charge(&key, &charge));
        match cx.side_effect("charge", tries).await {
            Ok(()) => {
                (placed.status, placed.paying) = (Status::Paid, None);
                cx.cancel_timer(UNPAID);
                let sell = Sell { order: self.name.clone() };
                cx.to::<Stock>(&placed.wanted.article).send(sell).expect("it has reserved");
            }
            Err(NotCharged::Declined) => {
                // Another card may pay, within the time that is left.
                (placed.status, placed.paying) = (Status::Reserved, None);
                return Err(OrderError::Declined);
            }
            Err(NotCharged::Unknown(reason)) => {
                tracing::warn!(order = self.name, reason, "a charge is tried again later");
                let later = cx.timer(CHARGE).after(CHARGE_AGAIN).to_self::<Self>();
                later.send(ChargeAgain {}).expect("an order has two small timers");
            }
        }
        self.shown()
    }

    fn mail(&self, says: Says, cx: &Context<'_>) {
        let Some(placed) = &self.placed else { return };
        let mail = Mail { order: self.name.clone(), to: placed.wanted.mail.clone(), says };
        cx.to::<Mails>(&self.name).send(mail).expect("the name fits, and the mail is small");
    }

    fn shown(&self) -> Result<OrderShown, OrderError> {
        self.answer(ShowOrder {}).ok_or(OrderError::NoSuchOrder)
    }
}

fn expire_after(time: Duration, cx: &Context<'_>) {
    let timer = cx.timer(UNPAID).after(time).to_self::<Order>();
    timer.send(Expire {}).expect("an order has two small timers");
}

/// Where the order is.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShowOrder {}

/// The answer to `GET /orders/{order}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderShown {
    pub(crate) order: String,
    pub(crate) status: Status,
    pub(crate) article: String,
    pub(crate) quantity: NonZeroU32,
    pub(crate) cents: u64,
}

impl Query for ShowOrder {
    const NAME: &'static str = "show";
    type Answer = Option<OrderShown>;
}

impl Answer<ShowOrder> for Order {
    fn answer(&self, _query: ShowOrder) -> Option<OrderShown> {
        self.placed.as_ref().map(|placed| OrderShown {
            order: self.name.clone(),
            status: placed.status,
            article: placed.wanted.article.clone(),
            quantity: placed.wanted.quantity,
            cents: placed.cents,
        })
    }
}
