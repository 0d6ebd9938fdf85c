//! Mutants of what is carried to the end of the log for handlers that wait.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY, RUNTIME, STORAGE};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "carried frames count when they have come to their end",
        edits: &[Edit {
            file: "storage/src/format/carried.rs",
            find: "                self.aside.push(frame);\n                Read::Aside\n",
            replace: "                Read::Next(frame)\n",
        }],
        test: STORAGE.filter("format::carried::tests::only_what_was_carried_to_its_end"),
    },
    Mutant {
        name: "a carried frame has the seeds that it had",
        edits: &[Edit {
            file: "storage/src/format/frame.rs",
            find: "Ok(FrameContext { first, clock, seed })",
            replace: "Ok(FrameContext { first, clock, seed: seed + 1 })",
        }],
        test: STORAGE.filter("format::carried::tests::a_carried_frame_is_the_frame_that_it_was"),
    },
    Mutant {
        name: "a copy that says something else is damage",
        edits: &[Edit {
            file: "replay/src/reel.rs",
            find: "if is_whole { differs(&before, tape) }",
            replace: "if false { differs(&before, tape) }",
        }],
        test: REPLAY.filter("reel::tests::a_copy_that_says_something_else"),
    },
    Mutant {
        name: "what a waiting handler has sent is known without its receivers",
        edits: &[Edit {
            file: "replay/src/reel.rs",
            find: "tape.receptions.add_released(released);",
            replace: "let _ = released;",
        }],
        test: PROMISES.filter("carrying::what_a_waiting_handler_has_sent"),
    },
    Mutant {
        name: "deliveries follow on what was carried, not on a checkpoint",
        edits: &[Edit {
            file: "src/recovery/analysis.rs",
            find: "self.reel.carried_to().unwrap_or_default()",
            replace: "tape.last()",
        }],
        test: RUNTIME.filter("recovery::analysis::tests::deliveries_follow_on_what_was_carried"),
    },
    Mutant {
        name: "pins move when what was carried is on stable storage",
        edits: &[Edit {
            file: "src/runtime/carrying.rs",
            find: "        moved.extend(first.into_inner().map(|block| (load.cell, block)));\n",
            replace: "        let block = first.into_inner().unwrap_or_default();\n        load.cell.change_pins(|pins| pins.carried(block));\n        moved.clear();\n        let _ = || moved.push((load.cell, block));\n",
        }],
        test: RUNTIME.filter("runtime::carrying::tests::pins_move_when_it_is_durable"),
    },
    Mutant {
        name: "nothing of an actor comes between what is carried of it",
        edits: &[
            Edit {
                file: "src/turn/waiting.rs",
                find: "                return Poll::Pending;\n            }\n        }\n",
                replace: "            }\n        }\n",
            },
            Edit {
                file: "src/turn/waiting.rs",
                find: "ready!(Pin::new(until).poll(task)).unwrap_or_default();\n            paused = None;\n",
                replace: "let _ = Pin::new(until).poll(task);\n",
            },
        ],
        test: RUNTIME.filter("runtime::carrying::tests::nothing_comes_in_a_pause"),
    },
    Mutant {
        name: "what ends carried frames goes no further than they",
        edits: &[Edit {
            file: "replay/src/reel.rs",
            find: "named.max().filter(|rsn| *rsn > tape.last())",
            replace: "named.max().filter(|rsn| false && *rsn > tape.last())",
        }],
        test: REPLAY.filter("reel::tests::an_end_that_goes_beyond"),
    },
    Mutant {
        name: "a damaged copy is not mended by the next one",
        edits: &[Edit {
            file: "replay/src/reel.rs",
            find: "            self.damaged.get_or_insert(corrupt);",
            replace: "            self.broken.get_or_insert(corrupt);",
        }],
        test: REPLAY.filter("reel::tests::what_follows_a_damaged_copy"),
    },
];
