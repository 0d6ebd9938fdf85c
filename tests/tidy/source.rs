//! A source file as text: its code without comments and strings, its words, what it imports. Knows
//! nothing of what it must look like.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// A source file.
pub(crate) struct Source {
    /// Below the root of the project.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments, strings and test modules blanked, line for line.
    pub(crate) code: String,
    /// Where it stands in its crate; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
}

impl Source {
    /// Reads a file of a crate whose `src` is `base`.
    pub(crate) fn read(base: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a readable source");
        let below = path.strip_prefix(base).expect("it was found there");
        let path = path.strip_prefix(root()).expect("it is one of the project").display().to_string();
        Self::new(path, below, text)
    }

    /// A source of this text; `below` is where it stands in its crate's `src`.
    pub(crate) fn new(path: String, below: &Path, text: String) -> Self {
        let code = without_tests(&blank(&text));
        let below = below.with_extension("");
        let parts = below.iter().map(|part| part.to_string_lossy().into_owned());
        let module = parts.filter(|part| !["lib", "main", "mod"].contains(&&**part)).collect();
        Self { path, text, code, module }
    }

    pub(crate) fn is_test(&self) -> bool {
        self.module.last().is_some_and(|name| name == "tests" || name.ends_with("_tests"))
    }

    /// Where one of the words stands in the code.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        let found = lines.flat_map(|(at, line)| {
            let found = words.iter().filter(move |word| has_word(line, word));
            found.map(move |word| format!("{}:{}: {word}", self.path, at + 1))
        });
        found.collect()
    }

    /// Everything that is named through a path that begins so, with its line.
    pub(crate) fn paths(&self, first: &str) -> Vec<(usize, Vec<String>)> {
        let found = occurrences(&self.code, &format!("{first}::"));
        found
            .into_iter()
            .flat_map(|(line, tree)| expand(tree).into_iter().map(move |path| (line, path)))
            .collect()
    }

    /// Everything of its own crate that it names, from the root of the crate.
    pub(crate) fn references(&self) -> Vec<(usize, Vec<String>)> {
        let mut all = self.paths("crate");
        let inside = self.paths("self").into_iter();
        all.extend(inside.map(|(line, path)| (line, [&self.module[..], &path].concat())));
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

    /// A path of this file, from the root of the crate; `None` when it leads to another crate.
    fn absolute(&self, path: &[String], modules: &BTreeSet<&[String]>) -> Option<Vec<String>> {
        let first = path.first()?;
        if first == "crate" {
            return Some(path[1..].to_vec());
        }
        let ups = path.iter().take_while(|part| *part == "super").count();
        let within = path.iter().take_while(|part| *part == "self").count();
        let child = [&self.module[..], std::slice::from_ref(first)].concat();
        if ups == 0 && within == 0 && !modules.contains(&child[..]) {
            return None;
        }
        let depth = self.module.len().checked_sub(ups)?;
        Some([&self.module[..depth], &path[ups + within..]].concat())
    }
}

/// What the modules of a crate name under a name of their own: `use` in a module.
pub(crate) struct Exports<'s> {
    modules: BTreeSet<&'s [String]>,
    /// By module and name, the path that is meant, from the root of the crate.
    names: BTreeMap<(&'s [String], String), Vec<String>>,
}

impl<'s> Exports<'s> {
    pub(crate) fn of(all: &'s [Source]) -> Self {
        let modules: BTreeSet<&[String]> = all.iter().map(|source| &source.module[..]).collect();
        let mut names = BTreeMap::new();
        for source in all {
            for path in occurrences(&source.code, "use ").into_iter().flat_map(|(_, tree)| expand(tree)) {
                if let (Some(name), Some(meant)) = (path.last(), source.absolute(&path, &modules)) {
                    names.insert((&source.module[..], name.clone()), meant);
                }
            }
        }
        Self { modules, names }
    }
}

/// The module that a path from the root of a crate leads to, be it through names that other modules
/// pass on.
pub(crate) fn resolve(path: &[String], exports: &Exports<'_>) -> Vec<String> {
    let mut path = path.to_vec();
    // A name may be passed on by several modules, but not in a ring.
    for _ in 0..8 {
        let depth = (1..=path.len()).take_while(|length| exports.modules.contains(&path[..*length])).count();
        let passed_on = path.get(depth).and_then(|name| exports.names.get(&(&path[..depth], name.clone())));
        match passed_on.filter(|meant| **meant != path[..=depth]) {
            Some(meant) => path = [meant, &path[depth + 1..]].concat(),
            None => return path[..depth].to_vec(),
        }
    }
    Vec::new()
}

/// From a module to each that it names, and where.
pub(crate) type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// Who imports whom among the children of the module `base`.
pub(crate) fn edges(base: &[String], all: &[Source]) -> Edges {
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

/// The cycles, each as the places of its imports; one that only differs from another by a detour is
/// left out.
pub(crate) fn cycles(mut edges: Edges) -> Vec<String> {
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

/// All Rust files of a directory, in the order of their names; those of a crate without the crates
/// inside of it.
pub(crate) fn sources(directory: &Path) -> Vec<Source> {
    let mut files = Vec::new();
    collect(directory, &mut files);
    files.sort();
    files.iter().map(|path| Source::read(directory, path)).collect()
}

pub(crate) fn all_sources() -> Vec<Source> {
    let directories = [
        "src",
        "tests",
        "demo",
        "examples",
        "benches",
        "storage",
        "storage-sled",
        "replay",
        "protocols",
        "faults",
        "fuzz",
    ];
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

pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
}

/// The text after each place where `what` begins as a word, with the line.
pub(crate) fn occurrences<'c>(code: &'c str, what: &str) -> Vec<(usize, &'c str)> {
    let all = code.match_indices(what).filter(|(at, _)| !code[..*at].ends_with(|c| is_word(c) || c == ':'));
    all.map(|(at, _)| (code[..at].matches('\n').count() + 1, &code[at + what.len()..])).collect()
}

/// The paths of the tree of imports, or the one path, that the text begins with; a renamed one
/// under its new name.
pub(crate) fn expand(tree: &str) -> Vec<Vec<String>> {
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
        // All names of a module stand for the module.
        let all = rest.strip_prefix('*').filter(|_| !before.is_empty());
        paths.extend(all.map(|_| before.to_vec()));
        return all.unwrap_or(rest);
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
