//! Mutants of the pure machines and computations in `protocols/`.

use super::mutant::{Edit, Mutant, PROTOCOLS};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "what comes ahead of a marker belongs to the channel",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "self.open.iter().filter(|(_, open)| open.contains(&from));",
            replace: "self.open.iter().filter(|(_, open)| open.contains(&from) && open.len() > 1);",
        }],
        test: PROTOCOLS.filter("chandy_lamport::"),
    },
    Mutant {
        name: "what comes behind a marker does not",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "self.open.iter().filter(|(_, open)| open.contains(&from));",
            replace: "self.open.iter().filter(|_| self.incoming.contains(&from));",
        }],
        test: PROTOCOLS.filter("chandy_lamport::"),
    },
    Mutant {
        name: "the first marker closes its channel",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "                    self.keep(&round, outputs);\n                }\n",
            replace: "                    return self.keep(&round, outputs);\n                }\n",
        }],
        test: PROTOCOLS.filter("chandy_lamport::"),
    },
    Mutant {
        name: "a state is kept once for a snapshot",
        edits: &[Edit {
            file: "protocols/src/machine.rs",
            find: "is_some_and(|last| self.number <= *last)",
            replace: "is_some_and(|last| self.number < *last)",
        }],
        test: PROTOCOLS.filter("chandy_lamport::"),
    },
    Mutant {
        name: "each receiver gets a marker",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "outputs.extend(self.outgoing.iter().map(marker));",
            replace: "outputs.extend(self.outgoing.iter().skip(1).map(marker));",
        }],
        test: PROTOCOLS.filter("chandy_lamport::"),
    },
    Mutant {
        name: "the sender of a new channel keeps its state before it sends",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "                    self.catch_up(&kept, &mut outputs);\n",
            replace: "                    let _ = kept;\n",
        }],
        test: PROTOCOLS.filter("chandy_lamport::channels_appear"),
    },
    Mutant {
        name: "the receiver of a new channel keeps its state before it receives",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "        self.catch_up(kept, outputs);\n",
            replace: "",
        }],
        test: PROTOCOLS.filter("chandy_lamport::channels_appear"),
    },
    Mutant {
        name: "a process that no marker reaches is named",
        edits: &[Edit {
            file: "protocols/src/chandy_lamport.rs",
            find: "    let processes: Vec<P> = all.difference(&reached).cloned().collect();\n",
            replace: "    let processes: Vec<P> = all.difference(&reached).skip(1).cloned().collect();\n",
        }],
        test: PROTOCOLS.filter("chandy_lamport::a_graph_that"),
    },
    Mutant {
        name: "what depends on an undone message is undone too",
        edits: &[Edit {
            file: "protocols/src/recovery_line.rs",
            find: "                if received < cuts[to] {\n",
            replace: "                if received + 1 < cuts[to] {\n",
        }],
        test: PROTOCOLS.filter("recovery_line::"),
    },
    Mutant {
        name: "a rollback goes on to those who depend on it",
        edits: &[Edit {
            file: "protocols/src/recovery_line.rs",
            find: "        while let Some(&Step { place, cut, depth, .. }) = steps.get(at) {\n",
            replace: "        while let Some(&Step { place, cut, depth, .. }) = steps.get(at).filter(|step| step.depth == 0) {\n",
        }],
        test: PROTOCOLS.filter("recovery_line::"),
    },
    Mutant {
        name: "the line itself is not obsolete",
        edits: &[Edit {
            file: "protocols/src/recovery_line.rs",
            find: "(process.clone(), 0..all.cuts[place])",
            replace: "(process.clone(), 0..all.cuts[place] + 1)",
        }],
        test: PROTOCOLS.filter("recovery_line::"),
    },
    Mutant {
        name: "a message on its way is something to do",
        edits: &[Edit {
            file: "protocols/src/stable_property.rs",
            find: "self.messages.iter().map(|sent| (&sent.from, &sent.to)).collect();",
            replace: "self.messages.iter().skip(1).map(|sent| (&sent.from, &sent.to)).collect();",
        }],
        test: PROTOCOLS.filter("stable_property::"),
    },
    Mutant {
        name: "what a kept process knows is kept",
        edits: &[Edit {
            file: "protocols/src/stable_property.rs",
            find: "                    kept[next] = Some((at, why));\n                    queue.push_back(next);\n",
            replace: "                    kept[next] = Some((at, why));\n",
        }],
        test: PROTOCOLS.filter("stable_property::"),
    },
    Mutant {
        name: "the interval that loses the least",
        edits: &[Edit {
            file: "protocols/src/interval.rs",
            find: "1.0 + ratio.sqrt() / 3.0 + ratio / 9.0;",
            replace: "1.0 + ratio.sqrt() / 2.0 + ratio / 9.0;",
        }],
        test: PROTOCOLS.filter("interval::"),
    },
    Mutant {
        name: "a round is decided when all are ready",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "            && awaited.is_empty()\n        {",
            replace: "            && awaited.len() < 2\n        {",
        }],
        test: PROTOCOLS.filter("two_phase::undisturbed"),
    },
    Mutant {
        name: "a decision is stable before anybody hears of it",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "            *phase = Phase::Deciding;\n            outputs.push(Output::Decide(round.clone()));",
            replace: "            *phase = Phase::Deciding;\n            outputs.push(Output::Decide(round.clone()));\n            let done = \
                      Signal::Done(round.clone());\n            self.tell_all(&done, outputs);",
        }],
        test: PROTOCOLS.filter("two_phase::undisturbed"),
    },
    Mutant {
        name: "a participant in doubt does not give up alone",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "            Some(Phase::Ready) => outputs.push(ready(&round)),\n            // Only stable",
            replace: "            Some(Phase::Ready) => self.give_up(round, outputs),\n            // Only stable",
        }],
        test: PROTOCOLS.filter("two_phase::time_outs"),
    },
    Mutant {
        name: "a coordinator that comes back remembers its decision",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "            Ordering::Equal => Some(Signal::Done(round.clone())),",
            replace: "            Ordering::Equal => Some(Signal::Abort(round.clone())),",
        }],
        test: PROTOCOLS.filter("two_phase::crashes"),
    },
    Mutant {
        name: "an aborted round leaves nothing",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "                _ => outputs.push(Output::Aborted(round)),",
            replace: "                _ => {}",
        }],
        test: PROTOCOLS.filter("two_phase::crashes"),
    },
    Mutant {
        name: "a participant in another round refuses",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "            None if is_refused => outputs.push(refuse(round)),",
            replace: "            None if is_refused => {}",
        }],
        test: PROTOCOLS.filter("two_phase::two_coordinators"),
    },
    Mutant {
        name: "what comes for a blocked application is delivered in the end",
        edits: &[Edit {
            file: "protocols/src/two_phase.rs",
            find: "self.held.drain(..).map(",
            replace: "self.held.drain(..).skip(1).map(",
        }],
        test: PROTOCOLS.filter("two_phase::undisturbed"),
    },
];
