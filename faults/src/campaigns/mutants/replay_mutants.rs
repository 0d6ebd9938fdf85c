//! Mutants of replay.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY, REPLAYS};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "gap in the deliveries of an actor, on the tape",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "if delivery.rsn != expected {",
            replace: "if false {",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "the same event twice",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "if events.iter().any(|before| before.index == event.index) {",
            replace: "if false {",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "effects are compared with their digests",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "if known && expected != digest {",
            replace: "if false && known && expected != digest {",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "side effects are compared with their records",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "        is_kind && self.name == event.name\n",
            replace: "        is_kind\n",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "a side effect that is on record is not done again",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "        if rsn <= self.handled {\n",
            replace: "        if false {\n",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "duplicate table",
        edits: &[Edit {
            file: "replay/src/inbound.rs",
            find: "                return Admission::Duplicate;\n",
            replace: "                self.received = self.received.next();\n                return Admission::Fresh(self.received);\n",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "gap in a channel",
        edits: &[Edit {
            file: "replay/src/inbound.rs",
            find: "if known.checked_plus(1) != Some(ssn) {",
            replace: "if false {",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "depth of payloads",
        edits: &[Edit {
            file: "replay/src/payload.rs",
            find: "    if bytes.len() > NESTING_DEPTH_MAX {",
            replace: "    if false && bytes.len() > NESTING_DEPTH_MAX {",
        }],
        test: REPLAY.filter("payload::tests"),
    },
    Mutant {
        name: "a handler that awaits something foreign",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "            (Ok(Poll::Pending), Look::Free) => Err(self.foreign()),\n",
            replace: "            (Ok(Poll::Pending), Look::Free) => return Poll::Pending,\n",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "a handler that awaits something foreign beside a wait",
        edits: &[Edit {
            file: "replay/src/probe.rs",
            find: "Arc::strong_count(&self.woken) > 2 || ",
            replace: "",
        }],
        test: PROMISES.filter("giving_up::").hangs(),
    },
    Mutant {
        name: "a handler learns only what it waits for",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "(WaitFor::Reply { from, ssn }, EventKind::Reply { from: by, ssn: to }) => from == by && ssn == to,",
            replace: "(WaitFor::Reply { .. }, EventKind::Reply { .. }) => true,",
        }],
        test: REPLAY.filter("waits::"),
    },
    Mutant {
        name: "what lost a race of ours may be dropped, and nothing else",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "        if asked.discarding == 0 {\n",
            replace: "        if false {\n",
        }],
        test: REPLAY.filter("waits::"),
    },
    Mutant {
        name: "a delivery that does not go on gives its numbers back",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "            outbound.take_back(&asked.effects.sends);\n",
            replace: "            let _ = (asked, &mut outbound);\n",
        }],
        test: REPLAY.filter("waits::"),
    },
    Mutant {
        name: "a reply in the log shows that its request was handled",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "            self.handled = self.handled.max(self.answered);\n",
            replace: "",
        }],
        test: REPLAY.filter("tape::tests::a_reply"),
    },
    Mutant {
        name: "an error takes back the state",
        edits: &[Edit {
            file: "replay/src/call.rs",
            find: "        *actor = before;\n",
            replace: "        drop(before);\n",
        }],
        test: PROMISES.filter("undone::an_err"),
    },
    Mutant {
        name: "an error takes back what was sent",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "            asked.effects.take_back_last_sends();\n",
            replace: "            let _ = EffectsBuilder::take_back_last_sends;\n",
        }],
        test: PROMISES.filter("undone::an_err"),
    },
    Mutant {
        name: "an error takes back the numbers of what was sent",
        edits: &[Edit {
            file: "replay/src/waits.rs",
            find: "            inner.outbound.take_back(asked.effects.last_sends());\n",
            replace: "            let _ = asked.effects.last_sends();\n",
        }],
        test: PROMISES.filter("undone::an_err"),
    },
    Mutant {
        name: "an error takes back the timers",
        edits: &[Edit { file: "replay/src/waits.rs", find: "        inner.timers.undo();\n", replace: "" }],
        test: PROMISES.filter("undone::a_firing"),
    },
    Mutant {
        name: "an error does not take back a firing",
        edits: &[Edit {
            file: "replay/src/timers.rs",
            find: "        if let Some((name, left)) = fired {\n            self.fire",
            replace: "        if let Some((name, left)) = fired.filter(|_| false) {\n            self.fire",
        }],
        test: PROMISES.filter("undone::a_firing"),
    },
];
