//! Mutants of durable timers.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY, RUNTIME};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a firing counts for its own timer alone",
        edits: &[Edit {
            file: "replay/src/timers.rs",
            find: "            timer.due == due && message == delivery.message && payload == delivery.payload\n",
            replace: "            let _ = (due, message, payload, timer);\n            true\n",
        }],
        test: REPLAY.filter("timers::tests::a_firing_finds"),
    },
    Mutant {
        name: "a firing takes its timer away",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "        timers.fire(name, left);\n",
            replace: "        let _ = (name, left);\n",
        }],
        test: REPLAY.filter("schedule::tests::a_firing_counts_once"),
    },
    Mutant {
        name: "a firing that is passed on takes its timer away",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "    process.timers.change(name, left);\n",
            replace: "    let _ = (name, left);\n",
        }],
        test: REPLAY.filter("schedule::tests::a_firing_for_another"),
    },
    Mutant {
        name: "a period goes on after the clock, with the count of what was missed",
        edits: &[Edit {
            file: "replay/src/timers.rs",
            find: "        let missed = passed / period;\n",
            replace: "        let missed = passed / period * 0;\n",
        }],
        test: REPLAY.filter("timers::tests::a_period_goes_on"),
    },
    Mutant {
        name: "a period ends with time",
        edits: &[Edit {
            file: "replay/src/timers.rs",
            find: "        let is_later = due > clock.as_micros() && due > self.due.as_micros();\n",
            replace: "        let is_later = true;\n",
        }],
        test: REPLAY.filter("timers::tests::a_period_ends"),
    },
    Mutant {
        name: "a handler that halts sets and cancels nothing",
        edits: &[Edit {
            file: "replay/src/timers.rs",
            find: "    pub(crate) fn abandon(self) -> Timers {\n        self.before\n",
            replace: "    pub(crate) fn abandon(self) -> Timers {\n        self.done()\n",
        }],
        test: REPLAY.filter("timers::tests::a_delivery_that_halts"),
    },
    Mutant {
        name: "the number of an actor's timers is bounded",
        edits: &[Edit {
            file: "replay/src/timers.rs",
            find: "        if count > TIMERS_PER_ACTOR_MAX {\n",
            replace: "        if false {\n",
        }],
        test: REPLAY.filter("timers::tests::an_actor_has"),
    },
    Mutant {
        name: "the digest holds when a timer is due",
        edits: &[Edit {
            file: "replay/src/effects.rs",
            find: "        hasher.write(&due.as_micros().to_le_bytes());\n        // No period",
            replace: "        let _ = due;\n        // No period",
        }],
        test: REPLAY.filter("effects::tests::the_digest_of_a_timer"),
    },
    Mutant {
        name: "a firing sees no time before it was due",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "|firing| firing.due.max(delivery.clock));\n",
            replace: "|_| delivery.clock);\n",
        }],
        test: REPLAY.filter("schedule::tests::a_firing_never_sees"),
    },
    Mutant {
        name: "the header of a checkpoint wakes a passive actor",
        edits: &[Edit {
            file: "replay/src/checkpoint_body.rs",
            find: "        wake_at: process.timers.next(),\n",
            replace: "        wake_at: None,\n",
        }],
        test: REPLAY.filter("checkpoint_body::tests::a_timer_is_in_the_header"),
    },
    Mutant {
        name: "what an actor says of its timers replaces what was known",
        edits: &[Edit {
            file: "src/timers/due_times.rs",
            find: "            self.side(place).remove(&(due, actor.clone()));\n",
            replace: "            let _ = (due, place);\n",
        }],
        test: RUNTIME.filter("timers::due_times::tests::an_actor_has_one"),
    },
    Mutant {
        name: "a firing that is left out takes its timer away",
        edits: &[Edit {
            file: "replay/src/instance.rs",
            find: "            self.timers.change(fired.name, fired.left);\n",
            replace: "            drop(fired);\n",
        }],
        test: PROMISES.filter("timers::a_firing_that_fails"),
    },
    Mutant {
        name: "who leaves memory while checkpoints are listed is kept",
        edits: &[Edit {
            file: "src/timers/due_times.rs",
            find: "            inner.until = FOR_EVER;\n        }\n        has_ended\n",
            replace: "        }\n        has_ended\n",
        }],
        test: RUNTIME.filter("timers::due_times::tests::a_listing_keeps"),
    },
    Mutant {
        name: "the number of passive actors whose timers are known is bounded",
        edits: &[Edit {
            file: "src/timers/due_times.rs",
            find: "        while self.passive.len() > TIMERS_WINDOW_MAX\n",
            replace: "        while false\n",
        }],
        test: RUNTIME.filter("timers::due_times::tests::passive_actors"),
    },
    Mutant {
        name: "a window ends where the first actor is left out of it",
        edits: &[Edit {
            file: "src/timers/window.rs",
            find: "        self.until = self.until.min(left);\n",
            replace: "        let _ = left;\n",
        }],
        test: RUNTIME.filter("timers::window::tests::it_keeps"),
    },
    Mutant {
        name: "an actor that is woken for its timers does not rest before it has looked",
        edits: &[Edit { file: "src/actor/cell.rs", find: "            || self.timers\n", replace: "" }],
        test: RUNTIME.filter("turn::firing::tests::a_wake"),
    },
    Mutant {
        name: "a timer whose firing is ahead does not fire again",
        edits: &[Edit {
            file: "src/turn/firing.rs",
            find: "            due.retain(|timer| !ahead.contains(&(timer.name.clone(), timer.due)));\n",
            replace: "            drop(ahead);\n",
        }],
        test: RUNTIME.filter("turn::firing::tests::a_timer_that_is_due"),
    },
    Mutant {
        name: "a listing leaves actors in memory to say when they are due",
        edits: &[Edit {
            file: "src/runtime/waking.rs",
            find: "                && !listing.actors.get(&header.actor).is_some_and(|cell| cell.is_active())\n",
            replace: "",
        }],
        test: RUNTIME.filter("runtime::waking::tests::a_listing_finds"),
    },
    Mutant {
        name: "nothing fires in a shutdown",
        edits: &[Edit {
            file: "src/turn/firing.rs",
            find: "        if self.core.lifecycle.intake().is_err() {\n",
            replace: "        if false {\n",
        }],
        test: RUNTIME.filter("turn::firing::tests::nothing_fires"),
    },
];
