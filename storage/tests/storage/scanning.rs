//! Invariant: prefix. What a scan takes for the end of a log, and what for damage. The test decides
//! what the medium answers.

use relive_storage::conformance::{block, id};
use relive_storage::{
    Block, BlockHeader, Durability, Epoch, Extent, FrameWriter, Log, Lsn, Name, Rsn, StoreError, StoreId,
    StoredBlock, Timestamp, record::Sender, scan,
};

/// Gives back its blocks, whatever they are.
struct Told {
    acknowledged: Lsn,
    blocks: Vec<StoredBlock>,
}

impl Told {
    fn new(acknowledged: u64, blocks: &[Block]) -> Self {
        let stored = |block: &Block| StoredBlock { first: block.header().first, block: Ok(block.clone()) };
        Self { acknowledged: Lsn::new(acknowledged), blocks: blocks.iter().map(stored).collect() }
    }

    fn damaged(mut self, at: usize) -> Self {
        self.blocks[at].block = Err("told to be".to_owned());
        self
    }

    fn scan(&self) -> Result<relive_storage::Scanned, StoreError> {
        scan(self, &mut |_, _| Ok(()))
    }

    fn corrupt_at(&self) -> Lsn {
        match self.scan() {
            Err(StoreError::CorruptLog { at, .. }) => at,
            other => panic!("{other:?}"),
        }
    }
}

impl Log for Told {
    fn extent(&self) -> Result<Extent, StoreError> {
        let (store, durability) = (StoreId::new(1), Durability::PowerLoss);
        Ok(Extent {
            store,
            durability,
            start: Lsn::FIRST,
            acknowledged: self.acknowledged,
            epoch: Epoch::new(1),
        })
    }
    fn append(&self, _block: &Block) -> Result<(), StoreError> {
        unreachable!("a scan writes nothing")
    }
    fn sync(&self) -> Result<(), StoreError> {
        unreachable!("a scan writes nothing")
    }
    fn read(&self, from: Lsn) -> Result<Option<StoredBlock>, StoreError> {
        Ok(self.blocks.iter().find(|stored| stored.first >= from).cloned())
    }
    fn cut(&self, _below: Lsn) -> Result<Lsn, StoreError> {
        unreachable!("a scan writes nothing")
    }
}

/// Four blocks of two records each, written one after the other.
fn four() -> Vec<Block> {
    (0..4).map(|nth| block(nth * 2, 2, nth * 2, 1)).collect()
}

#[test]
fn a_whole_log_is_whole() {
    let scanned = Told::new(8, &four()).scan().unwrap();
    assert_eq!((scanned.next, scanned.blocks, scanned.torn), (Lsn::new(8), 4, None));
}

#[test]
fn a_block_that_is_missing_in_the_middle_is_damage() {
    let mut blocks = four();
    blocks.remove(1);
    assert_eq!(Told::new(8, &blocks).corrupt_at(), Lsn::new(2));
    // Also when the acknowledged position does not cover it: the blocks after it say that it was
    // durable.
    assert_eq!(Told::new(2, &blocks).corrupt_at(), Lsn::new(2));
}

#[test]
fn a_block_that_overlaps_the_one_before_is_damage() {
    let blocks = [block(0, 3, 0, 1), block(2, 2, 2, 1), block(4, 1, 4, 1)];
    assert_eq!(Told::new(5, &blocks).corrupt_at(), Lsn::new(3));
}

#[test]
fn an_end_below_what_was_acknowledged_is_a_loss() {
    let lost = Told::new(9, &four()).scan();
    let is_loss = |acknowledged, found| (acknowledged, found) == (Lsn::new(9), Lsn::new(8));
    assert!(
        matches!(lost, Err(StoreError::LostAcknowledged { acknowledged, found }) if is_loss(acknowledged, found))
    );
}

#[test]
fn a_damaged_block_is_the_end_only_when_nobody_was_told_of_it() {
    // Acknowledged up to its end, and up to its middle.
    for acknowledged in [8, 7] {
        assert_eq!(Told::new(acknowledged, &four()).damaged(3).corrupt_at(), Lsn::new(6));
    }
    let torn = Told::new(6, &four()).damaged(3).scan().unwrap();
    assert_eq!((torn.next, torn.torn.as_deref()), (Lsn::new(6), Some("told to be")));
    // A block of the same sync, which no other block calls durable, is torn as well.
    let mut blocks = four();
    blocks[3] = block(6, 2, 4, 1);
    let torn = Told::new(4, &blocks).damaged(2).scan().unwrap();
    assert_eq!((torn.next, torn.torn.is_some()), (Lsn::new(4), true));
}

#[test]
fn a_damaged_block_that_a_later_one_calls_durable_is_damage() {
    assert_eq!(Told::new(2, &four()).damaged(2).corrupt_at(), Lsn::new(4));
}

/// An older part of the log in the place of a newer one.
#[test]
fn an_incarnation_that_goes_back_is_damage() {
    let blocks = [block(0, 2, 0, 2), block(2, 2, 2, 1)];
    assert_eq!(Told::new(4, &blocks).corrupt_at(), Lsn::new(2));
    let blocks = [block(0, 2, 0, 1), block(2, 2, 2, 2)];
    assert_eq!(Told::new(4, &blocks).scan().unwrap().epoch, Epoch::new(2));
}

/// Positions are whole, but the deliveries of an actor are not.
#[test]
fn a_gap_in_the_deliveries_of_an_actor_is_damage() {
    let deliveries = |first: u64, rsn: u64| {
        let (mut buffer, mut writer) = (Vec::new(), FrameWriter::new());
        Block::reserve_header(&mut buffer);
        writer.put_delivery(Rsn::new(rsn), &Sender::Outside, false, &Name::from_static("add"), b"\xc0");
        writer.finish(Some(&id("alice")), Rsn::NONE, Rsn::NONE, &[]).append_to(&mut buffer);
        let (first, clock) = (Lsn::new(first), Timestamp::from_micros(0));
        let header = BlockHeader { first, records: 1, durable: first, epoch: Epoch::new(1), clock, seed: 0 };
        Block::seal(header, buffer)
    };
    for (second, third, at) in [(6, 8, 2), (7, 8, 1), (5, 6, 1), (6, 6, 2)] {
        let blocks = [deliveries(0, 5), deliveries(1, second), deliveries(2, third)];
        assert_eq!(Told::new(3, &blocks).corrupt_at(), Lsn::new(at), "5, {second}, {third}");
    }
    assert!(Told::new(2, &[deliveries(0, 5), deliveries(1, 6)]).scan().is_ok(), "it may begin anywhere");
}
