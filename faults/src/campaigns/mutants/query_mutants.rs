//! Mutants of the way of a query.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY, RUNTIME, SCHEDULES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a panic of an answer is an error",
        edits: &[Edit {
            file: "replay/src/answering.rs",
            find: "use crate::guard::guarded;\n",
            replace: "fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {\n    Ok(call())\n}\n",
        }],
        test: REPLAY.filter("answering::tests::a_panic_of_an_answer"),
    },
    Mutant {
        name: "two queries have two names",
        edits: &[Edit {
            file: "replay/src/kind.rs",
            find: "        if self.answers.add::<Q>() == Added::Again {\n",
            replace: "        if self.answers.add::<Q>() == Added::Again && false {\n",
        }],
        test: REPLAY.filter("query::tests::two_queries"),
    },
    Mutant {
        name: "queries that come meanwhile wait for the next delivery",
        edits: &[Edit {
            file: "src/turn/queries.rs",
            find: "        for _ in 0..queries {\n",
            replace: "        let _ = queries;\n        loop {\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::queries_and_deliveries"),
    },
    Mutant {
        name: "what an opening found comes before any answer",
        edits: &[Edit {
            file: "src/actor/activation.rs",
            find: "        self.probation.is_none()\n",
            replace: "        true\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::nothing_is_shown"),
    },
    Mutant {
        name: "an answer waits for what its state depends on",
        edits: &[Edit {
            file: "src/turn/queries.rs",
            find: "                self.until_state_is_stable().await?;\n            }\n            answer_waiting",
            replace: "            }\n            answer_waiting",
        }],
        test: RUNTIME.filter("turn::queries::tests::an_answer_waits"),
    },
    Mutant {
        name: "a turn that waits for the log answers nothing from what could be lost",
        edits: &[Edit {
            file: "src/turn/queries.rs",
            find: "        if !is_stable(core, cell, *appended) {\n",
            replace: "        if false {\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::an_answer_waits"),
    },
    Mutant {
        name: "a query has the log commit what it waits for",
        edits: &[Edit {
            file: "src/turn/outputs.rs",
            find: "            () = queried, if may_show(cell, &self.active) => {}\n",
            replace: "            () = queried, if false => {}\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::a_turn_that_waits_for_the_log"),
    },
    Mutant {
        name: "no query sees what a halted handler has left",
        edits: &[Edit {
            file: "src/turn/mod.rs",
            find: "                if handled.is_ok()\n                    &&",
            replace: "                if (handled.is_ok() || true)\n                    &&",
        }],
        test: RUNTIME.filter("turn::queries::tests::nothing_is_shown_of_a_delivery_that_halts"),
    },
    Mutant {
        name: "what a query may have shown is not left out",
        edits: &[Edit {
            file: "src/turn/delivery.rs",
            find: " || self.cell.kind.has_queries()",
            replace: "",
        }],
        test: RUNTIME.filter("turn::delivery::tests::what_ends_the_process"),
    },
    Mutant {
        name: "a caller does not answer for others without end",
        edits: &[Edit {
            file: "src/turn/queries.rs",
            find: "            if answered < QUERIES_LENT_MAX || ",
            replace: "            if answered < usize::MAX || ",
        }],
        test: RUNTIME.filter("turn::queries::tests::many_queries"),
    },
    Mutant {
        name: "a closed runtime lends no actor",
        edits: &[Edit {
            file: "src/actor/lending.rs",
            find: "        // each query that was let in.\n        is_open()?;\n",
            replace: "        let _ = is_open;\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::many_queries"),
    },
    Mutant {
        name: "a turn does not rest while a query waits",
        edits: &[Edit {
            file: "src/actor/cell.rs",
            find: "        self.has_work() || self.queries.as_ref().is_some_and(|queries| queries.has_any())\n",
            replace: "        self.has_work()\n",
        }],
        test: SCHEDULES.filter("schedules::queries::every_query"),
    },
    Mutant {
        name: "no turn runs an actor that a query has",
        edits: &[Edit {
            file: "src/actor/phase.rs",
            find: "            kept @ (Self::Lent | Self::Failed(_)) => {\n",
            replace: "            Self::Lent => Some(None),\n            kept @ Self::Failed(_) => {\n",
        }],
        test: SCHEDULES.filter("schedules::queries::every_query"),
    },
    Mutant {
        name: "a query looks for the failure under the lock",
        edits: &[Edit {
            file: "src/actor/lending.rs",
            find: "        if let Some(failure) = inner.phase.failure() {\n            return Err",
            replace: "        if let Some(failure) = inner.phase.failure().filter(|_| false) {\n            return Err",
        }],
        test: SCHEDULES.filter("schedules::queries::a_query_is_answered"),
    },
    Mutant {
        name: "a failure is told to the queries that wait",
        edits: &[Edit {
            file: "src/actor/cell.rs",
            find: "            queries.refuse(&failure);\n",
            replace: "            let _ = &mut queries;\n",
        }],
        test: SCHEDULES.filter("schedules::queries::a_query_is_answered"),
    },
    Mutant {
        name: "a query wakes the turn that waits for the disk",
        edits: &[Edit {
            file: "src/actor/lending.rs",
            find: "            turn.wake();\n",
            replace: "            drop(turn);\n",
        }],
        test: SCHEDULES.filter("schedules::queries::a_turn_that_waits"),
    },
    Mutant {
        name: "a handler goes on when its log has the answer",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "        let logged = determinants.log(event.clone()).await;\n        event.clock = Some(logged",
            replace: "        let logged = match event.kind {\n            EventKind::Answer => Ok(self.delivery.clock),\n            _ => determinants.log(event.clone()).await,\n        };\n        event.clock = Some(logged",
        }],
        test: PROMISES.filter("queries::handlers::a_handler_keeps"),
    },
    Mutant {
        name: "a replay takes the recorded answer",
        edits: &[Edit {
            file: "src/turn/live.rs",
            find: "        Ok(self.tape.next_event(rsn, waits)?.map_or(Recorded::Nothing, Recorded::Event))\n",
            replace: "        let event = self.tape.next_event(rsn, waits)?;\n        let event = event.filter(|event| event.kind != EventKind::Answer);\n        Ok(event.map_or(Recorded::Nothing, Recorded::Event))\n",
        }],
        test: PROMISES.filter("queries::handlers::a_handler_keeps"),
    },
    Mutant {
        name: "a query of another thing is a divergence",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "            inner.asked().effects.query(index, to, name, payload);\n",
            replace: "            let _ = name;\n",
        }],
        test: REPLAY.filter("inquiry::tests::a_query_of_something_else"),
    },
    Mutant {
        name: "a query that waits is a part of cycles",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "            Self::Reply { from, .. } | Self::Answer { from, .. } => Some(from),\n            Self::SideEffect",
            replace: "            Self::Reply { from, .. } => Some(from),\n            Self::Answer { .. } | Self::SideEffect",
        }],
        test: PROMISES.filter("queries::handlers::the_query_that_closes").hangs(),
    },
    Mutant {
        name: "an answer that has come is no deadlock",
        edits: &[Edit {
            file: "src/turn/inquiries.rs",
            find: "            Stage::Asked(expected) => expected.has_come(),\n",
            replace: "            Stage::Asked(expected) => expected.has_come() && false,\n",
        }],
        test: RUNTIME.filter("turn::inquiries::tests::a_query_waits_for_a_turn"),
    },
    Mutant {
        name: "an answer ends the wait for it in one step",
        edits: &[Edit {
            file: "src/actor/wait_graph.rs",
            find: "        let graph = &mut self.inner().graph;\n        let brought = bring();\n        graph.remove(actor);\n",
            replace: "        let brought = bring();\n        self.goes_on(actor);\n",
        }],
        test: SCHEDULES.filter("schedules::queries::an_answer_ends"),
    },
    Mutant {
        name: "a query that lost is not answered",
        edits: &[Edit {
            file: "src/turn/inquiries.rs",
            find: "            expected.give_up();\n",
            replace: "            let _ = expected;\n",
        }],
        test: PROMISES.filter("queries::handlers::a_query_that_lost"),
    },
    Mutant {
        name: "the end of the runtime is no answer",
        edits: &[Edit {
            file: "src/turn/inquiries.rs",
            find: "        self.bring(stopped.map_or(Came::Refused, Came::Outcome));\n",
            replace: "        self.bring(Came::Outcome(stopped.unwrap_or_default()));\n",
        }],
        test: RUNTIME.filter("turn::inquiries::tests::a_query_that_was_refused"),
    },
    Mutant {
        name: "a handler asks while the runtime closes",
        edits: &[Edit {
            file: "src/turn/queries.rs",
            find: "            Self::Handler => lifecycle.stop_reason().map_or(Ok(()), Err),\n",
            replace: "            Self::Handler => lifecycle.intake(),\n",
        }],
        test: RUNTIME.filter("turn::inquiries::tests::a_query_that_was_refused"),
    },
    Mutant {
        name: "only the registered type of a handler's query is answered",
        edits: &[Edit {
            file: "src/turn/inquiries.rs",
            find: "        if cell.kind.query(name) != Some(*of) {\n",
            replace: "        let _ = of;\n        if cell.kind.query(name).is_none() {\n",
        }],
        test: PROMISES.filter("queries::handlers::failures_are_values"),
    },
    Mutant {
        name: "an answer without a record waits behind one with a record",
        edits: &[Edit {
            file: "src/turn/queries.rs",
            find: "        if waiting.query.is_recorded() { Self::Record } else { Self::Nothing }\n",
            replace: "        let _ = waiting;\n        Self::Record\n",
        }],
        test: RUNTIME.filter("turn::inquiries::tests::a_recorded_answer"),
    },
    Mutant {
        name: "the text of a panic fits an event",
        edits: &[Edit {
            file: "replay/src/inquiry.rs",
            find: "*reason = shortened(std::mem::take(reason), REASON_BYTES_MAX);",
            replace: "let _ = (&*reason, shortened, REASON_BYTES_MAX);",
        }],
        test: REPLAY.filter("inquiry::tests::every_outcome"),
    },
    Mutant {
        name: "only the registered type of a query is answered",
        edits: &[Edit {
            file: "src/client/query.rs",
            find: "        if cell.kind.query(Q::NAME) != Some(TypeId::of::<Q>()) {\n",
            replace: "        if cell.kind.query(Q::NAME).is_none() {\n",
        }],
        test: PROMISES.filter("queries::shown::an_answer_that_is_not_registered"),
    },
    Mutant {
        name: "a turn answers before each delivery",
        edits: &[Edit {
            file: "src/turn/delivery.rs",
            find: "            if self.cell.is_queried() {\n",
            replace: "            if false {\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::queries_and_deliveries"),
    },
    Mutant {
        name: "queries don't wait for the disk",
        edits: &[Edit {
            file: "src/turn/intake.rs",
            find: "        answering(shown, pin!(until_durable(self.core, end))).await?;\n",
            replace: "        drop(shown);\n        until_durable(self.core, end).await?;\n",
        }],
        test: PROMISES.filter("queries::shown::no_query_waits").hangs(),
    },
    Mutant {
        name: "messages come before the queries that wait for a lent actor",
        edits: &[Edit {
            file: "src/actor/lending.rs",
            find: "        if inner.has_work() {\n",
            replace: "        if false {\n",
        }],
        test: RUNTIME.filter("turn::queries::tests::an_actor_goes_on"),
    },
    Mutant {
        name: "a shutdown knows an actor that a query has",
        edits: &[Edit {
            file: "src/runtime/shutdown.rs",
            find: "        None if cell.is_running() =>",
            replace: "        None if cell.is_in_memory() =>",
        }],
        test: PROMISES.filter("queries::ends::a_shutdown_beside_queries"),
    },
    Mutant {
        name: "queries keep no actor from its checkpoints",
        edits: &[Edit {
            file: "src/runtime/maintenance.rs",
            find: "            cell.look_later();\n",
            replace: "",
        }],
        test: PROMISES.filter("queries::bounds::queries_keep_no_actor"),
    },
    Mutant {
        name: "a query that was given up is passed over",
        edits: &[Edit {
            file: "src/client/query.rs",
            find: ".filter(|back| !back.is_closed())",
            replace: "",
        }],
        test: PROMISES.filter("queries::bounds::a_query_that_was_given_up"),
    },
    Mutant {
        name: "no actor waits for its own answer",
        edits: &[Edit {
            file: "src/client/query.rs",
            find: "may_wait_for(cell).and_then(|()| lend(core, cell, Asker::Outside))",
            replace: "lend(core, cell, Asker::Outside)",
        }],
        test: PROMISES.filter("queries::ends::no_actor_waits"),
    },
];
