//! Stores that lose their power in the middle of random calls, or whose process dies between two,
//! again and again: everything synced is there, in order and unchanged, and everything else is
//! missing only from the end.
//!
//! ```sh
//! RELIVE_POWER_RUNS=100000 RELIVE_POWER_SEED=1 cargo test -p relive-storage --test storage power
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use relive_storage::conformance::{block, checkpoint, id};
use relive_storage::simulated_store::{Call, Crash, Fault, Lie, Moment, SimulatedDisk, Step, Unsynced};
use relive_storage::{Block, CheckpointStore, Generation, Log, Lsn, Store, StoreError, scan};

const ACTORS: u64 = 3;
pub(crate) const LIVES: u64 = 4;

/// The content that must be there, kept outside of the store.
#[derive(Default)]
pub(crate) struct Expected {
    /// Every block as it was appended last, synced or not.
    issued: BTreeMap<Lsn, Block>,
    /// Everything below was synced.
    synced: Lsn,
    /// The log begins here at the latest.
    cut: Lsn,
    /// The numbers of the newest checkpoints, and of those that may be newer.
    newest: BTreeMap<u64, u64>,
    maybe: BTreeMap<u64, u64>,
    number: u64,
    epoch: u64,
}

/// Numbers from a seed, different from those of the device.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }
}

/// A device under a store.
pub(crate) trait Device {
    /// Opens it, or says what is wrong.
    fn store(&self) -> Result<Box<dyn Store>, String>;
    /// Whether it has kept its power since it was opened.
    fn is_powered(&self) -> bool;
}

impl Device for SimulatedDisk {
    fn store(&self) -> Result<Box<dyn Store>, String> {
        Ok(Box::new(self.open()))
    }

    fn is_powered(&self) -> bool {
        self.has_power()
    }
}

/// Runs lives on a device that loses its power in each. Returns the broken promise, if there is
/// one.
fn run(seed: u64, lie: Option<Lie>) -> (Result<(), String>, Vec<Step>) {
    let disk = SimulatedDisk::new(seed);
    disk.set_lie(lie);
    let mut random = Random(seed ^ 0x5851_f42d_4c95_7f2d);
    let mut expected = Expected::default();
    for life in 0..=LIVES {
        if let Err(what) = check(&disk, &mut expected) {
            return (Err(format!("life {life}: {what}")), disk.trace());
        }
        if life < LIVES {
            let moment = match random.below(3) {
                0 => Moment::Before,
                1 => Moment::Torn,
                _ => Moment::After,
            };
            let crash = Crash { moment, unsynced: Unsynced::Drawn };
            disk.plan(Fault::Crash(crash), Call::Any, disk.calls(Call::Any) + 4 + random.below(20));
            live(&disk, &mut random, &mut expected);
            disk.plan_nothing();
        }
    }
    (Ok(()), disk.trace())
}

/// Makes random calls until the power goes, or the process dies.
pub(crate) fn live(disk: &dyn Device, random: &mut Random, expected: &mut Expected) {
    let Ok(store) = disk.store() else { return };
    let Ok(scanned) = scan(&*store, &mut |_, _| Ok(())) else { return };
    expected.epoch += 1;
    let mut next = scanned.next;
    // The first block of this life replaces everything at and after its position.
    let mut replaced = false;
    while disk.is_powered() && random.below(32) > 0 {
        match random.below(8) {
            0..4 => {
                let records = 1 + u32::try_from(random.below(3)).unwrap();
                let durable = expected.synced.min(next).get();
                let block = block(next.get(), records, durable, expected.epoch);
                if !std::mem::replace(&mut replaced, true) {
                    expected.issued.split_off(&next);
                }
                expected.issued.insert(next, block.clone());
                if store.append(&block).is_ok() {
                    next = block.header().next();
                }
            }
            4..6 => {
                if store.sync().is_ok() && replaced {
                    expected.synced = next;
                }
            }
            6 => {
                let done = put(&*store, random, expected);
                assert!(done.is_ok() || !disk.is_powered(), "a put fails for another reason: {done:?}");
            }
            _ => {
                let below = Lsn::new(random.below(next.get() + 1));
                expected.cut = expected.cut.max(below);
                drop(store.cut(below));
            }
        }
    }
}

fn put(store: &dyn Store, random: &mut Random, expected: &mut Expected) -> Result<(), StoreError> {
    let first = random.below(ACTORS);
    let mut group = Vec::new();
    for actor in first..=(first + random.below(2)).min(ACTORS - 1) {
        expected.number += 1;
        group.push(checkpoint(&id(&actor.to_string()), expected.number, 20));
        expected.maybe.insert(actor, expected.number);
    }
    store.put(&group)?;
    expected.newest.append(&mut expected.maybe);
    Ok(())
}

/// Compares the content after a crash with the content that must be there, and goes on from there.
pub(crate) fn check(disk: &dyn Device, expected: &mut Expected) -> Result<(), String> {
    let said = |error: StoreError| error.to_string();
    let store = disk.store()?;
    let mut headers = Vec::new();
    let scanned = scan(&*store, &mut |header, _| {
        if headers.last() != Some(header) {
            headers.push(*header);
        }
        Ok(())
    });
    let scanned = scanned.map_err(said)?;
    if scanned.next < expected.synced {
        return Err(format!("{} was synced, the log ends at {}", expected.synced, scanned.next));
    }
    if scanned.start > expected.cut {
        return Err(format!("cut at {}, never asked for more than {}", scanned.start, expected.cut));
    }
    for header in headers {
        let found = store.read(header.first).map_err(said)?.and_then(|found| found.block.ok());
        if found.as_ref() != expected.issued.get(&header.first) {
            return Err(format!("the block at {} is another than was written", header.first));
        }
    }
    let mut listed = 0;
    store
        .list(&mut |_| {
            listed += 1;
            ControlFlow::Continue(())
        })
        .map_err(said)?;
    for actor in 0..ACTORS {
        let found = store.get(&id(&actor.to_string()), Generation::Newest).map_err(said)?;
        let number = found.as_ref().map(|found| found.header.number.get());
        let (newest, maybe) = (expected.newest.get(&actor).copied(), expected.maybe.get(&actor).copied());
        if number != newest && (maybe.is_none() || number != maybe) {
            return Err(format!("actor {actor} has {number:?}, not {newest:?} or {maybe:?}"));
        }
        listed -= i32::from(found.is_some());
        expected.newest.extend(number.map(|number| (actor, number)));
    }
    if listed != 0 {
        return Err("the list is another than what is there".to_owned());
    }
    expected.maybe.clear();
    // The opening has synced everything that it found.
    expected.synced = scanned.next;
    Ok(())
}

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Invariant: prefix. Fault class 5, on the device.
#[test]
fn what_was_synced_survives_every_loss_of_power() {
    let runs = number("RELIVE_POWER_RUNS").unwrap_or(2_000);
    let first = number("RELIVE_POWER_SEED").unwrap_or(1);
    let mut calls = 0;
    for seed in first..first + runs {
        let (outcome, trace) = run(seed, None);
        calls += trace.len();
        if let Err(what) = outcome {
            let lines: Vec<_> = trace.iter().map(ToString::to_string).collect();
            panic!(
                "{what}\n{}\nRELIVE_POWER_RUNS=1 RELIVE_POWER_SEED={seed} cargo test -p relive-storage --test storage power",
                lines.join("\n")
            );
        }
    }
    println!("{runs} runs of {LIVES} lives each, {calls} calls");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 1..200 {
        assert_eq!(run(seed, None).1, run(seed, None).1, "seed {seed}");
    }
    assert_ne!(run(1, None).1, run(2, None).1);
}

/// The test notices a device that reports syncs and does not make them. So the test can fail.
#[test]
fn a_sync_that_lies_is_noticed() {
    let noticed = (1..100).filter(|seed| run(*seed, Some(Lie::SyncsNothing)).0.is_err()).count();
    assert!(noticed > 50, "{noticed} of 99");
}

/// The same for checkpoints that a read found in the cache.
#[test]
fn a_put_that_lies_is_noticed() {
    let noticed = (1..100).filter(|seed| run(*seed, Some(Lie::PutsIntoTheCache)).0.is_err()).count();
    assert!(noticed > 30, "{noticed} of 99");
}

/// Gap check: a block missing from the middle is damage, and the error has its position. It never
/// counts as the end.
#[test]
fn a_block_lost_from_the_middle_is_reported_where_it_was() {
    for lost in 0..9 {
        let disk = SimulatedDisk::new(lost);
        let store = disk.open();
        for first in 0..10 {
            store.append(&block(first * 2, 2, first * 2, 1)).unwrap();
            store.sync().unwrap();
        }
        assert!(disk.lose_block(Lsn::new(lost * 2)));
        let found = scan(&disk.open(), &mut |_, _| Ok(()));
        assert!(
            matches!(&found, Err(StoreError::CorruptLog { at, .. }) if *at == Lsn::new(lost * 2)),
            "{found:?}"
        );
        // The mark says how far the log was acknowledged. Without it the later blocks still say
        // that.
        disk.lose_power(Unsynced::Dropped);
        let found = scan(&disk.open(), &mut |_, _| Ok(()));
        assert!(
            matches!(&found, Err(StoreError::CorruptLog { at, .. }) if *at == Lsn::new(lost * 2)),
            "{found:?}"
        );
    }
}

/// From the next cut on, the store notices that a reported checkpoint is gone, because it was never
/// synced.
#[test]
fn a_checkpoint_lost_in_silence_is_missed() {
    let disk = SimulatedDisk::new(1);
    let store = disk.open();
    for first in 0..3 {
        store.append(&block(first, 1, first, 1)).unwrap();
        store.sync().unwrap();
    }
    disk.set_lie(Some(Lie::PutsIntoTheCache));
    store.put(&[checkpoint(&id("a"), 1, 9)]).unwrap();
    assert!(store.get(&id("a"), Generation::Newest).unwrap().is_some(), "reading it back finds it");
    store.cut(Lsn::new(2)).unwrap();
    disk.lose_power(Unsynced::Dropped);
    let missed = disk.open().list(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(missed, StoreError::CorruptStore { .. }), "{missed}");
}
