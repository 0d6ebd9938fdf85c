//! The contract of a [`Medium`], executable: everything that a store on it relies on. Knows no
//! medium.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::contract::error::StoreError;
use crate::medium::{Medium, SUPERBLOCK_BYTES_MAX, StreamId, VALUE_BYTES_MAX};

/// A medium to check, which outlives one opening.
pub trait MediumUnderTest {
    /// Opens it. The caller has dropped the opening before.
    ///
    /// # Panics
    /// When it can't be opened.
    fn open(&mut self) -> Box<dyn Medium>;
}

/// Runs every case, each on a medium fresh from `make`.
///
/// # Panics
/// When the medium breaks the contract; the message names the case.
pub fn check_medium(make: &mut dyn FnMut() -> Box<dyn MediumUnderTest>) {
    for (name, case) in CASES {
        // A medium may keep the first stream in another way than the others.
        for stream in [StreamId(0), StreamId(7)] {
            let mut medium = make();
            super::run(name, || case(&mut *medium, stream));
        }
    }
}

type Case = (&'static str, fn(&mut dyn MediumUnderTest, StreamId));

const CASES: &[Case] = &[
    ("an_empty_medium_says_so", an_empty_medium_says_so),
    ("values_come_back_before_and_after_a_sync", values_come_back_before_and_after_a_sync),
    ("what_was_synced_survives_reopenings", what_was_synced_survives_reopenings),
    ("a_stream_begins_anywhere", a_stream_begins_anywhere),
    ("gaps_and_overlaps_are_refused", gaps_and_overlaps_are_refused),
    ("the_largest_value_fits", the_largest_value_fits),
    ("what_is_removed_below_leaves_the_rest", what_is_removed_below_leaves_the_rest),
    ("a_stream_with_nothing_left_goes_on", a_stream_with_nothing_left_goes_on),
    ("what_is_removed_from_the_end_never_comes_back", what_is_removed_from_the_end_never_comes_back),
    ("a_removed_stream_is_gone", a_removed_stream_is_gone),
    ("streams_do_not_touch_each_other", streams_do_not_touch_each_other),
    ("a_superblock_is_replaced_as_a_whole", a_superblock_is_replaced_as_a_whole),
    ("reads_pass_while_others_write", reads_pass_while_others_write),
];

/// The value of a position; every position has a different one.
fn value(position: u64, length: usize) -> Vec<u8> {
    let byte =
        |i: usize| (i as u64).wrapping_mul(31).wrapping_add(position.wrapping_mul(131)).to_le_bytes()[0];
    (0..length).map(byte).collect()
}

fn length(position: u64) -> usize {
    usize::try_from(position.wrapping_mul(7_919) % 3_001).expect("it is small")
}

fn append(medium: &dyn Medium, stream: StreamId, positions: std::ops::Range<u64>) {
    for position in positions {
        medium.append(stream, position, &value(position, length(position))).expect("append");
    }
}

fn range(medium: &dyn Medium, stream: StreamId) -> Option<std::ops::Range<u64>> {
    medium.streams().expect("streams").get(&stream).cloned()
}

fn read(medium: &dyn Medium, stream: StreamId, position: u64) -> Option<Bytes> {
    medium.read(stream, position).expect("read").map(|value| value.expect("it is not damaged"))
}

/// Asserts that the values in the range are there, and no others.
fn expect(medium: &dyn Medium, stream: StreamId, positions: std::ops::Range<u64>) {
    let found = range(medium, stream).expect("the stream is there");
    assert_eq!(found.end, positions.end, "where the stream ends");
    assert!(found.start <= positions.start, "{found:?} lacks some of {positions:?}");
    for position in found.clone() {
        assert_eq!(
            read(medium, stream, position),
            Some(value(position, length(position)).into()),
            "{position}"
        );
    }
    let beside = [found.start.checked_sub(1), Some(found.end), Some(u64::MAX)];
    for position in beside.into_iter().flatten() {
        assert_eq!(read(medium, stream, position), None, "{position} is outside of {found:?}");
    }
}

fn an_empty_medium_says_so(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    let store = opened.store();
    assert!(opened.streams().expect("streams").is_empty());
    assert_eq!(read(&*opened, stream, 0), None);
    assert!(opened.superblock().expect("superblock").is_empty());
    opened.sync(stream).expect("sync of nothing");
    opened.remove_below(stream, 3).expect("remove nothing");
    opened.remove_from(stream, 3).expect("remove nothing");
    opened.remove(stream).expect("remove nothing");
    assert!(opened.streams().expect("streams").is_empty());
    opened.close().expect("close");
    drop(opened);
    assert_eq!(medium.open().store(), store, "the identity stays");
}

fn values_come_back_before_and_after_a_sync(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    for (round, end) in [10, 40, 41, 300].into_iter().enumerate() {
        let begin = range(&*opened, stream).map_or(0, |range| range.end);
        append(&*opened, stream, begin..end);
        expect(&*opened, stream, 0..end);
        if round % 2 == 0 {
            opened.sync(stream).expect("sync");
            expect(&*opened, stream, 0..end);
        }
    }
}

fn what_was_synced_survives_reopenings(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    for round in 0..6 {
        let opened = medium.open();
        if round > 0 {
            expect(&*opened, stream, 0..round * 30);
        }
        for position in round * 30..round * 30 + 30 {
            append(&*opened, stream, position..position + 1);
            opened.sync(stream).expect("sync");
        }
    }
    expect(&*medium.open(), stream, 0..180);
}

fn a_stream_begins_anywhere(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    append(&*opened, stream, 77..99);
    opened.sync(stream).expect("sync");
    assert_eq!(range(&*opened, stream), Some(77..99));
    drop(opened);
    let opened = medium.open();
    assert_eq!(range(&*opened, stream), Some(77..99));
    expect(&*opened, stream, 77..99);
}

fn gaps_and_overlaps_are_refused(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    append(&*opened, stream, 5..9);
    for position in [0, 4, 8, 10, u64::MAX] {
        let error = opened.append(stream, position, b"another").expect_err("it is not the next");
        assert!(matches!(error, StoreError::Misuse { .. }), "{position}: {error}");
    }
    append(&*opened, stream, 9..10);
    opened.sync(stream).expect("sync");
    expect(&*opened, stream, 5..10);
    drop(opened);
    expect(&*medium.open(), stream, 5..10);
}

fn the_largest_value_fits(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    append(&*opened, stream, 0..3);
    let large = vec![0x5a; VALUE_BYTES_MAX + 1];
    let error = opened.append(stream, 3, &large).expect_err("it is over the limit");
    assert!(matches!(error, StoreError::Misuse { .. }), "{error}");
    let large = &large[..VALUE_BYTES_MAX];
    opened.append(stream, 3, large).expect("append");
    append(&*opened, stream, 4..8);
    opened.sync(stream).expect("sync");
    drop(opened);
    let opened = medium.open();
    assert_eq!(range(&*opened, stream), Some(0..8));
    assert!(read(&*opened, stream, 3).expect("it is there") == *large);
    for position in [0, 2, 4, 7] {
        assert_eq!(read(&*opened, stream, position), Some(value(position, length(position)).into()));
    }
    opened.remove_from(stream, 3).expect("remove");
    append(&*opened, stream, 3..9);
    opened.sync(stream).expect("sync");
    expect(&*opened, stream, 0..9);
    drop(opened);
    expect(&*medium.open(), stream, 0..9);
}

fn what_is_removed_below_leaves_the_rest(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let mut end = 0;
    for round in 1..8 {
        let opened = medium.open();
        append(&*opened, stream, end..round * 60);
        end = round * 60;
        opened.sync(stream).expect("sync");
        let below = end - 20;
        opened.remove_below(stream, below).expect("remove");
        expect(&*opened, stream, below..end);
        opened.remove_below(stream, 0).expect("remove nothing");
        expect(&*opened, stream, below..end);
        let found = range(&*opened, stream);
        drop(opened);
        assert_eq!(range(&*medium.open(), stream), found, "what was removed stays so");
    }
    expect(&*medium.open(), stream, end - 20..end);
}

fn a_stream_with_nothing_left_goes_on(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    append(&*opened, stream, 10..200);
    opened.sync(stream).expect("sync");
    opened.remove_below(stream, 500).expect("remove");
    expect(&*opened, stream, 200..200);
    drop(opened);
    let opened = medium.open();
    expect(&*opened, stream, 200..200);
    append(&*opened, stream, 200..300);
    opened.remove_from(stream, 0).expect("remove");
    let begin = range(&*opened, stream).expect("the stream is there");
    assert!(begin.is_empty(), "{begin:?} is left");
    append(&*opened, stream, begin.end..begin.end + 20);
    opened.sync(stream).expect("sync");
    drop(opened);
    expect(&*medium.open(), stream, begin.end..begin.end + 20);
}

fn what_is_removed_from_the_end_never_comes_back(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let mut end = 0;
    for (round, from) in [150, 149, 60, 1, 90].into_iter().enumerate() {
        let opened = medium.open();
        if end > 0 {
            expect(&*opened, stream, 0..end);
        }
        append(&*opened, stream, end..200);
        if round % 2 == 0 {
            opened.sync(stream).expect("sync");
        }
        opened.remove_from(stream, 200).expect("remove nothing");
        expect(&*opened, stream, 0..200);
        opened.remove_from(stream, from).expect("remove");
        expect(&*opened, stream, 0..from);
        end = from;
        if round % 2 == 1 {
            append(&*opened, stream, from..from + 1);
            opened.sync(stream).expect("sync");
            end += 1;
        }
        expect(&*opened, stream, 0..end);
    }
    expect(&*medium.open(), stream, 0..end);
}

fn a_removed_stream_is_gone(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    for stream in [stream, StreamId(3)] {
        append(&*opened, stream, 0..90);
        opened.sync(stream).expect("sync");
    }
    opened.remove(stream).expect("remove");
    assert_eq!(range(&*opened, stream), None);
    assert_eq!(read(&*opened, stream, 3), None);
    drop(opened);
    let opened = medium.open();
    assert_eq!(range(&*opened, stream), None);
    expect(&*opened, StreamId(3), 0..90);
}

fn streams_do_not_touch_each_other(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    let opened = medium.open();
    let others: Vec<_> = (1..6).map(|number| StreamId(number * 1_000)).collect();
    for step in 0..40 {
        append(&*opened, stream, step..step + 1);
        for (other, factor) in others.iter().zip(1..) {
            append(&*opened, *other, step * factor..(step + 1) * factor);
        }
        opened.sync(stream).expect("sync");
    }
    for other in &others {
        opened.sync(*other).expect("sync");
    }
    opened.remove_from(others[0], 7).expect("remove");
    opened.remove(others[1]).expect("remove");
    drop(opened);
    let opened = medium.open();
    expect(&*opened, stream, 0..40);
    expect(&*opened, others[0], 0..7);
    assert_eq!(range(&*opened, others[1]), None);
    for (other, factor) in others.iter().zip(1..).skip(2) {
        expect(&*opened, *other, 0..40 * factor);
    }
}

fn a_superblock_is_replaced_as_a_whole(medium: &mut dyn MediumUnderTest, _stream: StreamId) {
    let mut written: Vec<u8> = Vec::new();
    for round in 0..12_usize {
        let opened = medium.open();
        assert_eq!(opened.superblock().expect("superblock"), written);
        let error = opened.write_superblock(&vec![1; SUPERBLOCK_BYTES_MAX + 1], true);
        assert!(matches!(error, Err(StoreError::Misuse { .. })), "it is over the limit");
        for step in 0..=round % 3 {
            let bytes = if round == 7 { SUPERBLOCK_BYTES_MAX } else { 100 * step + round };
            written = value(round as u64, bytes);
            opened.write_superblock(&written, (round + step) % 2 == 0).expect("write");
            assert_eq!(opened.superblock().expect("superblock"), written);
        }
    }
    assert_eq!(medium.open().superblock().expect("superblock"), written);
}

fn reads_pass_while_others_write(medium: &mut dyn MediumUnderTest, stream: StreamId) {
    const VALUES: u64 = 600;
    let opened = medium.open();
    let (opened, end, removed) = (&*opened, AtomicU64::new(0), AtomicU64::new(0));
    let ended = || end.load(Ordering::Acquire) >= VALUES;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for position in 0..VALUES {
                append(opened, stream, position..position + 1);
                // Release, and Acquire in the readers: a reader that sees the position must find
                // the value appended before.
                end.store(position + 1, Ordering::Release);
            }
        });
        scope.spawn(|| {
            while !ended() {
                opened.sync(stream).expect("sync");
            }
        });
        scope.spawn(|| {
            while !ended() {
                let below = end.load(Ordering::Acquire).saturating_sub(50);
                removed.fetch_max(below, Ordering::AcqRel);
                opened.remove_below(stream, below).expect("remove");
            }
        });
        scope.spawn(|| {
            let mut step = 0_u64;
            while !ended() {
                step += 1;
                let there = end.load(Ordering::Acquire);
                let Some(position) = (there + step * 17).checked_rem(there) else { continue };
                match read(opened, stream, position) {
                    Some(found) => assert_eq!(found, value(position, length(position)), "{position}"),
                    None => assert!(position < removed.load(Ordering::Acquire), "{position} is gone"),
                }
            }
        });
    });
    expect(opened, stream, VALUES - 50..VALUES);
}
