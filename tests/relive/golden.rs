//! Class 24: the tree holds a store of a runtime of each format version, and today's runtime goes
//! on with it: states, duplicate tables, unacknowledged messages, quarantine. The test opens a copy
//! and never writes to the store itself.
//!
//! `cargo test -p relive --test relive golden::write -- --ignored` writes the stores of the current
//! versions anew, on sled and on segment files, with the states of their actors as text beside
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use relive::{Builder, Medium, Receipted, Runtime};

use crate::actors::{
    Account, Charge, ChargeTwice, Deposit, Draw, Panic, Transfer, account, builder, happen, happened, show,
};
use crate::medium;

/// The stores of the current versions.
const ON_SLED: &str = "format-4";
const ON_FILES: &str = "segment-files-2";
const STATES: &str = "states.txt";
const STUCK: &str = "stuck golden";
const CHARGE: &str = "golden charge";

#[tokio::test(flavor = "multi_thread")]
async fn class_24_a_runtime_goes_on_with_a_store_of_format_1() {
    goes_on_with("format-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_24_a_runtime_goes_on_with_a_store_of_format_2() {
    goes_on_with("format-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_24_a_runtime_goes_on_with_a_store_of_format_3() {
    goes_on_with("format-3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_24_a_runtime_goes_on_with_a_store_of_format_4() {
    goes_on_with("format-4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_24_a_runtime_goes_on_with_a_store_on_segment_files_of_format_1() {
    goes_on_with("segment-files-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_24_a_runtime_goes_on_with_a_store_on_segment_files_of_format_2() {
    goes_on_with("segment-files-2").await;
}

/// The name of a side effect. Names are counted, so each store has its own.
fn outside(what: &str, store: &str) -> String {
    match store.strip_prefix("format-").unwrap_or(store) {
        "1" => what.to_owned(),
        store => format!("{what} {store}"),
    }
}

/// Invariants: exactly-once inside, one-step.
async fn goes_on_with(store: &str) {
    let golden = golden(store);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    copy(&golden.join("store"), &path);
    if let Some(medium) = medium::asked() {
        relive::convert(&path, medium).unwrap();
    }
    let states = fs::read_to_string(golden.join(STATES)).unwrap();
    // The outcome for which bob still waits comes this time.
    let (stuck, charge) = (outside(STUCK, store), outside(CHARGE, store));
    happen(&format!("{stuck}-second"));
    let runtime = builder().open(&path).await.unwrap();
    assert!(runtime.recovery().failed.is_empty() && runtime.recovery().torn_tail.is_none());
    assert_eq!(text("alice", &show(&runtime, "alice").await), states.lines().next().unwrap());
    assert_eq!(happened(&charge), 0, "an outcome on record is not asked for again");

    // Bob ends the delivery that he was in the middle of, then gets the messages that alice owed
    // him.
    let arrived = async {
        loop {
            let bob = show(&runtime, "bob").await;
            if bob.history.len() == 4 {
                break bob;
            }
        }
    };
    let bob =
        tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("what alice owed has arrived");
    assert_eq!(bob.history, [10, 20, 30, 7]);
    assert_eq!((bob.drawn, happened(&format!("{stuck}-first"))), (vec![1, 2], 0));

    let left_out = runtime.quarantined();
    assert_eq!(left_out.len(), 1);
    assert_eq!((left_out[0].actor.as_str(), left_out[0].tries), ("account/carol", 3));
    assert_eq!(text("carol", &show(&runtime, "carol").await), states.lines().nth(1).unwrap());

    // The producer has forgotten how far it came.
    let mut till = runtime.producer("till").unwrap();
    let alice = account(&runtime, "alice");
    for number in 1..=6 {
        let receipted = till.tell(&alice, Deposit { cents: number }).await.unwrap().durable().await.unwrap();
        assert_eq!(receipted == Receipted::Duplicate, number <= 5, "message {number}");
    }
    let after = all(&runtime).await;
    runtime.shutdown().await.unwrap();
    let runtime = builder().open(&path).await.unwrap();
    assert_eq!(all(&runtime).await, after);
    runtime.shutdown().await.unwrap();
}

async fn all(runtime: &Runtime) -> Vec<Account> {
    let mut states = Vec::new();
    for key in ["alice", "bob", "carol"] {
        states.push(show(runtime, key).await);
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the store of the current format to the tree anew"]
async fn write() {
    write_anew(ON_SLED, builder().medium(Medium::Sled)).await;
    // sled reads bytes beyond the end as zeros, so the tree need not hold them.
    let db = golden(ON_SLED).join("store/db");
    let mut data = fs::read(&db).unwrap();
    data.truncate(data.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    fs::write(db, data).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the store on segment files to the tree anew"]
async fn write_on_files() {
    // A small log has small segments.
    write_anew(ON_FILES, builder().medium(Medium::SegmentFiles).log_bytes(64 << 10)).await;
}

async fn write_anew(store: &str, builder: Builder) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let runtime = builder.open(&path).await.unwrap();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|key| account(&runtime, key));
    let mut till = runtime.producer("till").unwrap();
    for cents in 1..=5 {
        till.tell(&alice, Deposit { cents }).await.unwrap().durable().await.unwrap();
        if cents == 2 {
            carol.ask(Deposit { cents: 200 }).await.unwrap();
            carol.ask(Panic { what: "golden poison".into(), times: u64::MAX }).await.unwrap_err();
            for account in [&alice, &carol] {
                account.checkpoint().await.unwrap();
            }
        }
    }
    alice.ask(Draw {}).await.unwrap();
    alice.ask(Charge { what: outside(CHARGE, store) }).await.unwrap();
    for cents in [10, 20, 30] {
        alice.ask(Transfer { to: "bob".into(), cents }).await.unwrap();
    }
    while show(&runtime, "bob").await.history.len() < 3 {}
    for account in [&alice, &bob, &carol] {
        account.checkpoint().await.unwrap();
    }
    runtime.cut_log().await.unwrap();

    // Bob takes no messages in while he waits, so alice owes him what she sends from now on.
    let waiting = bob.tell(ChargeTwice { what: outside(STUCK, store) }).await.unwrap();
    waiting.durable().await.unwrap();
    while happened(&format!("{}-second", outside(STUCK, store))) == 0 {
        tokio::task::yield_now().await;
    }
    alice.ask(Transfer { to: "bob".into(), cents: 7 }).await.unwrap();
    alice.checkpoint().await.unwrap();
    alice.ask(Deposit { cents: 1_000 }).await.unwrap();
    let states =
        [text("alice", &show(&runtime, "alice").await), text("carol", &show(&runtime, "carol").await)];

    // As if the process had died here.
    let golden = golden(store);
    let _ = fs::remove_dir_all(&golden);
    copy(&path, &golden.join("store"));
    fs::write(golden.join(STATES), states.join("\n") + "\n").unwrap();
    runtime.crash().await;
}

fn text(key: &str, account: &Account) -> String {
    format!("{key}: cents {}, history {:?}, drawn {:?}", account.cents, account.history, account.drawn)
}

fn golden(store: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(store)
}

/// Copies the files of a store. Skips the directory among them: it is empty, and sled makes it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
