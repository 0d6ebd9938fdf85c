//! Mutants of the kit for tests of users' actors: without these guards it would let faults pass.

use super::mutant::{Edit, Mutant, PROMISES, RUNTIME};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "it is not quiet while anything moves",
        edits: &[Edit {
            file: "src/harness/counts.rs",
            find: "if inner.quiet != before || (inner.moving.is_empty() && inner.pauses.is_empty()) {",
            replace: "if true || inner.quiet != before || (inner.moving.is_empty() && inner.pauses.is_empty()) {",
        }],
        test: PROMISES.filter("kit::quiet::a_chain_of_messages_is_over"),
    },
    Mutant {
        name: "a side effect under way moves",
        edits: &[Edit {
            file: "src/turn/live.rs",
            find: "acts.then(|| Moving::SideEffect(cell.id.clone()))",
            replace: "(acts && false).then(|| Moving::SideEffect(cell.id.clone()))",
        }],
        test: PROMISES.filter("kit::quiet::a_side_effect_is_not_quiet"),
    },
    Mutant {
        name: "a crash takes what was not synced",
        edits: &[Edit {
            file: "src/testing/crashes.rs",
            find: "Fault::Crash(manner.crash()), Call::AnyWrite, write);",
            replace: "Fault::Crash(manner.crash()), Call::AnyWrite, write + 1_000_000);",
        }],
        test: PROMISES.filter("kit::crashes::a_side_effect_without_its_key"),
    },
    Mutant {
        name: "what was under way in a crash moves no more",
        edits: &[Edit {
            file: "src/log/committer.rs",
            find: "        let _motion = std::mem::take(&mut self.buffer().motion);\n",
            replace: "",
        }],
        test: RUNTIME.filter("log::committer::tests::what_a_failure_leaves"),
    },
];
