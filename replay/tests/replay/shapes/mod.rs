//! The shapes that `serde` knows, each to bytes and back: a value is kept exactly, or it is refused
//! before its bytes are the only copy of it. `docs/codec.md` holds what is found.

mod containers;
mod enums;
mod fields;
mod matrix;
mod scalars;

use std::fs;

use matrix::{Fate, Matrix, Verdict, markdown};

fn matrix() -> Matrix {
    let mut matrix = Matrix::new();
    scalars::fill(&mut matrix);
    containers::fill(&mut matrix);
    fields::fill(&mut matrix);
    enums::fill(&mut matrix);
    fields::fill_untold(&mut matrix);
    enums::fill_untold(&mut matrix);
    matrix
}

#[test]
fn a_value_is_kept_or_refused() {
    for row in matrix().rows {
        let shape = row.shape;
        match row.verdict {
            Verdict::Kept => assert_eq!(row.fates[0], Fate::Kept, "{shape}"),
            Verdict::Refused => {
                assert_ne!(row.fates[0], Fate::Kept, "{shape} is refused for nothing: {}", row.reason);
                assert!(
                    !row.instead.is_empty(),
                    "{shape} is refused: {}, and nothing to write instead",
                    row.reason
                );
            }
            Verdict::Untold => {
                assert_eq!(row.group, NOT_TOLD, "{shape} comes back as another value, and nobody saw");
            }
        }
    }
}

/// What no codec can keep: `serde` isn't told of it.
const NOT_TOLD: &str = "what `serde` isn't told";

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- end of table -->\n";
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/codec.md");

fn split(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    (before, table, after)
}

#[test]
fn the_table_is_what_is_found() {
    let text = fs::read_to_string(PATH).unwrap();
    let (_, table, _) = split(&text);
    let found = markdown(&matrix().rows);
    for (at, (written, found)) in table.lines().zip(found.lines()).enumerate() {
        assert_eq!(written, found, "docs/codec.md, line {at} of the table; to write it anew: {REWRITE}");
    }
    assert_eq!(table.lines().count(), found.lines().count(), "to write it anew: {REWRITE}");
}

const REWRITE: &str = "cargo test -p relive-replay --test replay -- --ignored write_the_table";

#[test]
#[ignore = "writes docs/codec.md"]
fn write_the_table() {
    let text = fs::read_to_string(PATH).unwrap();
    let (before, _, after) = split(&text);
    let table = markdown(&matrix().rows);
    fs::write(PATH, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}
