//! A run that crashes at every point: counts the calls that it makes of its store, then does it
//! again with a crash at each of them, reopens, and has the test judge what is there. Knows the
//! test as a builder, a run and a check.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use relive_replay::guard::guarded;
use relive_storage::ActorId;
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, Unsynced};

use crate::harness::Moving;
use crate::runtime::Runtime;
use crate::runtime::builder::Builder;
use crate::testing::crash_point::{At, CrashPoint, Manner};
use crate::testing::quiet::QuietError;
use crate::testing::store::TestStore;

/// What a run or a check comes to. Any error becomes one with `?`.
pub type TestResult = Result<(), Box<dyn Error>>;

/// A run of your actors that [`crash_at_every_point`] crashes at every point, and what must hold
/// after each crash. The value itself is the world outside of the runtime: a bank that counts its
/// payments, or what the run was told. It is made anew for each crash and lives through it.
///
/// # What you may assert
/// | what | after a crash at any point |
/// | --- | --- |
/// | what `run` was told before: a reply, a receipt that is durable | is there |
/// | a message that `run` has sent, and of which it was told nothing | was handled once, or never |
/// | a message of an actor to another one | has arrived once, when its sender has handled what sent it |
/// | a side effect | was done once or more, always under the same key; the handler has learned one outcome |
/// | a request that is sent again in `check` under its idempotency key | counts once |
pub trait CrashTest {
    /// The actors, with what they need of the world outside. Called for each opening.
    fn builder(&self) -> Builder;

    /// The actors that are opened after the crash: other versions of them, for example. The default
    /// is the same ones.
    fn builder_after_crash(&self) -> Builder {
        self.builder()
    }

    /// Drives the actors: sends, asks, moves time, waits for quiet. Make it do the same each time.
    ///
    /// It ends where the crash comes: it is dropped, as the end of a process would end it, and an
    /// error or a panic that it ends with is passed over, since the power is gone. So pass errors
    /// on with `?`, and note in `self` what you were told. Without a crash it must end well.
    fn run(&self, store: &TestStore, runtime: &Runtime) -> impl Future<Output = TestResult>;

    /// Judges what is there after the reopening, when it is quiet: an error or a panic says what is
    /// wrong. It may ask the actors, send again, and move time.
    fn check(&self, store: &TestStore, runtime: &Runtime) -> impl Future<Output = TestResult>;
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrashReport {
    /// How many calls that change the store the run makes, the opening included: writes to the log,
    /// syncs, checkpoints and cuts.
    pub calls: u64,
    /// How many crashes were tried, three for each call and one at the end.
    pub crashes: u64,
    /// How many of them came at the end of the run, because it made fewer calls this time. Zero
    /// when the run does the same each time and tokio has one thread.
    pub missed: u64,
}

/// What went wrong, and where. As text it says how to run that crash alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrashFailure {
    /// Where the crash came; `None` when the run failed without one.
    pub point: Option<CrashPoint>,
    /// The call of the store at which it came.
    pub call: String,
    /// What went wrong.
    pub what: String,
}

impl fmt::Display for CrashFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, call, what } = self;
        match point {
            Some(point) => write!(
                f,
                "crash point {point}, {call}: {what}; relive::testing::crash_at({point:?}.parse()?, …) does it alone",
                point = point.to_string()
            ),
            None => write!(f, "without a crash: {what}"),
        }
    }
}

impl Error for CrashFailure {}

/// Does the run of a test once for each point at which it can crash, and each manner of crashing
/// there: before a call that changes the store, in the middle and after it, and at the end. After
/// each crash it opens the store again, waits for quiet, and calls the check. `new` makes the world
/// outside, anew for each crash.
///
/// A failed actor and a delivery that was left out are failures too, unless the run without a crash
/// had one of the same actor.
///
/// # Errors
/// [`CrashFailure`]: the first crash after which something was wrong.
///
/// # Limits
/// The time grows with the square of the calls of the run: keep it to some dozens of messages. The
/// crash during a recovery is not tried. [`CrashReport::missed`] says whether each crash came where
/// it was planned.
///
/// # Cancel safety
/// Dropping the future ends it; the store of the crash under way goes with it.
///
/// # Examples
/// ```
/// use relive::testing::{CrashTest, TestResult, TestStore, crash_at_every_point};
/// use relive::{Actor, Builder, Context, Handle, Message, Runtime};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Account { cents: i64 }
/// # impl Actor for Account { const KIND: &'static str = "account"; fn create(_: &str) -> Self { Account { cents: 100 } } }
/// # #[derive(Serialize, Deserialize)] struct Deposit(i64);
/// # impl Message for Deposit { const NAME: &'static str = "deposit"; type Reply = i64; }
/// # impl Handle<Deposit> for Account {
/// #     async fn handle(&mut self, Deposit(cents): Deposit, _: &mut Context<'_>) -> i64 { self.cents += cents; self.cents }
/// # }
/// # #[derive(Serialize, Deserialize)] struct Transfer { to: String, cents: i64 }
/// # impl Message for Transfer { const NAME: &'static str = "transfer"; type Reply = (); }
/// impl Handle<Transfer> for Account {
///     async fn handle(&mut self, Transfer { to, cents }: Transfer, cx: &mut Context<'_>) {
///         self.cents -= cents;
///         cx.to::<Account>(&to).send(Deposit(cents)).expect("a name within its limits");
///     }
/// }
///
/// struct Transfers;
///
/// impl CrashTest for Transfers {
///     fn builder(&self) -> Builder {
///         Runtime::builder().actor::<Account>(|a| a.handles::<Deposit>().handles::<Transfer>())
///     }
///
///     async fn run(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
///         runtime.actor::<Account>("alice")?.ask(Transfer { to: "bob".into(), cents: 30 }).await?;
///         Ok(())
///     }
///
///     async fn check(&self, _: &TestStore, runtime: &Runtime) -> TestResult {
///         let alice = runtime.actor::<Account>("alice")?.ask(Deposit(0)).await?;
///         let bob = runtime.actor::<Account>("bob")?.ask(Deposit(0)).await?;
///         assert_eq!(alice + bob, 200, "money is neither made nor lost");
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let report = crash_at_every_point(|| Transfers).await?;
/// assert!(report.calls > 3 && report.crashes > 3 * report.calls);
/// # Ok(()) }
/// ```
pub async fn crash_at_every_point<T: CrashTest>(new: impl Fn() -> T) -> Result<CrashReport, CrashFailure> {
    let calm = calm_run(&new).await?;
    let (mut crashes, mut missed) = (0, 0);
    for point in CrashPoint::all(calm.calls) {
        crashes += 1;
        missed += u64::from(!crash(point, &new(), &calm).await?);
    }
    Ok(CrashReport { calls: calm.calls, crashes, missed })
}

/// Does what [`crash_at_every_point`] does, at one point alone: the run without a crash, and the
/// run with this one. Returns whether the crash came there; if not, it came at the end of the run.
///
/// # Errors
/// [`CrashFailure`].
///
/// # Cancel safety
/// As [`crash_at_every_point`].
///
/// # Examples
/// ```
/// # use relive::testing::{CrashTest, TestResult, TestStore, crash_at};
/// # use relive::{Builder, Runtime};
/// # struct Transfers;
/// # impl CrashTest for Transfers {
/// #     fn builder(&self) -> Builder { Runtime::builder() }
/// #     async fn run(&self, _: &TestStore, _: &Runtime) -> TestResult { Ok(()) }
/// #     async fn check(&self, _: &TestStore, _: &Runtime) -> TestResult { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// crash_at("2/torn".parse()?, || Transfers).await?;
/// # Ok(()) }
/// ```
pub async fn crash_at<T: CrashTest>(point: CrashPoint, new: impl Fn() -> T) -> Result<bool, CrashFailure> {
    let calm = calm_run(&new).await?;
    crash(point, &new(), &calm).await
}

/// What a run without a crash has come to.
struct Calm {
    calls: u64,
    trouble: BTreeMap<ActorId, String>,
}

async fn calm_run<T: CrashTest>(new: &impl Fn() -> T) -> Result<Calm, CrashFailure> {
    let store = TestStore::new();
    let lived = live(&new(), &store).await;
    lived.map_err(|what| CrashFailure { point: None, call: String::new(), what })?;
    let calm = Calm { calls: store.disk().calls(Call::AnyWrite), trouble: trouble(&store) };
    store.crash().await;
    Ok(calm)
}

/// A run with one crash, and the check after it. Returns whether the crash came where it was
/// planned.
async fn crash<T: CrashTest>(point: CrashPoint, test: &T, calm: &Calm) -> Result<bool, CrashFailure> {
    let store = TestStore::seeded(seed(point));
    if let At::Write(write, manner) = point.0 {
        store.disk().plan(Fault::Crash(manner.crash()), Call::AnyWrite, write);
    }
    let mut judged = live(test, &store).await;
    let came = !store.disk().has_power();
    if judged.is_ok() {
        store.disk().plan_nothing();
        if came {
            store.crash().await;
        } else {
            store.lose_power().await;
        }
        judged = judge(test, &store, calm).await;
    }
    let call = call_at(&store, point, calm.calls);
    store.crash().await;
    judged.map_err(|what| CrashFailure { point: Some(point), call, what })?;
    Ok(came || point.0 == At::End)
}

/// Opens, runs until the run or the power ends, and waits for quiet.
async fn live<T: CrashTest>(test: &T, store: &TestStore) -> Result<(), String> {
    let has_power = || store.disk().has_power();
    let runtime = match store.open(test.builder()).await {
        Ok(runtime) => runtime,
        Err(_) if !has_power() => return Ok(()),
        Err(error) => return Err(format!("the store was not opened: {error}")),
    };
    let run = outcome(test.run(store, &runtime));
    // Commits wait for it as for an actor, so that they hold the same in each run.
    let run = store.harness().track(|| Moving::Task("the run of the test"), run);
    let ended = tokio::select! {
        biased;
        () = store.until_power_is_lost() => return Ok(()),
        ended = run => ended,
    };
    match (ended, has_power()) {
        (Err(what), true) => return Err(format!("the run failed: {what}")),
        (Err(_), false) => return Ok(()),
        (Ok(()), _) => {}
    }
    match store.quiet().await {
        // A run may shut down.
        Ok(()) | Err(QuietError::Ended(_)) => Ok(()),
        Err(error) => Err(format!("after the run: {error}")),
    }
}

/// Opens again, and has the test judge what is there.
async fn judge<T: CrashTest>(test: &T, store: &TestStore, calm: &Calm) -> Result<(), String> {
    let opened = store.open(test.builder_after_crash()).await;
    let runtime = opened.map_err(|error| format!("the store was not opened again: {error}"))?;
    store.quiet().await.map_err(|error| format!("after the reopening: {error}"))?;
    no_new_trouble(store, calm)?;
    let checked = outcome(test.check(store, &runtime)).await;
    checked.map_err(|what| format!("the check failed: {what}"))?;
    no_new_trouble(store, calm)
}

fn no_new_trouble(store: &TestStore, calm: &Calm) -> Result<(), String> {
    match trouble(store).into_iter().find(|(actor, _)| !calm.trouble.contains_key(actor)) {
        Some((_, what)) => Err(format!("after the reopening: {what}")),
        None => Ok(()),
    }
}

/// The actors that have failed or left something out, and why.
fn trouble(store: &TestStore) -> BTreeMap<ActorId, String> {
    let Some(core) = store.running() else { return BTreeMap::new() };
    let left_out = core.services.quarantine.all().into_iter().map(|entry| {
        (entry.actor.clone(), format!("{} has left out {}: {}", entry.actor, entry.message, entry.reason))
    });
    let cells = core.actors.all();
    let failed = cells.iter().filter_map(|cell| Some((cell.id.clone(), cell.failure()?.to_string())));
    left_out.chain(failed).collect()
}

/// What users' code comes to; a panic is an error too.
async fn outcome(future: impl Future<Output = TestResult>) -> Result<(), String> {
    let mut future = pin!(future);
    poll_fn(|task| match guarded(|| future.as_mut().poll(task)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(ended)) => Poll::Ready(ended.map_err(|error| error.to_string())),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

impl Manner {
    fn crash(self) -> Crash {
        let (moment, unsynced) = match self {
            Self::Before => (Moment::Before, Unsynced::Dropped),
            Self::Torn => (Moment::Torn, Unsynced::Drawn),
            Self::After => (Moment::After, Unsynced::Kept),
        };
        Crash { moment, unsynced }
    }
}

/// The writes that a crash tears differ from point to point.
fn seed(point: CrashPoint) -> u64 {
    match point.0 {
        At::Write(write, _) => write,
        At::End => 0,
    }
}

/// The call at which a crash came, in words.
fn call_at(store: &TestStore, point: CrashPoint, calls: u64) -> String {
    let At::Write(write, manner) = point.0 else { return "after the run".to_owned() };
    let when = match manner {
        Manner::Before => "before",
        Manner::Torn => "in the middle of",
        Manner::After => "after",
    };
    let at = usize::try_from(write).unwrap_or(usize::MAX);
    match store.disk().trace().into_iter().filter(|step| step.call.writes()).nth(at.saturating_sub(1)) {
        Some(step) => format!("{when} the call {write} of {calls}, {:?} {}", step.call, step.on),
        None => "which never came: at the end of the run".to_owned(),
    }
}
