//! Mutants of the medium in plain files: of its list of segments, of its segments, and of its scan
//! of their values.

use super::mutant::{Edit, FAULTS, Mutant, STORAGE, STORES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the name of a list of segments is synced before segments are used again",
        edits: &[Edit {
            file: "storage/src/medium/segments/manifest.rs",
            find: "            sync_directory(directory)?;\n            boundary!(\"medium.manifest.synced\");\n",
            replace: "            let _ = sync_directory;\n",
        }],
        test: STORES.filter("segment_crashes::what_was_synced_survives_the_loss_of_power"),
    },
    Mutant {
        name: "a segment is synced before it is listed",
        edits: &[Edit {
            file: "storage/src/medium/segments/chain.rs",
            find: "            source.sync()?;\n            // The name of a file that the manifest lists is synced before the manifest.\n            sync_directory(&self.directory)?;\n",
            replace: "            let _ = sync_directory;\n",
        }],
        test: FAULTS
            .filter("power_loss::class_05_nothing_acknowledged_is_lost_with_the_power_on_segment_files")
            .needs(&["-p", "relive-interposer"]),
    },
    Mutant {
        name: "what an opening finds in files is synced before anything is built on it",
        edits: &[Edit {
            file: "storage/src/medium/segments/opening.rs",
            find: "        files.iter().try_for_each(|file| file.sync())?;\n",
            replace: "        let _ = &files;\n",
        }],
        test: STORES.filter("segment_calls::an_opening_syncs"),
    },
    Mutant {
        name: "an older list of segments is refused",
        edits: &[Edit {
            file: "storage/src/medium/segments/chain.rs",
            find: "    if used {",
            replace: "    if used && false {",
        }],
        test: STORES.filter("segments::files_of_another_store_or_another_time"),
    },
    Mutant {
        name: "a segment in the place of another one is refused",
        edits: &[Edit {
            file: "storage/src/medium/segments/file.rs",
            find: "            Ok(head) if head == *expected => {}\n",
            replace: "            Ok(head) if head == *expected || head.store == expected.store => {}\n",
        }],
        test: STORES.filter("segment_damage::segments_in_each_others_place"),
    },
    Mutant {
        name: "checksum of a value in files",
        edits: &[Edit {
            file: "storage/src/medium/segments/file.rs",
            find: "        if value.len() != header.length || !header.is_of(crc32fast::hash(&value)) {",
            replace: "        if value.len() != header.length {",
        }],
        test: STORES.filter("segment_damage::no_damage_brings_another_value"),
    },
    Mutant {
        name: "checksum of the list of segments",
        edits: &[Edit {
            file: "storage/src/medium/segments/manifest.rs",
            find: "    if reader.u32()? != crc32fast::hash(whole) ||",
            replace: "    if (reader.u32()? != crc32fast::hash(whole) && false) ||",
        }],
        test: STORAGE.filter("medium::segments::manifest::tests"),
    },
    Mutant {
        name: "what is torn at the end of a file hides no whole value",
        edits: &[Edit {
            file: "storage/src/medium/segments/scan.rs",
            find: "                scanner.search(torn + 8, expected, values.last())?\n",
            replace: "                let _ = torn;\n                None\n",
        }],
        test: STORES.filter("segment_damage::the_head_of_a_longer_value"),
    },
    Mutant {
        name: "a value at the end of a file that is not whole does not count",
        edits: &[Edit {
            file: "storage/src/medium/segments/scan.rs",
            find: "            if self.is_whole(last)? {\n                break;",
            replace: "            if self.is_whole(last)? || true {\n                break;",
        }],
        test: STORES.filter("segment_damage::what_is_left_of_a_torn_value"),
    },
    Mutant {
        name: "a segment that can't be made ends the opening",
        edits: &[Edit {
            file: "storage/src/medium/segments/preparer.rs",
            find: "                (Err(error), _) => self.poison.set(&error),\n",
            replace: "                (Err(_), _) => {}\n",
        }],
        test: STORES.filter("segments::a_segment_that_cannot_be_made").hangs(),
    },
];
