//! The shop as a whole: what its actors are, what they are provided with, what there is to buy.

use std::path::Path;
use std::str::FromStr;

use relive::{Builder, RestartPolicy, Runtime, WhenExhausted};

use crate::bank::Bank;
use crate::mails::{Mail, Mailer, Mails};
use crate::order::{ChargeAgain, Expire, Order, Pay, Place, Shipped, ShowOrder, Terms};
use crate::stock::{Introduce, Release, Reserve, Sell, ShowStock, Stock};

/// Something to buy, as the command line has it.
#[derive(Clone)]
pub(crate) struct Article {
    name: String,
    price_cents: u32,
    on_hand: u32,
}

impl FromStr for Article {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let &[name, price, count] = &parts[..] else { return Err("expected NAME:CENTS:COUNT".to_owned()) };
        let number = |text: &str| text.parse().map_err(|error| format!("{text:?} is no number: {error}"));
        Ok(Self { name: name.to_owned(), price_cents: number(price)?, on_hand: number(count)? })
    }
}

/// The actors, with what their handlers reach outside. Tests open it on a store of their own.
pub(crate) fn builder(terms: Terms, bank: Bank, mailer: Mailer) -> Builder {
    // No order is ever left out because its handler keeps failing: it stops, and tries again at the
    // next opening.
    let restarts = RestartPolicy::default().tries(10).when_exhausted(WhenExhausted::Fail);
    Runtime::builder()
        .actor::<Order>(|order| {
            let order = order.handles::<Place>().handles::<Pay>().handles::<ChargeAgain>();
            let order = order.handles::<Expire>().handles::<Shipped>().answers::<ShowOrder>();
            // Said here, an opening that lacks one fails before anything runs.
            order.needs::<Terms>().needs::<Bank>()
        })
        .actor::<Stock>(|stock| {
            let stock = stock.handles::<Introduce>().handles::<Reserve>().handles::<Release>();
            stock.handles::<Sell>().answers::<ShowStock>()
        })
        .actor::<Mails>(|mails| mails.handles::<Mail>().needs::<Mailer>())
        .provide(terms)
        .provide(bank)
        .provide(mailer)
        .restarts(restarts)
}

/// Opens the shop in a directory. After a crash, orders go on from here by themselves.
pub(crate) async fn open(
    builder: Builder,
    data: &Path,
    articles: Vec<Article>,
) -> Result<Runtime, Box<dyn std::error::Error>> {
    let runtime = builder.open(data).await?;
    for Article { name, price_cents, on_hand } in articles {
        runtime.actor::<Stock>(&name)?.ask(Introduce { price_cents, on_hand }).await?;
    }
    Ok(runtime)
}
