//! Reads the sources as text and checks the shape of the project: who may import whom, what stands
//! at the head of a file, how long things are, which words must not be there, which names are
//! public. Knows nothing of their meaning.

mod rooms;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rooms::Rooms;
use source::{Source, all_sources, cycles, edges, expand, has_word, occurrences, sources};

const CRATES: &[&str] = &["storage", "storage-sled", "replay", "protocols", "."];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What a user of the crate can name. A name that comes, goes or changes is a change of the public
/// interface: note it in `CHANGELOG.md`, then here.
const PUBLIC_NAMES: &[&str] = &[
    "Actor",
    "ActorFailure",
    "ActorId",
    "ActorRef",
    "Answer",
    "Ask",
    "AskError",
    "AskFailure",
    "Builder",
    "CheckpointError",
    "CheckpointPolicy",
    "Clock",
    "Context",
    "Discipline",
    "Divergence",
    "Durability",
    "Either",
    "Elapsed",
    "Ended",
    "ErrorKind",
    "FailureCause",
    "Firing",
    "Halt",
    "HaltReason",
    "Handle",
    "HideReplays",
    "KindBuilder",
    "LeftForReplay",
    "Lsn",
    "Medium",
    "Message",
    "MessageError",
    "NewTimer",
    "NoAnswer",
    "OpenError",
    "Producer",
    "ProducerReceipt",
    "QuarantineError",
    "Quarantined",
    "Query",
    "QueryError",
    "QueryFailure",
    "QueryRequest",
    "Receipt",
    "ReceiptError",
    "Receipted",
    "RecoveryProgress",
    "RecoveryReport",
    "ReferError",
    "Refused",
    "RestartPolicy",
    "Retry",
    "Rsn",
    "Runtime",
    "RuntimeFailure",
    "Recipient",
    "SendError",
    "ShutdownReport",
    "Ssn",
    "Stats",
    "StillWaiting",
    "StoreError",
    "StoreId",
    "SystemClock",
    "Tell",
    "TellError",
    "TimerError",
    "TimerRecipient",
    "TimerSetting",
    "NoTimestamp",
    "Timestamp",
    "WhenExhausted",
    "Unavailable",
    "convert",
    "medium_of",
    "backend",
    "testing",
];

#[test]
fn imports_form_no_cycle() {
    let mut problems = Vec::new();
    for name in CRATES.iter().chain(&["faults", "benches"]) {
        let mut modules = sources(&root().join(name).join("src"));
        modules.retain(|source| !source.is_test());
        // Directories hold modules of their own, among which the same holds.
        let above = modules.iter().flat_map(|source| (0..source.module.len()).map(|at| &source.module[..at]));
        let directories: BTreeSet<&[String]> = above.collect();
        problems.extend(directories.iter().flat_map(|directory| cycles(edges(directory, &modules))));
    }
    report(&problems);
}

/// A table of `ARCHITECTURE.md` for each crate lists its rooms in order, those of a row side by
/// side. None knows one of a later row.
#[test]
fn rooms_know_only_those_before_them() {
    let problems = rooms().into_iter().flat_map(|(rooms, sources)| rooms.problems(&sources));
    report(&problems.collect::<Vec<_>>());
}

#[test]
fn methods_stand_in_the_row_of_their_type() {
    let problems = rooms().into_iter().flat_map(|(rooms, sources)| rooms.scattered_methods(&sources));
    report(&problems.collect::<Vec<_>>());
}

/// The tables, each with the sources of its crate.
fn rooms() -> Vec<(Rooms, Vec<Source>)> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let all: Vec<_> = Rooms::all(&text)
        .into_iter()
        .map(|rooms| {
            let sources = sources(&root().join(&rooms.directory));
            assert!(!sources.is_empty(), "ARCHITECTURE.md: {}/ has no files", rooms.directory);
            (rooms, sources)
        })
        .collect();
    for directory in
        ["storage/src", "storage-sled/src", "replay/src", "protocols/src", "src", "faults/src", "benches/src"]
    {
        let tables = all.iter().filter(|(rooms, _)| rooms.directory == directory).count();
        assert_eq!(tables, 1, "ARCHITECTURE.md: tables of the rooms of {directory}/");
    }
    all
}

#[test]
fn each_file_says_what_it_is() {
    let all = all_sources();
    let silent = all.iter().filter(|source| !source.text.starts_with("//! "));
    report(&silent.map(|source| format!("{}:1: does not open with `//!`", source.path)).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_stay_within_a_screen() {
    let mut problems = Vec::new();
    for source in CRATES.iter().flat_map(|name| sources(&root().join(name).join("src"))) {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            problems.push(format!("{}:1: {} lines, at most {FILE_LINES_MAX}", source.path, lines.len()));
        }
        let code: Vec<&str> = source.code.lines().collect();
        for (start, line) in code.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.contains("->")).collect();
            if !words.iter().take(5).any(|word| *word == "fn") {
                continue;
            }
            let indent = &line[..line.len() - line.trim_start().len()];
            // A declaration ends at its semicolon, a body at the first brace that is indented as
            // its beginning.
            let end = code[start..].iter().position(|line| {
                let one_line = line.starts_with(indent) && line.ends_with([';', '}']) && line.contains("fn ");
                one_line || line.strip_prefix(indent).is_some_and(|rest| rest == "}" || rest.ends_with(");"))
            });
            let length = end.map_or(code.len() - start, |end| end + 1);
            if length > FUNCTION_LINES_MAX {
                let at = start + 1;
                problems.push(format!("{}:{at}: {length} lines, at most {FUNCTION_LINES_MAX}", source.path));
            }
        }
    }
    report(&problems);
}

/// What makes code come out differently the next time.
fn impurities(directory: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let impure = ["tokio", "SystemTime", "Instant", "HashMap", "HashSet", "RandomState"];
    for source in sources(&root().join(directory)) {
        problems.extend(source.words(&impure));
        for (line, path) in source.paths("std") {
            if path.first().is_some_and(|first| ["fs", "net", "thread", "env", "process"].contains(&&**first))
            {
                problems.push(format!("{}:{line}: std::{}", source.path, path.join("::")));
            }
        }
    }
    problems
}

/// Invariant: one-step. What replay can't reach can't make it come out differently.
#[test]
fn replay_is_pure_and_storage_knows_nothing_above_it() {
    let mut problems = impurities("replay/src");
    for source in sources(&root().join("storage")) {
        problems.extend(source.words(&["relive_replay", "relive"]));
    }
    for source in sources(&root().join("replay")) {
        problems.extend(source.words(&["relive"]));
    }
    for (name, forbidden) in [
        ("storage", &["relive", "relive-replay", "tokio"][..]),
        ("storage-sled", &["relive", "relive-replay", "tokio"]),
        ("replay", &["relive", "tokio", "sled", "rand", "dashmap"]),
    ] {
        let path = format!("{name}/Cargo.toml");
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for (at, line) in text.lines().enumerate() {
            let key = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if forbidden.contains(&key) {
                problems.push(format!("{path}:{}: {name} must not depend on {key}", at + 1));
            }
        }
    }
    report(&problems);
}

/// A protocol is the same whatever is around it.
#[test]
fn protocols_are_pure_and_stand_alone() {
    let mut problems = impurities("protocols/src");
    let text = fs::read_to_string(root().join("protocols/Cargo.toml")).unwrap();
    if let Some(at) = text.lines().position(|line| line.starts_with("[dependencies")) {
        problems.push(format!("protocols/Cargo.toml:{}: protocols need no other crate", at + 1));
    }
    report(&problems);
}

/// A test that moves the clock of a runtime moves all that handlers see of time.
#[test]
fn the_wall_clock_is_read_in_one_place() {
    let mut problems = Vec::new();
    for source in sources(&root().join("src")).iter().filter(|source| source.module != ["clock"]) {
        problems.extend(source.words(&["SystemTime", "UNIX_EPOCH"]));
    }
    report(&problems);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("FIX", "ME"), concat!("XX", "X")];
    let mut problems = Vec::new();
    for source in all_sources() {
        for (at, line) in source.text.lines().enumerate() {
            let found = marks.iter().filter(|mark| has_word(line, mark));
            problems.extend(found.map(|mark| format!("{}:{}: {mark}", source.path, at + 1)));
        }
        for (at, line) in source.code.lines().enumerate() {
            let macros = ["todo!", "unimplemented!", "dbg!"].into_iter();
            let found =
                macros.filter(|name| line.contains(name) && has_word(line, name.trim_end_matches('!')));
            problems.extend(found.map(|name| format!("{}:{}: {name}", source.path, at + 1)));
        }
    }
    report(&problems);
}

#[test]
fn the_public_names_are_these() {
    let library = Source::read(&root(), &root().join("src/lib.rs"));
    let mut names = BTreeSet::new();
    for (_, tree) in occurrences(&library.code, "pub use ") {
        for path in expand(tree) {
            names.extend(path.last().cloned());
        }
    }
    let modules = library.code.lines().filter_map(|line| line.strip_prefix("pub mod "));
    names.extend(modules.map(|name| name.trim_end_matches([';', ' ', '{']).to_owned()));
    let expected: BTreeSet<String> = PUBLIC_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let new: Vec<_> = names.difference(&expected).collect();
    let gone: Vec<_> = expected.difference(&names).collect();
    assert!(new.is_empty() && gone.is_empty(), "src/lib.rs: new public names {new:?}, gone {gone:?}");
}

#[test]
fn each_invariant_names_files_that_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut problems = Vec::new();
    let mut invariants = 0;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("| **")) {
        invariants += 1;
        for (column, cell) in line.trim_matches('|').split('|').enumerate().skip(1) {
            let files: Vec<&str> =
                cell.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs")).collect();
            if files.is_empty() {
                problems.push(format!("ARCHITECTURE.md:{}: no file in column {}", at + 1, column + 1));
            }
            let missing = files.into_iter().filter(|name| !root().join(name).is_file());
            problems.extend(missing.map(|name| format!("ARCHITECTURE.md:{}: there is no {name}", at + 1)));
        }
    }
    assert!(invariants > 0, "ARCHITECTURE.md has no table of invariants");
    report(&problems);
}

/// A comment can be read in one look. Tables and code in it are as wide as they are.
#[test]
fn comments_stay_within_100_columns() {
    let mut problems = Vec::new();
    for source in all_sources() {
        let mut is_code = false;
        for (at, line) in source.text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                is_code = false;
                continue;
            };
            let comment = comment.trim_start_matches(['/', '!']).trim_start();
            is_code ^= comment.starts_with("```");
            if line.chars().count() > 100 && !is_code && !comment.starts_with('|') {
                problems.push(format!("{}:{}: {} columns", source.path, at + 1, line.chars().count()));
            }
        }
    }
    report(&problems);
}

/// A way through the code can be followed: at most twelve steps, each a file, and not back and
/// forth between two of them.
#[test]
fn each_way_is_short_and_leads_on() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut problems = Vec::new();
    let ways: Vec<&str> = text.split("\n### ").filter(|section| section.starts_with("The way of")).collect();
    assert_eq!(
        ways.len(),
        10,
        "ARCHITECTURE.md: a tell, a reply, an ask, two queries, a checkpoint, a carried record, a timer, an opening, a restart"
    );
    for way in ways {
        let title = way.lines().next().unwrap_or_default();
        let steps = way
            .lines()
            .filter(|line| line.strip_prefix("| ").is_some_and(|step| step.starts_with(char::is_numeric)));
        let files: Vec<&str> = steps.filter_map(|step| step.split('`').nth(1)).collect();
        if !(2..=12).contains(&files.len()) {
            problems.push(format!("ARCHITECTURE.md: {title}: {} steps", files.len()));
        }
        let missing = files.iter().filter(|file| !root().join(file).is_file());
        problems.extend(missing.map(|file| format!("ARCHITECTURE.md: {title}: there is no {file}")));
        let mut moves = BTreeMap::new();
        for pair in files.windows(2).filter(|pair| pair[0] != pair[1]) {
            let between = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            *moves.entry(between).or_insert(0) += 1;
        }
        let often = moves.into_iter().filter(|(_, moves)| *moves > 2);
        problems.extend(
            often.map(|((a, b), _)| format!("ARCHITECTURE.md: {title}: back and forth between {a} and {b}")),
        );
    }
    report(&problems);
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
