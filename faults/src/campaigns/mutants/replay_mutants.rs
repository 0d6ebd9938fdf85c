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
            find: "if self.events.insert((rsn, event.index), event).is_some() {",
            replace: "if self.events.insert((rsn, event.index), event).is_some() && false {",
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
            file: "replay/src/tape.rs",
            find: "Some(event) if *event.name == *name =>",
            replace: "Some(event) if *event.name == *name || true =>",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "a side effect that is on record is not done again",
        edits: &[Edit {
            file: "replay/src/tape.rs",
            find: "None if rsn <= self.handled => {",
            replace: "None if false => {",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "duplicate table",
        edits: &[Edit {
            file: "replay/src/instance.rs",
            find: "                return Admission::Duplicate;\n",
            replace: "                self.received = self.received.next();\n                return Admission::Fresh(self.received);\n",
        }],
        test: REPLAYS.filter("contradictions::"),
    },
    Mutant {
        name: "gap in a channel",
        edits: &[Edit {
            file: "replay/src/instance.rs",
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
            find: "        Ok(Poll::Pending) => Poll::Ready(End::Foreign),",
            replace: "        Ok(Poll::Pending) => { let _ = End::Foreign; Poll::Pending }",
        }],
        test: PROMISES.filter("restarts::"),
    },
];
