//! The guards of stable storage.

use super::guard::{Edit, FAULTS, Guard, STORAGE, STORES};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "fdatasync of a commit",
        edits: &[Edit {
            file: "storage/src/sled_store/stable.rs",
            find: "            self.data.sync_data().map_err(io_error(\"sync\", &self.path))?;\n",
            replace: "",
        }],
        test: FAULTS
            .filter("power::class_05_nothing_acknowledged_is_lost_with_the_power")
            .needs(&["-p", "relive-interposer"]),
    },
    Guard {
        name: "what sled overwrites is put back",
        edits: &[Edit {
            file: "storage/src/sled_store/rescue.rs",
            find: "        file.write_all_at(content, *offset).map_err(io_error(\"write\", &data))?;\n",
            replace: "        let _ = (content, offset);\n",
        }],
        test: STORAGE.filter("sled_store::rescue::tests::what_was_kept_is_put_back"),
    },
    Guard {
        name: "acknowledge after flush, in the store",
        edits: &[Edit {
            file: "storage/src/sled_store/writer.rs",
            find: "        self.make_stable()?;\n        let mut mark = self.status.get();\n        mark.acknowledged",
            replace: "        let mut mark = self.status.get();\n        mark.acknowledged",
        }],
        test: STORES.filter("killing::what_a_killed_process_was_told_is_there"),
    },
    Guard {
        name: "checksum of a frame",
        edits: &[Edit {
            file: "storage/src/frame.rs",
            find: "if crc32fast::hash(&bytes[body.clone()]) != crc {",
            replace: "if crc32fast::hash(&bytes[body.clone()]) != crc && false {",
        }],
        test: STORAGE.filter("frame"),
    },
    Guard {
        name: "checksum of a block",
        edits: &[Edit {
            file: "storage/src/block.rs",
            find: "bytes[BLOCK_HEADER_BYTES..]) != crc {",
            replace: "bytes[BLOCK_HEADER_BYTES..]) != crc && false {",
        }],
        test: STORAGE.filter("block::tests::every_flipped_bit"),
    },
    Guard {
        name: "checksum of a checkpoint",
        edits: &[Edit {
            file: "storage/src/checkpoint.rs",
            find: "if crc32fast::hash(&content) != crc {",
            replace: "if crc32fast::hash(&content) != crc && false {",
        }],
        test: STORAGE.filter("checkpoint::tests"),
    },
    Guard {
        name: "checksum of a value in sled",
        edits: &[Edit {
            file: "storage/src/sled_store/part.rs",
            find: "content) != u32_at(12) {",
            replace: "content) != u32_at(12) && false {",
        }],
        test: STORAGE.filter("sled_store::part::tests"),
    },
    Guard {
        name: "checksum of the mark",
        edits: &[Edit {
            file: "storage/src/sled_store/mark.rs",
            find: "if reader.u32()? != crc32fast::hash(whole) {",
            replace: "if reader.u32()? != crc32fast::hash(whole) && false {",
        }],
        test: STORAGE.filter("sled_store::mark::tests"),
    },
    Guard {
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
    Guard {
        name: "gap in the deliveries of an actor, in the scan",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "if *last != Rsn::NONE && last.checked_plus(1) != Some(delivery.rsn) {",
            replace: "if *last != Rsn::NONE && last.checked_plus(1) != Some(delivery.rsn) && false {",
        }],
        test: STORES.filter("scanning::"),
    },
    Guard {
        name: "incarnations that go back",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "if header.epoch < scanned.epoch {",
            replace: "if false {",
        }],
        test: STORES.filter("scanning::"),
    },
    Guard {
        name: "damage below the acknowledged position is no torn tail",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "if expected < acknowledged {",
            replace: "if false {",
        }],
        test: STORES.filter("scanning::"),
    },
    Guard {
        name: "damage that a later block calls durable is no torn tail",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "&& block.header().durable > expected",
            replace: "&& false",
        }],
        test: STORES.filter("scanning::"),
    },
    Guard {
        name: "a log that ends before what was acknowledged",
        edits: &[Edit {
            file: "storage/src/scan.rs",
            find: "None if scanned.next < extent.acknowledged => {",
            replace: "None if false => {",
        }],
        test: STORES.filter("opening::the_last_block_is_missed"),
    },
    Guard {
        name: "both copies of the mark at each commit",
        edits: &[Edit {
            file: "storage/src/sled_store/mark.rs",
            find: "for _ in 0..2 {",
            replace: "for _ in 0..if stable { 2 } else { 1 } {",
        }],
        test: STORES.filter("opening::the_last_block_is_missed"),
    },
    Guard {
        name: "checkpoints that went missing, or are older",
        edits: &[
            Edit {
                file: "storage/src/sled_store/census.rs",
                find: "        compare(&self.then, sealed)?;\n",
                replace: "        let _ = sealed;\n",
            },
            Edit {
                file: "storage/src/sled_store/census.rs",
                find: "            compare(&self.now, latest)?;\n",
                replace: "",
            },
        ],
        test: STORES.filter("opening::a_checkpoint_that_went_missing"),
    },
    Guard {
        name: "a checkpoint is read back before it counts as stable",
        edits: &[Edit {
            file: "storage/src/sled_store/store_checkpoints.rs",
            find: "        self.verify(entries, encoded)?;\n",
            replace: "        let _ = (entries, encoded);\n",
        }],
        test: STORAGE.filter("sled_store::store_checkpoints::tests"),
    },
    Guard {
        name: "poison on the first failure",
        edits: &[Edit {
            file: "storage/src/poison.rs",
            find: "if error.kind() == ErrorKind::Reopen &&",
            replace: "if false && error.kind() == ErrorKind::Reopen &&",
        }],
        test: STORAGE.filter("worker::tests::a_panic_is_an_error_and_poisons"),
    },
    Guard {
        name: "poison refuses",
        edits: &[Edit {
            file: "storage/src/poison.rs",
            find: "Some(error) => Err(StoreError::Poisoned { reason: error.cause() }),",
            replace: "Some(_) => Ok(()),",
        }],
        test: STORAGE.filter("worker::tests"),
    },
    Guard {
        name: "watchdog of calls into sled",
        edits: &[Edit {
            file: "storage/src/worker.rs",
            find: "        if waited >= after {",
            replace: "        if false {",
        }],
        test: STORAGE.filter("worker::tests::a_hang_is_an_error").hangs(),
    },
    Guard {
        name: "time in which the process is stopped does not count",
        edits: &[Edit {
            file: "storage/src/worker.rs",
            find: "waited += since.elapsed().min(2 * slice),",
            replace: "waited += since.elapsed(),",
        }],
        test: STORAGE.filter("worker::tests::time_in_which"),
    },
    Guard {
        name: "what sled finds while it reads is damage",
        edits: &[Edit {
            file: "storage/src/worker.rs",
            find: "if task.writes { error } else { (judges.in_reading)(error) };",
            replace: "if task.writes || true { error } else { (judges.in_reading)(error) };",
        }],
        test: STORES.filter("flips::class_06_a_turned_bit"),
    },
    Guard {
        name: "a panic of sled is an error",
        edits: &[Edit {
            file: "storage/src/worker.rs",
            find: "match catch_unwind(AssertUnwindSafe(work)) {",
            replace: "match {\n        let _ = (catch_unwind::<fn(), ()>, AssertUnwindSafe(()));\n        Ok::<_, Box<dyn std::any::Any + Send>>(work())\n    } {",
        }],
        test: STORAGE.filter("worker::tests::a_panic_is_an_error"),
    },
    Guard {
        name: "lock of the directory",
        edits: &[Edit {
            file: "storage/src/directory/lock.rs",
            find: "match file.try_lock() {",
            replace: "match Ok::<(), TryLockError>(()) {",
        }],
        test: STORES.filter("opening::another_process_is_told"),
    },
    Guard {
        name: "identity of the data",
        edits: &[Edit {
            file: "storage/src/sled_store/engine.rs",
            find: "if found.store != store {",
            replace: "if false {",
        }],
        test: STORES.filter("opening::files_of_two_stores"),
    },
    Guard {
        name: "identity of the mark",
        edits: &[Edit {
            file: "storage/src/sled_store/mark.rs",
            find: "if slot.store != store {",
            replace: "if false {",
        }],
        test: STORES.filter("opening::files_of_two_stores"),
    },
    Guard {
        name: "a directory that once held a store is never made anew",
        edits: &[Edit {
            file: "storage/src/directory/identity.rs",
            find: "        if remembered(directory)?.is_some() {",
            replace: "        if remembered(directory)?.is_some() && false {",
        }],
        test: STORES.filter("opening::a_store_without_one_of_its_files"),
    },
    Guard {
        name: "newer formats are refused",
        edits: &[Edit {
            file: "storage/src/directory/identity.rs",
            find: "        if format > self.format {",
            replace: "        if false {",
        }],
        test: STORES.filter("golden::class_24_a_store_of_the_next_format"),
    },
    Guard {
        name: "a store is of the newer format before anything of it is written",
        edits: &[Edit {
            file: "storage/src/sled_store/writer.rs",
            find: "        upgrade(directory, identity, inside, &engine, &mut stable)?;\n",
            replace: "        let _ = (upgrade, identity, inside);\n",
        }],
        test: STORES.filter("golden::class_24"),
    },
    Guard {
        name: "a relative path is made absolute",
        edits: &[Edit {
            file: "storage/src/sled_store/store.rs",
            find: "std::path::absolute(path).map_err(io_error(\"find\", path))?;",
            replace: "Ok::<_, std::io::Error>(path.to_owned()).map_err(io_error(\"find\", path))?;",
        }],
        test: STORES.filter("processes::a_store_opened_by_a_relative_path"),
    },
    Guard {
        name: "half-written snapshots of sled are removed",
        edits: &[Edit {
            file: "storage/src/sled_store/engine.rs",
            find: "        remove_half_snapshots(directory)?;\n",
            replace: "        let _ = remove_half_snapshots;\n",
        }],
        test: STORES.filter("opening::half_written_snapshots"),
    },
    Guard {
        name: "the torn tail is removed before the first append",
        edits: &[Edit {
            file: "storage/src/sled_store/writer.rs",
            find: "            blocks::remove_from(&self.log, header.first)?;\n",
            replace: "",
        }],
        test: STORES.filter("conformance::sled_keeps_the_contract_of_process_crash"),
    },
    Guard {
        name: "a length is held against its limit",
        edits: &[Edit {
            file: "storage/src/wire.rs",
            find: "if length > limit {",
            replace: "if false && length > limit {",
        }],
        test: STORAGE.filter("wire::tests"),
    },
    Guard {
        name: "a length is held against what is there",
        edits: &[Edit {
            file: "storage/src/wire.rs",
            find: "        if count > self.remaining() {",
            replace: "        if false {",
        }],
        test: STORAGE.filter("wire::tests"),
    },
    Guard {
        name: "the size of a block or checkpoint is held against its limit before it is allocated",
        edits: &[Edit {
            file: "storage/src/sled_store/part.rs",
            find: "if total as usize > self.limit || parts == 0 {",
            replace: "if parts == 0 {",
        }],
        test: STORAGE.filter("sled_store::part::tests"),
    },
    Guard {
        name: "fdatasync of a commit, over a medium",
        edits: &[Edit {
            file: "storage/src/layered/log_writer.rs",
            find: "        self.shared.medium.sync(LOG)?;\n",
            replace: "",
        }],
        test: STORES.filter("layered_power::what_was_synced"),
    },
    Guard {
        name: "packs are removed after that is stable",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        self.shared.write(true, |superblock| superblock.packs.clone_from(&marks))?;\n        boundary!(\"pack.dead\");",
            replace: "        self.shared.write(false, |superblock| superblock.packs.clone_from(&marks))?;\n        boundary!(\"pack.dead\");",
        }],
        test: STORES.filter("layered_power::what_was_synced"),
    },
    Guard {
        name: "a pack whose number is used is listed",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        superblock.next_pack = next;\n        superblock.packs = self.packs.marks();\n",
            replace: "        superblock.next_pack = next;\n",
        }],
        test: STORAGE.filter("layered::checkpoints::tests::a_pack_that_is_begun"),
    },
    Guard {
        name: "checkpoints in packs are read back",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "if !matches!(&read, Some(Ok(bytes)) if *bytes == value) {",
            replace: "if read.is_none() {",
        }],
        test: STORAGE.filter("layered::checkpoints::tests::a_checkpoint_that"),
    },
    Guard {
        name: "a pack that is shorter than it was is missed",
        edits: &[Edit {
            file: "storage/src/layered/opening.rs",
            find: "range.start != 0 || range.end < u64::from(mark.values)",
            replace: "range.start != 0",
        }],
        test: STORES.filter("layered::what_is_missing"),
    },
    Guard {
        name: "packs that are mostly dead are emptied",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        self.clean(put)?;\n",
            replace: "        let _ = put;\n",
        }],
        test: STORES.filter("layered::packs_take"),
    },
    Guard {
        name: "what a segment held before is told from what it holds",
        edits: &[Edit {
            file: "storage/src/medium/segments/file.rs",
            find: "    Stamp::new(head.store, head.stream, head.generation)",
            replace: "    Stamp::new(head.store, head.stream, 0)",
        }],
        test: STORES.filter("segment_crashes::what_was_synced_survives_the_death"),
    },
];
