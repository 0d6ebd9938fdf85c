//! Mutants of the runtime.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY, RUNTIME};

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
            find: "        inner.mail.count(&self.backpressure);\n",
            replace: "",
        }],
        test: RUNTIME.filter("actor::cell::tests::a_message_counts"),
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
            find: "        answering(shown, pin!(until_durable(self.core, end))).await?;\n",
            replace: "        let _ = (shown, until_durable(self.core, end));\n",
        }],
        test: PROMISES.filter("stability::a_delivery"),
    },
    Mutant {
        name: "a side effect's outcome is durable before the handler goes on",
        edits: &[Edit {
            file: "src/turn/live.rs",
            find: "            if self.discipline == Discipline::BeforeHandling {\n                committer",
            replace: "            if false {\n                committer",
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
            find: "        outbox: owed_by_it.messages.iter().map(owed).collect(),\n",
            replace: "        outbox: { let _ = owed; Vec::new() },\n",
        }],
        test: PROMISES.filter("promises::"),
    },
    Mutant {
        name: "debts are restored",
        edits: &[Edit {
            file: "src/recovery/replay.rs",
            find: "                    cell.keep_until_acknowledged(&owed.messages);\n",
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
    Mutant {
        name: "replies in checkpoints",
        edits: &[Edit {
            file: "replay/src/checkpoint_body.rs",
            find: "        replies: owed_by_it.replies.iter().map(OwedReply::of).collect(),\n",
            replace: "        replies: { let _ = OwedReply::of; Vec::new() },\n",
        }],
        test: REPLAY.filter("checkpoint_body::"),
    },
    Mutant {
        name: "a reply is kept until its asker has it",
        edits: &[Edit {
            file: "src/turn/dispatch.rs",
            find: "    from.keep_reply(reply.clone());\n",
            replace: "",
        }],
        test: RUNTIME.filter("turn::delivery::tests::a_reply_is_kept"),
    },
    Mutant {
        name: "a reply that comes again is acknowledged before its asker rests",
        edits: &[Edit {
            file: "src/turn/mod.rs",
            find: "                turn.settle_replies(VecDeque::new());\n",
            replace: "",
        }],
        test: PROMISES.filter("asks::a_reply_that_comes_again"),
    },
    Mutant {
        name: "a delivery that has asked is not left out",
        edits: &[Edit {
            file: "src/supervision/restart.rs",
            find: "    let has_released = halted.released == Some(rsn);\n",
            replace: "    let has_released = false;\n",
        }],
        test: PROMISES.filter("asks::an_ask_of_an_actor_that_stops").hangs(),
    },
    Mutant {
        name: "a cycle of asks is found",
        edits: &[Edit {
            file: "src/actor/wait_graph.rs",
            find: "        let cycle = if stuck.contains(actor) {",
            replace: "        let cycle = if false && stuck.contains(actor) {",
        }],
        test: RUNTIME.filter("actor::wait_graph::"),
    },
    Mutant {
        name: "who has a reply is in no deadlock",
        edits: &[Edit {
            file: "src/actor/wait_graph.rs",
            find: "        if has_news() {\n",
            replace: "        if false && has_news() {\n",
        }],
        test: RUNTIME.filter("actor::wait_graph::"),
    },
    Mutant {
        name: "messages are taken in while a handler waits",
        edits: &[Edit {
            file: "src/turn/waiting.rs",
            find: "        intake.cell.new_mail().await;\n",
            replace: "        intake.cell.new_mail().await;\n        std::future::pending::<()>().await;\n",
        }],
        test: PROMISES.filter("asks::receipts_do_not_wait").hangs(),
    },
    Mutant {
        name: "what was acknowledged is not kept again",
        edits: &[Edit {
            file: "src/actor/outbox.rs",
            find: "        if channel.front().is_some_and(|first| outgoing.ssn < first.ssn) {",
            replace: "        if false && channel.front().is_some_and(|first| outgoing.ssn < first.ssn) {",
        }],
        test: RUNTIME.filter("actor::outbox::tests::what_was_acknowledged"),
    },
];
