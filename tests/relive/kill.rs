//! Real processes and real kills: a parent kills a child on the real backend with SIGKILL at random
//! moments. The parent never dies, and compares what was acknowledged with what comes back.
//!
//! 50 rounds; `RELIVE_KILL_ROUNDS=1000` does more, `RELIVE_KILL_SEED=7` repeats a run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use relive::{CheckpointPolicy, Durability, Ssn};

use crate::actors::{Deposit, Transfer, account, builder, open_on, show};

const CHILD: &str = "RELIVE_KILL_CHILD";
const ACCOUNTS: u64 = 8;
const MESSAGES_A_ROUND: u64 = 400;

/// The child: sends numbered messages from a given number on, and prints the number of each
/// acknowledged message.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let from: u64 = std::env::var("RELIVE_KILL_FROM").unwrap().parse().unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = builder()
            .durability(Durability::ProcessCrash)
            .checkpoints(CheckpointPolicy::default().records(20))
            .log_bytes(64 << 10)
            .open(&path)
            .await
            .unwrap();
        println!("open {}", runtime.recovery().replayed);
        let mut producer = runtime.producer("parent").unwrap();
        for key in 0..ACCOUNTS {
            let sent_before = from / ACCOUNTS + u64::from(key < from % ACCOUNTS);
            producer.resume(&account(&runtime, &key.to_string()), Ssn::new(sent_before));
        }
        let mut receipts = std::collections::VecDeque::new();
        for number in from.. {
            let from = account(&runtime, &(number % ACCOUNTS).to_string());
            let transfer = Transfer { to: "bank".into(), cents: cents(number) };
            receipts.push_back((number, producer.tell(&from, transfer).await.unwrap()));
            if receipts.len() >= 32 {
                let (number, receipt) = receipts.pop_front().unwrap();
                receipt.durable().await.unwrap();
                println!("{number}");
                std::io::stdout().flush().unwrap();
            }
        }
    });
}

fn cents(number: u64) -> i64 {
    i64::try_from(number % 97 + 1).unwrap()
}

fn start(path: &Path, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .env("RELIVE_KILL_FROM", from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Invariants: prefix, exactly-once inside, fifo. Over many kills no acknowledged message gets
/// lost, and no actor applies a message twice.
#[test]
fn nothing_acknowledged_is_lost_over_many_kills() {
    if std::env::var(CHILD).is_ok() {
        return;
    }
    let number =
        |name: &str, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let rounds: u64 = number("RELIVE_KILL_ROUNDS", 50);
    let mut random: u64 = number("RELIVE_KILL_SEED", 1);
    println!("RELIVE_KILL_ROUNDS={rounds} RELIVE_KILL_SEED={random}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut acknowledged = 0;
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Now and then during the opening itself.
        let lines = if round % 10 == 9 { 0 } else { (random >> 33) % MESSAGES_A_ROUND + 1 };
        let mut child = start(&path, acknowledged);
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..lines {
            let line =
                printed.next().unwrap_or_else(|| panic!("round {round}: the child ended by itself")).unwrap();
            if let Ok(number) = line.trim().parse::<u64>() {
                assert_eq!(number, acknowledged, "round {round}: acknowledged in the order sent");
                acknowledged += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The messages that it printed between the last line read and its death are acknowledged
        // too.
        for line in printed.map_while(Result::ok) {
            if let Ok(number) = line.trim().parse::<u64>() {
                assert_eq!(number, acknowledged, "round {round}");
                acknowledged += 1;
            }
        }
    }
    assert!(acknowledged > rounds, "{acknowledged} acknowledged in {rounds} rounds");
    check(&path, acknowledged);
}

fn check(path: &Path, acknowledged: u64) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = builder().durability(Durability::ProcessCrash).open(path).await.unwrap();
        let mut sent = Vec::new();
        for key in 0..ACCOUNTS {
            let state = show(&runtime, &key.to_string()).await;
            let numbers = (key..).step_by(usize::try_from(ACCOUNTS).unwrap());
            let expected: Vec<i64> = numbers.take(state.history.len()).map(|number| -cents(number)).collect();
            assert_eq!(state.history, expected, "account {key} is a prefix of what was sent to it");
            let at_least = acknowledged / ACCOUNTS + u64::from(key < acknowledged % ACCOUNTS);
            assert!(state.history.len() as u64 >= at_least, "account {key} lost what was acknowledged");
            sent.push(state.cents);
        }
        runtime.shutdown().await.unwrap();
        let runtime = open_on(relive_storage_sled::open_store(path, &Default::default()).unwrap()).await;
        let bank = show(&runtime, "bank").await;
        assert_eq!(bank.cents, -sent.iter().sum::<i64>(), "what left the accounts arrived once");
        println!("{acknowledged} acknowledged, {} deliveries at the bank", bank.history.len());
        account(&runtime, "bank").ask(Deposit { cents: 1 }).await.unwrap();
        runtime.shutdown().await.unwrap();
    });
}
