//! Mutants without the guards of what the program around a runtime decides: what time it is, when
//! to end, what handlers have at hand.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY, RUNTIME};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "handlers see the clock of their runtime",
        edits: &[Edit {
            file: "src/log/committer.rs",
            find: "buffer.context.clock = self.clock.now();",
            replace: "buffer.context.clock = crate::clock::SystemClock.now();",
        }],
        test: PROMISES.filter("clock::handlers_see"),
    },
    Mutant {
        name: "a wait for a time of day looks at the clock again",
        edits: &[Edit {
            file: "src/clock.rs",
            find: "        sleep(left.min(CLOCK_LOOK_INTERVAL)).await;\n",
            replace: "        sleep(left.max(CLOCK_LOOK_INTERVAL)).await;\n",
        }],
        test: RUNTIME.filter("clock::tests::a_clock_that_jumps_ahead").hangs(),
    },
    Mutant {
        name: "a clock that was moved wakes those whose time has come",
        edits: &[Edit {
            file: "src/testing/manual_clock.rs",
            find: "wait_for(|now| *now >= until)",
            replace: "wait_for(|now| *now > until)",
        }],
        test: RUNTIME.filter("testing::manual_clock::tests").hangs(),
    },
    Mutant {
        name: "a deadline leaves time for what comes after the handlers",
        edits: &[Edit {
            file: "src/runtime/shutdown_time.rs",
            find: "            Self::Handlers => 12,\n",
            replace: "            Self::Handlers => 15,\n",
        }],
        test: RUNTIME.filter("runtime::shutdown_time::tests::a_deadline_is_split"),
    },
    Mutant {
        name: "of two deadlines the earlier one counts",
        edits: &[Edit {
            file: "src/runtime/shutdown_time.rs",
            find: "known.map_or(deadline, |known| known.earlier(deadline))",
            replace: "known.map_or(deadline, |_| deadline)",
        }],
        test: RUNTIME.filter("runtime::shutdown_time::tests::a_deadline_shortens"),
    },
    Mutant {
        name: "a deadline shortens the shutdown under way",
        edits: &[Edit {
            file: "src/runtime/shared_shutdown.rs",
            find: "            Ends::By(deadline) => self.time.shorten(deadline),\n",
            replace: "            Ends::By(deadline) if first => self.time.shorten(deadline),\n            Ends::By(_) => {}\n",
        }],
        test: PROMISES.filter("deadlines::a_deadline_shortens").hangs(),
    },
    Mutant {
        name: "a shutdown has a thread of its own",
        edits: &[Edit {
            file: "src/runtime/shared_shutdown.rs",
            find: "        if let Err(error) = start_detached(thread::Builder::new().name(\"relive-shutdown\".to_owned()), body) {\n",
            replace: "        drop(body);\n        if let Some(error) = thread::current().name().or(Some(\"\")) {\n",
        }],
        test: PROMISES.filter("deadlines::a_host_of_one_thread").hangs(),
    },
    Mutant {
        name: "a handler that keeps its thread does not hold the end",
        edits: &[Edit {
            file: "src/runtime/shutdown.rs",
            find: "time.begin(Part::Turns).within(core.lifecycle.quiet()).await.is_none()",
            replace: "core.lifecycle.quiet().await != ()",
        }],
        test: PROMISES.filter("deadlines::a_handler_that_keeps").hangs(),
    },
    Mutant {
        name: "the report names the handlers that wait",
        edits: &[Edit {
            file: "src/runtime/shutdown.rs",
            find: "    let waiting = still_waiting(core);\n    let closed = close(core, Ending::InOrder, time).await;\n",
            replace: "    let closed = close(core, Ending::InOrder, time).await;\n    let waiting = still_waiting(core);\n",
        }],
        test: PROMISES.filter("deadlines::a_handler_that_waits_for_ever"),
    },
    Mutant {
        name: "a delivery that lacks a dependency is not left out",
        edits: &[Edit {
            file: "src/supervision/policy.rs",
            find: "            | HaltReason::Unhandled { .. }\n    )",
            replace: "            | HaltReason::Unhandled { .. }\n            | HaltReason::MissingDependency { .. }\n    )",
        }],
        test: PROMISES.filter("dependencies::a_handler_that_lacks"),
    },
    Mutant {
        name: "a handler that lacks a dependency has not panicked",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "            (Err(_), Look::Halted(reason @ HaltReason::MissingDependency { .. })) => Err(reason),\n",
            replace: "",
        }],
        test: PROMISES.filter("dependencies::a_handler_that_lacks"),
    },
    Mutant {
        name: "a handler that lacks a dependency stops, also when it catches that",
        edits: &[Edit {
            file: "replay/src/provided.rs",
            find: "        self.waits.halt(HaltReason::MissingDependency {",
            replace: "        drop(HaltReason::MissingDependency {",
        }],
        test: REPLAY.filter("provided::tests::a_handler_that_lacks"),
    },
    Mutant {
        name: "a try that halts has not ended the process, and the log says so",
        edits: &[Edit {
            file: "src/turn/delivery.rs",
            find: "                self.survived_try(halt.rsn).await?;\n",
            replace: "",
        }],
        test: RUNTIME.filter("turn::delivery::tests::a_noted_try_that_halts"),
    },
    Mutant {
        name: "a try that the log says has ended does not count",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "                    (0..2).for_each(|_| self.survived(rsn));\n",
            replace: "",
        }],
        test: REPLAY.filter("tape::tests::tries_count"),
    },
    Mutant {
        name: "handlers have what the program provides",
        edits: &[Edit {
            file: "src/runtime/registration.rs",
            find: "            kind.equip(&dependencies);\n",
            replace: "            kind.equip(&Arc::default());\n            kind.equip(&dependencies);\n",
        }],
        test: PROMISES.filter("dependencies::handlers_have"),
    },
    Mutant {
        name: "a declared dependency is checked before anything runs",
        edits: &[Edit {
            file: "src/runtime/registration.rs",
            find: ".find(|need| !self.dependencies.has(need));",
            replace: ".find(|_| false);",
        }],
        test: PROMISES.filter("dependencies::an_opening_says"),
    },
    Mutant {
        name: "two dependencies of one type are refused",
        edits: &[Edit {
            file: "src/runtime/registration.rs",
            find: "            self.twice.get_or_insert(Dependency::of::<T>());\n",
            replace: "",
        }],
        test: PROMISES.filter("dependencies::an_opening_says"),
    },
];
