//! Damage to the files of a medium: no value comes back changed, and every value with whole bytes
//! comes back.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use relive_storage::frame::split_mix;
use relive_storage::medium::{Medium, StreamId};
use relive_storage::{Durability, SegmentFiles, SegmentOptions, StoreError};
use tempfile::TempDir;

use crate::content::copy;

const LOG: StreamId = StreamId(0);
const PACK: StreamId = StreamId(5);
const HEAD_BYTES: usize = 64;
const HEADER_BYTES: usize = 32;

fn options() -> SegmentOptions {
    SegmentOptions::default().durability(Durability::ProcessCrash).segment_bytes(4 << 10)
}

fn open(path: &Path) -> Result<SegmentFiles, StoreError> {
    SegmentFiles::open(path, &options())
}

fn value(stream: StreamId, position: u64) -> Vec<u8> {
    let seed = stream.0 << 32 | position;
    let length = split_mix(seed, 1) % 900;
    (0..length).map(|at| split_mix(seed, at + 2).to_le_bytes()[0]).collect()
}

fn fill(medium: &SegmentFiles, stream: StreamId, positions: Range<u64>) {
    for position in positions {
        medium.append(stream, position, &value(stream, position)).unwrap();
    }
    medium.sync(stream).unwrap();
}

/// A value, and where its bytes stand.
#[derive(Clone, Debug)]
struct Stored {
    stream: StreamId,
    position: u64,
    file: PathBuf,
    bytes: Range<usize>,
}

/// A closed medium. Its log has lost its front, and goes on in segments that were used before.
fn sample() -> (TempDir, PathBuf, Vec<Stored>) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let medium = open(&path).unwrap();
    for round in 0..20 {
        fill(&medium, LOG, round * 5..round * 5 + 5);
        medium.remove_below(LOG, (round * 5_u64).saturating_sub(40)).unwrap();
    }
    medium.remove_from(LOG, 93).unwrap();
    fill(&medium, LOG, 93..97);
    fill(&medium, PACK, 0..9);
    medium.close().unwrap();
    let stored = layout(&path);
    assert!(stored.len() > 40, "{stored:?}");
    (root, path, stored)
}

/// Where all values stand, found by the documented layout of the files.
fn layout(path: &Path) -> Vec<Stored> {
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut stored = Vec::new();
    let list = fs::read(path.join("relive.segments")).unwrap();
    let listed = list[48..list.len() - 4].chunks_exact(24);
    let segments =
        listed.map(|entry| (LOG, path.join(format!("segment.{}", number(entry, 0))), number(entry, 8)));
    let files: Vec<_> = segments.chain([(PACK, path.join("stream.5"), 0)]).collect();
    for (stream, file, generation) in files {
        let bytes = fs::read(&file).unwrap_or_default();
        let mut at = HEAD_BYTES;
        while bytes.get(at..at + 4) == Some(b"RLSV") && number(&bytes, at + 8) == generation {
            let length = usize::try_from(number(&bytes, at + 24) & 0xffff_ffff).unwrap();
            let end = at + HEADER_BYTES + length;
            stored.push(Stored {
                stream,
                position: number(&bytes, at + 16),
                file: file.clone(),
                bytes: at..end,
            });
            at = end.next_multiple_of(8);
        }
    }
    stored
}

/// Asserts that each value outside of the damaged ranges is there, and that a damaged one is
/// reported, or gone from the end.
fn check(path: &Path, stored: &[Stored], damaged: &[(PathBuf, Range<usize>)], context: &str) {
    let medium = open(path).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = medium.streams().unwrap();
    for Stored { stream, position, file, bytes } in stored {
        let is_damaged = damaged.iter().any(|(damaged, range)| {
            damaged.file_name() == file.file_name() && range.start < bytes.end && bytes.start < range.end
        });
        let there = found.get(stream).is_some_and(|range| range.contains(position));
        match medium.read(*stream, *position).unwrap() {
            Some(Ok(read)) => assert!(read == value(*stream, *position), "{context}: {stream:?} {position}"),
            Some(Err(what)) => assert!(is_damaged, "{context}: {stream:?} {position} is whole, and {what}"),
            None => assert!(is_damaged, "{context}: {stream:?} {position} is whole, and gone"),
        }
        assert_eq!(
            medium.read(*stream, *position).unwrap().is_some(),
            there,
            "{context}: {stream:?} {position}"
        );
    }
    for (stream, range) in &found {
        let count =
            stored.iter().filter(|stored| stored.stream == *stream && range.contains(&stored.position));
        assert_eq!(count.count() as u64, range.end - range.start, "{context}: {stream:?} has {range:?}");
        // The last one is always whole.
        if !range.is_empty() {
            assert!(
                matches!(medium.read(*stream, range.end - 1), Ok(Some(Ok(_)))),
                "{context}: {stream:?} {range:?}"
            );
        }
    }
    // It goes on after the values that are there, and these stay.
    for (stream, range) in &found {
        medium.append(*stream, range.end, b"more").unwrap();
        medium.sync(*stream).unwrap();
    }
    drop(medium);
    let medium = open(path).unwrap_or_else(|error| panic!("{context}: {error}"));
    for (stream, range) in &found {
        assert_eq!(
            medium.streams().unwrap()[stream],
            range.start..range.end + 1,
            "{context}: {stream:?} went on"
        );
        assert_eq!(medium.read(*stream, range.end).unwrap(), Some(Ok(b"more"[..].into())), "{context}");
    }
}

fn draw(seed: u64, nth: u64, below: usize) -> usize {
    usize::try_from(split_mix(seed, nth) >> 11).unwrap() % below
}

fn seeds() -> Range<u64> {
    let first = std::env::var("RELIVE_DAMAGE_SEED").map_or(1, |text| text.parse().unwrap());
    let count = std::env::var("RELIVE_DAMAGE_RUNS").map_or(150, |text| text.parse().unwrap());
    println!("RELIVE_DAMAGE_SEED={first} RELIVE_DAMAGE_RUNS={count}");
    first..first + count
}

/// Damages files with values in one of several ways, and returns the damaged bytes.
fn damage(path: &Path, stored: &[Stored], seed: u64) -> Vec<(PathBuf, Range<usize>)> {
    let mut damaged = Vec::new();
    for round in 0..=seed % 3 {
        let at = |nth: u64, below: usize| draw(seed, round * 10 + nth, below);
        let file = path.join(stored[at(0, stored.len())].file.file_name().unwrap());
        let mut bytes = fs::read(&file).unwrap();
        let length = bytes.len();
        let range = match at(1, 5) {
            0 => {
                let begin = at(2, length);
                bytes[begin] ^= 1 << at(3, 8);
                begin..begin + 1
            }
            // The loss of some sectors.
            1 => {
                let begin = at(2, length) / 512 * 512;
                let end = (begin + 512 * (1 + at(3, 3))).min(length);
                bytes[begin..end].fill(0);
                begin..end
            }
            2 => {
                let begin = at(2, length);
                let end = (begin + 1 + at(3, 2_000)).min(length);
                for (index, byte) in bytes[begin..end].iter_mut().enumerate() {
                    *byte = split_mix(seed, 1_000 + index as u64).to_le_bytes()[0];
                }
                begin..end
            }
            // A misdirected write: whole values in the place of others.
            3 => {
                let from = at(2, length) / 8 * 8;
                let to = at(3, length) / 8 * 8;
                let count = at(4, 1_500).min(length - from).min(length - to);
                bytes.copy_within(from..from + count, to);
                // A later value that stands too early hides the values between: the test counts
                // them as damaged.
                0..usize::MAX
            }
            _ => {
                let end = at(2, length);
                bytes.truncate(end);
                end..usize::MAX
            }
        };
        fs::write(&file, bytes).unwrap();
        damaged.push((file, range));
    }
    damaged
}

#[test]
fn no_damage_brings_another_value_or_hides_a_whole_one() {
    let (root, path, stored) = sample();
    for seed in seeds() {
        let copied = root.path().join("damaged");
        copy(&path, &copied);
        let damaged = damage(&copied, &stored, seed);
        let context = format!("seed {seed}, {damaged:?}");
        let is_head =
            |(file, range): &(PathBuf, Range<usize>)| file.ends_with("stream.5") && range.start < HEAD_BYTES;
        match open(&copied) {
            // Only the head says which position the file begins with.
            Err(StoreError::CorruptStore { .. }) if damaged.iter().any(is_head) => {}
            Ok(medium) if damaged.iter().any(is_head) && !medium.streams().unwrap().contains_key(&PACK) => {}
            opened => {
                drop(opened);
                check(&copied, &stored, &damaged, &context);
            }
        }
        fs::remove_dir_all(copied).unwrap();
    }
}

#[test]
fn the_last_file_is_cut_at_every_byte() {
    let (root, path, stored) = sample();
    let last = stored.iter().rfind(|stored| stored.stream == LOG).unwrap();
    for (file, begin) in [(last.file.clone(), 0), (path.join("stream.5"), HEAD_BYTES)] {
        let whole = fs::read(&file).unwrap();
        let ends: Vec<_> =
            stored.iter().filter(|stored| stored.file == file).map(|stored| stored.bytes.end).collect();
        // Every byte near the end of a value, and some of the others.
        let cuts =
            (begin..whole.len()).filter(|cut| cut % 7 == 0 || ends.iter().any(|end| cut.abs_diff(*end) < 40));
        for cut in cuts {
            let copied = root.path().join("cut");
            copy(&path, &copied);
            let name = copied.join(file.file_name().unwrap());
            fs::write(&name, &whole[..cut]).unwrap();
            check(&copied, &stored, &[(name, cut..usize::MAX)], &format!("cut at {cut}"));
            fs::remove_dir_all(copied).unwrap();
        }
    }
}

/// The head of the torn value is whole, and a later place in the log takes the position again.
#[test]
fn what_is_left_of_a_torn_value_is_replaced_by_one_in_the_next_segment() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("medium");
    let medium = open(&path).unwrap();
    for position in 0..5 {
        medium.append(LOG, position, &[1; 500]).unwrap();
    }
    medium.close().unwrap();
    let stored = layout(&path);
    let mut bytes = fs::read(&stored[3].file).unwrap();
    for torn in &stored[3..] {
        bytes[torn.bytes.end - 1] ^= 1;
    }
    fs::write(&stored[3].file, bytes).unwrap();
    for larger in [2_900, 500] {
        let medium = open(&path).unwrap();
        assert_eq!(medium.streams().unwrap()[&LOG], 0..3);
        medium.append(LOG, 3, &vec![2; larger]).unwrap();
        medium.sync(LOG).unwrap();
        drop(medium);
        let medium = open(&path).unwrap();
        assert_eq!(medium.streams().unwrap()[&LOG], 0..4);
        assert_eq!(medium.read(LOG, 3).unwrap(), Some(Ok(vec![2; larger].into())));
        medium.remove_from(LOG, 3).unwrap();
    }
}

/// A misdirected write puts the head of a longer value into the place of a value: the values behind
/// it are as whole as before.
#[test]
fn the_head_of_a_longer_value_hides_none_behind_it() {
    let root = tempfile::tempdir().unwrap();
    let (path, other) = (root.path().join("medium"), root.path().join("other"));
    let medium = open(&path).unwrap();
    medium.append(LOG, 0, &[0; 90]).unwrap();
    medium.close().unwrap();
    copy(&path, &other);
    for (path, length) in [(&path, 90), (&other, 2_000)] {
        let medium = open(path).unwrap();
        medium.append(LOG, 1, &vec![1; length]).unwrap();
        (2..5).for_each(|position| medium.append(LOG, position, &[2; 90]).unwrap());
        medium.close().unwrap();
    }
    let stored = layout(&path);
    let [Stored { bytes, file, .. }, longer] = [&stored[1], &layout(&other)[1]];
    let head = fs::read(&longer.file).unwrap()[longer.bytes.start..][..HEADER_BYTES].to_vec();
    let mut content = fs::read(file).unwrap();
    content[bytes.start..][..HEADER_BYTES].copy_from_slice(&head);
    fs::write(file, content).unwrap();
    let medium = open(&path).unwrap();
    assert_eq!(medium.streams().unwrap()[&LOG], 0..5);
    assert!(matches!(medium.read(LOG, 1), Ok(Some(Err(_)))));
    for position in 2..5 {
        assert_eq!(medium.read(LOG, position).unwrap(), Some(Ok([2; 90][..].into())), "{position}");
    }
}

/// A segment in its second use holds whole values of the first one, behind the values of today.
#[test]
fn what_a_segment_held_before_stays_away() {
    let (_root, path, stored) = sample();
    let mut before = 0;
    for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("segment.") {
            let ends =
                stored.iter().filter(|stored| stored.file == entry.path()).map(|stored| stored.bytes.end);
            let end = ends.max().unwrap_or(HEAD_BYTES).next_multiple_of(8);
            let bytes = fs::read(entry.path()).unwrap();
            before += bytes[end..].chunks(8).filter(|chunk| chunk.starts_with(b"RLSV")).count();
        }
    }
    assert!(before > 0, "the sample has none");
    check(&path, &stored, &[], "the sample");
}

/// Files that changed places, or come from a copy of another time.
#[test]
fn segments_in_each_others_place_are_refused() {
    let (_root, path, stored) = sample();
    let mut files: Vec<_> =
        stored.iter().filter(|stored| stored.stream == LOG).map(|stored| &stored.file).collect();
    files.dedup();
    let [first, .., last] = files[..] else { panic!("{files:?}") };
    let bytes = (fs::read(first).unwrap(), fs::read(last).unwrap());
    fs::write(first, &bytes.1).unwrap();
    fs::write(last, &bytes.0).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::CorruptStore { .. }), "{error}");
    fs::write(first, &bytes.0).unwrap();
    fs::write(last, &bytes.1).unwrap();
    check(&path, &stored, &[], "as it was");
}
