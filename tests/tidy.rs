//! Reads the sources as text and checks the shape of the project: who may import whom, what stands at the head of a
//! file, how long things are, which words must not be there, which names are public. Knows nothing of their meaning.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: &[&str] = &["storage", "replay", "."];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What a user of the crate can name. A name that comes, goes or changes is a change of the public interface: note it
/// in `CHANGELOG.md`, then here.
const PUBLIC_NAMES: &[&str] = &[
    "Actor",
    "ActorFailure",
    "ActorId",
    "ActorRef",
    "Ask",
    "AskError",
    "Builder",
    "CheckpointPolicy",
    "Config",
    "Context",
    "Divergence",
    "Durability",
    "ErrorKind",
    "FailureCause",
    "Halt",
    "Handle",
    "HideReplays",
    "KindBuilder",
    "LeftForReplay",
    "Lsn",
    "Medium",
    "Message",
    "OpenError",
    "Producer",
    "ProducerReceipt",
    "Quarantined",
    "Receipt",
    "Receipted",
    "RecoveryProgress",
    "RecoveryReport",
    "ReferError",
    "Refused",
    "RestartPolicy",
    "Rsn",
    "Runtime",
    "SendError",
    "ShutdownReport",
    "Ssn",
    "Stats",
    "StoreError",
    "StoreId",
    "Tell",
    "TellError",
    "Timestamp",
    "WhenExhausted",
    "convert",
    "replay",
    "storage",
];

#[test]
fn imports_form_no_cycle() {
    let mut problems = Vec::new();
    for name in CRATES {
        let mut modules = sources(&root().join(name).join("src"));
        modules.retain(|source| !source.is_test());
        problems.extend(cycles(edges(&[], &modules)));
        // Directories hold modules of their own, among which the same holds.
        let inside = modules.iter().filter(|source| source.module.len() > 1);
        let directories: BTreeSet<&[String]> = inside.map(|source| &source.module[..1]).collect();
        problems.extend(directories.iter().flat_map(|directory| cycles(edges(directory, &modules))));
    }
    report(&problems);
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
            // A declaration ends at its semicolon, a body at the first brace that is indented as its beginning.
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

/// Invariant: one-step. What replay can't reach can't make it come out differently.
#[test]
fn replay_is_pure_and_storage_knows_nothing_above_it() {
    let mut problems = Vec::new();
    let impure = ["tokio", "SystemTime", "Instant", "HashMap", "HashSet", "RandomState"];
    for source in sources(&root().join("replay/src")) {
        problems.extend(source.words(&impure));
        for (line, path) in source.paths("std") {
            if path.first().is_some_and(|first| ["fs", "net", "thread", "env", "process"].contains(&&**first))
            {
                problems.push(format!("{}:{line}: std::{}", source.path, path.join("::")));
            }
        }
    }
    for source in sources(&root().join("storage")) {
        problems.extend(source.words(&["relive_replay", "relive"]));
    }
    for source in sources(&root().join("replay")) {
        problems.extend(source.words(&["relive"]));
    }
    for (name, forbidden) in [
        ("storage", &["relive", "relive-replay", "tokio"][..]),
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

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A source file.
struct Source {
    /// Below the root of the project.
    path: String,
    text: String,
    /// The text with comments, strings and test modules blanked, line for line.
    code: String,
    /// Where it stands in its crate; empty for `lib.rs`.
    module: Vec<String>,
}

impl Source {
    /// Reads a file of a crate whose `src` is `base`.
    fn read(base: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a readable source");
        let code = without_tests(&blank(&text));
        let below = path.strip_prefix(base).expect("it was found there").with_extension("");
        let parts = below.iter().map(|part| part.to_string_lossy().into_owned());
        let module = parts.filter(|part| !["lib", "mod"].contains(&&**part)).collect();
        let path = path.strip_prefix(root()).expect("it is one of the project").display().to_string();
        Self { path, text, code, module }
    }

    fn is_test(&self) -> bool {
        self.module.last().is_some_and(|name| name == "tests" || name.ends_with("_tests"))
    }

    /// Where one of the words stands in the code.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        let found = lines.flat_map(|(at, line)| {
            let found = words.iter().filter(move |word| has_word(line, word));
            found.map(move |word| format!("{}:{}: {word}", self.path, at + 1))
        });
        found.collect()
    }

    /// Everything that is named through a path that begins so, with its line.
    fn paths(&self, first: &str) -> Vec<(usize, Vec<String>)> {
        let found = occurrences(&self.code, &format!("{first}::"));
        found
            .into_iter()
            .flat_map(|(line, tree)| expand(tree).into_iter().map(move |path| (line, path)))
            .collect()
    }

    /// Everything of its own crate that it names, from the root of the crate.
    fn references(&self) -> Vec<(usize, Vec<String>)> {
        let mut all = self.paths("crate");
        for (line, path) in self.paths("super") {
            let ups = 1 + path.iter().take_while(|part| *part == "super").count();
            // Deeper ones stand in a module within the file, and stay in it.
            if let Some(depth) = self.module.len().checked_sub(ups) {
                let rest = path[ups - 1..].iter().cloned();
                all.push((line, self.module[..depth].iter().cloned().chain(rest).collect()));
            }
        }
        all
    }
}

/// From a module to each that it names, and where.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// Who imports whom among the children of the module `base`.
fn edges(base: &[String], all: &[Source]) -> Edges {
    let children: BTreeSet<&String> =
        all.iter().filter_map(|s| s.module.strip_prefix(base)?.first()).collect();
    // A name that the parent exports again stands for the child that has it.
    let mut exports = BTreeMap::new();
    for parent in all.iter().filter(|source| source.module == base) {
        for path in occurrences(&parent.code, "use ").into_iter().flat_map(|(_, tree)| expand(tree)) {
            if let [child, .., name] = &path[..]
                && children.contains(child)
            {
                exports.insert(name.clone(), child.clone());
            }
        }
    }
    let mut edges = Edges::new();
    for source in all.iter().filter(|s| s.module.len() > base.len() && s.module.starts_with(base)) {
        let from = &source.module[base.len()];
        for (line, path) in source.references() {
            let Some(name) = path.strip_prefix(base).and_then(|rest| rest.first()) else { continue };
            let to = if children.contains(name) { Some(name) } else { exports.get(name) };
            if let Some(to) = to.filter(|to| *to != from) {
                let place = format!("{}:{line}", source.path);
                edges.entry(from.clone()).or_default().entry(to.clone()).or_insert(place);
            }
        }
    }
    edges
}

/// The cycles, each as the places of its imports; one that only differs from another by a detour is left out.
fn cycles(mut edges: Edges) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(modules) = edges.keys().find_map(|from| way_back(&edges, from)) {
        let pairs: Vec<_> = modules.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let steps = pairs.iter().map(|(from, to)| format!("{}: {from} imports {to}", edges[from][to]));
        found.push(format!("an import cycle:\n    {}", steps.collect::<Vec<_>>().join("\n    ")));
        let (from, to) = &pairs[pairs.len() - 1];
        edges.get_mut(from).map(|targets| targets.remove(to));
    }
    found
}

/// The shortest way from a module to itself.
fn way_back(edges: &Edges, from: &String) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![from.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for to in edges.get(&way[way.len() - 1]).into_iter().flat_map(BTreeMap::keys) {
            let longer = [&way[..], std::slice::from_ref(to)].concat();
            if to == from {
                return Some(longer);
            }
            if seen.insert(to) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// All Rust files of a directory, in the order of their names; those of a crate without the crates inside of it.
fn sources(directory: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    collect(directory, &mut files);
    files.sort();
    files.iter().map(|path| Source::read(directory, path)).collect()
}

fn all_sources() -> Vec<Source> {
    let directories = ["src", "tests", "examples", "benches", "storage", "replay", "fuzz"];
    directories.iter().flat_map(|name| sources(&root().join(name))).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
}

/// The text after each place where `what` begins as a word, with the line.
fn occurrences<'c>(code: &'c str, what: &str) -> Vec<(usize, &'c str)> {
    let all = code.match_indices(what).filter(|(at, _)| !code[..*at].ends_with(|c| is_word(c) || c == ':'));
    all.map(|(at, _)| (code[..at].lines().count().max(1), &code[at + what.len()..])).collect()
}

/// The paths of the tree of imports, or the one path, that the text begins with; a renamed one under its new name.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    expand_into(tree, &[], &mut paths);
    paths
}

/// Returns what comes after the tree.
fn expand_into<'t>(tree: &'t str, before: &[String], paths: &mut Vec<Vec<String>>) -> &'t str {
    let mut tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        tree = group;
        loop {
            tree = tree.trim_start_matches([' ', '\n', ',']);
            if tree.is_empty() || tree.starts_with('}') {
                return tree.strip_prefix('}').unwrap_or_default();
            }
            let rest = expand_into(tree, before, paths);
            // What is neither a name nor a group is passed over.
            tree = if rest.len() == tree.len() {
                &tree[tree.chars().next().map_or(0, char::len_utf8)..]
            } else {
                rest
            };
        }
    }
    let (name, rest) = tree.split_at(tree.find(|c| !is_word(c)).unwrap_or(tree.len()));
    if name.is_empty() {
        return rest;
    }
    let mut path = [before, &[name.to_owned()]].concat();
    if let Some(rest) = rest.strip_prefix("::") {
        return expand_into(rest, &path, paths);
    }
    if let Some(renamed) = rest.strip_prefix(" as ") {
        let (name, rest) = renamed.split_at(renamed.find(|c| !is_word(c)).unwrap_or(renamed.len()));
        path.push(name.to_owned());
        paths.push(path);
        return rest;
    }
    paths.push(path);
    rest
}

/// Replaces comments and the content of texts and characters by spaces.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = opaque(rest, code.chars().next_back());
        let (part, after) = rest.split_at(length.unwrap_or(next.len_utf8()));
        match length {
            Some(_) => code.extend(part.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push_str(part),
        }
        rest = after;
    }
    code
}

/// The length of the comment, text or character that begins here.
fn opaque(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if rest.starts_with('r') && !before.is_some_and(|c| is_word(c) && c != 'b') {
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        if rest[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let content = 2 + hashes;
            return Some(rest[content..].find(&close).map_or(rest.len(), |end| content + end + close.len()));
        }
    }
    if rest.starts_with('"') {
        return Some(closing(rest, '"'));
    }
    // A character, not a lifetime.
    let mut inside = rest.strip_prefix('\'')?.chars();
    match (inside.next()?, inside.next()?) {
        ('\\', _) => Some(closing(rest, '\'')),
        (content, '\'') => Some(content.len_utf8() + 2),
        _ => None,
    }
}

fn closing(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if character == quote && !escaped {
            return at + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    rest.len()
}

/// Blanks each item that is there in tests only.
fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let after = start + mark.len();
        let open = code[after..].find(['{', ';']).map_or(code.len(), |at| after + at);
        let mut depth = 0_usize;
        let end = code[open..].char_indices().find_map(|(at, character)| {
            depth = match character {
                '{' => depth + 1,
                '}' => depth.saturating_sub(1),
                _ => depth,
            };
            (depth == 0).then_some(open + at + 1)
        });
        let end = end.unwrap_or(code.len());
        let blanked: String = code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        // Nothing outside of ASCII is left in code, so that lengths stay.
        if blanked.len() == end - start {
            kept.replace_range(start..end, &blanked);
        }
    }
    kept
}
