//! Crashes at every point: right actors pass, and each fault that only some crash shows is found,
//! with the point that shows it again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use relive::testing::{
    CrashFailure, CrashPoint, CrashTest, TestResult, TestStore, crash_at, crash_at_every_point,
};
use relive::{Actor, Builder, Context, Handle, Message, Runtime};
use serde::{Deserialize, Serialize};

use super::actors::{Hop, Link, MINUTE, Sleep, World, builder};

/// A bank outside: it knows a payment that comes again by its key.
#[derive(Default)]
struct Bank {
    by_key: Mutex<BTreeMap<String, i64>>,
    calls: AtomicU64,
    /// Makes a key for each call, which is what an actor must not do.
    fresh_keys: AtomicU64,
}

impl Bank {
    fn pay(&self, key: String, cents: i64) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.by_key.lock().unwrap().insert(key, cents);
    }

    fn paid(&self) -> i64 {
        self.by_key.lock().unwrap().values().sum()
    }
}

/// How an order does what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    Right,
    /// Pays under a key of its own making.
    FreshKey,
    /// Pays outside of a side effect.
    InTheHandler,
    /// Counts in a static instead of in its state.
    InAStatic,
    /// Says that it is paid before it is.
    ToldTooEarly,
}

#[derive(Serialize, Deserialize)]
struct Order {
    paid: i64,
}

impl Actor for Order {
    const KIND: &'static str = "order";

    fn create(_: &str) -> Self {
        Self { paid: 0 }
    }
}

#[derive(Serialize, Deserialize)]
struct Pay(How, i64);

impl Message for Pay {
    const NAME: &'static str = "pay";
    type Reply = i64;
}

static PAID: AtomicI64 = AtomicI64::new(0);

impl Handle<Pay> for Order {
    async fn handle(&mut self, Pay(how, cents): Pay, cx: &mut Context<'_>) -> i64 {
        let bank = Arc::clone(cx.dependency::<Arc<Bank>>());
        match how {
            How::Right | How::InAStatic | How::ToldTooEarly => {
                cx.keyed_side_effect("pay", |key| async move { bank.pay(key, cents) }).await;
            }
            How::FreshKey => {
                let pay = || async move {
                    let key = bank.fresh_keys.fetch_add(1, Ordering::SeqCst);
                    bank.pay(key.to_string(), cents);
                };
                cx.side_effect("pay", pay).await;
            }
            How::InTheHandler => {
                let key = bank.fresh_keys.fetch_add(1, Ordering::SeqCst);
                bank.pay(key.to_string(), cents);
            }
        }
        if how == How::InAStatic {
            self.paid = PAID.fetch_add(cents, Ordering::SeqCst) + cents;
        } else {
            self.paid += cents;
        }
        cx.to::<Ledger>("all").send(Book(cents)).unwrap();
        self.paid
    }
}

#[derive(Serialize, Deserialize)]
struct Ledger {
    booked: i64,
}

impl Actor for Ledger {
    const KIND: &'static str = "ledger";

    fn create(_: &str) -> Self {
        Self { booked: 0 }
    }
}

#[derive(Serialize, Deserialize)]
struct Book(i64);

impl Message for Book {
    const NAME: &'static str = "book";
    type Reply = i64;
}

impl Handle<Book> for Ledger {
    async fn handle(&mut self, Book(cents): Book, _: &mut Context<'_>) -> i64 {
        self.booked += cents;
        self.booked
    }
}

struct Shop {
    how: How,
    bank: Arc<Bank>,
    told: Cell<i64>,
}

impl Shop {
    fn new(how: How) -> Self {
        PAID.store(0, Ordering::SeqCst);
        Self { how, bank: Arc::default(), told: Cell::new(0) }
    }
}

impl CrashTest for Shop {
    fn builder(&self) -> Builder {
        let builder = Runtime::builder().provide(Arc::clone(&self.bank));
        builder.actor::<Order>(|order| order.handles::<Pay>()).actor::<Ledger>(|l| l.handles::<Book>())
    }

    async fn run(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
        let order = runtime.actor::<Order>("17")?;
        for cents in [5, 20] {
            if self.how == How::ToldTooEarly {
                self.told.set(self.told.get() + cents);
            }
            let told = order.ask(Pay(self.how, cents)).await?;
            self.told.set(told);
            order.checkpoint().await?;
        }
        runtime.cut_log().await?;
        Ok(())
    }

    async fn check(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
        let order = runtime.actor::<Order>("17")?.ask(Pay(How::Right, 0)).await?;
        let booked = runtime.actor::<Ledger>("all")?.ask(Book(0)).await?;
        assert!([0, 5, 25].contains(&order), "each payment is there or not: {order}");
        assert!(order >= self.told.get(), "told {}, and has {order}", self.told.get());
        assert_eq!(order, booked, "the ledger has booked what was paid");
        assert_eq!(order, self.bank.paid(), "the bank has paid once what the order has");
        Ok(())
    }
}

/// An actor that does it right passes at every point, and the run makes the same calls each time.
#[tokio::test]
async fn a_right_actor_passes() {
    let report = crash_at_every_point(|| Shop::new(How::Right)).await.unwrap();
    println!("{report:?}");
    assert_eq!((report.missed, report.crashes), (0, report.calls * 3 + 1));
    assert_eq!(crash_at_every_point(|| Shop::new(How::Right)).await, Ok(report));
}

/// The same in a tokio runtime of several threads, in which a crash may be missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_right_actor_passes_on_several_threads() {
    crash_at_every_point(|| Shop::new(How::Right)).await.unwrap();
}

/// Crashes at every point, then at the one that failed, alone, and at the others.
async fn fails<T: CrashTest>(new: impl Fn() -> T) -> CrashFailure {
    let failure = crash_at_every_point(&new).await.unwrap_err();
    println!("{failure}");
    let point = failure.point.unwrap();
    assert!(failure.to_string().contains(&format!("crash_at({:?}.parse()?", point.to_string())), "{failure}");
    assert_eq!(crash_at(point, &new).await, Err(failure.clone()), "it is the same alone");
    failure
}

/// A payment that is made again under another key: only a crash between the side effect and its
/// record shows it.
#[tokio::test]
async fn a_side_effect_without_its_key_is_found() {
    let failure = fails(|| Shop::new(How::FreshKey)).await;
    assert!(failure.what.contains("the bank has paid once"), "{failure}");
    let point = failure.point.unwrap().to_string();
    let write: u64 = point.split('/').next().unwrap().parse().unwrap();
    // The crash right before it came ahead of the side effect.
    for passes in [format!("{}/before", write - 1), "end".to_owned()] {
        let passes: CrashPoint = passes.parse().unwrap();
        crash_at(passes, || Shop::new(How::FreshKey)).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_handler_does_outside_of_a_side_effect_is_found() {
    let failure = fails(|| Shop::new(How::InTheHandler)).await;
    assert!(failure.what.contains("the check failed"), "{failure}");
}

#[tokio::test]
async fn what_is_kept_in_a_static_is_found() {
    let failure = fails(|| Shop::new(How::InAStatic)).await;
    assert!(failure.what.contains("the check failed"), "{failure}");
}

#[tokio::test]
async fn what_is_told_too_early_is_found() {
    let failure = fails(|| Shop::new(How::ToldTooEarly)).await;
    assert!(failure.what.contains("told 5, and has 0"), "{failure}");
}

/// A run over time, whose program ends in an error of the crash or waits for ever for something
/// that the crash has taken.
struct Sleeper {
    world: World,
    waits: bool,
}

impl CrashTest for Sleeper {
    fn builder(&self) -> Builder {
        builder(&self.world)
    }

    async fn run(&self, store: &TestStore, runtime: &Runtime) -> TestResult {
        runtime.actor::<Link>("a")?.tell(Sleep(10)).await?.durable().await?;
        store.advance(MINUTE * 5).await?;
        // A crash of the test's own, which is no end of the run.
        store.crash().await;
        store.open(self.builder()).await?;
        let moved = store.advance(MINUTE * 5).await;
        if moved.is_err() && self.waits {
            std::future::pending::<()>().await;
        }
        moved?;
        Ok(())
    }

    async fn check(&self, store: &TestStore, runtime: &Runtime) -> TestResult {
        store.advance(MINUTE * 10).await?;
        let seen = runtime.actor::<Link>("after")?.ask(Hop(0)).await?;
        assert!(seen <= 2, "what the sleeper has sent arrives once: {seen}");
        Ok(())
    }
}

#[tokio::test]
async fn a_run_over_time_ends_where_the_crash_comes() {
    for waits in [false, true] {
        let report = crash_at_every_point(|| Sleeper { world: World::default(), waits }).await.unwrap();
        assert!(report.calls > 15 && report.missed == 0, "{report:?}");
    }
}

/// A test that is wrong itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Run,
    RunPanics,
    Check,
    OtherCode,
}

struct WrongTest(Wrong);

impl CrashTest for WrongTest {
    fn builder(&self) -> Builder {
        builder(&World::default())
    }

    fn builder_after_crash(&self) -> Builder {
        match self.0 {
            Wrong::OtherCode => Runtime::builder().actor::<Link>(|link| link.handles::<Sleep>()),
            _ => self.builder(),
        }
    }

    async fn run(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
        runtime.actor::<Link>("a")?.ask(Hop(0)).await?;
        assert!(self.0 != Wrong::RunPanics, "of the run");
        if self.0 == Wrong::Run { Err("of the run")? } else { Ok(()) }
    }

    async fn check(&self, _: &TestStore, _: &Runtime) -> TestResult {
        if self.0 == Wrong::Check { Err("of the check")? } else { Ok(()) }
    }
}

/// An error and a panic of the run without a crash are failures, an error of the check is one at
/// the first point, and so is an actor that other code can't restore.
#[tokio::test]
async fn what_is_wrong_without_a_crash_is_found() {
    let failure = async |wrong| crash_at_every_point(|| WrongTest(wrong)).await.unwrap_err();
    for wrong in [Wrong::Run, Wrong::RunPanics] {
        let failure = failure(wrong).await;
        assert_eq!(failure.to_string(), "without a crash: the run failed: of the run");
        assert_eq!(failure.point, None);
    }
    let checked = failure(Wrong::Check).await;
    assert_eq!(checked.what, "the check failed: of the check");
    assert_eq!(checked.point.unwrap().to_string(), "1/before");
    assert!(checked.call.starts_with("before the call 1 of "), "{checked}");
    let other = failure(Wrong::OtherCode).await;
    assert!(other.what.contains("no handler of link/a takes it"), "{other}");
}

/// A point beyond the run comes at its end, and says so.
#[tokio::test]
async fn a_crash_that_never_comes_is_missed() {
    let missed = crash_at("9999/after".parse().unwrap(), || Shop::new(How::Right)).await;
    assert_eq!(missed, Ok(false));
    let found = crash_at("end".parse().unwrap(), || Shop::new(How::Right)).await;
    assert_eq!(found, Ok(true));
}
