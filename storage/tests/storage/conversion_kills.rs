//! Invariant: prefix. A process killed at any boundary of a conversion leaves the store whole, on
//! one medium or the other, and the next conversion goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use relive_storage::{MediumKind, medium_of};
use relive_storage_sled::convert_store;

use crate::boundaries::{die_as_told, run_and_die_at, told};
use crate::content::copy;
use crate::conversion::{DIRECTIONS, beside, filled, goes_on, kept, options};

const DIRECTORY: &str = "RELIVE_CONVERTED";
const TO: &str = "RELIVE_CONVERTED_TO";

#[test]
fn a_process_that_is_killed_while_it_converts_leaves_the_store_whole() {
    for &(from, to) in DIRECTIONS {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().join("whole");
        filled(&store, from);
        let whole = kept(&store).unwrap();
        let counted = root.path().join("counted/store");
        copy(&store, &counted);
        let counts = convert(&counted, to, "");
        let mut media = BTreeMap::new();
        let (own, others): (Vec<_>, Vec<_>) =
            counts.iter().partition(|(name, _)| name.starts_with("convert."));
        assert_eq!(own.len(), 12, "{counts:?}");
        // The boundaries of the media have their own tests, so this takes only some of them, in the
        // middle of their steps.
        let others = others.into_iter().step_by(4).map(|(name, count)| (name, count.div_ceil(2)));
        let own = own.into_iter().flat_map(|(name, count)| [(name, 1), (name, *count)]);
        let all: BTreeSet<_> = own.chain(others).collect();
        for (name, occurrence) in all {
            let at = format!("{name}:{occurrence}");
            let path = root.path().join(format!("{at}/store"));
            copy(&store, &path);
            let reached = convert(&path, to, &at);
            // A thread that works ahead reaches its boundaries as often as it has time.
            assert!(reached.is_empty() || !name.starts_with("convert."), "it was to be killed at {at}");
            let found = medium_of(&path).unwrap().expect("there is a store");
            *media.entry(found.to_string()).or_insert(0) += 1;
            assert!(kept(&path).unwrap_or_else(|error| panic!("{at}: {error}")) == whole, "{at}");
            convert_store(&path, to, &options()).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(medium_of(&path).unwrap(), Some(to), "{at}");
            assert!(kept(&path).unwrap() == whole, "{at}");
            assert!(!beside(&path).exists(), "{at}");
            goes_on(&path, whole.end());
        }
        println!("from {from} to {to} processes were killed, and these media found: {media:?}");
        assert_eq!(media.len(), 2, "some were killed before the exchange, and some after it");
    }
}

/// Also a conversion that is killed while it removes what another one has left.
#[test]
fn a_conversion_after_one_that_was_killed_may_be_killed() {
    for &(from, to) in DIRECTIONS {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().join("whole");
        filled(&store, from);
        let whole = kept(&store).unwrap();
        for before in ["convert.begun:1", "convert.copied:1", "convert.exchange:1", "convert.exchanged:1"] {
            for at in ["convert.emptied:1", "convert.left:1"] {
                let path = root.path().join(format!("{before} {at}/store"));
                copy(&store, &path);
                convert(&path, to, before);
                assert!(beside(&path).exists());
                convert(&path, to, at);
                assert!(kept(&path).unwrap() == whole, "{before}, {at}");
                convert(&path, to, "");
                assert!(kept(&path).unwrap() == whole && !beside(&path).exists(), "{before}, {at}");
                assert_eq!(medium_of(&path).unwrap(), Some(to));
            }
        }
    }
}

/// Converts in a process of its own that dies at a boundary, and returns which boundaries were
/// reached when it does not.
pub(crate) fn convert(path: &Path, to: MediumKind, kill_at: &str) -> BTreeMap<String, u64> {
    let to = to.to_string();
    let variables = [(DIRECTORY, path), (TO, Path::new(&to))];
    told(&run_and_die_at("conversion_kills::child", kill_at, &variables))
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child() {
    let (Some(path), Ok(to)) = (std::env::var_os(DIRECTORY), std::env::var(TO)) else { return };
    let media = [MediumKind::Sled, MediumKind::SegmentFiles];
    let to = media.into_iter().find(|medium| medium.to_string() == to).unwrap();
    let reached = die_as_told();
    convert_store(path, to, &options()).unwrap();
    reached.tell();
}
