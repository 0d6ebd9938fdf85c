//! Mutants of stable storage.

use super::mutant::{Edit, FAULTS, Mutant, SLED, STORAGE, STORES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fdatasync of a commit",
        edits: &[Edit {
            file: "storage-sled/src/engine/sync.rs",
            find: "            self.data.sync_data().map_err(io_error(\"sync\", &self.path))?;\n",
            replace: "",
        }],
        test: FAULTS
            .filter("power_loss::class_05_nothing_acknowledged_is_lost_with_the_power")
            .needs(&["-p", "relive-interposer"]),
    },
    Mutant {
        name: "what sled overwrites is put back",
        edits: &[Edit {
            file: "storage-sled/src/engine/segment_backup.rs",
            find: "        file.write_all_at(content, *offset).map_err(io_error(\"write\", &data))?;\n",
            replace: "        let _ = (content, offset);\n",
        }],
        test: SLED.filter("engine::segment_backup::tests::what_was_kept_is_put_back"),
    },
    Mutant {
        name: "acknowledge after flush, on sled",
        edits: &[Edit {
            file: "storage-sled/src/medium/handle.rs",
            find: "self.change(\"sync\", |opened| self.sync_all(opened))",
            replace: "self.change(\"sync\", |_| Ok(()))",
        }],
        test: STORES.filter("killing::what_a_killed_process_was_told_is_there"),
    },
    Mutant {
        name: "checksum of a frame",
        edits: &[Edit {
            file: "storage/src/format/frame.rs",
            find: "if crc32fast::hash(&bytes[body.clone()]) != crc {",
            replace: "if crc32fast::hash(&bytes[body.clone()]) != crc && false {",
        }],
        test: STORAGE.filter("frame"),
    },
    Mutant {
        name: "a frame has no more digests than fit",
        edits: &[Edit {
            file: "storage/src/format/frame_writer.rs",
            find: "digests.split_at(digests.len().saturating_sub(room));",
            replace: "digests.split_at(room.min(0));",
        }],
        test: STORAGE.filter("frame"),
    },
    Mutant {
        name: "checksum of a block",
        edits: &[Edit {
            file: "storage/src/format/block.rs",
            find: "bytes[BLOCK_HEADER_BYTES..]) != crc {",
            replace: "bytes[BLOCK_HEADER_BYTES..]) != crc && false {",
        }],
        test: STORAGE.filter("block::tests::every_flipped_bit"),
    },
    Mutant {
        name: "checksum of a checkpoint",
        edits: &[Edit {
            file: "storage/src/format/checkpoint.rs",
            find: "if crc32fast::hash(&content) != crc {",
            replace: "if crc32fast::hash(&content) != crc && false {",
        }],
        test: STORAGE.filter("checkpoint::tests"),
    },
    Mutant {
        name: "checksum of a value in sled",
        edits: &[Edit {
            file: "storage-sled/src/tree/value.rs",
            find: "content) != u32_at(12) {",
            replace: "content) != u32_at(12) && false {",
        }],
        test: SLED.filter("tree::value::tests"),
    },
    Mutant {
        name: "checksum of the superblock",
        edits: &[Edit {
            file: "storage/src/directory/superblock_file.rs",
            find: "if sum != crc.finalize() {",
            replace: "if sum != crc.finalize() && false {",
        }],
        test: STORAGE.filter("directory::superblock_file::tests::damaged_slots"),
    },
    Mutant {
        name: "length of the superblock's file",
        edits: &[Edit {
            file: "storage/src/directory/superblock_file.rs",
            find: "if !whole && !may_be_short {",
            replace: "if false && !may_be_short {",
        }],
        test: STORAGE.filter("directory::superblock_file::tests::a_file_that_is_cut_off"),
    },
    Mutant {
        name: "gap in the positions of the log",
        edits: &[
            Edit {
                file: "storage/src/scan.rs",
                find: "Some(StoredBlock { first, block: Ok(block) }) if first == scanned.next => block,",
                replace: "Some(StoredBlock { block: Ok(block), .. }) => block,",
            },
            Edit {
                file: "storage/src/scan.rs",
                find: "if header.first != scanned.next {",
                replace: "if false {",
            },
        ],
        test: STORES.filter("scanning::"),
    },
    Mutant {
        name: "gap in the deliveries of an actor, in the scan",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "if *last != Rsn::NONE && last.checked_plus(1) != Some(delivery.rsn) {",
            replace: "if *last != Rsn::NONE && last.checked_plus(1) != Some(delivery.rsn) && false {",
        }],
        test: STORES.filter("scanning::"),
    },
    Mutant {
        name: "incarnations that go back",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "if header.epoch < scanned.epoch {",
            replace: "if false {",
        }],
        test: STORES.filter("scanning::"),
    },
    Mutant {
        name: "damage below the acknowledged position is no torn tail",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "if expected < acknowledged {",
            replace: "if false {",
        }],
        test: STORES.filter("scanning::"),
    },
    Mutant {
        name: "damage that a later block calls durable is no torn tail",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "&& block.header().durable > expected",
            replace: "&& false",
        }],
        test: STORES.filter("scanning::"),
    },
    Mutant {
        name: "a log that ends before what was acknowledged",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "None if scanned.next < extent.acknowledged => {",
            replace: "None if false => {",
        }],
        test: STORES.filter("opening::the_last_block_is_missed"),
    },
    Mutant {
        name: "two slots of the superblock at each commit",
        edits: &[Edit {
            file: "storage/src/directory/superblock_file.rs",
            find: "        write(&content, slots[1])?;\n",
            replace: "",
        }],
        test: STORES.filter("opening::the_last_block_is_missed"),
    },
    Mutant {
        name: "poison on the first failure",
        edits: &[Edit {
            file: "storage/src/threads/poison.rs",
            find: "if error.kind() == ErrorKind::Reopen &&",
            replace: "if false && error.kind() == ErrorKind::Reopen &&",
        }],
        test: STORAGE.filter("worker::tests::a_panic_is_an_error_and_poisons"),
    },
    Mutant {
        name: "poison refuses",
        edits: &[Edit {
            file: "storage/src/threads/poison.rs",
            find: "Some(error) => Err(StoreError::Poisoned { reason: error.cause() }),",
            replace: "Some(_) => Ok(()),",
        }],
        test: STORAGE.filter("worker::tests"),
    },
    Mutant {
        name: "watchdog of calls into a medium",
        edits: &[Edit {
            file: "storage/src/threads/worker.rs",
            find: "        if waited >= after {",
            replace: "        if false {",
        }],
        test: STORAGE.filter("worker::tests::a_hang_is_an_error").hangs(),
    },
    Mutant {
        name: "time in which the process is stopped does not count",
        edits: &[Edit {
            file: "storage/src/threads/worker.rs",
            find: "waited += since.elapsed().min(2 * slice),",
            replace: "waited += since.elapsed(),",
        }],
        test: STORAGE.filter("worker::tests::time_in_which"),
    },
    Mutant {
        name: "what sled finds while it reads is damage",
        edits: &[Edit {
            file: "storage-sled/src/failures.rs",
            find: "    guarded(poison, action, work).map_err(in_reading)\n",
            replace: "    let _ = in_reading;\n    guarded(poison, action, work)\n",
        }],
        test: STORES.filter("flips::class_06_a_turned_bit"),
    },
    Mutant {
        name: "a panic of a medium is an error",
        edits: &[Edit {
            file: "storage/src/threads/worker.rs",
            find: "match catch_unwind(AssertUnwindSafe(work)) {",
            replace: "match {\n        let _ = (catch_unwind::<fn(), ()>, AssertUnwindSafe(()));\n        Ok::<_, Box<dyn std::any::Any + Send>>(work())\n    } {",
        }],
        test: STORAGE.filter("worker::tests::a_panic_is_an_error"),
    },
    Mutant {
        name: "a panic of sled is an error",
        edits: &[Edit {
            file: "storage-sled/src/failures.rs",
            find: "    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {",
            replace: "    let _ = (catch_unwind::<fn(), ()>, AssertUnwindSafe(()));\n    Ok::<_, Box<dyn std::any::Any + Send>>(work()).unwrap_or_else(|panic| {",
        }],
        test: SLED.filter("failures::tests::a_panic_is"),
    },
    Mutant {
        name: "lock of the directory",
        edits: &[Edit {
            file: "storage/src/directory/lock.rs",
            find: "match file.try_lock() {",
            replace: "match Ok::<(), TryLockError>(()) {",
        }],
        test: STORES.filter("opening::another_process_is_told"),
    },
    Mutant {
        name: "identity of the data",
        edits: &[Edit {
            file: "storage-sled/src/engine/database.rs",
            find: "if found.store != store {",
            replace: "if false {",
        }],
        test: STORES.filter("opening::files_of_two_stores"),
    },
    Mutant {
        name: "identity of the superblock",
        edits: &[Edit {
            file: "storage/src/directory/superblock_file.rs",
            find: "if slot.store != store {",
            replace: "if false {",
        }],
        test: STORES.filter("opening::files_of_two_stores"),
    },
    Mutant {
        name: "a directory that once held a store is never made anew",
        edits: &[Edit {
            file: "storage/src/directory/identity.rs",
            find: "        if remembered(directory)?.is_some() {",
            replace: "        if remembered(directory)?.is_some() && false {",
        }],
        test: STORES.filter("opening::a_store_without_one_of_its_files"),
    },
    Mutant {
        name: "newer formats are refused",
        edits: &[Edit {
            file: "storage/src/directory/identity.rs",
            find: "        if format > self.format {",
            replace: "        if false {",
        }],
        test: STORES.filter("golden::class_24_a_store_of_the_next_format"),
    },
    Mutant {
        name: "a relative path is made absolute",
        edits: &[
            Edit {
                file: "storage/src/opening/open_store.rs",
                find: "std::path::absolute(path).map_err(io_error(\"find\", path))?;",
                replace: "Ok::<_, std::io::Error>(path.to_owned()).map_err(io_error(\"find\", path))?;",
            },
            Edit {
                file: "storage-sled/src/medium/handle.rs",
                find: "std::path::absolute(path).map_err(io_error(\"find\", path))?;",
                replace: "Ok::<_, std::io::Error>(path.to_owned()).map_err(io_error(\"find\", path))?;",
            },
        ],
        test: STORES.filter("processes::a_store_opened_by_a_relative_path"),
    },
    Mutant {
        name: "half-written snapshots of sled are removed",
        edits: &[Edit {
            file: "storage-sled/src/engine/database.rs",
            find: "    remove_half_snapshots(directory)?;\n",
            replace: "    let _ = remove_half_snapshots;\n",
        }],
        test: STORES.filter("opening::half_written_snapshots"),
    },
    Mutant {
        name: "the torn tail is removed before the first append",
        edits: &[Edit {
            file: "storage/src/layered/log_writer.rs",
            find: "                    medium.remove_from(LOG, position)?;\n",
            replace: "",
        }],
        test: STORES.filter("conformance::sled_keeps_the_contract_of_process_crash"),
    },
    Mutant {
        name: "a length is held against its limit",
        edits: &[Edit {
            file: "storage/src/wire.rs",
            find: "if length > limit {",
            replace: "if false && length > limit {",
        }],
        test: STORAGE.filter("wire::tests"),
    },
    Mutant {
        name: "a length is held against what is there",
        edits: &[Edit {
            file: "storage/src/wire.rs",
            find: "        if count > self.remaining() {",
            replace: "        if false {",
        }],
        test: STORAGE.filter("wire::tests"),
    },
    Mutant {
        name: "a store in the making is judged by its maker",
        edits: &[Edit {
            file: "storage/src/directory/claim.rs",
            find: "            Err(error) => match ReadOnlyLock::locked(directory)? {",
            replace: "            Err(error) => match ReadOnlyLock::locked(directory).ok().flatten().filter(|_| false) {",
        }],
        test: STORES.filter("opening::class_17_a_store_in_the_making"),
    },
    Mutant {
        name: "a directory that somebody else has just made is there",
        edits: &[Edit {
            file: "storage/src/directory/files.rs",
            find: "Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}",
            replace: "Err(error) if false && error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}",
        }],
        test: STORAGE.filter("directory::files"),
    },
];
