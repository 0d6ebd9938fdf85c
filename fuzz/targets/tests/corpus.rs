//! Runs every input of the corpora, seeds and regressions, through the fuzz targets, with a stable
//! toolchain.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use relive_fuzz_targets::{TARGETS, seeds};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target)
}

fn run(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    let entries = fs::read_dir(corpus(target)).expect("a corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus of {target} is gone");
    for file in files {
        let input = fs::read(&file).expect("an input");
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&input)));
        assert!(outcome.is_ok(), "{target} fails on {}", file.display());
    }
}

#[test]
fn frames_of_the_corpus() {
    run("frame");
}

#[test]
fn blocks_of_the_corpus() {
    run("block");
}

#[test]
fn records_of_the_corpus() {
    run("record");
}

#[test]
fn checkpoints_of_the_corpus() {
    run("checkpoint");
}

#[test]
fn payloads_of_the_corpus() {
    run("payload");
}

#[test]
fn replays_of_the_corpus() {
    run("replay");
}

#[test]
fn log_operations_of_the_corpus() {
    run("log_operations");
}

#[test]
fn each_target_has_a_test_here() {
    let tests = include_str!("corpus.rs");
    for (target, _) in TARGETS {
        assert!(tests.contains(&format!("run(\"{target}\")")), "{target} is not run");
    }
}

/// Old inputs stay good only as long as the format does: then
/// `cargo run -p relive-fuzz-targets --bin seeds`.
#[test]
fn the_seeds_are_those_of_their_generator() {
    for (target, _) in TARGETS {
        for (name, seed) in seeds::of(target) {
            let found = fs::read(corpus(target).join(&name)).unwrap_or_default();
            assert!(found == seed, "{target}/{name} is not what the generator makes");
        }
    }
}
