//! The guards against what surrounds the runtime: other code, other settings, users' code that unwinds or gives up, the host.

use super::guard::{Edit, Guard, PROMISES};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "a delivery that may have been handled is not left out",
        edits: &[Edit {
            file: "src/restart.rs",
            find: "match judge(&core.config.restarts, &mut tried, &halt, !undecided) {",
            replace: "match judge(&core.config.restarts, &mut tried, &halt, true) {",
        }],
        test: PROMISES.filter("crash_points::class_27"),
    },
    Guard {
        name: "a sender whose code has changed is stopped, not the store",
        edits: &[Edit {
            file: "src/recovery.rs",
            find: "                if !tried.contains(sender) {",
            replace: "                if true {",
        }],
        test: PROMISES.filter("versions::class_27_what_has_arrived"),
    },
    Guard {
        name: "a retry keeps its keys",
        edits: &[Edit {
            file: "src/receive.rs",
            find: "            self.active.instance.redeliver(received, rsn);\n",
            replace: "",
        }],
        test: PROMISES.filter("versions::class_27_a_retry_keeps"),
    },
    Guard {
        name: "a shutdown leaves nothing to replay",
        edits: &[Edit {
            file: "src/shutdown.rs",
            find: "    let left = checkpoint_all(core, limit).await;\n",
            replace: "    let left = if limit.is_zero() { checkpoint_all(core, limit).await } else { Vec::new() };\n",
        }],
        test: PROMISES.filter("versions::class_27_after_a_shutdown"),
    },
    Guard {
        name: "an actor whose replay ended the process is left alone",
        edits: &[Edit {
            file: "src/recovery.rs",
            find: "self.with_care && *actor == slot.id && ends(found) >= self.tries",
            replace: "self.with_care && *actor == slot.id && ends(found) > 99",
        }],
        test: PROMISES.filter("poison::class_27_a_replay"),
    },
    Guard {
        name: "a process that was killed in a replay once stops nobody",
        edits: &[Edit {
            file: "src/recovery.rs",
            find: "ends(found) >= self.tries",
            replace: "ends(found) >= 1",
        }],
        test: PROMISES.filter("poison::class_27_a_few"),
    },
    Guard {
        name: "a side effect that is given up stops the handler",
        edits: &[Edit {
            file: "replay/src/context.rs",
            find: "        if self.signal.get() == Signal::WAITING {\n            self.signal.halt(",
            replace: "        if false {\n            self.signal.halt(",
        }],
        test: PROMISES.filter("giving_up::").hangs(),
    },
    Guard {
        name: "a side effect that was leaked stops the handler",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "        Ok(Poll::Ready(_)) if signal.get() == Signal::WAITING => Poll::Ready(End::Leaked),\n",
            replace: "        Ok(Poll::Ready(_)) if false => Poll::Ready(End::Leaked),\n",
        }],
        test: PROMISES.filter("giving_up::").hangs(),
    },
    Guard {
        name: "states are dropped under guard",
        edits: &[Edit {
            file: "replay/src/guard.rs",
            find: "            drop_guarded(self.what, value);\n",
            replace: "            let _ = self.what;\n            drop(value);\n",
        }],
        test: PROMISES.filter("unwinding::").hangs(),
    },
    Guard {
        name: "a shutdown comes to its end with actors that keep busy",
        edits: &[Edit { file: "src/shutdown.rs", find: "        core.keep_sends();\n", replace: "" }],
        test: PROMISES.filter("surroundings::class_32_an_actor_that_sends").hangs(),
    },
    Guard {
        name: "a tokio that is gone is told",
        edits: &[
            Edit {
                file: "src/maintenance.rs",
                find: "            self.0.stop(Refused::HostGone);\n",
                replace: "",
            },
            Edit {
                file: "src/turn.rs",
                find: "            self.turn.core().stop(Refused::HostGone);\n",
                replace: "            let _ = (Refused::HostGone, self.turn.core());\n",
            },
        ],
        test: PROMISES.filter("surroundings::class_32_a_tokio_that_is_gone").hangs(),
    },
    Guard {
        name: "a handler that waits for its own actor is told",
        edits: &[Edit {
            file: "src/waiting.rs",
            find: "    if Handling::is_of(&**slot) {",
            replace: "    if false && Handling::is_of(&**slot) {",
        }],
        test: PROMISES.filter("surroundings::class_32_a_handler_that_waits").hangs(),
    },
    Guard {
        name: "restoring has a large stack",
        edits: &[Edit {
            file: "src/replayers.rs",
            find: ".stack_size(self.stack_bytes)",
            replace: ".stack_size(self.stack_bytes.min(1 << 20))",
        }],
        test: PROMISES.filter("surroundings::class_32_a_replay_has"),
    },
];
