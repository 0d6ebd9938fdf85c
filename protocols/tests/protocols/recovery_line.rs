//! The recovery line, held against all combinations of checkpoints, and its effects in cases of
//! which the outcome is known.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use relive_protocols::recovery_line::{History, HistoryError, Message, RecoveryLine};

use crate::random::Random;

const RUNS: u64 = 10_000;

type Line<'h> = RecoveryLine<'h, usize>;

/// A message, in a [`Run`] between places and in a history between names.
type Sent = Message<usize>;

/// The name of the process at a place, and the place of the one of that name. The order is another
/// one, so that one can't stand for the other.
fn name(place: usize) -> usize {
    place ^ 1
}

/// An execution that goes on step by step, so that messages are received after they are sent.
#[derive(Clone, Debug)]
struct Run {
    checkpoints: Vec<u64>,
    messages: Vec<Sent>,
    next_number: u64,
}

impl Run {
    fn new(processes: usize) -> Self {
        Self { checkpoints: vec![1; processes], messages: Vec::new(), next_number: 100 }
    }

    /// Two to four processes that take some steps.
    fn random(random: &mut Random) -> Self {
        let mut run = Self::new(2 + random.below(3));
        for _ in 0..random.below(60) {
            run.step(random);
        }
        run
    }

    /// A checkpoint, a sending, or the receipt of any message.
    fn step(&mut self, random: &mut Random) {
        let process = random.below(self.checkpoints.len());
        match random.below(9) {
            0 if self.checkpoints[process] < 5 => self.checkpoint(process),
            0..=3 => self.send(process, random.below(self.checkpoints.len())),
            _ if self.messages.is_empty() => {}
            _ => self.receive(random.below(self.messages.len())),
        }
    }

    fn checkpoint(&mut self, process: usize) {
        self.checkpoints[process] += 1;
    }

    fn send(&mut self, sender: usize, receiver: usize) {
        let (number, sent) = (self.next_number, self.checkpoints[sender] - 1);
        self.messages.push(Message { number, sender, sent, receiver, received: None });
        self.next_number += 1;
    }

    /// Nothing when it is received already.
    fn receive(&mut self, at: usize) {
        let message = &mut self.messages[at];
        message.received.get_or_insert(self.checkpoints[message.receiver] - 1);
    }

    /// A message that arrives at once.
    fn pass(&mut self, sender: usize, receiver: usize) {
        self.send(sender, receiver);
        self.receive(self.messages.len() - 1);
    }

    /// All go back to the cuts: what was sent after them is gone, what was received after them is
    /// under way again.
    fn roll_back(&mut self, cuts: &[u64]) {
        self.messages.retain(|message| message.sent < cuts[message.sender]);
        for message in &mut self.messages {
            message.received = message.received.filter(|received| *received < cuts[message.receiver]);
        }
        for (checkpoints, cut) in self.checkpoints.iter_mut().zip(cuts) {
            *checkpoints = (*checkpoints).min(cut + 1);
        }
    }

    fn history(&self) -> History<usize> {
        let mut history = History::new();
        for (place, checkpoints) in self.checkpoints.iter().enumerate() {
            history.process(name(place), *checkpoints).expect("a new process");
        }
        for message in &self.messages {
            let (sender, receiver) = (name(message.sender), name(message.receiver));
            history.message(Message { sender, receiver, ..*message }).expect("a message of the run");
        }
        history
    }

    /// Where each process is after the recovery; the number of its checkpoints when it stays.
    fn cuts(&self, line: &Line<'_>) -> Vec<u64> {
        let places = self.checkpoints.iter().enumerate();
        let cut = |(place, stays)| line.rollbacks.get(&name(place)).map_or(stays, |to| &to.checkpoint);
        places.map(cut).copied().collect()
    }

    /// The same, for these failures.
    fn cuts_after(&self, failed: &[usize]) -> Vec<u64> {
        self.cuts(&line(&self.history(), failed))
    }

    /// The first checkpoint of each process that is not obsolete.
    fn needed(&self) -> Vec<u64> {
        let obsolete = self.history().obsolete();
        assert!(obsolete.values().all(|range| range.start == 0 && range.end > 0), "{obsolete:?}");
        let needed = |place| obsolete.get(&name(place)).map_or(0, |range| range.end);
        (0..self.checkpoints.len()).map(needed).collect()
    }

    /// The cut of all combinations that has no orphan and is the latest, found by trying them all.
    fn latest_consistent(&self, failed: &[usize]) -> Vec<u64> {
        let mut latest = self.checkpoints.clone();
        failed.iter().for_each(|&place| latest[place] -= 1);
        let mut consistent = Vec::new();
        let mut cuts = vec![0; latest.len()];
        loop {
            if !self.messages.iter().any(|message| is_orphan(message, &cuts)) {
                consistent.push(cuts.clone());
            }
            // The next number of a counter whose digits have the limits `latest`.
            let Some(place) = (0..cuts.len()).find(|&place| cuts[place] < latest[place]) else { break };
            cuts[..place].fill(0);
            cuts[place] += 1;
        }
        let best = consistent.iter().max_by_key(|cuts| cuts.iter().sum::<u64>()).expect("the initial states");
        assert!(consistent.iter().all(|cuts| is_within(cuts, best)), "{best:?} is not the only latest one");
        best.clone()
    }

    /// The fewest messages that lead from a lost interval to each undone interval, found by walking
    /// over all edges until nothing changes.
    fn distances(&self, failed: &[usize]) -> BTreeMap<(usize, u64), usize> {
        let received = self.messages.iter().filter_map(|message| Some((message, message.received?)));
        let over_messages = received
            .map(|(message, received)| ((message.sender, message.sent), (message.receiver, received), 1));
        let places = self.checkpoints.iter().enumerate();
        let over_time = places.flat_map(|(place, intervals)| {
            (1..*intervals).map(move |interval| ((place, interval - 1), (place, interval), 0))
        });
        let edges: Vec<_> = over_messages.chain(over_time).collect();
        let mut distances: BTreeMap<(usize, u64), usize> =
            failed.iter().map(|&place| ((place, self.checkpoints[place] - 1), 0)).collect();
        loop {
            let before = distances.clone();
            for &(from, to, length) in &edges {
                let Some(distance) = distances.get(&from).map(|distance| distance + length) else { continue };
                let known = distances.entry(to).or_insert(distance);
                *known = distance.min(*known);
            }
            if distances == before {
                return distances;
            }
        }
    }
}

/// It is received before the cut of its receiver, and not sent before that of its sender.
fn is_orphan(message: &Sent, cuts: &[u64]) -> bool {
    let is_received = message.received.is_some_and(|received| received < cuts[message.receiver]);
    is_received && message.sent >= cuts[message.sender]
}

fn is_within(cuts: &[u64], others: &[u64]) -> bool {
    cuts.iter().zip(others).all(|(cut, other)| cut <= other)
}

fn random_failed(random: &mut Random, processes: usize) -> Vec<usize> {
    (0..processes).filter(|_| random.below(2) == 0).collect()
}

fn line<'h>(history: &'h History<usize>, failed: &[usize]) -> Line<'h> {
    history.recovery_line(failed.iter().map(|&place| name(place))).expect("processes of the run")
}

/// Hands a random run, and some processes that fail at its end, to the check for each seed.
fn on_random_runs(runs: u64, mut check: impl FnMut(&mut Random, Run, &[usize])) {
    for seed in 0..runs {
        let mut random = Random::new(seed);
        let run = Run::random(&mut random);
        let failed = random_failed(&mut random, run.checkpoints.len());
        let checked = catch_unwind(AssertUnwindSafe(|| check(&mut random, run, &failed)));
        assert!(checked.is_ok(), "failed with seed {seed}, see above");
    }
}

fn numbers(messages: &[&Sent]) -> Vec<u64> {
    messages.iter().map(|message| message.number).collect()
}

/// Each rollback is forced: its chain begins with a loss, and each link orphans the next.
fn check_chains(run: &Run, line: &Line<'_>, failed: &[usize]) {
    let lost = |process: usize| failed.contains(&name(process)).then(|| run.checkpoints[name(process)] - 1);
    let orphans: BTreeSet<u64> = numbers(&line.orphans).into_iter().collect();
    for (&process, rollback) in &line.rollbacks {
        let chain = line.reason(&process);
        assert_eq!(chain.len(), rollback.depth, "{process}");
        let Some((first, last)) = chain.first().zip(chain.last()) else {
            assert_eq!(Some(rollback.checkpoint), lost(process), "{process} did not fail");
            continue;
        };
        assert_eq!(Some(first.sent), lost(first.sender), "{first:?} is not sent in a lost interval");
        assert_eq!((last.receiver, last.received), (process, Some(rollback.checkpoint)));
        for pair in chain.windows(2) {
            assert_eq!(pair[0].receiver, pair[1].sender);
            assert!(pair[0].received <= Some(pair[1].sent), "the first of {pair:?} does not undo the second");
        }
        assert!(chain.iter().all(|link| orphans.contains(&link.number)), "{chain:?}");
    }
    let depths = line.rollbacks.values().map(|rollback| rollback.depth);
    assert_eq!(line.depth, depths.max().unwrap_or(0));
}

/// The line is the unique latest one among all combinations of checkpoints without an orphan.
#[test]
fn the_line_is_the_latest_consistent_cut() {
    let (mut domino, mut partial) = (0, 0);
    on_random_runs(RUNS, |_, mut run, failed| {
        let expected = run.latest_consistent(failed);
        assert_eq!(run.cuts_after(failed), expected, "{run:?} {failed:?}");
        let twice_reversed: Vec<usize> = failed.iter().chain(failed).rev().copied().collect();
        run.messages.reverse();
        assert_eq!(run.cuts_after(&twice_reversed), expected, "another order is another line: {run:?}");
        domino += usize::from(!failed.is_empty() && expected.iter().all(|cut| *cut == 0));
        let mut cuts = expected.iter().zip(&run.checkpoints);
        partial += usize::from(cuts.any(|(cut, all)| (1..all - 1).contains(cut)));
    });
    assert!(domino > 100 && partial > 500, "the runs show little: {domino}, {partial}");
}

/// What the line says of messages and intervals is what a look at each of them says.
#[test]
fn messages_and_intervals_are_on_their_side_of_the_line() {
    on_random_runs(RUNS, |_, run, failed| {
        let history = run.history();
        let line = line(&history, failed);
        let cuts = run.cuts(&line);
        let [mut orphans, mut delayed, mut in_transit] = [const { Vec::new() }; 3];
        for message in &run.messages {
            let is_sent = (0..cuts[message.sender]).contains(&message.sent);
            let is_kept = |received: u64| (0..cuts[message.receiver]).contains(&received);
            match message.received {
                Some(received) if !is_sent && !is_kept(received) => orphans.push(message.number),
                None if !is_sent => delayed.push(message.number),
                Some(received) if is_kept(received) => {}
                _ => in_transit.push(message.number),
            }
        }
        assert_eq!(numbers(&line.orphans), orphans);
        assert_eq!(numbers(&line.delayed_orphans), delayed);
        assert_eq!(numbers(&line.in_transit), in_transit);
        for (place, intervals) in run.checkpoints.iter().enumerate() {
            let undone = line.rollbacks.get(&name(place)).map(|rollback| rollback.undone);
            assert_eq!(undone, Some(intervals - cuts[place]).filter(|undone| *undone > 0));
        }
        assert_eq!(line.undone, run.checkpoints.iter().sum::<u64>() - cuts.iter().sum::<u64>());
    });
}

/// Each rollback has a chain of orphans from a failed process, and no shorter one exists.
#[test]
fn each_rollback_has_the_shortest_chain_as_its_reason() {
    on_random_runs(RUNS, |_, run, failed| {
        let history = run.history();
        let line = line(&history, failed);
        let distances = run.distances(failed);
        check_chains(&run, &line, failed);
        for (process, rollback) in &line.rollbacks {
            assert_eq!(rollback.depth, distances[&(name(*process), rollback.checkpoint)], "{process}");
        }
        assert!(line.reason(&99).is_empty(), "who is not there does not roll back");
    });
}

/// Two processes that send to each other in turn. Their checkpoints stand at the end of each round,
/// where no message crosses, or after each receipt, so that a message crosses between any two.
fn in_rounds(rounds: u64, is_crossed: bool) -> Run {
    let mut run = Run::new(2);
    for _ in 0..rounds {
        for (sender, receiver) in [(0, 1), (1, 0)] {
            run.pass(sender, receiver);
            if is_crossed {
                run.checkpoint(receiver);
            }
        }
        if !is_crossed {
            (0..2).for_each(|process| run.checkpoint(process));
        }
    }
    run.pass(0, 1);
    run
}

/// Each message takes back the one before it, down to the initial states. A chain of 200,001 needs
/// no deeper stack.
#[test]
fn checkpoints_between_crossing_messages_fall_like_dominoes() {
    for rounds in [0, 1, 2, 7, 100_000] {
        let run = in_rounds(rounds, true);
        let history = run.history();
        let line = line(&history, &[0]);
        assert_eq!(run.cuts(&line), [0, 0]);
        let (depth, undone) = (usize::try_from(2 * rounds + 1).unwrap(), 2 * (rounds + 1));
        assert_eq!((line.depth, line.undone), (depth, undone), "{rounds} rounds");
        let backwards: Vec<u64> = run.messages.iter().rev().map(|message| message.number).collect();
        assert_eq!(numbers(&line.reason(&name(1))), backwards);
        assert!(history.obsolete().is_empty(), "the initial states are needed");
    }
}

/// The same messages with other checkpoints: each process loses its last interval.
#[test]
fn checkpoints_between_the_rounds_bound_the_rollback() {
    for rounds in [0, 1, 2, 7, 50] {
        let run = in_rounds(rounds, false);
        let history = run.history();
        let line = line(&history, &[0]);
        assert_eq!(run.cuts(&line), [rounds, rounds]);
        assert_eq!((line.depth, line.undone), (1, 2), "{rounds} rounds");
        assert_eq!(run.needed(), [rounds, rounds]);
    }
}

/// Russell's rule: when each process takes a checkpoint between a sending and the next receipt, one
/// that fails alone loses its last interval and no more.
#[test]
fn a_checkpoint_between_sending_and_receipt_stops_the_domino() {
    on_random_runs(RUNS, |random, run, _| {
        let mut run = Run::new(run.checkpoints.len());
        let mut has_sent = vec![false; run.checkpoints.len()];
        for _ in 0..random.below(60) {
            let process = random.below(has_sent.len());
            let arrives = |message: &Sent| message.receiver == process && message.received.is_none();
            let arrived = run.messages.iter().position(arrives).filter(|_| random.below(2) == 0);
            if let Some(at) = arrived {
                if std::mem::take(&mut has_sent[process]) {
                    run.checkpoint(process);
                }
                run.receive(at);
            } else {
                has_sent[process] = true;
                run.send(process, random.below(run.checkpoints.len()));
            }
        }
        for (place, checkpoints) in run.checkpoints.iter().enumerate() {
            assert_eq!(run.cuts_after(&[place])[place], checkpoints - 1, "{run:?} place {place}");
        }
    });
}

/// A sends to B, B to C, and C fails before it handles: only C goes back, and the message to it is
/// in transit. When C has handled it and A fails, all go back.
#[test]
fn a_failure_drags_along_who_depends_on_it_and_nobody_else() {
    let mut run = Run::new(3);
    run.pass(0, 1);
    run.send(1, 2);
    run.send(2, 0);
    let history = run.history();
    let before = line(&history, &[2]);
    assert_eq!((run.cuts(&before), before.depth, before.undone), (vec![1, 1, 0], 0, 1));
    assert!(before.orphans.is_empty() && before.reason(&name(2)).is_empty());
    assert_eq!((numbers(&before.in_transit), numbers(&before.delayed_orphans)), (vec![101], vec![102]));
    run.receive(1);
    let history = run.history();
    let after = line(&history, &[0]);
    assert_eq!((run.cuts(&after), after.depth, after.undone), (vec![0, 0, 0], 2, 3));
    assert_eq!(numbers(&after.reason(&name(2))), [100, 101]);
    assert_eq!((numbers(&after.orphans), numbers(&after.delayed_orphans)), (vec![100, 101], vec![102]));
}

/// Over all failures, the earliest checkpoint that a process needs is the first that is kept.
#[test]
fn obsolete_checkpoints_are_those_before_all_lines() {
    on_random_runs(RUNS / 10, |_, run, _| {
        let mut earliest = vec![u64::MAX; run.checkpoints.len()];
        for bits in 0..1 << earliest.len() {
            let failed: Vec<usize> = (0..earliest.len()).filter(|place| bits >> place & 1 == 1).collect();
            for (first, cut) in earliest.iter_mut().zip(run.cuts_after(&failed)) {
                *first = cut.min(*first);
            }
        }
        assert_eq!(earliest, run.needed(), "{run:?}");
    });
}

/// What is obsolete stays so while the run goes on, fails and recovers.
#[test]
fn what_is_obsolete_is_never_used_later() {
    let mut obsolete = 0;
    on_random_runs(RUNS / 10, |random, mut run, _| {
        let mut needed = vec![0; run.checkpoints.len()];
        for _ in 0..12 {
            let now = run.needed();
            assert!(is_within(&needed, &now), "{now:?} after {needed:?}");
            needed = now;
            let failed = random_failed(random, needed.len());
            let cuts = run.cuts_after(&failed);
            assert!(is_within(&needed, &cuts), "{cuts:?} when {failed:?} fail, {needed:?} needed");
            if random.below(3) == 0 {
                run.roll_back(&cuts);
            }
            for _ in 0..random.below(6) {
                run.step(random);
            }
        }
        obsolete += needed.iter().sum::<u64>();
    });
    assert!(obsolete > 1_000, "the runs show little: {obsolete}");
}

/// A history without the messages that it may leave out has the same lines.
#[test]
fn old_messages_may_be_left_out() {
    on_random_runs(RUNS, |_, run, failed| {
        let (mut short, needed) = (run.clone(), run.needed());
        short.messages.retain(|message| message.received.is_none_or(|at| at >= needed[message.receiver]));
        assert_eq!(needed, short.needed());
        let (history, short) = (run.history(), short.history());
        let (line, short) = (line(&history, failed), line(&short, failed));
        assert_eq!(run.cuts(&line), run.cuts(&short), "{run:?}");
        assert_eq!((line.orphans, line.in_transit), (short.orphans, short.in_transit));
    });
}

/// Each mistake of the input is told by its type and in words, and leaves the history as it was.
#[test]
fn bad_input_is_a_typed_error() {
    let mut history = History::new();
    history.process("a", 2).unwrap().process("b", u64::MAX).unwrap().process("c", u64::MAX).unwrap();
    let number = 7;
    let good = Message { number, sender: "a", sent: 1, receiver: "b", received: Some(u64::MAX - 1) };
    history.message(good.clone()).unwrap();
    let unknown = HistoryError::UnknownProcess { process: "d", number };
    let beyond =
        |process, interval, intervals| HistoryError::UnknownInterval { process, number, interval, intervals };
    let before = HistoryError::ReceivedBeforeSent { process: "b", number };
    for (message, expected) in [
        (Message { sender: "d", ..good.clone() }, unknown.clone()),
        (Message { receiver: "d", received: None, ..good.clone() }, unknown),
        (Message { sent: 2, ..good.clone() }, beyond("a", 2, 2)),
        (Message { received: Some(u64::MAX), ..good.clone() }, beyond("b", u64::MAX, u64::MAX)),
        (Message { receiver: "a", received: Some(2), ..good.clone() }, beyond("a", 2, 2)),
        (Message { sender: "b", sent: 5, received: Some(4), ..good.clone() }, before),
    ] {
        assert_eq!(history.message(message).unwrap_err(), expected);
    }
    assert_eq!(history.process("d", 0).unwrap_err(), HistoryError::NoCheckpoint { process: "d" });
    assert_eq!(history.process("a", 3).unwrap_err(), HistoryError::DuplicateProcess { process: "a" });
    let nobody = history.recovery_line(["a", "d"]).unwrap_err();
    assert_eq!(nobody, HistoryError::UnknownFailed { process: "d" });
    assert_eq!(nobody.to_string(), r#"process "d" failed, but is not in the history: add it first"#);

    let line = history.recovery_line(["a"]).unwrap();
    assert_eq!((line.orphans, line.undone), (vec![&good], 2), "one message, and two processes");
    for (number, receiver) in [(8, "b"), (9, "c")] {
        history.message(Message { number, receiver, received: Some(0), ..good.clone() }).unwrap();
    }
    assert_eq!(history.recovery_line(["a"]).unwrap().undone, u64::MAX, "the sum ends where numbers do");
}

/// 10,000 processes with 100,000 intervals: the cut has no orphan, so it is not too late; each
/// rollback has a chain that forces it, so it is not too early. Of 100 groups 20 lose a process.
#[test]
fn a_large_history_is_solved() {
    let mut random = Random::new(1);
    let mut run = Run::new(10_000);
    for step in 0..300_000 {
        if step % 3 == 0 {
            run.checkpoint(random.below(10_000));
        }
        let sender = random.below(10_000);
        run.send(sender, sender / 100 * 100 + random.below(100));
        // Most arrive late, and some never.
        let late = random.below(run.messages.len().min(500));
        run.receive(run.messages.len() - 1 - late);
    }
    let history = run.history();
    let failed: Vec<usize> = (0..10_000).step_by(500).collect();
    let line = line(&history, &failed);
    let cuts = run.cuts(&line);
    assert!(!run.messages.iter().any(|message| is_orphan(message, &cuts)));
    check_chains(&run, &line, &failed);
    assert!((1_000..=2_000).contains(&line.rollbacks.len()) && line.depth > 5, "the run shows little");
}
