//! Writes commits and says how long they took, on average with the cuts between them, and without:
//! `commits <power-loss|process-crash> <count> <directory> [<bytes of a block>]`. Cuts what is a
//! hundred commits old.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

use std::time::Instant;

use relive_storage::conformance::block_of;
use relive_storage::{Block, BlockHeader, Durability, Log, Lsn, StoreOptions, scan};
use relive_storage_sled::open_store;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "commits <power-loss|process-crash> <count> <directory> [<bytes of a block>]";
    let mut arguments = std::env::args().skip(1);
    let tier = match arguments.next().ok_or(usage)?.as_str() {
        "power-loss" => Durability::PowerLoss,
        "process-crash" => Durability::ProcessCrash,
        _ => return Err(usage.into()),
    };
    let count: u32 = arguments.next().ok_or(usage)?.parse()?;
    let directory = arguments.next().ok_or(usage)?;
    let bytes: usize = arguments.next().map_or(Ok(128), |bytes| bytes.parse())?;

    let store = open_store(directory, &StoreOptions::default().durability(tier))?;
    let mut next = scan(&store, &mut |_, _| Ok(()))?.next;
    let sample = block_of(next.get(), next.get(), bytes);
    let length = u64::from(sample.header().records);
    let mut micros = Vec::new();
    let since = Instant::now();
    for commit in 1..=count {
        // Copied into place rather than made anew, so that what is measured is the store.
        let header = BlockHeader { first: next, durable: next, ..sample.header() };
        let begun = Instant::now();
        store.append(&Block::seal(header, sample.bytes().to_vec()))?;
        store.sync()?;
        micros.push(begun.elapsed().as_micros());
        next = header.next();
        if commit % 50 == 0 {
            store.cut(Lsn::new(next.get().saturating_sub(length * 100)))?;
        }
    }
    let each = since.elapsed() / count.max(1);
    micros.sort_unstable();
    let at = |percent: usize| micros.get(micros.len() * percent / 100).copied().unwrap_or(0);
    let (median, slow) = (at(50), at(99));
    println!("{count} commits of {bytes} bytes in {tier}: {each:?} each, p50 {median} us, p99 {slow} us");
    store.close()?;
    Ok(())
}
