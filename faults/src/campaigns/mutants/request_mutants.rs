//! Mutants of requests with idempotency keys, and of timers.

use super::mutant::{Edit, Mutant, PROMISES, REPLAY};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a checkpoint has the timers",
        edits: &[
            Edit {
                file: "replay/src/checkpoint_body.rs",
                find: "        timers: process.timers.iter().map(|(name, timer)| (name.to_string(), SetTimer::of(timer))).collect(),\n",
                replace: "        timers: Default::default(),\n",
            },
            Edit {
                file: "replay/src/checkpoint_body.rs",
                find: "        wake_at: process.timers.next(),\n",
                replace: "        wake_at: None,\n",
            },
        ],
        test: PROMISES.filter("crash_points::every_call_of_every_run_that_waits"),
    },
    Mutant {
        name: "a key that is known is no new request",
        edits: &[Edit {
            file: "src/turn/intake.rs",
            find: "&& !self.is_new_request(&mut envelope, &mut received.logged)",
            replace: "&& false && !self.is_new_request(&mut envelope, &mut received.logged)",
        }],
        test: PROMISES.filter("idempotency::a_request_has_one_effect"),
    },
    Mutant {
        name: "a replay encodes the reply to a request with a key",
        edits: &[Edit {
            file: "replay/src/step.rs",
            find: "        Sender::Keyed { .. } => true,\n",
            replace: "        Sender::Keyed { .. } => determinants.wants_reply(),\n",
        }],
        test: PROMISES.filter("idempotency::crashes::every_call"),
    },
    Mutant {
        name: "a checkpoint has the replies",
        edits: &[Edit {
            file: "replay/src/checkpoint_body.rs",
            find: "requests: handled_requests(inbound),",
            replace: "requests: Vec::new(),",
        }],
        test: REPLAY.filter("checkpoint_body::"),
    },
    Mutant {
        name: "a request that a checkpoint has twice",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "if self.by_key.contains_key(&key) || self.handled.contains_key(&rsn) {",
            replace: "if false {",
        }],
        test: REPLAY.filter("checkpoint_body::"),
    },
    Mutant {
        name: "a kept request is one that could have been handled",
        edits: &[Edit {
            file: "replay/src/checkpoint_parts.rs",
            find: "if rsn == 0 || rsn > handled.get() || !is_kept {",
            replace: "if false {",
        }],
        test: REPLAY.filter("checkpoint_body::"),
    },
    Mutant {
        name: "another message under a key is refused",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "if known.content != content(message, payload) {",
            replace: "if false {",
        }],
        test: REPLAY.filter("requests::"),
    },
    Mutant {
        name: "nothing is forgotten before its retention is over",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "if now.since(*clock) <= retention {",
            replace: "if false {",
        }],
        test: REPLAY.filter("requests::"),
    },
    Mutant {
        name: "what is older than the retention is forgotten",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "if now.since(*clock) <= retention {",
            replace: "if true {",
        }],
        test: REPLAY.filter("requests::"),
    },
    Mutant {
        name: "a replay forgets as the actor did",
        edits: &[Edit {
            file: "replay/src/engine.rs",
            find: "instance.inbound.forget_requests(delivery.clock, retention);",
            replace: "let _ = retention;",
        }],
        test: PROMISES.filter("idempotency::a_replay_forgets"),
    },
    Mutant {
        name: "the requests of an actor are bounded",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "if is_full { Known::Full }",
            replace: "if false { Known::Full }",
        }],
        test: REPLAY.filter("requests::"),
    },
    Mutant {
        name: "a reply over its limit is not kept",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "found if found > PAYLOAD_BYTES_MAX",
            replace: "found if found > usize::MAX - 1",
        }],
        test: REPLAY.filter("requests::"),
    },
    Mutant {
        name: "the last request under a key counts",
        edits: &[Edit {
            file: "replay/src/requests.rs",
            find: "if self.by_key.get(key).is_some_and(|known| known.rsn > request.rsn) {",
            replace: "if false {",
        }],
        test: REPLAY.filter("requests::"),
    },
    Mutant {
        name: "a retry has the key of the request",
        edits: &[Edit {
            file: "src/actor/envelope.rs",
            find: "Sender::Keyed { .. } => (sender, true),",
            replace: "Sender::Keyed { .. } => (Sender::Outside, true),",
        }],
        test: PROMISES.filter("idempotency::a_retry"),
    },
    Mutant {
        name: "a request that is dropped frees its key",
        edits: &[Edit {
            file: "replay/src/instance.rs",
            find: "            requests.discharged(key, rsn);\n",
            replace: "            let _ = (requests, key);\n",
        }],
        test: PROMISES.filter("idempotency::a_drop"),
    },
    Mutant {
        name: "a request that is taken in is known at once",
        edits: &[Edit {
            file: "src/turn/intake.rs",
            find: "            self.inbound.expect_request(&envelope.delivery);\n",
            replace: "",
        }],
        test: PROMISES.filter("idempotency::all_who_ask").hangs(),
    },
    Mutant {
        name: "a request that is ahead after a crash is known",
        edits: &[Edit {
            file: "src/actor/activation.rs",
            find: "                instance.parts().1.expect_request(&delivery);\n",
            replace: "",
        }],
        test: PROMISES.filter("idempotency::a_request_that_a_crash").hangs(),
    },
    Mutant {
        name: "a request in quarantine keeps its key",
        edits: &[Edit {
            file: "replay/src/instance.rs",
            find: "            self.inbound.requests().left_out(delivery);\n",
            replace: "",
        }],
        test: PROMISES.filter("idempotency::a_retry").hangs(),
    },
];
