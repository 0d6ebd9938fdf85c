//! Fault class 17: two processes on one store, a stopped opener, a copied directory. Invariant:
//! single writer.

use std::path::Path;
use std::process::Command;

use relive_faults::harness::process::Process;
use relive_faults::workload::{ClientView, Line, Plan, Readback, judge};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

const SEED: u64 = 17;

/// A worker and its output so far.
struct Worker {
    process: Process,
    view: ClientView,
}

impl Worker {
    /// Starts a worker that sends until it is killed, and goes on after what was acknowledged.
    fn start(store: &Path, view: ClientView) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relive-faults"));
        command.args(["worker", "--seed", &SEED.to_string()]).arg("--store").arg(store);
        command.args(["--from", &(view.acknowledged + 1).to_string()]);
        Self { process: Process::start(&mut command).unwrap(), view }
    }

    /// The worker's next line.
    fn hear(&mut self) -> Option<Line> {
        let line: Line = self.process.line("what a worker says next").unwrap()?.parse().unwrap();
        self.view.hear(&line).unwrap();
        Some(line)
    }

    /// Waits until `messages` more messages are acknowledged.
    fn work(&mut self, messages: u64) {
        let enough = self.view.acknowledged + messages;
        while self.view.acknowledged < enough {
            let line = self.hear().expect("it works until it is killed");
            assert!(!matches!(line, Line::Failed(_)), "{line}");
        }
    }

    /// The error of a refused opening.
    fn refused(mut self) -> String {
        loop {
            match self.hear().expect("it says why it ends") {
                Line::Failed(error) => return error,
                line => assert_eq!(line, Line::Opening, "the store was opened"),
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().try_into().unwrap()).unwrap()
    }

    /// Stops the worker. All of its threads stand still when this returns.
    fn stop(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        let stopped = waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()));
    }

    fn go_on(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// Kills the worker, and returns everything that it had printed.
    fn kill(mut self) -> ClientView {
        self.process.kill();
        while self.hear().is_some() {}
        self.process.end().unwrap();
        self.view
    }
}

/// Opens a store and closes it. Returns what came back, or why the opening was refused.
fn verify(store: &Path) -> Result<Readback, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relive-faults"));
    let process = Process::start(command.arg("verify").arg("--store").arg(store)).unwrap();
    let line = process.line("verifying").unwrap();
    while process.line("closing").unwrap().is_some() {}
    let (status, errors) = process.end().unwrap();
    match line {
        Some(line) if status.success() => match line.parse().unwrap() {
            Line::Readback(readback) => Ok(*readback),
            other => panic!("{other}"),
        },
        _ => Err(format!("{status}: {errors}")),
    }
}

fn is_whole(view: &ClientView, readback: &Readback) {
    judge(&Plan::new(SEED), view, readback).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The second opener learns who holds the store, the first goes on undisturbed, and the lock dies
/// with its holder.
#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut first = Worker::start(&store, ClientView::default());
    first.work(50);
    for _ in 0..3 {
        let error = Worker::start(&store, ClientView::default()).refused();
        let holder = format!("process {}", first.process.id());
        assert!(error.starts_with("open Retry: ") && error.contains(&holder), "{error}");
        first.work(20);
    }
    let mut view = first.kill();
    let mut second = Worker::start(&store, view);
    second.work(20);
    view = second.kill();
    is_whole(&view, &verify(&store).unwrap());
}

/// A stopped holder, which may wake at any time, still holds the store.
#[test]
fn a_stopped_process_still_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut first = Worker::start(&store, ClientView::default());
    first.work(50);
    first.stop();
    let error = Worker::start(&store, ClientView::default()).refused();
    assert!(error.contains(&format!("process {}", first.process.id())), "{error}");
    first.go_on();
    first.work(50);
    let view = first.kill();
    is_whole(&view, &verify(&store).unwrap());
}

/// Of many that find no store, one creates it.
#[test]
fn of_many_that_create_a_store_at_once_one_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut workers: Vec<Worker> = (0..4).map(|_| Worker::start(&store, ClientView::default())).collect();
    let mut holders = Vec::new();
    for mut worker in workers.drain(..) {
        let line = loop {
            match worker.hear().unwrap() {
                Line::Opening => {}
                line => break line,
            }
        };
        match line {
            Line::Opened { epoch: 1, .. } => holders.push(worker),
            Line::Failed(error) => assert!(error.starts_with("open Retry: "), "{error}"),
            line => panic!("{line}"),
        }
    }
    assert_eq!(holders.len(), 1, "one has the store");
    let mut holder = holders.remove(0);
    holder.work(20);
    is_whole(&holder.kill(), &verify(&store).unwrap());
}

/// A copy taken while no process writes equals what a crash at that moment would have left, even if
/// a process has the original open. relive does not notice when both are started: to the outside
/// they are one store, with the same idempotency keys. So a copy is a backup: start it instead of
/// its original, never beside it.
#[test]
fn a_copy_of_a_stopped_store_is_the_store_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (store, copied) = (directory.path().join("store"), directory.path().join("copy"));
    let mut first = Worker::start(&store, ClientView::default());
    first.work(60);
    first.stop();
    copy(&store, &copied);
    first.go_on();
    // The worker has printed by now everything that it had printed when it was stopped. The copy
    // has no more than the worker had sent.
    let mut as_copied = first.view.clone();
    first.work(60);
    (as_copied.issued, as_copied.requests.issued) = (first.view.issued, first.view.requests.issued);
    let copy = verify(&copied).unwrap();
    is_whole(&as_copied, &copy);
    let view = first.kill();
    let original = verify(&store).unwrap();
    is_whole(&view, &original);
    assert_eq!(copy.store, original.store);
}

/// A copy taken while a process writes the store is no snapshot. relive refuses it, or it is a
/// state that the store had: never another state.
#[test]
fn a_copy_of_a_running_store_is_refused_or_a_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut first = Worker::start(&store, ClientView::default());
    let (mut opened, mut refused) = (0, 0);
    for round in 0..4 {
        first.work(40);
        let copied = directory.path().join(format!("copy-{round}"));
        copy(&store, &copied);
        first.work(1);
        match verify(&copied) {
            Ok(readback) => {
                opened += 1;
                // The copy may have what the worker has not announced yet.
                let sent = readback.accounts.iter().map(|account| account.posted.last).max().unwrap();
                let asked = readback.clerks.values().flat_map(|clerk| clerk.deeds.keys()).max().copied();
                while first.view.issued < sent || Some(first.view.requests.issued) < asked {
                    first.work(1);
                }
                let mut anything = ClientView { issued: first.view.issued, ..ClientView::default() };
                anything.requests.issued = first.view.requests.issued;
                is_whole(&anything, &readback);
            }
            Err(error) => {
                refused += 1;
                assert!(error.contains("open Corrupt: "), "{error}");
            }
        }
    }
    println!("of copies of a running store {opened} opened, {refused} were refused");
    is_whole(&first.kill(), &verify(&store).unwrap());
}
