//! The stores that the cases damage. A script makes each of them twice: on a disk for the files,
//! and on the memory backend for the expected content. So the expectation never comes from the code
//! under test.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use relive::{Durability, Lsn};
use relive_storage::conformance::{Content, block, block_of, checkpoint, id};
use relive_storage::medium::{Medium, StreamId};
use relive_storage::{Block, LayeredStore, MemoryStore, Store, StoreError};
use relive_storage_sled::{SledMedium, open_store};

use super::bank_actors::{self, Books};
use super::image::Image;
use super::options::store_options;
use crate::harness::medium::StoreMedium;

/// The level at which a case opens and judges a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Store,
    Runtime,
}

/// A store that cases damage.
pub(super) struct Fixture {
    pub(super) name: &'static str,
    pub(super) medium: StoreMedium,
    pub(super) level: Level,
    /// Its files.
    pub(super) image: Image,
    /// Its files as they were some time before.
    pub(super) older: Image,
    pub(super) expected: Expected,
}

/// What the store must hold.
pub(super) enum Expected {
    Store(Stored),
    Runtime(Books),
}

/// What a store must give back.
pub(super) struct Stored {
    pub(super) now: Known,
    pub(super) before: Known,
    /// A block after all others of which the disk lost half, so that it does not count. If a
    /// corruption undoes the loss, the block may come back: the store acknowledged it to nobody,
    /// and it is what was written.
    pub(super) half: Option<Block>,
}

/// What the store held at a time, and up to which position it had acknowledged.
pub(super) struct Known {
    pub(super) content: Content,
    pub(super) acknowledged: Lsn,
}

/// Writes the files of all fixtures below a directory.
pub(super) fn build(root: &Path, medium: StoreMedium) -> Result<(), Box<dyn std::error::Error>> {
    for (name, script) in SCRIPTS {
        let root = root.join(name);
        let (live, older) = (root.join("live"), root.join("older"));
        let mut disk = OnDisk { medium, live, older, open: None, half: None };
        fs::create_dir_all(&root)?;
        disk.reopen()?;
        script(&mut disk)?;
        if medium == StoreMedium::SegmentFiles {
            // Appended blocks without a sync reach the files only now.
            drop(disk.open.take());
        }
        // Copies an open store as it is, as if its process had died there.
        Image::read_open(&disk.live)?.write(&root.join("store"))?;
        drop(disk.open.take());
        if let Some(half) = &disk.half {
            tear(&root.join("store"), medium, half)?;
        }
        fs::remove_dir_all(&disk.live)?;
    }
    for (name, closed) in BANK_STORES {
        bank_actors::build(&root.join(name), medium, *closed)?;
    }
    Ok(())
}

/// Reads all fixtures below a directory, and makes their models. The smallest is the first.
pub(super) fn load(root: &Path, medium: StoreMedium) -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let mut fixtures = Vec::new();
    let images = |name: &str| -> io::Result<_> {
        Ok((Image::read(&root.join(name).join("store"))?, Image::read(&root.join(name).join("older"))?))
    };
    for (name, script) in SCRIPTS {
        let (image, older) = images(name)?;
        let mut memory = InMemory { store: MemoryStore::new(), before: None, half: None };
        script(&mut memory)?;
        let now = known(&memory.store)?;
        let before = memory.before.ok_or("a script keeps an older copy")?;
        let expected = Expected::Store(Stored { now, before, half: memory.half });
        fixtures.push(Fixture { name, medium, level: Level::Store, image, older, expected });
    }
    for (name, _) in BANK_STORES {
        let (image, older) = images(name)?;
        let expected = Expected::Runtime(bank_actors::books());
        fixtures.push(Fixture { name, medium, level: Level::Runtime, image, older, expected });
    }
    Ok(fixtures)
}

type Done = Result<(), Box<dyn std::error::Error>>;
type Script = fn(&mut dyn Hand) -> Done;

const SCRIPTS: &[(&str, Script)] = &[
    ("tiny", tiny),
    ("closed", closed),
    ("young", young),
    ("open", open),
    ("torn", torn),
    ("cut", cut),
    ("generations", generations),
];

/// The stores of a runtime, and whether the runtime closed them.
const BANK_STORES: &[(&str, bool)] = &[("bank closed", true), ("bank open", false)];

fn tiny(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.write(hand.store(), 1, &[0])?;
    pen.put(hand.store(), 1, 50)?;
    hand.keep_older()?;
    pen.write(hand.store(), 1, &[0])?;
    hand.close()
}

/// Closed twice, with values of all sizes and some checkpoints.
fn closed(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.mixed(hand.store(), 12)?;
    hand.close()?;
    hand.keep_older()?;
    hand.reopen()?;
    pen.mixed(hand.store(), 16)?;
    hand.close()
}

/// Never closed, with an unacknowledged tail.
fn young(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.mixed(hand.store(), 12)?;
    hand.keep_older()?;
    pen.mixed(hand.store(), 16)?;
    pen.untold(hand.store(), 300)
}

/// Closed once, then opened again: sled has a snapshot, and more than the snapshot holds.
fn open(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.mixed(hand.store(), 12)?;
    hand.close()?;
    hand.reopen()?;
    pen.mixed(hand.store(), 6)?;
    hand.keep_older()?;
    pen.mixed(hand.store(), 10)?;
    pen.untold(hand.store(), 70_000)
}

/// Ends in half of an unacknowledged block.
fn torn(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.mixed(hand.store(), 12)?;
    hand.keep_older()?;
    pen.mixed(hand.store(), 9)?;
    hand.append_half(&block_of(pen.next, pen.next, 70_000))?;
    Ok(pen.put(hand.store(), 2, 200)?)
}

/// The store has cut most of the log, and removed it.
fn cut(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    for _ in 0..4 {
        pen.write(hand.store(), 40, &[17_000])?;
        pen.put(hand.store(), 3, 900)?;
        hand.store().cut(Lsn::new(pen.next - 6))?;
    }
    hand.keep_older()?;
    pen.write(hand.store(), 40, &[17_000, 0, 500])?;
    pen.put(hand.store(), 1, 900)?;
    hand.store().cut(Lsn::new(pen.next - 20))?;
    Ok(pen.write(hand.store(), 3, &[0])?)
}

/// Many checkpoints of few actors, over several openings.
fn generations(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    for opening in 0..4 {
        for size in [300, 3_000, 20_000, 700] {
            pen.write(hand.store(), 1, &[size])?;
            pen.put(hand.store(), 3, size)?;
        }
        if opening == 2 {
            hand.store().cut(Lsn::new(pen.next - 3))?;
            hand.keep_older()?;
        }
        hand.close()?;
        hand.reopen()?;
    }
    pen.put(hand.store(), 2, 1_000)?;
    Ok(pen.write(hand.store(), 2, &[0])?)
}

/// The progress of a script.
#[derive(Default)]
struct Pen {
    /// The position of the next record.
    next: u64,
    /// The number of the last checkpoint.
    number: u64,
}

impl Pen {
    /// Appends blocks of these sizes in turn, each acknowledged; 0 stands for the smallest.
    fn write(&mut self, store: &dyn Store, count: usize, sizes: &[usize]) -> Result<(), StoreError> {
        for size in sizes.iter().cycle().take(count) {
            self.append(store, *size)?;
            store.sync()?;
        }
        Ok(())
    }

    fn append(&mut self, store: &dyn Store, size: usize) -> Result<(), StoreError> {
        let next = self.next;
        let block = if size == 0 { block(next, 3, next, 1) } else { block_of(next, next, size) };
        store.append(&block)?;
        self.next = block.header().next().get();
        Ok(())
    }

    /// Puts the next checkpoints, one for each of `actors` actors in turn.
    fn put(&mut self, store: &dyn Store, actors: u64, bytes: usize) -> Result<(), StoreError> {
        for _ in 0..actors {
            self.number += 1;
            store.put(&[checkpoint(&id(&format!("actor {}", self.number % 5)), self.number, bytes)])?;
        }
        Ok(())
    }

    /// A little of everything.
    fn mixed(&mut self, store: &dyn Store, count: usize) -> Result<(), StoreError> {
        for step in 0..count {
            self.write(store, 1, &[[0, 0, 900, 0, 20_000, 0, 0, 63_000][step % 8]])?;
            match step % 6 {
                2 | 4 => self.put(store, 1, 400 * step)?,
                5 => drop(store.cut(Lsn::new(self.next / 3))?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends an unacknowledged block, which reaches the files with a checkpoint after it.
    fn untold(&mut self, store: &dyn Store, size: usize) -> Done {
        self.append(store, size)?;
        arrive(store)?;
        Ok(self.put(store, 1, 300)?)
    }
}

/// The store on which a script acts.
trait Hand {
    fn store(&self) -> &dyn Store;
    fn close(&mut self) -> Done;
    fn reopen(&mut self) -> Done;
    /// Keeps a copy of the present store as the older one.
    fn keep_older(&mut self) -> Done;
    /// Appends a block of which the disk loses half in the end.
    fn append_half(&mut self, block: &Block) -> Done;
}

struct OnDisk {
    medium: StoreMedium,
    live: PathBuf,
    older: PathBuf,
    open: Option<LayeredStore>,
    half: Option<Block>,
}

impl Hand for OnDisk {
    fn store(&self) -> &dyn Store {
        self.open.as_ref().expect("scripts reopen what they closed")
    }

    fn close(&mut self) -> Done {
        Ok(self.open.take().map_or(Ok(()), LayeredStore::close)?)
    }

    fn reopen(&mut self) -> Done {
        self.open = Some(open_store(&self.live, &store_options().medium(Some(self.medium.into())))?);
        Ok(())
    }

    fn keep_older(&mut self) -> Done {
        Ok(Image::read_open(&self.live)?.write(&self.older)?)
    }

    fn append_half(&mut self, block: &Block) -> Done {
        self.half = Some(block.clone());
        self.store().append(block)?;
        Ok(arrive(self.store())?)
    }
}

/// Waits until the medium has all appended blocks: the store cuts after it appends, and a cut that
/// removes nothing acknowledges nothing.
fn arrive(store: &dyn Store) -> Result<(), StoreError> {
    store.cut(Lsn::new(0)).map(drop)
}

struct InMemory {
    store: MemoryStore,
    before: Option<Known>,
    half: Option<Block>,
}

impl Hand for InMemory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn close(&mut self) -> Done {
        Ok(())
    }

    fn reopen(&mut self) -> Done {
        self.store = self.store.reopen();
        Ok(())
    }

    fn keep_older(&mut self) -> Done {
        self.before = Some(known(&self.store)?);
        Ok(())
    }

    fn append_half(&mut self, block: &Block) -> Done {
        self.half = Some(block.clone());
        Ok(())
    }
}

fn known(store: &dyn Store) -> Result<Known, StoreError> {
    Ok(Known { content: Content::read(store)?, acknowledged: store.extent()?.acknowledged })
}

/// Takes the last block out of the log without the store. On files it zeroes the second half of the
/// block; on sled it removes the whole block, because sled itself drops a write that is not whole.
fn tear(directory: &Path, medium: StoreMedium, block: &Block) -> Done {
    if medium == StoreMedium::SegmentFiles {
        let bytes = block.bytes();
        for (name, mut content) in Image::read(directory)?.0 {
            if let Some(at) = content.windows(bytes.len()).position(|window| window == &bytes[..]) {
                content[at + bytes.len() / 2..at + bytes.len()].fill(0);
                return Ok(fs::write(directory.join(name), content)?);
            }
        }
        return Err("the last block is in no file".into());
    }
    let medium = SledMedium::open(directory, Durability::ProcessCrash)?;
    let log = StreamId(0);
    let end = medium.streams()?.get(&log).map(|positions| positions.end);
    medium.remove_from(log, end.and_then(|end| end.checked_sub(1)).ok_or("the log has a value")?)?;
    Ok(medium.close()?)
}
