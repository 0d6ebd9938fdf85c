//! A shop that is killed again and again, and adds up: its customers get their answers, each order
//! is charged once or not at all, goods and money are where they belong. All of it is looked at
//! from outside: through HTTP, in the file of the provider and in that of the mails.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that something is wrong")]
#![expect(clippy::print_stdout, reason = "a test prints the seed that repeats it, and what it counted")]

mod drill;
mod plan;
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::drill::{Answer, Drill, mail_of};
use crate::plan::{ARTICLES, Customer, Pays, Random, customers, kills};
use crate::process::Process;

const CUSTOMERS: usize = 160;
/// At the same time.
const TILLS: usize = 8;
const KILLS: usize = 20;
/// The provider loses each so-many-th answer.
const LOSE_EVERY: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_is_killed_adds_up() {
    let seed = seed();
    println!("ORDERS_SEED={seed} repeats the customers and the moments of the kills");
    let mut random = Random::new(seed);
    let customers = customers(CUSTOMERS, &mut random);
    // Each customer gets an answer at least, and another one when the test looks how it ended.
    let kills = kills(KILLS, 2 * CUSTOMERS as u64, &mut random);
    let directory = tempfile::tempdir().unwrap();
    let (ledger, mails) = (directory.path().join("ledger"), directory.path().join("mails"));
    let provider = Process::provider(&ledger, LOSE_EVERY);
    let drill = Arc::new(Drill::begin(directory.path().to_owned(), provider.address(), kills));

    let answers = serve_all(&drill, &customers).await;
    let mut ends = BTreeMap::new();
    for Customer { order, .. } in &customers {
        ends.insert(order.clone(), drill.end_of(order).await);
    }
    assert_eq!(drill.lives_ended(), KILLS as u64);
    // What is on its way still, a mail or a message to the stock, arrives before the shop ends.
    assert_eq!(drill.reopen().await, 0, "nothing is left to replay");
    for (order, end) in &ends {
        assert_eq!(drill.end_of(order).await, *end);
    }
    check_orders(&customers, &answers, &ends);
    check_money(&ends, &lines(&ledger));
    check_mails(&answers, &ends, &lines(&mails));
    check_stock(&drill, &ends).await;
    drill.end().await;
    provider.interrupt();
    println!("{} requests were sent again, {} customers were served", drill.asked_again(), customers.len());
}

/// From the environment, to repeat a run, or a new one.
fn seed() -> u64 {
    let given = std::env::var("ORDERS_SEED").ok().and_then(|seed| seed.parse().ok());
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    given.unwrap_or_else(|| u64::from(since()) % 1_000_000)
}

/// Each till serves the next customer, until there is none. Gives the answers to the orders.
async fn serve_all(drill: &Arc<Drill>, customers: &[Customer]) -> BTreeMap<String, Answer> {
    let queue = Arc::new(Mutex::new(customers.to_vec()));
    let till = || {
        let (drill, queue) = (Arc::clone(drill), Arc::clone(&queue));
        tokio::spawn(async move {
            let mut answers = Vec::new();
            loop {
                let customer = queue.lock().await.pop();
                let Some(customer) = customer else { return answers };
                let answer = drill.serve(&customer).await;
                answers.push((customer.order, answer));
            }
        })
    };
    let tills: Vec<_> = (0..TILLS).map(|_| till()).collect();
    let mut answers = BTreeMap::new();
    for till in tills {
        answers.extend(till.await.unwrap());
    }
    answers
}

/// Each order that was acknowledged is there, as it was ordered. One that nobody has paid is
/// cancelled.
fn check_orders(customers: &[Customer], answers: &BTreeMap<String, Answer>, ends: &BTreeMap<String, Value>) {
    let mut counts = BTreeMap::new();
    for customer in customers {
        let ((status, answer), end) = (&answers[&customer.order], &ends[&customer.order]);
        assert_eq!(
            (&end["article"], &end["quantity"]),
            (&customer.article.into(), &customer.quantity.into())
        );
        let is_placed = *status == StatusCode::CREATED;
        if is_placed {
            let article = ARTICLES.iter().find(|article| article.name == customer.article).unwrap();
            assert_eq!(end["cents"], customer.quantity * article.cents);
            assert_eq!((&answer["order"], &answer["cents"]), (&end["order"], &end["cents"]));
        } else {
            assert_eq!((*status, customer.article), (StatusCode::CONFLICT, "lamp"), "{answer}");
        }
        let never_paid = !is_placed || matches!(customer.pays, Pays::Never | Pays::Declined);
        assert!(!never_paid || end["status"] == "cancelled", "{customer:?}: {end}");
        *counts.entry((is_placed, end["status"].to_string())).or_insert(0) += 1;
    }
    println!("orders, by whether there were goods for them and how they ended: {counts:?}");
    // Else the seed has shown less than it should.
    assert_eq!(counts.len(), 3);
}

/// What the provider has charged is what the shop says was paid: each order that is shipped once,
/// and no other.
fn check_money(ends: &BTreeMap<String, Value>, charges: &[Value]) {
    let mut keys = BTreeSet::new();
    let mut charged = BTreeMap::new();
    for charge in charges {
        assert!(keys.insert(charge["key"].to_string()), "one key was charged twice: {charge}");
        let order = charge["order"].as_str().unwrap().to_owned();
        let before = charged.insert(order, charge["cents"].as_u64().unwrap());
        assert_eq!(before, None, "one order was charged twice: {charge}");
    }
    let paid = ends.iter().filter(|(_, end)| end["status"] == "shipped");
    let paid: BTreeMap<_, _> =
        paid.map(|(order, end)| (order.clone(), end["cents"].as_u64().unwrap())).collect();
    assert_eq!(charged, paid);
    let sum = charges.iter().map(|charge| charge["cents"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum, paid.values().sum::<u64>());
}

/// Each order that was shipped, or cancelled by the time, has its mail, and no order has another.
fn check_mails(answers: &BTreeMap<String, Answer>, ends: &BTreeMap<String, Value>, mails: &[Value]) {
    let sent: BTreeSet<(String, String)> =
        mails.iter().map(|mail| (text(&mail["id"]), text(&mail["to"]))).collect();
    let placed = ends.iter().filter(|(order, _)| answers[*order].0 == StatusCode::CREATED);
    let expected: BTreeSet<(String, String)> =
        placed.map(|(order, end)| (format!("{order}/{}", text(&end["status"])), mail_of(order))).collect();
    assert_eq!(sent, expected);
    println!("{} mails, of which {} came again", mails.len(), mails.len() - sent.len());
}

/// Of each article, what was there is there still or sold.
async fn check_stock(drill: &Drill, ends: &BTreeMap<String, Value>) {
    for article in &ARTICLES {
        let stock = drill.end_of_stock(article.name).await;
        let shipped =
            ends.values().filter(|end| end["status"] == "shipped" && end["article"] == article.name);
        let sold: u64 = shipped.map(|end| end["quantity"].as_u64().unwrap()).sum();
        assert_eq!((&stock["sold"], &stock["reserved"]), (&sold.into(), &0.into()), "{}", article.name);
        assert_eq!(stock["on_hand"], article.count - sold, "{}", article.name);
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
