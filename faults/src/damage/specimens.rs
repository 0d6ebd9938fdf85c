//! The stores that are damaged. Each is made by a script, which is run on a disk for the files, and on the memory backend
//! for what must be in them: so what is expected never comes from the code that is tested.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use relive::storage::conformance::{Content, block, block_of, checkpoint, id};
use relive::storage::medium::{Medium, StreamId};
use relive::storage::{Block, LayeredStore, MemoryStore, SledMedium, Store, StoreError, open_store};
use relive::{Durability, Lsn};

use super::bank::{self, Books};
use super::image::Image;
use super::judge;
use crate::kept::Kept;

/// At which level a store is opened and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Store,
    Runtime,
}

/// A store to be damaged.
pub(super) struct Specimen {
    pub(super) name: &'static str,
    pub(super) medium: Kept,
    pub(super) level: Level,
    /// Its files.
    pub(super) image: Image,
    /// Its files as they were some time before.
    pub(super) older: Image,
    pub(super) expected: Expected,
}

/// What must be in it.
pub(super) enum Expected {
    Store(Stored),
    Runtime(Books),
}

/// What a store must give back.
pub(super) struct Stored {
    pub(super) now: Known,
    pub(super) before: Known,
    /// A block after all of them of which half was lost, so that it does not count. If the loss itself is undone it is
    /// there: nobody was told about it, and it is what was written.
    pub(super) half: Option<Block>,
}

/// What was stored at a time, and up to where it was acknowledged.
pub(super) struct Known {
    pub(super) content: Content,
    pub(super) acknowledged: Lsn,
}

/// Makes the files of all specimens below a directory.
pub(super) fn build(root: &Path, medium: Kept) -> Result<(), Box<dyn std::error::Error>> {
    for (name, script) in SCRIPTS {
        let root = root.join(name);
        let (live, older) = (root.join("live"), root.join("older"));
        let mut disk = OnDisk { medium, live, older, open: None, half: None };
        fs::create_dir_all(&root)?;
        disk.reopen()?;
        script(&mut disk)?;
        if medium == Kept::SegmentFiles {
            // What was appended and not synced comes into the files only now.
            drop(disk.open.take());
        }
        // What is open is copied as it is, as if its process had died there.
        Image::read_open(&disk.live)?.write(&root.join("store"))?;
        drop(disk.open.take());
        if let Some(half) = &disk.half {
            tear(&root.join("store"), medium, half)?;
        }
        fs::remove_dir_all(&disk.live)?;
    }
    for (name, closed) in BANKS {
        bank::build(&root.join(name), medium, *closed)?;
    }
    Ok(())
}

/// Reads all specimens below a directory, and makes their models. The smallest is the first.
pub(super) fn load(root: &Path, medium: Kept) -> Result<Vec<Specimen>, Box<dyn std::error::Error>> {
    let mut specimens = Vec::new();
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
        specimens.push(Specimen { name, medium, level: Level::Store, image, older, expected });
    }
    for (name, _) in BANKS {
        let (image, older) = images(name)?;
        let expected = Expected::Runtime(bank::books());
        specimens.push(Specimen { name, medium, level: Level::Runtime, image, older, expected });
    }
    Ok(specimens)
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

/// Stores of a runtime, and whether they were closed.
const BANKS: &[(&str, bool)] = &[("bank closed", true), ("bank open", false)];

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

/// Never closed, with a tail that nobody was told about.
fn young(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.mixed(hand.store(), 12)?;
    hand.keep_older()?;
    pen.mixed(hand.store(), 16)?;
    pen.untold(hand.store(), 300)
}

/// Closed once, and then open: sled has a snapshot, and more than it.
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

/// Ends in half of a block that nobody was told about.
fn torn(hand: &mut dyn Hand) -> Done {
    let mut pen = Pen::default();
    pen.mixed(hand.store(), 12)?;
    hand.keep_older()?;
    pen.mixed(hand.store(), 9)?;
    hand.append_half(&block_of(pen.next, pen.next, 70_000))?;
    Ok(pen.put(hand.store(), 2, 200)?)
}

/// Most of the log was cut, and removed.
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

/// Where a script has come to.
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

    /// Puts the next checkpoints, of so many actors in turn.
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

    /// A block that nobody was told about, and that came into the files with a checkpoint after it.
    fn untold(&mut self, store: &dyn Store, size: usize) -> Done {
        self.append(store, size)?;
        arrive(store)?;
        Ok(self.put(store, 1, 300)?)
    }
}

/// What a script acts on.
trait Hand {
    fn store(&self) -> &dyn Store;
    fn close(&mut self) -> Done;
    fn reopen(&mut self) -> Done;
    /// Keeps a copy of all there is now, as the older one.
    fn keep_older(&mut self) -> Done;
    /// Appends a block of which half is lost in the end.
    fn append_half(&mut self, block: &Block) -> Done;
}

struct OnDisk {
    medium: Kept,
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
        self.open = Some(open_store(&self.live, &judge::options().medium(Some(self.medium.into())))?);
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

/// Waits until what was appended is with the medium: a cut that cuts nothing comes after it, and acknowledges nothing.
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

/// Takes the last block out of the log behind the back of the store: on files its second half, which reads as zeros then; on
/// sled all of it, as sled itself drops a write that is not whole.
fn tear(directory: &Path, medium: Kept, block: &Block) -> Done {
    if medium == Kept::SegmentFiles {
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
