//! The store on sled and the store in memory side by side: whatever is done to both, in any order,
//! through reopenings and crashes, they answer the same.
//!
//! A crash is that of the process: the store goes on with a copy of the files as they were while it
//! was open.

use std::mem::discriminant;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use arbitrary::Unstructured;
use relive_storage::conformance::{block, checkpoint, id};
use relive_storage::record::{Event, EventKind};
use relive_storage::{
    ActorId, Block, BlockHeader, CheckpointHeader, CheckpointStore, Durability, Epoch, Frame, FrameWriter,
    Generation, LayeredStore, Log, Lsn, MemoryStore, Name, Rsn, Scanned, Store, StoreError, StoreOptions,
    scan,
};
use relive_storage_sled::open_store;
use tempfile::TempDir;

/// Runs one input.
///
/// # Panics
/// When the two differ.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let power_loss = input.arbitrary::<u8>().is_ok_and(|byte| byte % 4 == 0);
    let mut pair = Pair::open(if power_loss { Durability::PowerLoss } else { Durability::ProcessCrash });
    let mut openings = 0;
    for _ in 0..OPERATIONS_MAX {
        let (false, Ok([what, a, b])) = (input.is_empty(), input.arbitrary::<[u8; 3]>()) else { break };
        match what % 16 {
            0..=4 => pair.append(pair.next(a), a, b),
            5 => pair.append(
                Lsn::new(pair.next(0).get().wrapping_add_signed(i64::from(a.cast_signed()))),
                0,
                b,
            ),
            6..=8 => pair.sync(),
            9 => pair.cut(a),
            10 | 11 => pair.put(a, b),
            12 => {
                pair.sync();
                pair.compare();
            }
            _ if openings == OPENINGS_MAX => {}
            13 | 14 => {
                openings += 1;
                pair.reopen();
            }
            _ => {
                openings += 1;
                pair.crash();
            }
        }
    }
    pair.reopen();
}

struct Pair {
    /// Taken out only while it is opened anew.
    open: Option<LayeredStore>,
    memory: MemoryStore,
    root: TempDir,
    tier: Durability,
    /// Written in each block; goes up with each opening.
    epoch: u64,
    highest: u64,
    /// All that was ever appended, replaced or not.
    written: Vec<Block>,
}

impl Pair {
    fn open(tier: Durability) -> Self {
        let root = tempfile::tempdir().expect("a directory for the store");
        let open = Some(open(&data(&root), tier));
        Self { open, memory: MemoryStore::new(), root, tier, epoch: 1, highest: 0, written: Vec::new() }
    }

    fn sled(&self) -> &LayeredStore {
        self.open.as_ref().expect("it is open")
    }

    /// Where the next block belongs: after everything stored, or over what nobody was told about.
    fn next(&self, choice: u8) -> Lsn {
        let extent = self.memory.extent().expect("the extent");
        let end = blocks(&self.memory).last().map_or(extent.start, |block| block.header().next());
        if choice & 0x80 == 0 { end } else { extent.acknowledged }
    }

    fn append(&mut self, first: Lsn, a: u8, b: u8) {
        let durable = self.memory.extent().expect("the extent").acknowledged.min(first).get();
        let records = u32::from(a % 5) + 1;
        let block = if a & 0x40 == 0 {
            block(first.get(), records, durable, self.epoch)
        } else {
            large_block(block(first.get(), records, durable, self.epoch).header(), b)
        };
        self.append_both(&block);
    }

    fn append_both(&mut self, block: &Block) {
        self.written.push(block.clone());
        let answers = (self.sled().append(block), self.memory.append(block));
        assert!(alike(&answers.0, &answers.1), "append at {}: {answers:?}", block.header().first);
    }

    fn sync(&mut self) {
        self.sled().sync().expect("sled syncs");
        self.memory.sync().expect("memory syncs");
        self.compare_extents();
    }

    fn cut(&mut self, a: u8) {
        let start = self.memory.extent().expect("the extent").start;
        let below = start.plus(u64::from(a));
        let answers = (self.sled().cut(below), self.memory.cut(below));
        assert_eq!(answers.0.expect("sled cuts"), answers.1.expect("memory cuts"), "cut below {below}");
    }

    fn put(&mut self, a: u8, b: u8) {
        // Sometimes a number that was there before.
        let number = if a & 0x80 == 0 { self.highest + 1 + u64::from(a >> 5) } else { u64::from(b) };
        let checkpoint = checkpoint(&actor(a), number, usize::from(b) * CHECKPOINT_BYTES_STEP);
        let put = [checkpoint];
        let answers = (self.sled().put(&put), self.memory.put(&put));
        assert!(alike(&answers.0, &answers.1), "put of {number}: {answers:?}");
        if answers.0.is_ok() {
            self.highest = number;
        }
    }

    fn reopen(&mut self) {
        let old = self.open.take().expect("it is open");
        old.close().expect("sled closes");
        self.open = Some(open(&data(&self.root), self.tier));
        self.memory = self.memory.reopen();
        self.epoch += 1;
        self.compare();
    }

    fn crash(&mut self) {
        let root = tempfile::tempdir().expect("a directory for the store");
        copy(&data(&self.root), &data(&root));
        drop(self.open.take());
        self.open = Some(open(&data(&root), self.tier));
        self.root = root;
        self.memory.crash();
        self.memory = self.memory.reopen();
        // What was not acknowledged may be there up to any point, also to the middle of a block;
        // and what it replaced may be there in its place.
        let acknowledged = self.memory.extent().expect("the extent").acknowledged;
        let mut next = acknowledged;
        let mut whole = true;
        while let Some(found) = self.sled().read(next).expect("sled reads") {
            let Ok(block) = found.block else {
                whole = false;
                break;
            };
            whole &= found.first == next;
            assert!(self.written.contains(&block), "a block at {} that nobody wrote", found.first);
            if !whole {
                break;
            }
            self.memory.append(&block).expect("memory takes it again");
            next = block.header().next();
        }
        self.memory = self.memory.reopen();
        self.epoch += 1;
        if !whole {
            let (_, torn) = scanned(self.sled());
            assert!(torn.torn.is_some() && torn.next == next, "the torn tail at {next}: {torn:?}");
            self.append_both(&block(next.get(), 1, acknowledged.get(), self.epoch));
            self.sync();
        }
        self.compare();
    }

    /// Needs a sync since the last append: before it a block may be there to be read, or not.
    fn compare(&self) {
        self.compare_extents();
        let (frames, mut found) = scanned(self.sled());
        let (expected_frames, expected) = scanned(&self.memory);
        // An incarnation of which a crash left nothing else may be forgotten, or not.
        assert!(found.epoch <= expected.epoch);
        found.epoch = expected.epoch;
        assert_eq!(found, expected, "the scans differ");
        assert!(frames == expected_frames, "the frames differ");
        for from in (0..=expected.next.get()).rev().take(READS_MAX).map(Lsn::new) {
            let answers =
                (self.sled().read(from).expect("sled reads"), self.memory.read(from).expect("memory reads"));
            assert!(answers.0 == answers.1, "read from {from}");
        }
        assert_eq!(headers(self.sled()), headers(&self.memory), "the lists differ");
        for actor in (0..ACTORS).map(actor) {
            for generation in [Generation::Newest, Generation::Previous] {
                let found = self.sled().get(&actor, generation).expect("sled gets");
                let expected = self.memory.get(&actor, generation).expect("memory gets");
                assert!(found == expected, "the {generation:?} checkpoint of {actor} differs");
            }
        }
    }

    fn compare_extents(&self) {
        let sled = self.sled().extent().expect("the extent");
        let memory = self.memory.extent().expect("the extent");
        assert_eq!((sled.start, sled.acknowledged), (memory.start, memory.acknowledged));
        assert!(sled.epoch <= memory.epoch && memory.epoch <= Epoch::new(self.epoch));
    }
}

fn open(path: &Path, tier: Durability) -> LayeredStore {
    open_store(path, &StoreOptions::default().durability(tier)).expect("sled opens")
}

fn data(root: &TempDir) -> PathBuf {
    root.path().join("data")
}

/// The files as they are at one moment: until nothing was written while they were copied.
fn copy(from: &Path, to: &Path) {
    for _ in 0..COPIES_MAX {
        let files = read_all(from);
        if files == read_all(from) {
            fs::create_dir_all(to).expect("a directory");
            for (name, bytes) in files {
                fs::write(to.join(name), bytes).expect("a copy");
            }
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the store does not stop to write");
}

fn read_all(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("the store's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.filter(|path| path.is_file());
    let read = files.map(|path| {
        let bytes = fs::read(&path).unwrap_or_default();
        (PathBuf::from(path.file_name().expect("a file has a name")), bytes)
    });
    let mut all: Vec<_> = read.collect();
    all.sort();
    all
}

/// A block with events of up to more bytes than a value of the store on sled has.
fn large_block(header: BlockHeader, b: u8) -> Block {
    let mut buffer = Vec::new();
    Block::reserve_header(&mut buffer);
    let mut writer = FrameWriter::new();
    for index in 0..header.records {
        let outcome = vec![b ^ header.first.get().to_le_bytes()[0]; usize::from(b) * OUTCOME_BYTES_STEP];
        let name = Name::from_static("filler");
        writer.put_event(&Event {
            rsn: Rsn::new(1),
            index,
            kind: EventKind::SideEffect,
            name,
            outcome: outcome.into(),
            clock: None,
        });
    }
    writer.finish(Some(&actor(b)), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
    Block::seal(header, buffer)
}

fn alike(a: &Result<(), StoreError>, b: &Result<(), StoreError>) -> bool {
    match (a, b) {
        (Ok(()), Ok(())) => true,
        (Err(a), Err(b)) => discriminant(a) == discriminant(b) && matches!(a, StoreError::Misuse { .. }),
        _ => false,
    }
}

fn blocks(store: &dyn Store) -> Vec<Block> {
    let mut found = Vec::new();
    let mut next = Lsn::FIRST;
    while let Some(stored) = store.read(next).expect("the store reads") {
        let block = stored.block.expect("a whole block");
        next = block.header().next();
        found.push(block);
    }
    found
}

fn scanned(store: &dyn Store) -> (Vec<Frame>, Scanned) {
    let mut frames = Vec::new();
    let scanned = scan(store, &mut |_, frame| {
        frames.push(frame);
        Ok(())
    });
    (frames, scanned.expect("the log is whole"))
}

fn headers(store: &dyn Store) -> Vec<CheckpointHeader> {
    let mut headers = Vec::new();
    let listed = store.list(&mut |header| {
        headers.push(header);
        ControlFlow::Continue(())
    });
    listed.expect("the list is whole");
    headers.sort_by(|a, b| a.actor.cmp(&b.actor));
    headers
}

fn actor(choice: u8) -> ActorId {
    id(["alice", "bob", "carol"][usize::from(choice % ACTORS)])
}

const ACTORS: u8 = 3;
const OPERATIONS_MAX: usize = 48;
const OPENINGS_MAX: usize = 4;
const READS_MAX: usize = 24;
const COPIES_MAX: usize = 500;
const OUTCOME_BYTES_STEP: usize = 320;
const CHECKPOINT_BYTES_STEP: usize = 640;
