//! How much disk space a store takes, and where.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use relive_storage::conformance::{block_of, checkpoint, id};
use relive_storage::{Block, BlockHeader, CheckpointStore, Durability, Log, Lsn, scan};
use relive_storage_sled::open_store;

use crate::content::options;

const LOGGED: u64 = 48 << 20;
/// The most that the log keeps: this much below its end, and one step of a removal.
const WINDOW: u64 = 8 << 20;
const STEP: u64 = 4 << 20;
/// The test cuts the log and writes a checkpoint each time it has logged this many bytes.
const EACH: u64 = 3 << 20;
const CHECKPOINT_BYTES: usize = 500_000;

/// sled syncs no blob, and would write a blob of a leaf again and again.
#[test]
fn no_blob_is_made_and_what_is_cut_is_used_again() {
    let sizes: [&[usize]; 4] = [
        &[1 << 20],
        // The most bytes that fit into one part, and the fewest that need two.
        &[61_424, 61_425, 16_000, 16_400],
        &[900, 40_000, 130, 300_000, 5_000, 1 << 20],
        &[12_000],
    ];
    for sizes in sizes {
        let root = tempfile::tempdir().unwrap();
        let options = options().durability(Durability::ProcessCrash);
        let mut store = open_store(root.path(), &options).unwrap();
        let samples: Vec<_> = sizes.iter().map(|bytes| block_of(0, 0, *bytes)).collect();
        let (mut next, mut logged, mut due, mut number) = (Lsn::FIRST, 0, EACH, 0);
        let mut kept = VecDeque::new();
        for (sample, step) in samples.iter().cycle().zip(0_u64..) {
            let header = BlockHeader { first: next, ..sample.header() };
            let block = Block::seal(header, sample.bytes().to_vec());
            store.append(&block).unwrap();
            store.sync().unwrap();
            logged += block.bytes().len() as u64;
            kept.push_back((next, logged));
            next = block.header().next();
            // In between come reopenings, and checkpoints of other ages.
            if logged >= due {
                due += EACH;
                number += 1;
                let actor = id(&(number % 3 * number % 7).to_string());
                store.put(&[checkpoint(&actor, number, CHECKPOINT_BYTES)]).unwrap();
                while kept.front().is_some_and(|(_, end)| end + WINDOW < logged) {
                    kept.pop_front();
                }
                assert_eq!(store.cut(kept[0].0).unwrap(), kept[0].0);
                assert_eq!(blobs(root.path()), 0, "{sizes:?} at {logged}");
            }
            if step % 400 == 399 {
                store.close().unwrap();
                store = open_store(root.path(), &options).unwrap();
            }
            if logged > LOGGED {
                break;
            }
        }
        assert_eq!(blobs(root.path()), 0, "{sizes:?}");
        let checkpoints = 7 * 2 * CHECKPOINT_BYTES as u64;
        let disk = fs::metadata(root.path().join("db")).unwrap().len();
        let live = WINDOW + STEP + checkpoints;
        println!("{sizes:?}: {} MB on disk for up to {} MB", disk >> 20, live >> 20);
        let scanned = scan(&store, &mut |_, _| Ok(())).unwrap();
        assert_eq!((scanned.start, scanned.next), (kept[0].0, next));
        assert!(disk < live * 2, "{sizes:?}: {disk} bytes");
    }
}

fn blobs(store: &Path) -> usize {
    fs::read_dir(store.join("blobs")).unwrap().count()
}
