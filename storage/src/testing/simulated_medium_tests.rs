//! The device loses what it says that it loses, and nothing else: tests of a store rely on that.

use super::*;

const STREAM: StreamId = StreamId(3);

/// A device with the values 0 to 2 synced, and 3 to 5 not.
fn device(seed: u64) -> (SimulatedMedium, Opening) {
    let device = SimulatedMedium::new(seed);
    let medium = device.open();
    for position in 0..6 {
        medium.append(STREAM, position, &[position.to_le_bytes()[0]]).unwrap();
        if position == 2 {
            medium.sync(STREAM).unwrap();
        }
    }
    (device, medium)
}

fn positions(medium: &Opening) -> Option<Range<u64>> {
    medium.streams().unwrap().remove(&STREAM)
}

/// A loss of power takes the writes that were not synced: none of them, all, or some.
#[test]
fn only_what_was_not_synced_is_lost() {
    for (left, expected) in [(Left::Nothing, 0..3), (Left::All, 0..6)] {
        let (device, _) = device(1);
        device.lose_power(left);
        assert_eq!(positions(&device.open()), Some(expected), "{left:?}");
    }
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let (device, _) = device(seed);
        device.lose_power(Left::Drawn);
        let medium = device.open();
        let end = positions(&medium).unwrap().end;
        let damaged = (0..end).filter(|at| medium.read(STREAM, *at).unwrap().unwrap().is_err()).count();
        assert!((0..3).all(|at| medium.read(STREAM, at).unwrap().unwrap().is_ok()), "those were synced");
        ends.insert((end, damaged));
    }
    assert_eq!(ends.iter().map(|(end, _)| *end).collect::<std::collections::BTreeSet<_>>().len(), 4);
    assert!(ends.contains(&(6, 2)), "a later value may survive without those before it: {ends:?}");
}

/// The same seed loses the same.
#[test]
fn a_seed_repeats_a_loss() {
    let lost = |seed| {
        let (device, _) = device(seed);
        device.lose_power(Left::Drawn);
        let medium = device.open();
        (0..6).map(|at| medium.read(STREAM, at).unwrap()).collect::<Vec<_>>()
    };
    assert!((0..16).all(|seed| lost(seed) == lost(seed)));
    assert!((1..16).any(|seed| lost(seed) != lost(0)));
}

/// The planned call is the last of its opening, and happens before the loss or not at all.
#[test]
fn the_power_goes_at_the_planned_call() {
    for (after, expected) in [(false, 0..3), (true, 0..7)] {
        let (device, medium) = device(1);
        device.plan(2, after, Left::Nothing);
        medium.append(STREAM, 6, b"value").unwrap();
        assert!(device.has_power());
        assert!(medium.sync(STREAM).is_err());
        assert!(!device.has_power() && medium.append(STREAM, 7, b"late").is_err());
        assert_eq!(positions(&device.open()), Some(expected), "after the call: {after}");
    }
}

/// A later opening ends the earlier ones, and a plan that is taken back does nothing.
#[test]
fn one_opening_at_a_time_has_the_device() {
    let (device, first) = device(1);
    device.plan(1, true, Left::Nothing);
    device.plan_nothing();
    first.sync(STREAM).unwrap();
    let second = device.open();
    assert!(matches!(first.append(STREAM, 6, b"late"), Err(StoreError::Poisoned { .. })));
    second.append(STREAM, 6, b"next").unwrap();
    assert!(matches!(second.append(STREAM, 6, b"again"), Err(StoreError::Misuse { .. })));
}

/// A superblock that was written without a sync may be lost, a synced one may not, and a device
/// that lies loses what it said to have synced.
#[test]
fn a_superblock_counts_by_its_sync() {
    let (device, medium) = device(1);
    medium.write_superblock(b"synced", true).unwrap();
    medium.write_superblock(b"written", false).unwrap();
    assert_eq!(medium.superblock().unwrap(), &b"written"[..]);
    device.lose_power(Left::Nothing);
    let medium = device.open();
    assert_eq!(medium.superblock().unwrap(), &b"synced"[..]);
    device.lie();
    medium.write_superblock(b"a lie", true).unwrap();
    medium.append(STREAM, 3, b"a lie").unwrap();
    medium.sync(STREAM).unwrap();
    device.lose_power(Left::Nothing);
    let medium = device.open();
    assert_eq!(
        (medium.superblock().unwrap(), positions(&medium)),
        (Bytes::from_static(b"synced"), Some(0..3))
    );
}

/// A removal that a loss of power cut off may have left any of the values.
#[test]
fn a_removal_may_be_lost_in_part() {
    let (mut firsts, mut counts) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for seed in 0..64 {
        let (device, medium) = device(seed);
        medium.sync(STREAM).unwrap();
        medium.remove_below(STREAM, 4).unwrap();
        assert_eq!(positions(&medium), Some(4..6));
        device.lose_power(Left::Drawn);
        firsts.insert(positions(&device.open()).unwrap().start);
        let (device, medium) = self::device(seed);
        medium.sync(STREAM).unwrap();
        medium.remove(STREAM).unwrap();
        assert_eq!((positions(&medium), device.removed()), (None, 1));
        device.lose_power(Left::Drawn);
        counts.insert(positions(&device.open()).map_or(0, |range| range.end - range.start));
    }
    assert_eq!(firsts, (0..=4).collect());
    assert!(counts.contains(&0) && counts.len() > 3, "{counts:?}");
}
