//! Mutants that fail when the scheduler switches threads at the wrong moment. Their tests explore
//! schedules.

use super::mutant::{Edit, Mutant, SCHEDULES};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a turn does not rest while there is mail",
        edits: &[Edit {
            file: "src/actor/cell.rs",
            find: "        if inner.is_needed() {\n            return Some(active);\n        }\n",
            replace: "        if inner.is_needed() {\n            let _ = inner.mail.take_all();\n        }\n",
        }],
        test: SCHEDULES.filter("schedules::no_message_is_lost"),
    },
    Mutant {
        name: "a turn is started for an actor that is in none",
        edits: &[Edit {
            file: "src/actor/phase.rs",
            find: "            Self::Running => None,\n",
            replace: "            Self::Running => Some(None),\n",
        }],
        test: SCHEDULES.filter("schedules::no_message_is_lost"),
    },
    Mutant {
        name: "a turn waits for news only when there is nothing to do",
        edits: &[Edit {
            file: "src/actor/cell.rs",
            find: "            inner.listens = !inner.has_work();\n",
            replace: "            inner.listens = true;\n",
        }],
        test: SCHEDULES.filter("schedules::a_turn_that_waits_for_news"),
    },
    Mutant {
        name: "what is logged before the failure counts",
        edits: &[Edit {
            file: "src/actor/logged.rs",
            find: "                if self.logged.load(Ordering::Acquire) >= number {\n                    return Ok(());\n                }\n                return Err",
            replace: "                return Err",
        }],
        test: SCHEDULES.filter("schedules::who_waits_for_a_message_to_be_logged"),
    },
    Mutant {
        name: "the watermark is looked at again under its lock",
        edits: &[Edit {
            file: "src/log/watermark.rs",
            find: "            let mut waiting = self.waiting();\n            // It may have risen until the list was locked, and then nobody tells.\n            if self.get() >= end {\n                return Poll::Ready(Ok(()));\n            }\n",
            replace: "            let mut waiting = self.waiting();\n",
        }],
        test: SCHEDULES.filter("schedules::who_waits_for_the_log"),
    },
    Mutant {
        name: "a sender looks at the budget again once it would be told",
        edits: &[Edit {
            file: "src/backpressure.rs",
            find: "            if self.is_held_back() {\n                news.await;\n            }\n",
            replace: "            drop(news);\n            self.let_in.notified().await;\n",
        }],
        test: SCHEDULES.filter("schedules::no_sender_waits"),
    },
    Mutant {
        name: "a sender says that it waits before it looks again",
        edits: &[Edit {
            file: "src/backpressure.rs",
            find: "            self.awaited.store(true, Ordering::SeqCst);\n            if self.is_held_back() {\n",
            replace: "            if self.is_held_back() {\n                self.awaited.store(true, Ordering::SeqCst);\n",
        }],
        test: SCHEDULES.filter("schedules::no_sender_waits"),
    },
    Mutant {
        name: "who waits for quiet counts turns once it would be told",
        edits: &[Edit {
            file: "src/lifecycle.rs",
            find: "            over.await;\n",
            replace: "            drop(over);\n            self.turns_over.notified().await;\n",
        }],
        test: SCHEDULES.filter("schedules::who_waits_for_quiet"),
    },
];
