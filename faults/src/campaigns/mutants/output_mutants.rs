//! Mutants of output commit: of what actors hold back that wait for their outputs alone.

use super::mutant::{Edit, Mutant, PROMISES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a reply to a caller outside waits for the log",
        edits: &[Edit {
            file: "src/turn/delivery.rs",
            find: "self.held.hold(self.active.appended, Output::Answer(asker, answer.clone()));",
            replace: "let _ = Output::Answer; drop(asker.send(Ok(answer.clone())));",
        }],
        test: PROMISES.filter("output_commit::a_disk_that_hangs"),
    },
    Mutant {
        name: "a repeated request waits for what it repeats",
        edits: &[Edit {
            file: "src/turn/waiting.rs",
            find: "batch.depends_on(*intake.appended)",
            replace: "batch.depends_on(relive_storage::Lsn::FIRST)",
        }],
        test: PROMISES.filter("output_commit::a_repeated_request"),
    },
    Mutant {
        name: "a side effect waits for the log",
        edits: &[Edit {
            file: "src/turn/live.rs",
            find: "        if self.discipline == Discipline::BeforeHandling {\n            return Poll::Ready(Ok(()));",
            replace: "        if self.discipline != Discipline::BeforeHandling || true {\n            return Poll::Ready(Ok(()));",
        }],
        test: PROMISES.filter("output_commit::a_disk_that_hangs"),
    },
    Mutant {
        name: "receipts wait for the log",
        edits: &[
            Edit {
                file: "src/turn/outputs.rs",
                find: "self.outputs.front().is_some_and(|(end, _)| *end <= durable)",
                replace: "self.outputs.front().is_some_and(|(end, output)| *end <= durable || matches!(output, Output::Taken(_)))",
            },
            Edit {
                file: "src/turn/outputs.rs",
                find: "            assert!(end <= core.services.committer.durable(), \"no output of {} leaves early\", cell.id);\n",
                replace: "            let _ = end;\n",
            },
            Edit {
                file: "src/turn/acks.rs",
                find: "assert!(end.is_none_or(|end| end <= core.services.committer.durable()), \"nobody hears too early\");",
                replace: "let _ = end;",
            },
        ],
        test: PROMISES.filter("output_commit::a_disk_that_hangs"),
    },
    Mutant {
        name: "a checkpoint waits for the log that it holds",
        edits: &[
            Edit {
                file: "src/turn/mod.rs",
                find: "does not have.\n        self.until_state_is_stable().await?;\n",
                replace: "does not have.\n",
            },
            Edit {
                file: "src/turn/mod.rs",
                find: "            self.active.appended <= durable,\n            \"the log has all",
                replace: "            self.active.appended <= durable || true,\n            \"the log has all",
            },
        ],
        test: PROMISES.filter("output_commit::a_checkpoint_waits"),
    },
    Mutant {
        name: "a restart finds in the log what was handled",
        edits: &[Edit {
            file: "src/turn/mod.rs",
            find: "                if Box::pin(turn.settle()).await.is_err() {",
            replace: "                if false {",
        }],
        test: PROMISES.filter("output_commit::a_restart_finds"),
    },
    Mutant {
        name: "what an opening sends again is logged before it is handled",
        edits: &[Edit {
            file: "src/turn/delivery.rs",
            find: "        at_once && self.core",
            replace: "        at_once && false && self.core",
        }],
        test: PROMISES.filter("output_commit::what_an_opening"),
    },
    Mutant {
        name: "an actor holds no more back than its limit",
        edits: &[Edit {
            file: "src/turn/outputs.rs",
            find: "        self.messages + self.outputs.len() as u64 >= HELD_OUTPUTS_MAX",
            replace: "        self.messages > u64::MAX - HELD_OUTPUTS_MAX",
        }],
        test: PROMISES.filter("output_commit::held_outputs_have"),
    },
];
