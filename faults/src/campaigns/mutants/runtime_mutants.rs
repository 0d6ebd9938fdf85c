//! Mutants of the runtime.

use super::mutant::{Edit, Mutant, PROMISES, RUNTIME};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "acknowledge after sync, in the runtime",
        edits: &[Edit {
            file: "src/log/committer.rs",
            find: "            let outcome = store.append(&block).and_then(|()| store.sync()).map_err(Arc::new);\n",
            replace: "            let outcome = store.append(&block).map_err(Arc::new);\n            self.watermark.rise(block.header().next());\n            let outcome = outcome.and_then(|()| store.sync().map_err(Arc::new));\n",
        }],
        test: PROMISES.filter("stability::a_delivery"),
    },
    Mutant {
        name: "a restart that replays less than was handled",
        edits: &[Edit {
            file: "src/supervision/restart.rs",
            find: "        Ok(Some(active)) if active.instance.handled() < handled => {\n",
            replace: "        Ok(Some(active)) if false => {\n",
        }],
        test: RUNTIME.filter("supervision::restart::tests::a_replay_that_ends"),
    },
    Mutant {
        name: "an activation that replays less than was handled",
        edits: &[Edit {
            file: "src/supervision/restart.rs",
            find: "        Ok(Some(active)) if !active.backlog.is_empty() => {\n",
            replace: "        Ok(Some(active)) if false => {\n",
        }],
        test: RUNTIME.filter("supervision::restart::tests::an_activation_that_ends"),
    },
    Mutant {
        name: "accepted messages count against the budget of the log",
        edits: &[Edit {
            file: "src/actor/cell.rs",
            find: "        if !inner.uncounted {\n",
            replace: "        if false {\n",
        }],
        test: RUNTIME.filter("actor::cell::tests::a_message_counts"),
    },
    Mutant {
        name: "messages for a handler that waits hold nobody back",
        edits: &[Edit {
            file: "src/actor/cell.rs",
            find: "            inner.uncounted = true;\n",
            replace: "",
        }],
        test: RUNTIME.filter("actor::cell::tests::messages_that_wait"),
    },
    Mutant {
        name: "frames count until the log has them",
        edits: &[Edit {
            file: "src/log/committer.rs",
            find: "        buffer.unlogged.add(self.log_budget.backpressure(), frame.len() as u64);\n",
            replace: "",
        }],
        test: PROMISES.filter("bursts::senders_wait"),
    },
    Mutant {
        name: "the last block can be cut, however large it is",
        edits: &[Edit {
            file: "src/log/budget.rs",
            find: "            self.steps.push_back((self.next, self.total));\n",
            replace: "",
        }],
        test: RUNTIME.filter("log::budget::tests::a_block_over"),
    },
    Mutant {
        name: "the log that passive actors fall back to is kept",
        edits: &[Edit {
            file: "src/retention/pin_index.rs",
            find: "            (awake, passive) => awake.or(passive),\n",
            replace: "            (awake, _) => awake,\n",
        }],
        test: PROMISES.filter("shrinking::an_opening_keeps_the_fallbacks"),
    },
    Mutant {
        name: "log before handle",
        edits: &[Edit {
            file: "src/turn/intake.rs",
            find: "            self.core.services.committer.until_durable(end).await.map_err(|_| TurnError::Over)?;\n        }\n        self.core.services.counters",
            replace: "            let _ = end;\n        }\n        self.core.services.counters",
        }],
        test: PROMISES.filter("stability::a_delivery"),
    },
    Mutant {
        name: "a side effect's outcome is durable before the handler goes on",
        edits: &[Edit {
            file: "src/turn/live.rs",
            find: "            self.committer.until_durable(appended.end).await.map_err(|_| NoOutcome)\n",
            replace: "            drop(appended);\n            Ok(())\n",
        }],
        test: PROMISES.filter("stability::a_handler"),
    },
    Mutant {
        name: "nothing is committed after a failure",
        edits: &[Edit {
            file: "src/log/committer.rs",
            find: "                    self.fail(error);\n",
            replace: "",
        }],
        test: PROMISES.filter("stability::a_failed_sync"),
    },
    Mutant {
        name: "the log of the fallback is kept",
        edits: &[Edit {
            file: "src/retention/pins.rs",
            find: "            self.older = covered;\n",
            replace: "            let _ = covered;\n            self.older = None;\n",
        }],
        test: RUNTIME.filter("retention::pins::tests"),
    },
    Mutant {
        name: "the log is cut below a durable checkpoint only",
        edits: &[Edit {
            file: "src/runtime/truncation.rs",
            find: "core.actors.pin_index().first().map_or(end, |first| first.min(end))",
            replace: "end",
        }],
        test: PROMISES.filter("shrinking::a_damaged_checkpoint_falls_back"),
    },
    Mutant {
        name: "fallback to the checkpoint before",
        edits: &[Edit {
            file: "src/actor/loader.rs",
            find: "Ok((store.get(id, Generation::Previous)?, Generation::Previous))",
            replace: "Err(error)",
        }],
        test: PROMISES.filter("shrinking::a_damaged_checkpoint_falls_back"),
    },
    Mutant {
        name: "debts in checkpoints",
        edits: &[Edit {
            file: "replay/src/checkpoint_body.rs",
            find: "        outbox: outbox.iter().map(owed).collect(),\n",
            replace: "        outbox: { let _ = owed; Vec::new() },\n",
        }],
        test: PROMISES.filter("promises::"),
    },
    Mutant {
        name: "debts are restored",
        edits: &[Edit {
            file: "src/recovery/replay.rs",
            find: "                cell.keep_until_acknowledged(&activated.outbox);\n",
            replace: "",
        }],
        test: PROMISES.filter("golden::class_24").hangs(),
    },
    Mutant {
        name: "no receiver knows more than its sender sent",
        edits: &[Edit {
            file: "src/recovery/replay.rs",
            find: "            if received > sent {",
            replace: "            if false && received > sent {",
        }],
        test: PROMISES.filter("refusals::a_receiver_that_knows_more"),
    },
];
