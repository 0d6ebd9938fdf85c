//! Orders in memory, under a clock that the tests move: what time does to them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use relive::testing::ManualClock;
use relive::{ActorRef, Durability, Runtime, Timestamp};
use tokio::net::TcpListener;
use tokio::task::yield_now;

use crate::bank::Bank;
use crate::mails::Mailer;
use crate::order::{CHARGE_AGAIN, Order, OrderError, OrderShown, Pay, Place, ShowOrder, Status, Terms};
use crate::shop;
use crate::stock::{NotReserved, ShowStock, Stock, StockShown};

const PAY_WITHIN: Duration = Duration::from_secs(900);

/// A shop with ten chairs at 49 euros, in memory.
async fn shop(mails: &Path, provider: &str) -> (Runtime, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
    let (bank, mailer) = (Bank::new(provider).unwrap(), Mailer::open(mails).unwrap());
    let builder = shop::builder(Terms { pay_within: PAY_WITHIN }, bank, mailer);
    let builder = builder.clock(clock.clone()).durability(Durability::Volatile);
    let chairs = "chair:4900:10".parse().unwrap();
    (shop::open(builder, Path::new("unused"), vec![chairs]).await.unwrap(), clock)
}

/// A provider that answers what it is told, the last for ever, and notes the keys.
#[derive(Clone)]
struct Scripted {
    answers: Arc<Mutex<Vec<StatusCode>>>,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(answers: &[StatusCode]) -> (Self, String) {
        let answers = answers.iter().rev().copied().collect();
        let scripted = Self { answers: Arc::new(Mutex::new(answers)), keys: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/charges", post(Self::charge)).with_state(scripted.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (scripted, address)
    }

    async fn charge(State(scripted): State<Self>, headers: HeaderMap) -> StatusCode {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        scripted.keys.lock().unwrap().push(key);
        let mut answers = scripted.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop().unwrap() } else { answers[0] }
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

async fn place(runtime: &Runtime, name: &str, chairs: u32) -> Result<OrderShown, OrderError> {
    let quantity = chairs.try_into().unwrap();
    let wanted = Place { article: "chair".to_owned(), quantity, mail: "ann@example.org".to_owned() };
    order(runtime, name).ask(wanted).await.unwrap()
}

fn order(runtime: &Runtime, name: &str) -> ActorRef<Order> {
    runtime.actor(name).unwrap()
}

async fn status(runtime: &Runtime, name: &str) -> Status {
    order(runtime, name).query(ShowOrder {}).await.unwrap().unwrap().status
}

async fn until(runtime: &Runtime, name: &str, expected: Status) {
    while status(runtime, name).await != expected {
        yield_now().await;
    }
}

/// On hand, reserved, sold.
async fn chairs(runtime: &Runtime) -> (u32, u32, u32) {
    let shown = runtime.actor::<Stock>("chair").unwrap().query(ShowStock {}).await.unwrap();
    let StockShown { on_hand, reserved, sold, .. } = shown.unwrap();
    (on_hand, reserved, sold)
}

/// The mails that were sent by the end of the shop.
async fn shut_down(runtime: Runtime, mails: &Path) -> String {
    runtime.shutdown().await.unwrap();
    std::fs::read_to_string(mails).unwrap()
}

#[tokio::test]
async fn an_order_that_nobody_pays_gives_its_goods_back_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let mails = directory.path().join("mails");
    let (runtime, clock) = shop(&mails, "http://127.0.0.1:1").await;
    assert_eq!(place(&runtime, "a", 4).await.unwrap().cents, 4 * 4900);
    assert_eq!(
        place(&runtime, "b", 7).await,
        Err(OrderError::NotReserved(NotReserved::OutOfStock { on_hand: 6 }))
    );
    clock.advance(PAY_WITHIN - Duration::from_micros(1));
    // Behind everything that the clock has begun: an order of its own.
    place(&runtime, "c", 1).await.unwrap();
    assert_eq!((status(&runtime, "a").await, chairs(&runtime).await), (Status::Reserved, (5, 5, 0)));
    clock.advance(Duration::from_micros(1));
    until(&runtime, "a", Status::Cancelled).await;
    let paid = order(&runtime, "a").ask(Pay { card: "4242".to_owned() }).await.unwrap();
    assert_eq!(paid, Err(OrderError::Cancelled));
    while chairs(&runtime).await != (9, 1, 0) {
        yield_now().await;
    }
    let line = r#"{"id":"a/cancelled","to":"ann@example.org","says":"cancelled"}"#;
    assert_eq!(shut_down(runtime, &mails).await, format!("{line}\n"));
}

/// While nobody knows whether the money has moved, the order is neither cancelled nor shipped, and
/// each try is the same charge: all have one key.
#[tokio::test]
async fn an_order_whose_charge_is_unknown_goes_on_under_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let mails = directory.path().join("mails");
    let mut answers = [StatusCode::GATEWAY_TIMEOUT; 7];
    answers[6] = StatusCode::OK;
    let (provider, address) = Scripted::start(&answers).await;
    let (runtime, clock) = shop(&mails, &address).await;
    place(&runtime, "a", 2).await.unwrap();
    let paying = order(&runtime, "a").ask(Pay { card: "4242".to_owned() }).await.unwrap();
    assert_eq!((paying.unwrap().status, provider.keys().len()), (Status::Paying, 3));
    // Both timers are due: the charge is tried in vain, and then the time to pay is over.
    clock.advance(PAY_WITHIN);
    while provider.keys().len() < 6 {
        yield_now().await;
    }
    assert_eq!((status(&runtime, "a").await, chairs(&runtime).await), (Status::Paying, (8, 2, 0)));
    clock.advance(CHARGE_AGAIN);
    until(&runtime, "a", Status::Shipped).await;
    clock.advance(PAY_WITHIN);
    assert_eq!(chairs(&runtime).await, (8, 0, 2));
    let keys = provider.keys();
    assert_eq!(keys.len(), 7);
    assert!(keys.iter().all(|key| *key == keys[0] && key.contains("order/a")), "{keys:?}");
    let line = r#"{"id":"a/shipped","to":"ann@example.org","says":"shipped"}"#;
    assert_eq!(shut_down(runtime, &mails).await, format!("{line}\n"));
}

/// A declined card leaves the order as it was, with the time that it had. The next card is another
/// charge.
#[tokio::test]
async fn a_declined_card_gains_no_time_and_another_one_may_pay() {
    let directory = tempfile::tempdir().unwrap();
    let mails = directory.path().join("mails");
    let (provider, address) = Scripted::start(&[StatusCode::PAYMENT_REQUIRED, StatusCode::OK]).await;
    let (runtime, clock) = shop(&mails, &address).await;
    for name in ["a", "b"] {
        place(&runtime, name, 1).await.unwrap();
    }
    let declined = order(&runtime, "a").ask(Pay { card: "declined".to_owned() }).await.unwrap();
    assert_eq!(declined, Err(OrderError::Declined));
    let paid = order(&runtime, "a").ask(Pay { card: "4242".to_owned() }).await.unwrap();
    assert!(matches!(paid.unwrap().status, Status::Paid | Status::Shipped));
    let keys = provider.keys();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    clock.advance(PAY_WITHIN);
    until(&runtime, "a", Status::Shipped).await;
    until(&runtime, "b", Status::Cancelled).await;
    runtime.shutdown().await.unwrap();
}
