//! Mutants of the store over a medium, and of the code that media share or have in plain files.

use super::mutant::{Edit, FAULTS, Mutant, STORAGE, STORES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "fdatasync of a commit, over a medium",
        edits: &[Edit {
            file: "storage/src/layered/log_writer.rs",
            find: "        self.shared.medium.sync(LOG)?;\n",
            replace: "",
        }],
        test: STORES.filter("layered_power::what_was_synced"),
    },
    Mutant {
        name: "packs are removed after that is synced",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        self.shared.write(true, |superblock| superblock.packs.clone_from(&marks))?;\n        boundary!(\"pack.dead\");",
            replace: "        self.shared.write(false, |superblock| superblock.packs.clone_from(&marks))?;\n        boundary!(\"pack.dead\");",
        }],
        test: STORES.filter("layered_power::what_was_synced"),
    },
    Mutant {
        name: "a pack whose number is used is listed",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        superblock.next_pack = next;\n        superblock.packs = self.packs.marks();\n",
            replace: "        superblock.next_pack = next;\n",
        }],
        test: STORAGE.filter("layered::checkpoints::tests::a_pack_that_is_begun"),
    },
    Mutant {
        name: "checkpoints in packs are read back",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "if !matches!(&read, Some(Ok(bytes)) if *bytes == value) {",
            replace: "if read.is_none() {",
        }],
        test: STORAGE.filter("layered::checkpoints::tests::a_checkpoint_that"),
    },
    Mutant {
        name: "a pack that is shorter than it was is missed",
        edits: &[Edit {
            file: "storage/src/layered/opening.rs",
            find: "range.start != 0 || range.end < u64::from(mark.values)",
            replace: "range.start != 0",
        }],
        test: STORES.filter("layered::what_is_missing"),
    },
    Mutant {
        name: "a pack that is another than it was is noticed",
        edits: &[Edit {
            file: "storage/src/layered/opening.rs",
            find: "                && pack.mark.check != mark.check\n",
            replace: "                && false\n",
        }],
        test: STORAGE.filter("layered::checkpoints::tests::another_pack"),
    },
    Mutant {
        name: "remains of a removed pack are removed",
        edits: &[Edit {
            file: "storage/src/layered/opening.rs",
            find: "            Ok(_) => found.leftovers.packs.push(*id),\n",
            replace: "            Ok(_) => {}\n",
        }],
        test: STORAGE.filter("layered::checkpoints::tests::what_is_left"),
    },
    Mutant {
        name: "sync of a synced superblock",
        edits: &[Edit {
            file: "storage/src/directory/superblock_file.rs",
            find: "                self.file.sync_data().map_err(io_error(\"sync\", &self.path))?;\n                boundary!",
            replace: "                boundary!",
        }],
        test: STORES.filter("segments::a_commit_is_one_write"),
    },
    Mutant {
        name: "packs that are mostly dead are emptied",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        self.clean(put)?;\n",
            replace: "        let _ = put;\n",
        }],
        test: STORES.filter("layered::packs_take"),
    },
    Mutant {
        name: "what a segment held before is told from what it holds",
        edits: &[Edit {
            file: "storage/src/medium/segments/file.rs",
            find: "    Stamp::new(head.store, head.stream, head.generation)",
            replace: "    Stamp::new(head.store, head.stream, 0)",
        }],
        test: STORES.filter("segment_crashes::what_was_synced_survives_the_death"),
    },
    Mutant {
        name: "a cut is in the superblock, durable, before anything is removed",
        edits: &[Edit {
            file: "storage/src/layered/log_writer.rs",
            find: "        self.shared.write(true, |superblock| {\n            superblock.start = begins;",
            replace: "        self.shared.write(false, |superblock| {\n            superblock.start = begins;",
        }],
        test: STORES.filter("layered_power::what_was_synced"),
    },
    Mutant {
        name: "checkpoints are synced before the superblock counts them",
        edits: &[Edit {
            file: "storage/src/layered/packer.rs",
            find: "        medium.sync(id)?;\n        boundary!(\"checkpoint.durable\");",
            replace: "        boundary!(\"checkpoint.durable\");",
        }],
        test: STORES.filter("layered_power::what_was_synced"),
    },
    Mutant {
        name: "the last synced superblock is not written over",
        edits: &[Edit {
            file: "storage/src/directory/superblock_file.rs",
            find: "let slots = [(written.synced + 1) % SLOTS, (written.synced + 2) % SLOTS];",
            replace: "let slots = [written.synced % SLOTS, (written.synced + 2) % SLOTS];",
        }],
        test: STORAGE.filter("directory::superblock_file::tests::a_write_without_a_sync"),
    },
    Mutant {
        name: "fdatasync of a stream in files",
        edits: &[Edit {
            file: "storage/src/medium/segments/stream.rs",
            find: "                source.sync()?;\n            }\n            if writer.unnamed\n",
            replace: "                let _ = source;\n            }\n            if writer.unnamed\n",
        }],
        test: STORES.filter("segments::a_commit_is_one_write"),
    },
    Mutant {
        name: "a list of segments is synced before it gets its name",
        edits: &[Edit {
            file: "storage/src/medium/segments/manifest.rs",
            find: "            write_synced(&new, &content)?;\n",
            replace: "            let _ = write_synced;\n            fs::write(&new, &content).map_err(io_error(\"write\", &new))?;\n",
        }],
        test: FAULTS
            .filter("power_loss::class_05_nothing_acknowledged_is_lost_with_the_power_on_segment_files")
            .needs(&["-p", "relive-interposer"]),
    },
    Mutant {
        name: "a medium of files takes nothing after a failed write",
        edits: &[Edit {
            file: "storage/src/medium/segments/handle.rs",
            find: "            self.poison.note(error);\n        }\n        outcome\n",
            replace: "            let _ = error;\n        }\n        outcome\n",
        }],
        test: STORES.filter("segments::after_a_failed_write"),
    },
];
