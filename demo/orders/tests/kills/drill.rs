//! Customers at a shop that is killed and started again: a customer who gets no answer asks again,
//! under the same key.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::{sleep, timeout};

use crate::plan::{ARTICLES, Customer, Pays};
use crate::process::Process;

/// How long goods stay reserved, in seconds: short, so that what is not paid ends while the test
/// waits for it.
const PAY_WITHIN: &str = "2.5";
/// How long the shop may take to start again, whatever it has to replay.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
const POLLS_MAX: usize = 2_400;

/// The shop, and what kills it.
pub(crate) struct Drill {
    directory: PathBuf,
    provider: String,
    http: Client,
    shop: Mutex<Option<Process>>,
    /// Where the shop is, and its how-many-th life this is.
    address: watch::Sender<(u64, String)>,
    /// Answers after which the shop is still to be killed.
    kills: std::sync::Mutex<VecDeque<u64>>,
    answers: AtomicU64,
    asked_again: AtomicU64,
}

/// What the shop answers: a status, and JSON.
pub(crate) type Answer = (StatusCode, Value);

impl Drill {
    pub(crate) fn begin(directory: PathBuf, provider: &str, kills: Vec<u64>) -> Self {
        let (provider, http) = (provider.to_owned(), Client::new());
        let shop = start(&directory, &provider);
        let address = watch::Sender::new((0, shop.address().to_owned()));
        let (shop, kills) = (Mutex::new(Some(shop)), std::sync::Mutex::new(kills.into()));
        let (answers, asked_again) = Default::default();
        Self { directory, provider, http, shop, address, kills, answers, asked_again }
    }

    /// How often the shop has been killed and started again.
    pub(crate) fn lives_ended(&self) -> u64 {
        self.address.borrow().0
    }

    /// How many requests were sent again since the shop died.
    pub(crate) fn asked_again(&self) -> u64 {
        self.asked_again.load(Ordering::Relaxed)
    }

    /// Ends the shop in order, and starts it once more. Gives how many deliveries that relived.
    pub(crate) async fn reopen(&self) -> u64 {
        let mut shop = self.shop.lock().await;
        shop.take().expect("it runs").interrupt();
        let started = start(&self.directory, &self.provider);
        let relived = started.relived();
        self.address.send_modify(|(_, address)| started.address().clone_into(address));
        *shop = Some(started);
        relived
    }

    pub(crate) async fn end(&self) {
        self.shop.lock().await.take().expect("it runs").interrupt();
    }

    /// What one customer does, up to the answers.
    pub(crate) async fn serve(&self, customer: &Customer) -> Answer {
        let Customer { order, article, quantity, twice, pays } = customer;
        let wanted = json!({ "article": article, "quantity": quantity, "mail": mail_of(order) });
        let placed = self.post("/orders", order, &wanted).await;
        if *twice {
            assert_eq!(self.post("/orders", order, &wanted).await, placed, "{order}");
        }
        if placed.0 != StatusCode::CREATED {
            return placed;
        }
        let card = if *pays == Pays::Declined { "declined" } else { "4242" };
        let (path, pay, key) =
            (format!("/orders/{order}/pay"), json!({ "card": card }), format!("{order}-pay"));
        if *pays == Pays::Never {
            return placed;
        }
        let paid = self.post(&path, &key, &pay).await;
        if *pays == Pays::Again {
            assert_eq!(self.post(&path, &key, &pay).await, paid, "{order}");
        }
        if *pays == Pays::UnderOtherKey {
            self.post(&path, &format!("{key}-2"), &pay).await;
        }
        let may_come =
            [StatusCode::OK, StatusCode::ACCEPTED, StatusCode::PAYMENT_REQUIRED, StatusCode::CONFLICT];
        assert!(may_come.contains(&paid.0), "{order}: {paid:?}");
        placed
    }

    /// What an order is in the end: shipped or cancelled.
    pub(crate) async fn end_of(&self, order: &str) -> Value {
        self.until(&format!("/orders/{order}"), |shown| {
            shown["status"] == "shipped" || shown["status"] == "cancelled"
        })
        .await
    }

    /// What is left of an article when nothing is reserved any more.
    pub(crate) async fn end_of_stock(&self, article: &str) -> Value {
        self.until(&format!("/stock/{article}"), |shown| shown["reserved"] == 0).await
    }

    async fn until(&self, path: &str, is_final: impl Fn(&Value) -> bool) -> Value {
        let mut shown = (StatusCode::NOT_FOUND, Value::Null);
        for _ in 0..POLLS_MAX {
            shown = self.ask(|http, shop| http.get(format!("{shop}{path}"))).await;
            if shown.0 == StatusCode::OK && is_final(&shown.1) {
                return shown.1;
            }
            sleep(POLL).await;
        }
        panic!("{path} came to no end: {shown:?}");
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = |http: &Client, shop: &str| {
            http.post(format!("{shop}{path}")).header("idempotency-key", key).json(body)
        };
        self.ask(request).await
    }

    /// Asks until there is an answer, over as many lives of the shop as that takes.
    async fn ask(&self, request: impl Fn(&Client, &str) -> RequestBuilder) -> Answer {
        for _ in 0..POLLS_MAX {
            let (life, shop) = self.address.borrow().clone();
            let answer = async {
                let answer = request(&self.http, &shop).send().await?;
                Ok::<Answer, reqwest::Error>((answer.status(), answer.json().await?))
            };
            match answer.await {
                Ok((status, _)) if status == StatusCode::SERVICE_UNAVAILABLE => sleep(POLL).await,
                Ok(answer) => {
                    self.answered().await;
                    return answer;
                }
                Err(_) => {
                    self.asked_again.fetch_add(1, Ordering::Relaxed);
                    // Who killed it starts it again, and says where it is.
                    let mut address = self.address.subscribe();
                    let started = timeout(STARTS_WITHIN, address.wait_for(|(now, _)| *now != life)).await;
                    started.expect("the shop gave no answer, and nobody has killed it").unwrap();
                }
            }
        }
        panic!("the shop is unavailable for good");
    }

    /// Counts an answer, and kills the shop when it was the one.
    async fn answered(&self) {
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        while self.is_due(answers) {
            let mut shop = self.shop.lock().await;
            shop.take().expect("it runs").kill();
            let started = start(&self.directory, &self.provider);
            self.address.send_modify(|(life, address)| {
                *life += 1;
                started.address().clone_into(address);
            });
            *shop = Some(started);
        }
    }

    fn is_due(&self, answers: u64) -> bool {
        let mut kills = self.kills.lock().unwrap();
        kills.front().is_some_and(|kill| *kill <= answers) && kills.pop_front().is_some()
    }
}

/// The address to which the mails about an order go.
pub(crate) fn mail_of(order: &str) -> String {
    format!("{order}@example.org")
}

fn start(directory: &std::path::Path, provider: &str) -> Process {
    let articles = ARTICLES.map(|article| format!("{}:{}:{}", article.name, article.cents, article.count));
    Process::shop(directory, provider, PAY_WITHIN, &articles)
}
