//! The guards of the runtime.

use super::guard::{Edit, Guard, PROMISES, RUNTIME};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "acknowledge after sync, in the runtime",
        edits: &[Edit {
            file: "src/committer.rs",
            find: "            let outcome = store.append(&block).and_then(|()| store.sync()).map_err(Arc::new);\n",
            replace: "            let outcome = store.append(&block).map_err(Arc::new);\n            self.watermark.rise(block.header().next());\n            let outcome = outcome.and_then(|()| store.sync().map_err(Arc::new));\n",
        }],
        test: PROMISES.filter("stability::a_delivery"),
    },
    Guard {
        name: "the log that passive actors fall back to is kept",
        edits: &[Edit {
            file: "src/needs.rs",
            find: "            (awake, dormant) => awake.or(dormant),\n",
            replace: "            (awake, _) => awake,\n",
        }],
        test: PROMISES.filter("shrinking::an_opening_keeps_the_fallbacks"),
    },
    Guard {
        name: "log before handle",
        edits: &[Edit {
            file: "src/receive.rs",
            find: "            self.core.committer.stable(end).await.map_err(|_| Broken::Over)?;\n        }\n        self.core.counters",
            replace: "            let _ = end;\n        }\n        self.core.counters",
        }],
        test: PROMISES.filter("stability::a_delivery"),
    },
    Guard {
        name: "a side effect's outcome is stable before the handler goes on",
        edits: &[Edit {
            file: "src/live.rs",
            find: "            self.core.committer.stable(appended.end).await.map_err(|error| not_logged(error.to_string()))\n",
            replace: "            drop(appended);\n            Ok(())\n",
        }],
        test: PROMISES.filter("stability::a_handler"),
    },
    Guard {
        name: "nothing is committed after a failure",
        edits: &[Edit {
            file: "src/committer.rs",
            find: "                    self.fail(error);\n",
            replace: "",
        }],
        test: PROMISES.filter("stability::a_failed_sync"),
    },
    Guard {
        name: "the log of the fallback is kept",
        edits: &[Edit {
            file: "src/pins.rs",
            find: "            self.older = covered;\n",
            replace: "            let _ = covered;\n            self.older = None;\n",
        }],
        test: RUNTIME.filter("pins::tests"),
    },
    Guard {
        name: "the log is cut below a stable checkpoint only",
        edits: &[Edit {
            file: "src/maintenance.rs",
            find: "core.needs.first().map_or(end, |first| first.min(end))",
            replace: "end",
        }],
        test: PROMISES.filter("shrinking::a_damaged_checkpoint_falls_back"),
    },
    Guard {
        name: "fallback to the checkpoint before",
        edits: &[Edit {
            file: "src/activation.rs",
            find: "Ok((store.get(id, Generation::Previous)?, true))",
            replace: "Err(error)",
        }],
        test: PROMISES.filter("shrinking::a_damaged_checkpoint_falls_back"),
    },
    Guard {
        name: "debts in checkpoints",
        edits: &[Edit {
            file: "replay/src/checkpoint_body.rs",
            find: "        outbox: outbox.iter().map(owed).collect(),\n",
            replace: "        outbox: { let _ = owed; Vec::new() },\n",
        }],
        test: PROMISES.filter("promises::"),
    },
    Guard {
        name: "debts are restored",
        edits: &[Edit {
            file: "src/recovery.rs",
            find: "                slot.owe(&activated.outbox);\n",
            replace: "",
        }],
        test: PROMISES.filter("golden::class_24").hangs(),
    },
    Guard {
        name: "no receiver knows more than its sender sent",
        edits: &[Edit {
            file: "src/recovery.rs",
            find: "                if received <= sent || !sending.backlog.is_empty() {",
            replace: "                if true {",
        }],
        test: PROMISES.filter("refusals::a_receiver_that_knows_more"),
    },
];
