//! Mutants of the stored format: what a reader refuses, and the number of the format.

use super::mutant::{Edit, Mutant, REPLAY, RUNTIME, STORAGE, STORES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no bit of a record's tag is passed over",
        edits: &[Edit {
            file: "storage/src/format/record_reader.rs",
            find: "if tag & !(TAG_MASK | self.flags.known(kind)) != 0 {",
            replace: "if tag & !(TAG_MASK | self.flags.known(kind)) != 0 && false {",
        }],
        test: STORAGE.filter("format::frame::tests::every_tag_is_refused"),
    },
    Mutant {
        name: "frames of older versions have no newer records",
        edits: &[Edit {
            file: "storage/src/format/record_reader.rs",
            find: "if version <= FRAME_VERSION_WITHOUT_KINDS {",
            replace: "if version < FRAME_VERSION_WITHOUT_KINDS {",
        }],
        test: STORAGE.filter("format::frame::tests::every_tag_is_refused"),
    },
    Mutant {
        name: "events of older frames have no clock",
        edits: &[Edit {
            file: "storage/src/format/record_reader.rs",
            find: "let clock = (self.flags.event != 0).then_some(self.context.clock);",
            replace: "let clock = Some(self.context.clock);",
        }],
        test: STORES.filter("golden::class_24_a_store_of_format_3"),
    },
    Mutant {
        name: "a delivery has one sender",
        edits: &[Edit {
            file: "storage/src/format/record_reader.rs",
            find: "if tag & SENDER_MASK != SENDER_OUTSIDE {",
            replace: "if tag & SENDER_MASK != SENDER_OUTSIDE && false {",
        }],
        test: STORAGE.filter("format::frame::tests::a_delivery_has_one_sender"),
    },
    Mutant {
        name: "an idempotency key is not empty",
        edits: &[Edit {
            file: "storage/src/format/record_reader.rs",
            find: "if key.is_empty() {",
            replace: "if false {",
        }],
        test: STORAGE.filter("format::frame::tests::a_delivery_has_one_sender"),
    },
    Mutant {
        name: "a key that no reader takes does not come to the log",
        edits: &[Edit {
            file: "storage/src/format/frame_writer.rs",
            find: "(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()),",
            replace: "true || (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()),",
        }],
        test: STORAGE.filter("format::frame::tests::a_key_or_a_timer"),
    },
    Mutant {
        name: "unknown flags of a checkpoint are refused",
        edits: &[Edit {
            file: "storage/src/format/checkpoint.rs",
            find: "if flags & !(FLAG_RESTORE_AT_OPEN | FLAG_WAKE_AT) != 0 {",
            replace: "if false {",
        }],
        test: STORAGE.filter("format::checkpoint::tests::flags_are_refused"),
    },
    Mutant {
        name: "a key in a checkpoint is one that a request could have had",
        edits: &[Edit {
            file: "replay/src/checkpoint_parts.rs",
            find: "                check_idempotency_key(&key).map_err(|error| CodecError(error.to_string()))?;\n",
            replace: "                let _ = check_idempotency_key(&key);\n",
        }],
        test: REPLAY.filter("checkpoint_body::tests::what_could_not_have_been_logged"),
    },
    Mutant {
        name: "a timer holds no places of a mailbox",
        edits: &[Edit {
            file: "storage/src/format/record.rs",
            find: "            Self::Outside | Self::Producer { .. } | Self::Keyed { .. } => true,\n            Self::Actor { .. } | Self::Timer { .. } => false,\n",
            replace: "            Self::Outside | Self::Producer { .. } | Self::Keyed { .. } | Self::Timer { .. } => true,\n            Self::Actor { .. } => false,\n",
        }],
        test: RUNTIME.filter("actor::mailbox::tests::places_and_waiters_fit"),
    },
    Mutant {
        name: "the number of the format is raised on files",
        edits: &[Edit {
            file: "storage/src/medium/segments/opening.rs",
            find: "    LAYOUT.raise_format(directory, identity)?;\n",
            replace: "",
        }],
        test: STORES.filter("raising::class_24_an_opening_that_is_killed"),
    },
    Mutant {
        name: "the number of the format is raised on sled before anything is written",
        edits: &[Edit {
            file: "storage-sled/src/medium/opening.rs",
            find: "    LAYOUT.raise_format(directory, identity)?;\n",
            replace: "",
        }],
        test: STORES.filter("raising::class_24_an_opening_that_is_killed"),
    },
    Mutant {
        name: "the number in sled is raised too",
        edits: &[Edit {
            file: "storage-sled/src/medium/opening.rs",
            find: "    if database::raise_format(&db, &LAYOUT, store)? {\n",
            replace: "    if false {\n        database::raise_format(&db, &LAYOUT, store)?;\n",
        }],
        test: STORES.filter("raising::class_24_the_number_in_sled"),
    },
    Mutant {
        name: "a number that is right is not written again",
        edits: &[Edit {
            file: "storage/src/directory/identity.rs",
            find: "        if found.format == self.format {\n            return Ok(());\n        }\n",
            replace: "",
        }],
        test: STORAGE.filter("directory::identity::tests::a_store_of_an_older_format"),
    },
];
