//! The ledger itself: accounts, which book, and partner banks and days, which add up what accounts
//! send them. This and `serve` are all that an application would have; everything else here feeds,
//! kills and checks.

use std::collections::BTreeMap;

use relive::{Actor, Context, Handle, Message};
use serde::{Deserialize, Serialize};

/// An account at this bank: `account/1787`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Account(Statement);

/// What an account knows.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) hellers: i64,
    pub(crate) bookings: u64,
    /// The balance at the end of each day on which something was booked, by YYMMDD.
    pub(crate) days: BTreeMap<u32, i64>,
}

/// Another bank (`bank/AB`): what came from it and went to it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Bank(Total);

/// A day (`day/930101`): what was booked on it, on all accounts.
#[derive(Serialize, Deserialize)]
pub(crate) struct BookingDay(Total);

/// The sum and the number of what an actor was sent.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) hellers: i64,
    pub(crate) count: u64,
}

/// Tells an account to book an amount.
#[derive(Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) day: u32,
    pub(crate) hellers: i64,
    pub(crate) bank: Option<String>,
}

/// Tells a bank or a day of an amount that an account has booked.
#[derive(Serialize, Deserialize)]
pub(crate) struct Booked {
    pub(crate) hellers: i64,
}

/// Asks an account for what it knows.
#[derive(Serialize, Deserialize)]
pub(crate) struct GetStatement;

/// Asks a bank or a day for what it was sent.
#[derive(Serialize, Deserialize)]
pub(crate) struct GetTotal;

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(_key: &str) -> Self {
        Self(Statement::default())
    }
}

impl Actor for Bank {
    const KIND: &'static str = "bank";

    fn create(_key: &str) -> Self {
        Self(Total::default())
    }
}

impl Actor for BookingDay {
    const KIND: &'static str = "day";

    fn create(_key: &str) -> Self {
        Self(Total::default())
    }
}

impl Message for Book {
    const NAME: &'static str = "book";
    type Reply = ();
}

impl Message for Booked {
    const NAME: &'static str = "booked";
    type Reply = ();
}

impl Message for GetStatement {
    const NAME: &'static str = "get-statement";
    type Reply = Statement;
}

impl Message for GetTotal {
    const NAME: &'static str = "get-total";
    type Reply = Total;
}

impl Handle<Book> for Account {
    async fn handle(&mut self, message: Book, cx: &mut Context<'_>) {
        let Book { day, hellers, bank } = message;
        self.0.hellers += hellers;
        self.0.bookings += 1;
        self.0.days.insert(day, self.0.hellers);
        if let Some(bank) = bank {
            cx.to::<Bank>(&bank)
                .send(Booked { hellers })
                .expect("the feed takes only banks whose names are fit for an actor");
        }
        cx.to::<BookingDay>(&format!("{day:06}"))
            .send(Booked { hellers })
            .expect("six digits are fit for an actor");
    }
}

impl Handle<GetStatement> for Account {
    async fn handle(&mut self, _message: GetStatement, _cx: &mut Context<'_>) -> Statement {
        self.0.clone()
    }
}

impl Handle<Booked> for Bank {
    async fn handle(&mut self, message: Booked, _cx: &mut Context<'_>) {
        self.0.add(message.hellers);
    }
}

impl Handle<GetTotal> for Bank {
    async fn handle(&mut self, _message: GetTotal, _cx: &mut Context<'_>) -> Total {
        self.0
    }
}

impl Handle<Booked> for BookingDay {
    async fn handle(&mut self, message: Booked, _cx: &mut Context<'_>) {
        self.0.add(message.hellers);
    }
}

impl Handle<GetTotal> for BookingDay {
    async fn handle(&mut self, _message: GetTotal, _cx: &mut Context<'_>) -> Total {
        self.0
    }
}

impl Total {
    fn add(&mut self, hellers: i64) {
        self.hellers += hellers;
        self.count += 1;
    }
}
