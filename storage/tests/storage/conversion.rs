//! A converted store is the same store on another medium, and a store that can't be converted stays
//! as it is. `conversion_kills` tests crashes in the middle.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use relive_storage::conformance::{Content, block, block_of, checkpoint, id};
use relive_storage::{
    Block, CheckpointStore, Extent, Log, Lsn, MediumKind, StoreError, StoreOptions, medium_of,
};
use relive_storage_sled::{convert_store, open_store};
use tempfile::TempDir;

use crate::content::{fill, sled_of};

/// The old medium and the new one.
pub(crate) const DIRECTIONS: &[(MediumKind, MediumKind)] =
    &[(MediumKind::Sled, MediumKind::SegmentFiles), (MediumKind::SegmentFiles, MediumKind::Sled)];

pub(crate) fn options() -> StoreOptions {
    StoreOptions::default().log_bytes(1 << 20)
}

/// Everything that must be the same before and after.
#[derive(Debug, PartialEq)]
pub(crate) struct Kept {
    extent: Extent,
    content: Content,
}

impl Kept {
    /// Where the log ends.
    pub(crate) fn end(&self) -> u64 {
        self.extent.acknowledged.get()
    }
}

pub(crate) fn kept(path: &Path) -> Result<Kept, StoreError> {
    let store = open_store(path, &options())?;
    let kept = Kept { extent: store.extent()?, content: Content::read(&store)? };
    store.close()?;
    Ok(kept)
}

/// A closed store whose log was cut, with both checkpoints of some actors, a large one among them,
/// and several incarnations.
pub(crate) fn filled(path: &Path, medium: MediumKind) {
    let store = open_store(path, &options().medium(Some(medium))).unwrap();
    fill(&store, 40);
    store.put(&[checkpoint(&id("large"), 11, 3_000_000), checkpoint(&id("once"), 12, 0)]).unwrap();
    let next = store.extent().unwrap().acknowledged.get();
    let large = block_of(next, next, 2_200_000);
    store.append(&large).unwrap();
    let next = large.header().next().get();
    store.append(&block(next, 3, next, 7)).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
}

fn new(medium: MediumKind) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    filled(&path, medium);
    (root, path)
}

pub(crate) fn beside(path: &Path) -> PathBuf {
    path.with_file_name("store.converting")
}

fn convert(path: &Path, to: MediumKind) -> Result<(), StoreError> {
    convert_store(path, to, &options())
}

/// Flips a bit of every stored value that contains these bytes, in the files of a closed store.
fn damage(path: &Path, medium: MediumKind, needle: &[u8]) {
    let turned = |bytes: &[u8]| {
        let at = bytes.windows(needle.len()).position(|window| window == needle)?;
        let mut turned = bytes.to_vec();
        turned[at + needle.len() - 1] ^= 1;
        Some(turned)
    };
    let mut count = 0;
    if medium == MediumKind::Sled {
        let db = sled_of(path);
        for tree in db.tree_names().into_iter().map(|name| db.open_tree(name).unwrap()) {
            for (key, value) in tree.iter().map(Result::unwrap) {
                if let Some(turned) = turned(&value) {
                    tree.insert(key, turned).unwrap();
                    count += 1;
                }
            }
        }
        db.flush().unwrap();
    } else {
        for file in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
            if let Some(turned) = turned(&fs::read(&file).unwrap()) {
                fs::write(file, turned).unwrap();
                count += 1;
            }
        }
    }
    assert!(count > 0, "it is not stored");
}

/// How a block begins, up to its checksum.
fn head(block: &[u8]) -> &[u8] {
    &block[..56]
}

#[test]
fn a_converted_store_is_the_same_and_goes_on() {
    for &(from, to) in DIRECTIONS {
        let (_root, path) = new(from);
        let before = kept(&path).unwrap();
        assert!(before.content.start > Lsn::FIRST && before.extent.epoch.get() == 7);
        let both = before.content.checkpoints.values().filter(|(_, previous)| previous.is_some());
        assert!(both.count() >= 4);
        convert(&path, to).unwrap();
        assert_eq!(medium_of(&path).unwrap(), Some(to));
        assert!(!beside(&path).exists());
        assert!(kept(&path).unwrap() == before);
        // A second conversion changes nothing.
        convert(&path, to).unwrap();
        assert!(kept(&path).unwrap() == before);
        goes_on(&path, before.extent.acknowledged.get());
    }
}

/// Appends, puts and cuts, and checks that the next opening finds all of it.
pub(crate) fn goes_on(path: &Path, next: u64) {
    let store = open_store(path, &options()).unwrap();
    let highest = 12;
    let again = store.put(&[checkpoint(&id("once"), highest, 0)]);
    assert!(matches!(again, Err(StoreError::Misuse { .. })), "the highest number is known: {again:?}");
    assert!(store.append(&block(next - 1, 1, next - 1, 7)).is_err());
    let more: Block = block(next, 4, next, 8);
    store.append(&more).unwrap();
    store.sync().unwrap();
    store.put(&[checkpoint(&id("once"), highest + 1, 10_000)]).unwrap();
    let start = store.cut(Lsn::new(next)).unwrap();
    assert_eq!(start, Lsn::new(next));
    store.close().unwrap();
    let after = kept(path).unwrap();
    assert_eq!(after.content.blocks, [(Lsn::new(next), more.bytes().clone())]);
    assert_eq!(after.extent.epoch.get(), 8);
    let (newest, previous) = &after.content.checkpoints["test/once"];
    assert_eq!(newest.as_ref().unwrap().header.number.get(), highest + 1);
    assert_eq!(previous.as_ref().unwrap().header.number.get(), highest);
}

#[test]
fn an_empty_store_is_converted() {
    for &(from, to) in DIRECTIONS {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        open_store(&path, &options().medium(Some(from))).unwrap().close().unwrap();
        let before = kept(&path).unwrap();
        convert(&path, to).unwrap();
        assert!(kept(&path).unwrap() == before);
    }
}

/// More checkpoints than one put takes, and many small ones.
#[test]
fn many_checkpoints_are_converted_in_the_order_of_their_numbers() {
    for &(from, to) in DIRECTIONS {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let store = open_store(&path, &options().medium(Some(from))).unwrap();
        for round in 0..2 {
            // In the second round from the other end, so that no actor's two are as far apart as
            // those of the others.
            let actors = 0..1_500_u64;
            let all = actors.clone().map(|at| if round == 0 { at } else { actors.end - 1 - at });
            let numbered = all.zip(round * 1_500 + 1..);
            let put: Vec<_> =
                numbered.map(|(actor, number)| checkpoint(&id(&actor.to_string()), number, 40)).collect();
            store.put(&put).unwrap();
        }
        store.close().unwrap();
        let before = kept(&path).unwrap();
        convert(&path, to).unwrap();
        assert!(kept(&path).unwrap() == before);
    }
}

/// A block that was appended and never acknowledged counts when it is whole, as in any opening, and
/// is acknowledged then.
#[test]
fn a_log_with_a_torn_tail_is_converted_up_to_it() {
    for &(from, to) in DIRECTIONS {
        let (_root, path) = new(from);
        let store = open_store(&path, &options()).unwrap();
        let end = store.extent().unwrap().acknowledged.get();
        let torn = block(end + 2, 1, end, 7);
        store.append(&block(end, 2, end, 7)).unwrap();
        store.append(&torn).unwrap();
        store.close().unwrap();
        damage(&path, from, head(torn.bytes()));
        let before = kept(&path).unwrap();
        assert_eq!(before.extent.acknowledged.get(), end);
        assert_eq!(before.content.blocks.last().unwrap().0.get(), end);
        convert(&path, to).unwrap();
        let after = kept(&path).unwrap();
        assert!(after.content == before.content);
        assert_eq!(after.extent, Extent { acknowledged: Lsn::new(end + 2), ..before.extent });
    }
}

#[test]
fn a_damaged_store_is_left_as_it_is() {
    for &(from, to) in DIRECTIONS {
        let (_root, path) = new(from);
        let whole = kept(&path).unwrap();
        let blocks = &whole.content.blocks;
        let (newest, previous) = &whole.content.checkpoints["test/actor 1"];
        let encoded = |checkpoint: &Option<relive_storage::Checkpoint>| {
            checkpoint.as_ref().unwrap().encode().unwrap()[..48].to_vec()
        };
        let needles = [
            ("log", head(&blocks[blocks.len() / 2].1).to_vec()),
            ("newest", encoded(newest)),
            ("previous", encoded(previous)),
        ];
        for (what, needle) in needles {
            let (_root, path) = new_as(&path);
            damage(&path, from, &needle);
            let error = convert(&path, to).unwrap_err();
            let expected = match what {
                "log" => matches!(error, StoreError::CorruptLog { .. }),
                _ => matches!(error, StoreError::CorruptCheckpoint { .. } | StoreError::CorruptStore { .. }),
            };
            assert!(expected, "{what}: {error}");
            assert_eq!(medium_of(&path).unwrap(), Some(from));
            assert!(!beside(&path).exists());
            // Flipping the same bit again makes it whole.
            let mut turned = needle;
            *turned.last_mut().unwrap() ^= 1;
            damage(&path, from, &turned);
            assert!(kept(&path).unwrap() == whole, "{what}");
        }
    }
}

/// A copy of a closed store.
fn new_as(store: &Path) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    crate::content::copy(store, &path);
    (root, path)
}

#[test]
fn a_store_that_is_open_is_refused() {
    for &(from, to) in DIRECTIONS {
        let (_root, path) = new(from);
        let store = open_store(&path, &options()).unwrap();
        let error = convert(&path, to).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        let next = store.extent().unwrap().acknowledged.get();
        store.append(&block(next, 1, next, 7)).unwrap();
        store.sync().unwrap();
        store.close().unwrap();
        convert(&path, to).unwrap();
        assert_eq!(kept(&path).unwrap().extent.acknowledged.get(), next + 1);
    }
}

/// At every moment a process finds a store in the directory, on one medium or the other, and can't
/// open it until the conversion is over.
#[test]
fn there_is_a_store_at_every_moment() {
    for &(from, to) in DIRECTIONS {
        let (_root, path) = new(from);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let (mut looks, mut seen) = (0_u64, from);
                while !over.load(Ordering::Acquire) {
                    let found = medium_of(&path).unwrap().expect("there is a store");
                    assert!(found == seen || seen == from, "it goes from one to the other once");
                    (looks, seen) = (looks + 1, found);
                }
                (looks, seen)
            });
            let converted = convert(&path, to);
            // Let it see the end.
            std::thread::sleep(std::time::Duration::from_millis(20));
            over.store(true, Ordering::Release);
            converted.unwrap();
            let (looks, seen) = looking.join().unwrap();
            assert!(looks > 10 && seen == to, "{looks} looks");
        });
    }
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let root = tempfile::tempdir().unwrap();
    for (name, files) in [
        ("missing", None),
        ("empty", Some(&[][..])),
        ("something else", Some(&["thesis"][..])),
        ("unfinished", Some(&["relive.segments.creating"][..])),
        ("unfinished too", Some(&["relive.creating"][..])),
    ] {
        let path = root.path().join(name);
        for file in files.into_iter().flatten() {
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(file), "").unwrap();
        }
        if files.is_some() {
            fs::create_dir_all(&path).unwrap();
        }
        for to in [MediumKind::Sled, MediumKind::SegmentFiles] {
            let error = convert(&path, to).unwrap_err();
            assert!(matches!(error, StoreError::NoStore { .. }), "{name}: {error}");
        }
        assert_eq!(path.exists(), files.is_some());
        assert!(!path.join("relive.lock").exists());
    }
    // A conversion notices a missing store that the lock file remembers.
    let (_root, path) = new(MediumKind::Sled);
    fs::remove_file(path.join("relive.store")).unwrap();
    let error = convert(&path, MediumKind::SegmentFiles).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[test]
fn what_is_not_the_stores_stays() {
    for &(from, to) in DIRECTIONS {
        let (root, path) = new(from);
        fs::write(path.join("notes.txt"), "mine").unwrap();
        fs::create_dir(path.join("more")).unwrap();
        fs::write(path.join("more/of them"), "mine too").unwrap();
        convert(&path, to).unwrap();
        assert_eq!(fs::read(path.join("notes.txt")).unwrap(), b"mine");
        assert_eq!(fs::read(path.join("more/of them")).unwrap(), b"mine too");
        assert!(kept(&path).is_ok());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}

#[test]
fn only_what_a_conversion_left_is_removed() {
    for &(from, to) in DIRECTIONS {
        let (_root, path) = new(from);
        let left = beside(&path);
        fs::create_dir(&left).unwrap();
        fs::write(left.join("thesis"), "not ours").unwrap();
        let error = convert(&path, to).unwrap_err();
        assert!(matches!(&error, StoreError::NotAStore { path, .. } if *path == left), "{error}");
        assert_eq!(fs::read(left.join("thesis")).unwrap(), b"not ours");
        fs::remove_dir_all(&left).unwrap();
        fs::write(&left, "no directory").unwrap();
        assert!(matches!(convert(&path, to), Err(StoreError::NotAStore { .. })));
        fs::remove_file(&left).unwrap();
        // Another handle has opened the remains, under their own name.
        filled(&left, to);
        let open = open_store(&left, &options()).unwrap();
        assert!(matches!(convert(&path, to), Err(StoreError::Locked { .. })));
        open.close().unwrap();
        let before = kept(&path).unwrap();
        convert(&path, to).unwrap();
        assert!(kept(&path).unwrap() == before && !left.exists());
        // A complete conversion leaves only the old directory, and the next conversion to the same
        // medium removes it.
        filled(&left, from);
        convert(&path, to).unwrap();
        assert!(kept(&path).unwrap() == before && !left.exists());
    }
}

/// The conversion exchanges the directory, not the link that leads to it.
#[test]
fn a_link_to_a_store_goes_on_leading_to_it() {
    for &(from, to) in DIRECTIONS {
        let (root, path) = new(from);
        let before = kept(&path).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        convert(&link, to).unwrap();
        assert!(link.is_symlink() && medium_of(&path).unwrap() == Some(to));
        assert!(kept(&link).unwrap() == before);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    }
}
