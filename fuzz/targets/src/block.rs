//! `Block::decode` and the frames of what it lets in: once as the bytes are, once with all
//! checksums repaired.

use bytes::Bytes;
use relive_storage::{Block, Log, MemoryStore, StoreError, scan};

use crate::{hostile, repair};

/// Runs one input.
///
/// # Panics
/// When a decoder, or the scan of a log of such blocks, breaks its promise.
pub fn run(input: &[u8]) {
    decode(input.to_vec());
    if let Some((header, frames)) = input.split_first_chunk() {
        decode(repair::block(header, frames));
        decode(repair::block(header, &repair::frames(frames)));
    }
}

fn decode(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    let Ok(block) = Block::decode(bytes.clone()) else { return };
    assert_eq!(*block.bytes(), bytes);
    let again = Block::seal(block.header(), bytes.to_vec());
    assert!(again == block, "a block changed when it was sealed again");
    hostile::read(&block);
    scan_it(&block);
}

/// As the only block of a log it is taken whole or refused, and the scan reads what the block
/// itself gives.
fn scan_it(block: &Block) {
    let store = MemoryStore::new();
    if store.append(block).is_err() {
        return;
    }
    store.sync().expect("memory takes what it has admitted");
    let mut frames = Vec::new();
    let scanned = scan(&store, &mut |_, frame| {
        frames.push(frame);
        Ok(())
    });
    let own: Result<Vec<_>, _> = block.frames().collect();
    match (scanned, own) {
        (Ok(scanned), Ok(own)) => {
            assert_eq!(own, frames);
            assert_eq!((scanned.next, scanned.torn), (block.header().next(), None));
        }
        (Err(StoreError::CorruptLog { .. }), _) => {}
        (scanned, own) => panic!("a scan says {scanned:?} of a block with {own:?}"),
    }
}
