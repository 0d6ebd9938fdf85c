//! Durable timers: each fires once, in order of due time, whatever crashes when and whatever the
//! clock does.

mod bell;

use std::sync::Arc;
use std::time::Duration;

use relive::testing::ManualClock;
use relive::{AskError, Clock, Runtime, Timestamp};
use relive_storage::simulated_store::{Call, Crash, Fault, Moment, SimulatedDisk, Unsynced};

use bell::{
    Bell, Cancel, Hold, Many, Rang, Rung, START, Set, SetTrap, Tower, Wrong, a_while, ask, builder, marks,
    set, towers, until_rung,
};

use crate::actors::{happen, happened};

/// Invariant: exactly-once inside. On every backend a timer fires when its time has come, once,
/// also when the process was down then.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_once_on_every_backend() {
    for (mut tower, _root) in towers() {
        let runtime = tower.open().await;
        set(&runtime, "a", 1, 100).await;
        set(&runtime, "a", 2, 200).await;
        tower.pass(99);
        a_while().await;
        assert_eq!(marks(&runtime, "a").await, [0; 0], "not early");
        tower.pass(1);
        assert_eq!(until_rung(&runtime, "a", 1).await, [1]);
        let rang = Rang { mark: 1, name: Some("1".to_owned()), missed: 0, now: START + 100 };
        assert_eq!(ask(&runtime, "a", Rung {}).await, [rang]);
        tower.crash(runtime).await;
        tower.pass(500);
        let runtime = tower.open().await;
        assert_eq!(until_rung(&runtime, "a", 2).await, [1, 2]);
        tower.crash(runtime).await;
        let runtime = tower.open().await;
        tower.pass(1_000_000);
        a_while().await;
        assert_eq!(marks(&runtime, "a").await, [1, 2]);
        tower.shut_down(runtime).await;
    }
}

/// A periodic timer fires once for what was due while the process was down, with the count.
#[tokio::test(flavor = "multi_thread")]
async fn a_period_goes_on_and_counts_what_was_missed() {
    for (mut tower, _root) in towers() {
        let runtime = tower.open().await;
        let (name, every, to) = ("tick".to_owned(), Some(Duration::from_millis(10)), None);
        ask(&runtime, "a", Set { name, mark: 1, due: START + 10_000, every, to }).await;
        for times in 1..=3 {
            tower.pass(10_000);
            until_rung(&runtime, "a", times).await;
        }
        tower.crash(runtime).await;
        tower.pass(95_000);
        let runtime = tower.open().await;
        until_rung(&runtime, "a", 4).await;
        tower.pass(4_999);
        a_while().await;
        tower.pass(1);
        until_rung(&runtime, "a", 5).await;
        let rung: Vec<_> = ask(&runtime, "a", Rung {}).await;
        let rung: Vec<_> = rung.iter().map(|rang| (rang.now - START, rang.missed)).collect();
        assert_eq!(rung, [(10_000, 0), (20_000, 0), (30_000, 0), (125_000, 8), (130_000, 0)]);
        assert!(ask(&runtime, "a", Cancel { name: "tick".to_owned() }).await);
        tower.pass(1_000_000);
        a_while().await;
        assert_eq!(marks(&runtime, "a").await.len(), 5);
        tower.shut_down(runtime).await;
    }
}

/// A passive actor is not in memory for its timers. They wake it, also after a reopening, from its
/// checkpoint alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_wakes_a_passive_actor() {
    for (mut tower, _root) in towers() {
        tower.passivate_after = Duration::ZERO;
        let runtime = tower.open().await;
        for key in ["a", "b"] {
            set(&runtime, key, 1, 100).await;
            set(&runtime, key, 2, 200).await;
        }
        let passive = async |runtime: &Runtime| {
            while runtime.actors_in_memory() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        passive(&runtime).await;
        tower.pass(100);
        while runtime.stats().deliveries < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        passive(&runtime).await;
        tower.shut_down(runtime).await;
        let runtime = tower.open().await;
        assert_eq!((runtime.recovery().actors, runtime.actors_in_memory()), (0, 0));
        tower.pass(100);
        while runtime.stats().deliveries < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(marks(&runtime, "a").await, [1, 2]);
        assert_eq!(marks(&runtime, "b").await, [1, 2]);
        tower.shut_down(runtime).await;
    }
}

/// A firing is a delivery behind those that the actor has ahead: when one of them takes its timer
/// away, or sets it anew, no handler runs on it. A replay passes it over too.
#[tokio::test(flavor = "multi_thread")]
async fn a_firing_whose_timer_is_gone_is_passed_over() {
    let mut tower = Tower::memory();
    let runtime = tower.open().await;
    for mark in 1..=4 {
        set(&runtime, "a", mark, 100).await;
    }
    assert!(ask(&runtime, "a", Cancel { name: "1".to_owned() }).await);
    assert!(!ask(&runtime, "a", Cancel { name: "1".to_owned() }).await, "it is gone");
    let what = "timers.passed-over".to_owned();
    let a = runtime.actor::<Bell>("a").unwrap();
    drop(a.tell(Hold { what: what.clone() }).await.unwrap());
    while happened("timers.passed-over.begun") == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Logged while the handler waits, ahead of the firings.
    a.tell(Cancel { name: "2".to_owned() }).await.unwrap().durable().await.unwrap();
    let later = Set { name: "3".to_owned(), mark: 5, due: START + 300, every: None, to: None };
    a.tell(later).await.unwrap().durable().await.unwrap();
    let before = runtime.stats().deliveries;
    tower.pass(100);
    a_while().await;
    happen(&what);
    assert_eq!(until_rung(&runtime, "a", 1).await, [4]);
    assert!(runtime.stats().deliveries >= before + 3, "the firings of 2, 3 and 4 are in the log");
    tower.crash(runtime).await;
    let runtime = tower.open().await;
    assert_eq!(marks(&runtime, "a").await, [4]);
    tower.pass(200);
    assert_eq!(until_rung(&runtime, "a", 2).await, [4, 5]);
    tower.shut_down(runtime).await;
}

/// While a handler waits, a timer that is due waits too, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_is_due_while_a_handler_waits_fires_after_it() {
    let mut tower = Tower::memory();
    let runtime = tower.open().await;
    set(&runtime, "a", 1, 100).await;
    let what = "timers.waits".to_owned();
    drop(runtime.actor::<Bell>("a").unwrap().tell(Hold { what: what.clone() }).await.unwrap());
    while happened("timers.waits.begun") == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tower.pass(100);
    a_while().await;
    happen(&what);
    assert_eq!(until_rung(&runtime, "a", 1).await, [1]);
    tower.shut_down(runtime).await;
}

/// A clock that goes back fires nothing twice, and nothing early; one that jumps ahead fires what
/// is due, in order of due time.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_fires_each_timer_once_and_in_order() {
    let mut tower = Tower::memory();
    let runtime = tower.open().await;
    assert_eq!(ask(&runtime, "a", Many { count: 40 }).await, "set");
    tower.pass(10);
    assert_eq!(until_rung(&runtime, "a", 10).await, (30..40).rev().collect::<Vec<_>>());
    tower.clock.set(Timestamp::from_micros(START - 500));
    a_while().await;
    tower.clock.set(Timestamp::from_micros(START + 10));
    a_while().await;
    assert_eq!(marks(&runtime, "a").await.len(), 10);
    tower.clock.set(Timestamp::from_micros(START + 1_000_000));
    assert_eq!(until_rung(&runtime, "a", 40).await, (0..40).rev().collect::<Vec<_>>());
    tower.crash(runtime).await;
    let runtime = tower.open().await;
    assert_eq!(marks(&runtime, "a").await.len(), 40);
    tower.shut_down(runtime).await;
}

/// Invariant: exactly-once inside. A timer for another actor sends its message once, and runs no
/// handler of its owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_for_another_actor_sends_once() {
    for (mut tower, _root) in towers() {
        let runtime = tower.open().await;
        let (name, every, to) = ("b".to_owned(), Some(Duration::from_millis(1)), Some("b".to_owned()));
        ask(&runtime, "a", Set { name, mark: 7, due: START + 100, every, to }).await;
        tower.pass(100);
        let rang = Rang { mark: 7, name: None, missed: 0, now: START + 100 };
        until_rung(&runtime, "b", 1).await;
        assert_eq!(ask(&runtime, "b", Rung {}).await, [rang]);
        tower.crash(runtime).await;
        let runtime = tower.open().await;
        assert_eq!(marks(&runtime, "b").await, [7]);
        tower.pass(1_000);
        assert_eq!(until_rung(&runtime, "b", 2).await, [7, 7]);
        tower.shut_down(runtime).await;
        let runtime = tower.open().await;
        tower.pass(1_000);
        assert_eq!(until_rung(&runtime, "b", 3).await, [7, 7, 7]);
        assert_eq!(marks(&runtime, "a").await, [0; 0]);
        tower.shut_down(runtime).await;
    }
}

/// A firing whose handler keeps failing is left out like any other delivery. Its timer goes on, and
/// a retry is a message like one from outside.
#[tokio::test(flavor = "multi_thread")]
async fn a_firing_that_fails_is_left_out() {
    let mut tower = Tower::memory();
    let runtime = tower.open().await;
    ask(&runtime, "a", SetTrap { every: Duration::from_millis(1) }).await;
    for times in 1..=2 {
        tower.pass(1_000);
        while runtime.quarantined().len() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    a_while().await;
    assert_eq!(runtime.quarantined().len(), 2, "each firing once");
    tower.crash(runtime).await;
    let runtime = tower.open().await;
    let entries = runtime.quarantined();
    assert_eq!(entries.len(), 2);
    assert!(ask(&runtime, "a", Cancel { name: "trap".to_owned() }).await);
    runtime.retry_quarantined(&entries[0]).await.unwrap();
    assert_eq!(until_rung(&runtime, "a", 1).await, [0]);
    tower.shut_down(runtime).await;
}

/// Invariant: bounded. The handler hears which limit a timer breaks, and nothing is set.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_breaks_a_limit_is_refused() {
    let mut tower = Tower::memory();
    let runtime = tower.open().await;
    let refused = ask(&runtime, "a", Wrong {}).await;
    for (refused, expected) in refused.iter().zip([
        "the timer name is empty",
        "the timer name \"nnn",
        "a timer can't fire every 999µs",
        "\"deaf\" is not its kind",
        "the actor kind \"deaf\" is not registered",
        "the actor key is empty",
    ]) {
        assert!(refused.contains(expected), "{refused} does not say {expected}");
    }
    assert_eq!(ask(&runtime, "a", Many { count: 1_024 }).await, "set");
    let refused = ask(&runtime, "a", Many { count: 1_025 }).await;
    assert!(refused.contains("at most 1024 timers"), "{refused}");
    tower.pass(2_000);
    until_rung(&runtime, "a", 1_024).await;
    tower.shut_down(runtime).await;
}

/// A shutdown does not wait for timers, and an actor whose timer is always due does not keep it
/// from ending.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_with_timers_set() {
    let root = tempfile::tempdir().unwrap();
    let clock = relive::SystemClock;
    let open = || {
        let builder = builder(&ManualClock::new(Timestamp::default())).clock(clock);
        builder.shutdown_timeout(Duration::from_secs(60)).open(root.path())
    };
    let runtime = open().await.unwrap();
    for key in ["a", "b", "c"] {
        let (name, every, to) = ("tick".to_owned(), Some(Duration::from_millis(1)), None);
        ask(&runtime, key, Set { name, mark: 1, due: clock.now().as_micros(), every, to }).await;
    }
    until_rung(&runtime, "a", 20).await;
    let began = std::time::Instant::now();
    assert_eq!(runtime.shutdown().await.unwrap().left, []);
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    let runtime = open().await.unwrap();
    assert_eq!(runtime.recovery().replayed, 0);
    until_rung(&runtime, "b", marks(&runtime, "b").await.len() + 3).await;
    runtime.shutdown().await.unwrap();
}

/// What a run of the small workload below has come to.
async fn workload(runtime: &Runtime, clock: &ManualClock) -> Result<(), AskError<Set>> {
    let bell = |key: &str| runtime.actor::<Bell>(key).unwrap();
    let once = |mark: u64, after: u64, every, to: Option<&str>| {
        let to = to.map(str::to_owned);
        Set { name: mark.to_string(), mark, due: START + after, every, to }
    };
    bell("a").ask(once(1, 1_000, None, None)).await?;
    bell("a").ask(once(2, 2_000, Some(Duration::from_millis(1)), None)).await?;
    bell("a").ask(once(3, 1_500, None, Some("b"))).await?;
    let _ = bell("a").checkpoint().await;
    for now in [1_000, 1_700, 2_000, 3_500, 6_000] {
        // A crash does not take the clock back.
        clock.set(clock.now().max(Timestamp::from_micros(START + now)));
        tokio::time::sleep(Duration::from_millis(3)).await;
        let _ = bell("b").checkpoint().await;
    }
    let _ = bell("a").checkpoint().await;
    Ok(())
}

/// Invariant: exactly-once inside. The power goes at each call that a small workload makes of its
/// store: before it and after it, with what was not synced kept and dropped. Nothing is lost, and
/// nothing fires twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_every_call_loses_no_timer_and_fires_none_twice() {
    let mut crashes = 0;
    for moment in [Moment::Before, Moment::After] {
        for unsynced in [Unsynced::Kept, Unsynced::Dropped] {
            let mut nth = 1;
            while crash_at(nth, Crash { moment, unsynced }).await {
                nth += 1;
                crashes += 1;
            }
        }
    }
    assert!(crashes > 40, "{crashes} crashes");
}

/// Runs the workload, loses power at the nth call, and goes on after it. Returns whether the power
/// went.
async fn crash_at(nth: u64, crash: Crash) -> bool {
    let clock = ManualClock::new(Timestamp::from_micros(START));
    let disk = SimulatedDisk::new(nth);
    let open = || builder(&clock).open_on(Arc::new(disk.open()));
    let runtime = open().await.unwrap();
    disk.plan(Fault::Crash(crash), Call::Any, disk.calls(Call::Any) + nth);
    let first = workload(&runtime, &clock).await;
    let has_crashed = !disk.has_power();
    assert!(has_crashed || first.is_ok(), "{first:?}");
    if !has_crashed {
        disk.plan_nothing();
        disk.lose_power(crash.unsynced);
    }
    runtime.crash().await;
    let runtime = open().await.unwrap();
    workload(&runtime, &clock).await.unwrap();
    for _ in 0..2_000 {
        let rung = ask(&runtime, "a", Rung {}).await;
        let periods: u64 = rung.iter().filter(|rang| rang.mark == 2).map(|rang| 1 + rang.missed).sum();
        if periods >= 5 && rung.iter().any(|rang| rang.mark == 1) && !marks(&runtime, "b").await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rung = ask(&runtime, "a", Rung {}).await;
    let once = rung.iter().filter(|rang| rang.mark == 1).count();
    let periods: u64 = rung.iter().filter(|rang| rang.mark == 2).map(|rang| 1 + rang.missed).sum();
    let passed_on = marks(&runtime, "b").await;
    // By the end of the workload five periods have passed, from 2,000 to 6,000.
    assert_eq!((once, periods, &*passed_on), (1, 5, &[3][..]), "{crash:?} at {nth}: {rung:?}");
    runtime.shutdown().await.unwrap();
    has_crashed
}
