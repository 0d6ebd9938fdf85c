//! Both backends keep the contract.

use relive_storage::conformance::{Medium, check};
use relive_storage::{Durability, MemoryStore, Store, StoreOptions};
use relive_storage_sled::open_store;
use tempfile::TempDir;

struct Memory(MemoryStore);

impl Medium for Memory {
    fn open(&mut self) -> Box<dyn Store> {
        self.0 = self.0.reopen();
        Box::new(self.0.clone())
    }
}

struct Sled(TempDir, Durability);

impl Medium for Sled {
    fn open(&mut self) -> Box<dyn Store> {
        let options = StoreOptions::default().durability(self.1);
        Box::new(open_store(self.0.path().join("data"), &options).unwrap())
    }
}

#[test]
fn memory_keeps_the_contract() {
    check(&mut || Box::new(Memory(MemoryStore::new())));
}

#[test]
fn sled_keeps_the_contract_of_power_loss() {
    check(&mut || Box::new(Sled(tempfile::tempdir().unwrap(), Durability::PowerLoss)));
}

#[test]
fn sled_keeps_the_contract_of_process_crash() {
    check(&mut || Box::new(Sled(tempfile::tempdir().unwrap(), Durability::ProcessCrash)));
}
