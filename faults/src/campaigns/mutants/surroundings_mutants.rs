//! Mutants without the guards against what surrounds the runtime: other code, other settings,
//! users' code that unwinds or gives up, the host.

use super::mutant::{Edit, Mutant, PROMISES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a delivery that may have been handled is not left out",
        edits: &[Edit {
            file: "src/supervision/restart.rs",
            find: "match judge(&core.services.config.restarts, &mut tried, &halt, known) {",
            replace: "match judge(&core.services.config.restarts, &mut tried, &halt, Known::Unhandled) {",
        }],
        test: PROMISES.filter("crash_points::class_27"),
    },
    Mutant {
        name: "a sender whose code has changed is stopped, not the store",
        edits: &[Edit {
            file: "replay/src/receptions.rs",
            find: "Some(Reception { receiver, ssn, by, .. }) if *by <= instance.handled() => {",
            replace: "Some(Reception { receiver, ssn, by, .. }) if *by <= instance.handled() && false => {",
        }],
        test: PROMISES.filter("versions::class_27_what_has_arrived"),
    },
    Mutant {
        name: "what a receiver has was handled",
        edits: &[
            Edit {
                file: "replay/src/engine.rs",
                find: "        if receptions.is_behind(&instance) {",
                replace: "        if false && receptions.is_behind(&instance) {",
            },
            Edit {
                file: "replay/src/engine.rs",
                find: "before <= rsn && !receptions.is_behind(instance)",
                replace: "before <= rsn && !(false && receptions.is_behind(instance))",
            },
        ],
        test: PROMISES.filter("versions::received::class_27_nothing_leaves"),
    },
    Mutant {
        name: "a receiver has a message, not only its number",
        edits: &[Edit {
            file: "replay/src/receptions.rs",
            find: "            if *received != content(message, payload) {",
            replace: "            if false && *received != content(message, payload) {",
        }],
        test: PROMISES.filter("versions::received::class_27_another_message"),
    },
    Mutant {
        name: "a receiver that is passive has what it has",
        edits: &[Edit {
            file: "src/recovery/analysis.rs",
            find: "        self.add_receptions(actor, &records)?;\n",
            replace: "        if self.actors.contains_key(actor) {\n            self.add_receptions(actor, &records)?;\n        }\n",
        }],
        test: PROMISES.filter("versions::received::class_27_a_receiver_whose"),
    },
    Mutant {
        name: "a retry keeps its keys",
        edits: &[Edit {
            file: "src/turn/intake.rs",
            find: "            self.active.instance.redeliver(received, rsn);\n",
            replace: "",
        }],
        test: PROMISES.filter("versions::class_27_a_retry_keeps"),
    },
    Mutant {
        name: "a shutdown leaves nothing to replay",
        edits: &[Edit {
            file: "src/runtime/shutdown.rs",
            find: "    let left = checkpoint_all(core, &time.begin(Part::Checkpoints)).await;\n",
            replace: "    let left = if core.lifecycle.keeps_sends() { checkpoint_all(core, &time.begin(Part::Checkpoints)).await } else { Vec::new() };\n",
        }],
        test: PROMISES.filter("versions::class_27_after_a_shutdown"),
    },
    Mutant {
        name: "an actor whose replay ended the process is left alone",
        edits: &[Edit {
            file: "src/recovery/replay.rs",
            find: "self.in_probation && *actor == cell.id && ends(found) >= self.tries",
            replace: "self.in_probation && *actor == cell.id && ends(found) > 99",
        }],
        test: PROMISES.filter("poison::class_27_a_replay"),
    },
    Mutant {
        name: "a process that was killed in a replay once stops nobody",
        edits: &[Edit {
            file: "src/recovery/replay.rs",
            find: "ends(found) >= self.tries",
            replace: "ends(found) >= 1",
        }],
        test: PROMISES.filter("poison::class_27_a_few"),
    },
    Mutant {
        name: "a side effect that is given up stops the handler",
        edits: &[Edit {
            file: "replay/src/side_effect.rs",
            find: "            self.waits.dropped(index);\n",
            replace: "            let _ = index;\n",
        }],
        test: PROMISES.filter("giving_up::").hangs(),
    },
    Mutant {
        name: "a side effect that was leaked stops the handler",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "(Ok(Poll::Ready(encoded)), Look::Free) => encoded",
            replace: "(Ok(Poll::Ready(encoded)), Look::Free | Look::Waits) => encoded",
        }],
        test: PROMISES.filter("giving_up::").hangs(),
    },
    Mutant {
        name: "states are dropped under guard",
        edits: &[Edit {
            file: "replay/src/guard.rs",
            find: "            drop_guarded(self.what, value);\n",
            replace: "            let _ = self.what;\n            drop(value);\n",
        }],
        test: PROMISES.filter("unwinding::").hangs(),
    },
    Mutant {
        name: "a shutdown comes to its end with actors that keep busy",
        edits: &[Edit {
            file: "src/runtime/shutdown.rs",
            find: "        core.lifecycle.keep_sends();\n",
            replace: "",
        }],
        test: PROMISES.filter("surroundings::class_32_an_actor_that_sends").hangs(),
    },
    Mutant {
        name: "a tokio that is gone is told",
        edits: &[Edit {
            file: "src/lifecycle.rs",
            find: "        self.stop(RuntimeFailure::HostGone.into());\n",
            replace: "        let _: Ended = RuntimeFailure::HostGone.into();\n",
        }],
        test: PROMISES.filter("surroundings::class_32_a_tokio_that_is_gone").hangs(),
    },
    Mutant {
        name: "a handler that waits for its own actor is told",
        edits: &[Edit {
            file: "src/client/waiting.rs",
            find: "    if Handling::is_of(&**cell) {",
            replace: "    if false && Handling::is_of(&**cell) {",
        }],
        test: PROMISES.filter("surroundings::class_32_a_handler_that_waits").hangs(),
    },
    Mutant {
        name: "restoring has a large stack",
        edits: &[Edit {
            file: "src/replayers.rs",
            find: ".stack_size(self.stack_bytes)",
            replace: ".stack_size(self.stack_bytes.min(1 << 20))",
        }],
        test: PROMISES.filter("surroundings::class_32_a_replay_has"),
    },
];
