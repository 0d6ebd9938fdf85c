//! Invariant: prefix. Whatever happens to the files of a store, what comes back is what was stored, or an error that
//! says what is wrong. Never less without a word.
//!
//! sled may panic, hang or abort on damaged files, so the cases run in processes of their own. One is repeated by
//! `RELIVE_DAMAGE=<directory>` (with `store`, `older` in it), the case on standard input, and
//! `cargo test -p relive-storage --test storage damage::child -- --ignored --nocapture`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use relive_storage::{Log, SledStore, StoreError};

use crate::content::{Content, copy, fill, next_block, options, read_all};
use crate::damage_case::{Case, cases};

const DIRECTORY: &str = "RELIVE_DAMAGE";

#[test]
fn damage_to_a_store_that_was_closed_is_never_silent() {
    let root = tempfile::tempdir().unwrap();
    let (store, older) = (root.path().join("store"), root.path().join("older"));
    let opened = SledStore::open(&store, &options()).unwrap();
    fill(&opened, 20);
    opened.close().unwrap();
    copy(&store, &older);
    let opened = SledStore::open(&store, &options()).unwrap();
    fill(&opened, 24);
    opened.close().unwrap();
    run_all("closed", root.path());
}

#[test]
fn damage_to_a_store_that_was_open_is_never_silent() {
    let root = tempfile::tempdir().unwrap();
    let (store, older) = (root.path().join("store"), root.path().join("older"));
    let original = root.path().join("original");
    let opened = SledStore::open(&original, &options()).unwrap();
    fill(&opened, 20);
    copy(&original, &older);
    fill(&opened, 24);
    // Nobody is told about the last block.
    let next = opened.extent().unwrap().acknowledged.get();
    opened.append(&next_block(next, 4)).unwrap();
    copy(&original, &store);
    drop(opened);
    run_all("open", root.path());
}

/// Damages copies of `store` in other processes, and judges what they read.
fn run_all(what: &str, root: &Path) {
    let pristine = root.join("pristine");
    copy(&root.join("store"), &pristine);
    let expected = read_all(&pristine).unwrap();
    assert!(expected.blocks.len() > 20 && expected.checkpoints.len() == 5, "{expected:?}");
    let all = all_cases(root);
    let count = all.len();
    let (first, second) = all.split_at(count / 2);
    let histogram = std::thread::scope(|scope| {
        let first = scope.spawn(|| run(root, "a", first));
        let mut outcomes = run(root, "b", second);
        outcomes.extend(first.join().unwrap());
        outcomes
    });
    let mut counts = BTreeMap::new();
    let mut silent = Vec::new();
    for (case, outcome) in &histogram {
        let file = case.split(' ').next().unwrap_or_default();
        *counts.entry((file, outcome.clone())).or_insert(0) += 1;
        if outcome.starts_with("SILENT") || outcome.starts_with("DIED") {
            silent.push(format!("{case}: {outcome}"));
        }
    }
    println!("{count} cases on a store that was {what}:");
    for ((file, outcome), count) in counts {
        println!("{count:5}  {file:24} {outcome}");
    }
    assert_eq!(histogram.len(), count);
    assert!(silent.is_empty(), "{silent:#?}");
}

fn all_cases(root: &Path) -> Vec<Case> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join("store")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = std::fs::read(entry.path()).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        let has_older = root.join("older").join(&name).exists();
        found.extend(cases(&name, content.len() as u64, used, has_older));
    }
    // The slow cases are spread over both processes.
    found.sort_by_key(|case| crc32fast::hash(case.encode().as_bytes()));
    found
}

/// Has a process do cases, and another one go on after a case that killed it.
fn run(root: &Path, name: &str, cases: &[Case]) -> Vec<(String, String)> {
    let mut outcomes: Vec<(String, String)> = Vec::new();
    while outcomes.len() < cases.len() {
        let left = &cases[outcomes.len()..];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["damage::child", "--exact", "--ignored", "--nocapture"])
            .env(DIRECTORY, root)
            .env("RELIVE_DAMAGE_NAME", name)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let lines: String = left.iter().map(|case| case.encode() + "\n").collect();
        input.write_all(lines.as_bytes()).unwrap();
        drop(input);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, line)) = line.split_once("outcome: ") {
                let (case, outcome) = line.split_once(" => ").unwrap();
                outcomes.push((case.to_owned(), outcome.to_owned()));
            }
        }
        let status = child.wait().unwrap();
        if outcomes.len() < cases.len() {
            outcomes.push((cases[outcomes.len()].encode(), format!("DIED {status}")));
        }
    }
    outcomes
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child() {
    let Ok(root) = std::env::var(DIRECTORY) else {
        return;
    };
    let root = PathBuf::from(root);
    let name = std::env::var("RELIVE_DAMAGE_NAME").unwrap_or_default();
    let expected = read_all(&{
        let pristine = root.join(format!("pristine-{name}-{}", std::process::id()));
        copy(&root.join("store"), &pristine);
        pristine
    });
    let expected = expected.unwrap();
    let acknowledged = acknowledged(&root, &name);
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.unwrap();
        let case = Case::decode(&line);
        // A name of its own, because a handle that hangs keeps its directory.
        let directory = root.join(format!("case-{name}-{}-{index}", std::process::id()));
        copy(&root.join("store"), &directory);
        case.inflict(&directory, &root.join("older"));
        let outcome = judge(&read_all(&directory), &expected, acknowledged);
        println!("\noutcome: {line} => {outcome}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

fn acknowledged(root: &Path, name: &str) -> u64 {
    let directory = root.join(format!("mark-{name}-{}", std::process::id()));
    copy(&root.join("store"), &directory);
    let store = SledStore::open(&directory, &options()).unwrap();
    store.extent().unwrap().acknowledged.get()
}

fn judge(found: &Result<Content, StoreError>, expected: &Content, acknowledged: u64) -> String {
    let found = match found {
        Ok(found) if found == expected => return "identical".to_owned(),
        Ok(found) => found,
        Err(error) => {
            let debug = format!("{error:?}");
            let variant = debug.split([' ', '(']).next().unwrap_or_default();
            return match error {
                StoreError::Backend { action, reason } if reason.starts_with("it panicked") => {
                    format!("error: {variant} (a panic, to {action})")
                }
                StoreError::Backend { action, .. } | StoreError::Hung { action, .. } => {
                    format!("error: {variant} (to {action})")
                }
                _ => format!("error: {variant}"),
            };
        }
    };
    // A log that begins earlier, because a cut is not known, has lost nothing.
    let log = |content: &Content| -> Vec<_> {
        let blocks = content.blocks.iter().filter(|(first, _)| *first >= expected.start);
        blocks.cloned().collect()
    };
    let (found_log, expected_log) = (log(found), log(expected));
    let lost = expected_log.iter().skip(found_log.len());
    let lost_none = lost.clone().all(|(first, _)| first.get() >= acknowledged);
    if found.checkpoints == expected.checkpoints && expected_log.starts_with(&found_log) && lost_none {
        let all = found_log.len() == expected_log.len();
        return if all { "identical, and some that was cut" } else { "torn tail cut" }.to_owned();
    }
    let ids = |content: &Content| -> Vec<_> {
        let numbers = content.checkpoints.iter();
        numbers
            .map(|(actor, (newest, _))| (actor.clone(), newest.as_ref().map(|newest| newest.header.number)))
            .collect()
    };
    format!(
        "SILENT: {} blocks of {}, checkpoints {:?} for {:?}",
        found_log.len(),
        expected_log.len(),
        ids(found),
        ids(expected)
    )
}
