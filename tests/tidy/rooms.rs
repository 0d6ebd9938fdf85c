//! The rooms of a crate: its files and folders in the order in which they may know each other, as a
//! table of `ARCHITECTURE.md` lists them. Knows nothing of what is in a room.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Exports, Source, has_word, is_word, occurrences, resolve};

/// The rooms of one crate. Those of a row stand side by side; none knows one of a later row.
pub(crate) struct Rooms {
    /// The sources of the crate, below the root of the project.
    pub(crate) directory: String,
    /// By module, the row.
    rows: BTreeMap<Vec<String>, usize>,
}

impl Rooms {
    /// Every table of a text that begins so:
    ///
    /// ```text
    /// | room of `storage/src/` | what it knows |
    /// | --- | --- |
    /// | `wire`, `medium/` | … |
    /// ```
    ///
    /// A room may stand in another one that is listed too: `medium/sled/`.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let heads = lines.iter().enumerate().filter_map(|(at, line)| {
            let (directory, _) = line.strip_prefix("| room of `")?.split_once("/`")?;
            Some((at, directory.to_owned()))
        });
        let table = |(at, directory): (usize, String)| {
            let cells = lines[at + 2..].iter().map_while(|line| line.strip_prefix("| ")?.split(" |").next());
            let mut rows = BTreeMap::new();
            for (row, cell) in cells.enumerate() {
                for name in cell.split('`').skip(1).step_by(2) {
                    let name = name.trim_end_matches(".rs").trim_end_matches('/');
                    rows.insert(name.split('/').map(str::to_owned).collect(), row);
                }
            }
            Self { directory, rows }
        };
        heads.map(table).collect()
    }

    /// The innermost room in which a module is.
    fn of(&self, module: &[String]) -> Option<(&[String], usize)> {
        (1..=module.len()).rev().find_map(|length| {
            let (room, row) = self.rows.get_key_value(&module[..length])?;
            Some((&room[..], *row))
        })
    }

    /// What is not as the table says, tests left out: files without a room, rooms without a file,
    /// rooms that know a later one.
    pub(crate) fn problems(&self, sources: &[Source]) -> Vec<String> {
        let (directory, exports) = (&self.directory, Exports::of(sources));
        let sources = sources.iter().filter(|source| !source.is_test() && !source.module.is_empty());
        let (mut problems, mut unused): (_, BTreeSet<_>) = (Vec::new(), self.rows.keys().collect());
        for source in sources {
            let Some((room, row)) = self.of(&source.module) else {
                problems.push(format!("{}: it is in no room of the table of {directory}/", source.path));
                continue;
            };
            unused.remove(&room.to_vec());
            let inner = self
                .rows
                .keys()
                .filter(|room| room.split_last().is_some_and(|(_, outer)| outer == source.module));
            let inner = inner.flat_map(|room| {
                source
                    .paths(&room[room.len() - 1])
                    .into_iter()
                    .map(|(line, path)| (line, [&room[..], &path].concat()))
            });
            for (line, path) in source.references().into_iter().chain(inner) {
                let known = resolve(&path, &exports);
                let later = self.of(&known).filter(|(other, at)| *at > row && *other != room);
                problems.extend(later.map(|(other, _)| {
                    format!("{}:{line}: {} knows {}", source.path, room.join("/"), other.join("/"))
                }));
            }
        }
        let gone = unused.iter().map(|room| room.join("/"));
        problems.extend(gone.map(|room| format!("ARCHITECTURE.md: {directory}/ has no room {room}")));
        problems
    }

    /// Methods that stand in another row than their type. A call of one is seen by no import, so
    /// the order would not hold for it.
    pub(crate) fn scattered_methods(&self, sources: &[Source]) -> Vec<String> {
        let sources = sources.iter().filter(|source| !source.is_test());
        let placed: Vec<_> = sources.filter_map(|source| Some((source, self.of(&source.module)?))).collect();
        let mut homes = BTreeMap::<&str, BTreeMap<usize, String>>::new();
        for (source, (room, row)) in &placed {
            for word in ["struct ", "enum ", "union ", "trait ", "type "] {
                for (_, rest) in occurrences(&source.code, word) {
                    homes.entry(first_word(rest)).or_default().insert(*row, room.join("/"));
                }
            }
        }
        let mut problems = Vec::new();
        for (source, (room, row)) in &placed {
            for (line, name) in inherent(&source.code) {
                let Some(homes) = homes.get(name).filter(|homes| !homes.contains_key(row)) else { continue };
                let homes: Vec<_> = homes.values().map(String::as_str).collect();
                let (room, homes) = (room.join("/"), homes.join(", "));
                problems.push(format!("{}:{line}: {room} has methods of {name} of {homes}", source.path));
            }
        }
        problems
    }
}

/// The types of which a file has blocks of methods of their own, each with its line.
fn inherent(code: &str) -> Vec<(usize, &str)> {
    let blocks = ["impl ", "impl<"]
        .into_iter()
        .flat_map(|word| occurrences(code, word).into_iter().map(move |(line, rest)| (line, word, rest)));
    let mut found = Vec::new();
    for (line, word, rest) in blocks {
        let Some(head) = rest.split(['{', ';']).next() else { continue };
        let head = if word == "impl<" { after_generics(head) } else { head };
        let head = head.split(" where").next().unwrap_or(head);
        // Elsewhere it stands for the type of an argument.
        let is_block = code.lines().nth(line - 1).is_some_and(|text| text.trim_start().starts_with("impl"));
        if !is_block || has_word(head, "for") {
            continue;
        }
        let path = head.split('<').next().unwrap_or(head).trim().trim_start_matches("dyn ");
        let name = path.rsplit("::").next().unwrap_or(path);
        found.push((line, first_word(name)));
    }
    found
}

/// What comes after the generics of which the opening is gone.
fn after_generics(text: &str) -> &str {
    let mut depth = 1_usize;
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if !text[..at].ends_with(['-', '=']) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    ""
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// What breaks a rule is found.
mod tests {
    use std::path::Path;

    use super::*;

    const TABLE: &str = "
text before
| room of `made/up/` | what it knows |
| --- | --- |
| `wire`, `place.rs` | first |
| `disk/` | second |
| `disk/fast/` | third |
| `house` | last |

| another | table |
";

    fn source(below: &str, text: &str) -> Source {
        Source::new(format!("made/up/{below}"), Path::new(below), text.to_owned())
    }

    /// A crate that keeps the order; `changed` are files of it with another text.
    fn made_up(changed: &[(&str, &str)]) -> Vec<Source> {
        let mut files = BTreeMap::from([
            ("lib.rs", "mod disk; mod house; mod place; mod wire; pub use house::House;"),
            ("wire.rs", "pub struct Wire;"),
            ("place.rs", "use crate::wire::Wire;"),
            ("disk/mod.rs", "mod fast; pub mod slow; pub struct Disk; use crate::wire::Wire;"),
            ("disk/slow.rs", "use super::Disk; use super::super::place;"),
            ("disk/fast/mod.rs", "use super::Disk; pub struct Fast; impl Fast {}"),
            ("house.rs", "use crate::disk::slow; pub struct House; impl<T: Into<u8>> Fn(T) for House {}"),
        ]);
        files.extend(changed.iter().copied());
        files.into_iter().map(|(below, text)| source(below, text)).collect()
    }

    fn rooms() -> Rooms {
        let mut all = Rooms::all(TABLE);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn found(changed: &[(&str, &str)]) -> String {
        let sources = made_up(changed);
        [rooms().problems(&sources), rooms().scattered_methods(&sources)].concat().join("\n")
    }

    #[test]
    fn a_crate_that_keeps_the_order_is_let_be() {
        assert_eq!(found(&[]), "");
        let test = "#[cfg(test)]\nmod tests { use crate::house::House; }";
        assert_eq!(found(&[("wire.rs", test)]), "");
    }

    #[test]
    fn a_later_room_is_found_however_it_is_named() {
        for known in [
            "use crate::house::House;",
            "use crate::{disk, house::*};",
            "use crate::House;",
            "fn f() { crate::house::build() }",
            "fn f() { super::super::house::build() }",
            "use super::super::House;",
            "pub use crate::House as Home;",
        ] {
            assert_eq!(
                found(&[("disk/slow.rs", known)]),
                "made/up/disk/slow.rs:1: disk knows house",
                "{known}"
            );
        }
        assert_eq!(found(&[("wire.rs", "\nuse crate::disk::Disk;")]), "made/up/wire.rs:2: wire knows disk");
    }

    #[test]
    fn an_outer_room_that_knows_its_inner_one_is_found() {
        for known in
            ["mod fast; use fast::Fast;", "mod fast; use self::fast::Fast;", "use crate::disk::fast::Fast;"]
        {
            let all = format!("{known} pub struct Disk;");
            assert!(
                found(&[("disk/mod.rs", &all)]).contains("made/up/disk/mod.rs:1: disk knows disk/fast"),
                "{known}"
            );
        }
    }

    #[test]
    fn a_name_that_is_passed_on_stands_for_where_it_is_from() {
        let passed_on =
            [("place.rs", "use crate::wire::House;"), ("wire.rs", "pub use crate::house::House;")];
        assert_eq!(
            found(&passed_on),
            "made/up/place.rs:1: place knows house\nmade/up/wire.rs:1: wire knows house"
        );
    }

    #[test]
    fn files_and_rows_belong_together() {
        assert_eq!(
            found(&[("cellar.rs", "")]),
            "made/up/cellar.rs: it is in no room of the table of made/up/"
        );
        let mut sources = made_up(&[]);
        sources.retain(|source| source.module != ["place"]);
        assert_eq!(rooms().problems(&sources), ["ARCHITECTURE.md: made/up/ has no room place"]);
    }

    #[test]
    fn methods_in_another_room_are_found() {
        for block in
            ["impl Wire {}", "impl<T> Wire<T> where T: for<'a> Fn(&'a u8) {}", "impl crate::wire::Wire {}"]
        {
            let methods = format!("use crate::wire::Wire;\n{block}");
            assert_eq!(
                found(&[("house.rs", &methods)]),
                "made/up/house.rs:2: house has methods of Wire of wire",
                "{block}"
            );
        }
        assert_eq!(found(&[("house.rs", "impl Drop for Wire {}\nfn f(wire: impl Wire) {}")]), "");
    }
}
