//! Invariant: prefix. A store of an older format with the files of today's gets today's format from
//! the opening, by its number alone: a process that is killed meanwhile leaves a store that opens,
//! and nothing new is written under the old number.

use std::fs;
use std::path::{Path, PathBuf};

use relive_storage::{LayeredStore, MediumKind, StoreError, StoreOptions};
use relive_storage_sled::open_store;

use crate::boundaries::{Reached, die_as_told, run_and_die_at, told};
use crate::content::{copy, options};
use crate::golden::{CONTENT, FORMAT, FORMAT_ON_FILES, format_inside, format_of, golden, on_files};
use crate::golden_content::describe;

const DIRECTORY: &str = "RELIVE_RAISED";
const IDENTITY: &str = "relive.store";
const IDENTITY_NEW: &str = "relive.store.new";

/// A store of the format before, and today's.
struct Case {
    kind: MediumKind,
    golden: PathBuf,
    format: u32,
    raised: u32,
}

impl Case {
    fn all() -> [Self; 2] {
        let on_sled = (MediumKind::Sled, golden(FORMAT - 1), FORMAT - 1, FORMAT);
        let on_segments =
            (MediumKind::SegmentFiles, on_files(FORMAT_ON_FILES - 1), FORMAT_ON_FILES - 1, FORMAT_ON_FILES);
        [on_sled, on_segments].map(|(kind, golden, format, raised)| Self { kind, golden, format, raised })
    }

    fn copy(&self, path: &Path) {
        copy(&self.golden.join("store"), path);
        assert_eq!(format_of(path), self.format);
    }

    /// Opens it, and finds all that is in it and today's format.
    fn opens(&self, path: &Path, when: &str) {
        let expected = fs::read_to_string(self.golden.join(CONTENT)).unwrap();
        let store = opened(path).unwrap_or_else(|error| panic!("{}, {when}: {error}", self.kind));
        assert_eq!(describe(&store).unwrap(), expected, "{}, {when}", self.kind);
        store.close().unwrap();
        assert_eq!(format_of(path), self.raised, "{}, {when}", self.kind);
        if self.kind == MediumKind::Sled {
            assert_eq!(format_inside(path), self.raised, "{when}");
        }
    }
}

fn opened(path: &Path) -> Result<LayeredStore, StoreError> {
    open_store(path, &options())
}

/// Opens a store in a process of its own that dies at a boundary, and returns which were reached
/// when it does not.
fn open(path: &Path, kill_at: &str) -> Reached {
    told(&run_and_die_at("raising::child", kill_at, &[(DIRECTORY, path)]))
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let reached = die_as_told();
    opened(Path::new(&path)).unwrap().close().unwrap();
    reached.tell();
}

#[test]
fn class_24_an_opening_that_is_killed_at_any_boundary_is_done_by_the_next_one() {
    for case in Case::all() {
        let root = tempfile::tempdir().unwrap();
        let counted = root.path().join("counted");
        case.copy(&counted);
        let reached = open(&counted, "");
        let own: Vec<_> = reached.keys().filter(|name| name.starts_with("open.format")).collect();
        let expected: &[&str] = if case.kind == MediumKind::Sled {
            &["open.format", "open.format.data"]
        } else {
            &["open.format"]
        };
        assert_eq!(own, expected, "{}", case.kind);
        for name in reached.keys() {
            let path = root.path().join(name);
            case.copy(&path);
            assert!(open(&path, &format!("{name}:1")).is_empty(), "it was to be killed at {name}");
            let format = format_of(&path);
            // Only what is read and found good gets another number.
            let before = ["open.locked", "open.mark", "open.data", "medium.open.locked", "medium.open.read"];
            if before.contains(&name.as_str()) {
                assert_eq!(format, case.format, "{}, {name}", case.kind);
            }
            // From here on the store may hold what the old format does not know.
            let after =
                ["open.format", "medium.super.begin", "medium.open.durable", "open.durable", "close.begin"];
            if after.iter().any(|begin| name.starts_with(begin)) {
                assert_eq!(format, case.raised, "{}, {name}", case.kind);
            }
            case.opens(&path, name);
        }
        // It is done once.
        assert!(!open(&counted, "").keys().any(|name| name.starts_with("open.format")), "{}", case.kind);
        case.opens(&counted, "again");
    }
}

/// The new content stands beside the old one until it is whole and synced. Whatever part of it a
/// crash has left there means nothing.
#[test]
fn class_24_a_torn_write_of_the_number_means_nothing() {
    for case in Case::all() {
        let root = tempfile::tempdir().unwrap();
        let raised = root.path().join("raised");
        case.copy(&raised);
        case.opens(&raised, "to see what is written");
        let new = fs::read(raised.join(IDENTITY)).unwrap();
        for length in (0..=new.len()).step_by(4) {
            for torn in [new[..length].to_vec(), [&new[..length], &vec![0; new.len() - length]].concat()] {
                let path = root.path().join(format!("{length}"));
                case.copy(&path);
                fs::write(path.join(IDENTITY_NEW), torn).unwrap();
                case.opens(&path, &format!("{length} bytes of the new number"));
                fs::remove_dir_all(&path).unwrap();
            }
        }
    }
}

/// sled lost the number, which is written there after the one in the file and is synced later.
#[test]
fn class_24_the_number_in_sled_may_be_behind_and_is_raised() {
    let [case, _] = Case::all();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    case.copy(&path);
    assert!(open(&path, "open.format:1").is_empty());
    assert_eq!((format_of(&path), format_inside(&path)), (case.raised, case.format));
    case.opens(&path, "after a kill between the two");
}

/// The user may restore it for the version that wrote it.
#[test]
fn class_24_a_store_that_does_not_open_keeps_its_number() {
    for case in Case::all() {
        let damages: &[&str] = if case.kind == MediumKind::Sled {
            &["relive.super", "conf"]
        } else {
            &["relive.super", "relive.segments", "segment.2"]
        };
        for name in damages {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("store");
            case.copy(&path);
            let file = path.join(name);
            let whole = fs::read(&file).unwrap();
            let damaged = if name.starts_with("segment.") { None } else { Some(vec![7; whole.len()]) };
            match damaged {
                Some(bytes) => fs::write(&file, bytes).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            let error = opened(&path).map(drop).unwrap_err();
            assert!(error.is_corrupt(), "{}, {name}: {error}", case.kind);
            assert_eq!(format_of(&path), case.format, "{}, {name}", case.kind);
            fs::write(&file, whole).unwrap();
            case.opens(&path, "mended");
        }
    }
}

/// A refusal changes nothing either, and neither does a look.
#[test]
fn class_24_who_only_asks_for_the_medium_raises_nothing() {
    let [on_sled, on_segments] = Case::all();
    for (case, other) in [(&on_sled, &on_segments), (&on_segments, &on_sled)] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        case.copy(&path);
        assert_eq!(relive_storage::medium_of(&path).unwrap(), Some(case.kind));
        let asked: StoreOptions = options().medium(Some(other.kind));
        let refused = open_store(&path, &asked).map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::OtherMedium { .. }), "{refused}");
        assert_eq!(format_of(&path), case.format);
    }
}
