//! Each medium keeps the contract.

use relive_storage::conformance::{MediumUnderTest, check_medium};
use relive_storage::medium::Medium;
use relive_storage::medium::memory::MemoryMedium;
use relive_storage::{Durability, SegmentFiles, SegmentOptions};
use relive_storage_sled::SledMedium;
use tempfile::TempDir;

struct Memory(MemoryMedium);

impl MediumUnderTest for Memory {
    fn open(&mut self) -> Box<dyn Medium> {
        Box::new(self.0.clone())
    }
}

struct Files(TempDir, SegmentOptions);

impl MediumUnderTest for Files {
    fn open(&mut self) -> Box<dyn Medium> {
        Box::new(SegmentFiles::open(self.0.path().join("data"), &self.1).unwrap())
    }
}

struct Sled(TempDir, Durability);

impl MediumUnderTest for Sled {
    fn open(&mut self) -> Box<dyn Medium> {
        Box::new(SledMedium::open(self.0.path().join("data"), self.1).unwrap())
    }
}

#[test]
fn sled_keeps_the_contract_of_power_loss() {
    check_medium(&mut || Box::new(Sled(tempfile::tempdir().unwrap(), Durability::PowerLoss)));
}

#[test]
fn sled_keeps_the_contract_of_process_crash() {
    check_medium(&mut || Box::new(Sled(tempfile::tempdir().unwrap(), Durability::ProcessCrash)));
}

fn check_files(durability: Durability, segment_bytes: u64) {
    let options = SegmentOptions::default().durability(durability).segment_bytes(segment_bytes);
    check_medium(&mut || Box::new(Files(tempfile::tempdir().unwrap(), options.clone())));
}

#[test]
fn memory_keeps_the_contract() {
    check_medium(&mut || Box::new(Memory(MemoryMedium::new())));
}

#[test]
fn files_keep_the_contract_of_power_loss() {
    check_files(Durability::PowerLoss, 1 << 20);
}

#[test]
fn files_keep_the_contract_of_process_crash() {
    check_files(Durability::ProcessCrash, 1 << 20);
}

/// Segments so small that most steps go into the next one.
#[test]
fn files_of_small_segments_keep_the_contract() {
    check_files(Durability::ProcessCrash, 4 << 10);
    check_files(Durability::PowerLoss, 20 << 10);
}
