//! The store over a medium: the contract of a backend, and its packs: closing, emptying and
//! removing them, missing parts of them, and the space that they take.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use relive_storage::conformance::{self, Medium as Kept, block_of, checkpoint, id};
use relive_storage::medium::memory::MemoryMedium;
use relive_storage::medium::{Medium, StreamId};
use relive_storage::{
    CheckpointStore, Durability, Generation, LayeredOptions, LayeredStore, Log, Lsn, SegmentFiles,
    SegmentOptions, Store, StoreError, StoreId,
};

fn open(medium: &MemoryMedium) -> Result<LayeredStore, StoreError> {
    let medium = medium.clone();
    LayeredStore::open(move || Ok(Box::new(medium)), &LayeredOptions::default())
}

struct Memory(MemoryMedium);

impl Kept for Memory {
    fn open(&mut self) -> Box<dyn Store> {
        Box::new(open(&self.0).unwrap())
    }
}

#[test]
fn a_store_over_a_medium_in_memory_keeps_the_contract() {
    conformance::check(&mut || Box::new(Memory(MemoryMedium::new())));
}

/// A directory of plain files, with a tier and the bytes of a segment.
struct Files(tempfile::TempDir, Durability, u64);

impl Kept for Files {
    fn open(&mut self) -> Box<dyn Store> {
        let path = self.0.path().join("data");
        let options = SegmentOptions::default().durability(self.1).segment_bytes(self.2);
        let open = move || Ok(Box::new(SegmentFiles::open(path, &options)?) as Box<dyn Medium>);
        Box::new(LayeredStore::open(open, &LayeredOptions::default()).unwrap())
    }
}

#[test]
fn a_store_on_segment_files_keeps_the_contract_of_power_loss() {
    let files = || Files(tempfile::tempdir().unwrap(), Durability::PowerLoss, 64 << 10);
    conformance::check(&mut || Box::new(files()));
}

#[test]
fn a_store_on_segment_files_keeps_the_contract_of_process_crash() {
    let files = || Files(tempfile::tempdir().unwrap(), Durability::ProcessCrash, 1 << 20);
    conformance::check(&mut || Box::new(files()));
}

fn bytes(medium: &MemoryMedium) -> u64 {
    let streams = medium.streams().unwrap();
    let packs = streams.into_iter().filter(|(id, _)| *id != StreamId(0));
    let values = packs.flat_map(|(id, range)| range.map(move |position| (id, position)));
    values.map(|(id, position)| medium.read(id, position).unwrap().unwrap().unwrap().len() as u64).sum()
}

/// Invariant: bounded. Many actors write checkpoints now and then, in any order: the size of the
/// packs stays near the live bytes, and no copying loses a checkpoint, over openings too.
#[test]
fn packs_take_about_twice_what_lives() {
    const ACTORS: u64 = 2_000;
    const SIZES: [usize; 5] = [0, 900, 4_000, 9_000, 200_000];
    let medium = MemoryMedium::new();
    let mut store = open(&medium).unwrap();
    let (mut number, mut seed) = (0, 0x9e37_79b9_7f4a_7c15_u64);
    let mut kept: BTreeMap<u64, VecDeque<(u64, usize)>> = BTreeMap::new();
    let mut peak = 0;
    for round in 0..600 {
        let mut group = BTreeMap::new();
        for _ in 0..100 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // Some actors write far more often than others.
            let actor = if seed % 3 == 0 { seed / 3 % ACTORS } else { seed / 3 % (ACTORS / 20) };
            group.insert(actor, SIZES[usize::try_from(seed / 7_777 % 100).unwrap() / 24]);
        }
        let put = group.into_iter().map(|(actor, size)| {
            number += 1;
            let of = kept.entry(actor).or_default();
            of.push_front((number, size));
            of.truncate(2);
            checkpoint(&id(&actor.to_string()), number, size)
        });
        store.put(&put.collect::<Vec<_>>()).unwrap();
        if round % 97 == 96 {
            store.close().unwrap();
            store = open(&medium).unwrap();
        }
        let live: usize = kept.values().flatten().map(|(_, size)| size + 60).sum();
        let taken = bytes(&medium);
        peak = peak.max(taken);
        assert!(taken < 2 * live as u64 + (40 << 20), "round {round}: {taken} bytes, of which {live} live");
    }
    assert!(peak > 20 << 20, "too little was put to see anything: {peak}");
    for (actor, two) in &kept {
        for ((number, size), generation) in two.iter().zip([Generation::Newest, Generation::Previous]) {
            let actor = id(&actor.to_string());
            let found = store.get(&actor, generation).unwrap();
            assert!(found == Some(checkpoint(&actor, *number, *size)), "{generation:?} of {actor}");
        }
    }
}

/// Invariant: prefix. A missing pack, a shorter one, or another one in its place is an error, for
/// every pack.
#[test]
fn what_is_missing_of_the_packs_is_noticed() {
    let medium = MemoryMedium::new();
    let store = open(&medium).unwrap();
    for round in 0..40 {
        let group =
            (0..20).map(|actor| checkpoint(&id(&format!("{round} {actor}")), round * 20 + actor + 1, 30_000));
        store.put(&group.collect::<Vec<_>>()).unwrap();
    }
    store.close().unwrap();
    let packs: Vec<_> = medium.streams().unwrap().into_iter().filter(|(id, _)| id.0 > 0).collect();
    assert!(packs.len() > 2, "{packs:?}");
    for (id, range) in packs {
        let values: Vec<_> = range.clone().map(|at| medium.read(id, at).unwrap().unwrap().unwrap()).collect();
        let restore = |upto: u64| {
            medium.remove(id).unwrap();
            for (at, value) in (0..upto).zip(&values) {
                medium.append(id, at, value).unwrap();
            }
        };
        for upto in [0, range.end / 2, range.end - 1] {
            restore(upto);
            let opened = open(&medium);
            assert!(matches!(opened, Err(StoreError::CorruptStore { .. })), "{id:?} to {upto}: {opened:?}");
        }
        restore(range.end);
        open(&medium).unwrap().list(&mut |_| ControlFlow::Continue(())).unwrap();
    }
}

/// A medium whose synced write of the superblock never ends until the test releases it.
struct Hanging(MemoryMedium, Arc<(Mutex<bool>, Condvar)>);

impl Medium for Hanging {
    fn store(&self) -> StoreId {
        self.0.store()
    }
    fn durability(&self) -> Durability {
        Durability::PowerLoss
    }
    fn streams(&self) -> Result<BTreeMap<StreamId, Range<u64>>, StoreError> {
        self.0.streams()
    }
    fn append(&self, stream: StreamId, position: u64, value: &[u8]) -> Result<(), StoreError> {
        self.0.append(stream, position, value)
    }
    fn sync(&self, stream: StreamId) -> Result<(), StoreError> {
        self.0.sync(stream)
    }
    fn read(&self, stream: StreamId, position: u64) -> Result<Option<Result<Bytes, String>>, StoreError> {
        self.0.read(stream, position)
    }
    fn remove_below(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.0.remove_below(stream, position)
    }
    fn remove_from(&self, stream: StreamId, position: u64) -> Result<(), StoreError> {
        self.0.remove_from(stream, position)
    }
    fn remove(&self, stream: StreamId) -> Result<(), StoreError> {
        self.0.remove(stream)
    }
    fn superblock(&self) -> Result<Bytes, StoreError> {
        self.0.superblock()
    }
    fn write_superblock(&self, bytes: &[u8], sync: bool) -> Result<(), StoreError> {
        let (hangs, released) = &*self.1;
        if sync {
            drop(released.wait_while(hangs.lock().unwrap(), |hangs| *hangs).unwrap());
        }
        self.0.write_superblock(bytes, sync)
    }
}

/// Class 20: when a write of the superblock never ends, the call that makes it and every later call
/// return an error. No call waits for ever.
#[test]
fn class_20_a_superblock_that_hangs_is_told() {
    let hangs = Arc::new((Mutex::new(false), Condvar::new()));
    let medium = Hanging(MemoryMedium::new(), Arc::clone(&hangs));
    let options = LayeredOptions::default().call_timeout(Duration::from_millis(300)).pack_bytes(1);
    let store = LayeredStore::open(move || Ok(Box::new(medium)), &options).unwrap();
    store.append(&block_of(0, 0, 300)).unwrap();
    store.sync().unwrap();
    *hangs.0.lock().unwrap() = true;
    // A full pack makes the store sync the superblock.
    let put = store.put(&[checkpoint(&id("alice"), 1, 900)]);
    assert!(matches!(put, Err(StoreError::Hung { .. })), "{put:?}");
    assert_eq!(store.extent().unwrap().acknowledged, Lsn::new(1));
    let append = store.append(&block_of(1, 1, 300));
    assert!(matches!(append, Err(StoreError::Poisoned { .. })), "{append:?}");
    assert!(matches!(store.sync(), Err(StoreError::Poisoned { .. })));
    assert!(store.read(Lsn::FIRST).unwrap().is_some());
    *hangs.0.lock().unwrap() = false;
    hangs.1.notify_all();
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize, bool),
    Cut(u64),
    Put(u64, usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (300..90_000_usize, any::<bool>()).prop_map(|(bytes, sync)| Step::Append(bytes, sync)),
        1 => (0..64_u64).prop_map(Step::Cut),
        3 => (0..9_u64, prop_oneof![Just(0_usize), 100..70_000_usize, Just(1_200_000)]).prop_map(|(actor, bytes)| Step::Put(actor, bytes)),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// It does the same as the store in memory.
    #[test]
    fn a_store_over_a_medium_is_like_the_store_in_memory(steps in steps()) {
        let medium = MemoryMedium::new();
        let mut store = open(&medium).unwrap();
        let mut model = relive_storage::MemoryStore::new();
        let (mut next, mut number) = (0_u64, 0);
        for step in steps {
            match step {
                Step::Append(bytes, sync) => {
                    let block = block_of(next, store.extent().unwrap().acknowledged.get(), bytes);
                    store.append(&block).unwrap();
                    model.append(&block).unwrap();
                    next = block.header().next().get();
                    if sync {
                        store.sync().unwrap();
                        model.sync().unwrap();
                    }
                }
                Step::Cut(part) => {
                    let below = Lsn::new(next * part / 64);
                    prop_assert_eq!(store.cut(below).unwrap(), model.cut(below).unwrap());
                }
                Step::Put(actor, bytes) => {
                    number += 1;
                    let put = [checkpoint(&id(&actor.to_string()), number, bytes)];
                    store.put(&put).unwrap();
                    model.put(&put).unwrap();
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&medium).unwrap();
                    model = model.reopen();
                    next = store.extent().unwrap().acknowledged.get();
                }
            }
            let (found, expected) = (store.extent().unwrap(), model.extent().unwrap());
            prop_assert_eq!((found.start, found.acknowledged), (expected.start, expected.acknowledged));
        }
        // A read may miss a block that was appended and not synced.
        store.sync().unwrap();
        model.sync().unwrap();
        prop_assert_eq!(conformance::Content::read(&store).unwrap(), conformance::Content::read(&model).unwrap());
    }
}
