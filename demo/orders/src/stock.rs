//! The stock of one article: how many are there, for whom some are reserved, how many are sold.
//! Knows orders by their names, and not what becomes of them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use relive::{Actor, Answer, Context, Handle, Message, Query};
use serde::{Deserialize, Serialize};

use crate::order::{Order, Shipped};

/// `stock/chair`. Every article that anybody asks for is an actor; those that the shop does not
/// have are without a shelf.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stock {
    shelf: Option<Shelf>,
}

#[derive(Serialize, Deserialize)]
struct Shelf {
    price_cents: u32,
    /// Neither reserved nor sold.
    on_hand: u32,
    /// By order. Ordered, since a `HashMap` would have another order in each process, and a replay
    /// must come to the same state.
    reserved: BTreeMap<String, u32>,
    sold: u32,
}

impl Actor for Stock {
    const KIND: &'static str = "stock";
    const MESSAGES: &'static [&'static str] = &[Introduce::NAME, Reserve::NAME, Release::NAME, Sell::NAME];

    fn create(_article: &str) -> Self {
        Self { shelf: None }
    }
}

/// The shop has this article from now on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Introduce {
    pub(crate) price_cents: u32,
    pub(crate) on_hand: u32,
}

impl Message for Introduce {
    const NAME: &'static str = "introduce";
    type Reply = ();
}

impl Handle<Introduce> for Stock {
    async fn handle(&mut self, message: Introduce, _cx: &mut Context<'_>) {
        // The shop says this at each start. The first time counts: what was sold since is gone.
        let Introduce { price_cents, on_hand } = message;
        self.shelf.get_or_insert(Shelf { price_cents, on_hand, reserved: BTreeMap::new(), sold: 0 });
    }
}

/// Keeps some back for an order. The reply is the price of one.
#[derive(Serialize, Deserialize)]
pub(crate) struct Reserve {
    pub(crate) order: String,
    pub(crate) quantity: NonZeroU32,
}

/// Why nothing is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum NotReserved {
    #[error("there is no such article")]
    NoSuchArticle,
    #[error("only {on_hand} are left")]
    OutOfStock { on_hand: u32 },
}

impl Message for Reserve {
    const NAME: &'static str = "reserve";
    type Reply = Result<u32, NotReserved>;
}

impl Handle<Reserve> for Stock {
    async fn handle(&mut self, message: Reserve, _cx: &mut Context<'_>) -> Result<u32, NotReserved> {
        let Reserve { order, quantity } = message;
        let shelf = self.shelf.as_mut().ok_or(NotReserved::NoSuchArticle)?;
        let Some(left) = shelf.on_hand.checked_sub(quantity.get()) else {
            return Err(NotReserved::OutOfStock { on_hand: shelf.on_hand });
        };
        shelf.on_hand = left;
        *shelf.reserved.entry(order).or_default() += quantity.get();
        Ok(shelf.price_cents)
    }
}

/// Puts back whatever is reserved for an order. Nothing may be: then nothing changes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Release {
    pub(crate) order: String,
}

impl Message for Release {
    const NAME: &'static str = "release";
    type Reply = ();
}

impl Handle<Release> for Stock {
    async fn handle(&mut self, Release { order }: Release, _cx: &mut Context<'_>) {
        if let Some(shelf) = &mut self.shelf {
            shelf.on_hand += shelf.reserved.remove(&order).unwrap_or(0);
        }
    }
}

/// Hands out what is reserved for an order, and tells the order.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sell {
    pub(crate) order: String,
}

impl Message for Sell {
    const NAME: &'static str = "sell";
    type Reply = ();
}

impl Handle<Sell> for Stock {
    async fn handle(&mut self, Sell { order }: Sell, cx: &mut Context<'_>) {
        // No check whether this has happened before: an order sends it once, and relive delivers it
        // once, whatever crashes.
        if let Some(shelf) = &mut self.shelf {
            shelf.sold += shelf.reserved.remove(&order).unwrap_or(0);
            cx.to::<Order>(&order).send(Shipped {}).expect("orders have names that fit, and take this");
        }
    }
}

/// What stands on the shelf.
#[derive(Serialize, Deserialize)]
pub(crate) struct ShowStock {}

/// The answer to `GET /stock/{article}`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StockShown {
    pub(crate) price_cents: u32,
    pub(crate) on_hand: u32,
    pub(crate) reserved: u32,
    pub(crate) sold: u32,
}

impl Query for ShowStock {
    const NAME: &'static str = "show";
    type Answer = Option<StockShown>;
}

impl Answer<ShowStock> for Stock {
    fn answer(&self, _query: ShowStock) -> Option<StockShown> {
        self.shelf.as_ref().map(|shelf| StockShown {
            price_cents: shelf.price_cents,
            on_hand: shelf.on_hand,
            reserved: shelf.reserved.values().sum(),
            sold: shelf.sold,
        })
    }
}
