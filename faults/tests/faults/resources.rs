//! Fault classes 10 and 20: scarce resources. A full disk, no descriptors, a disk that is slow or
//! does not answer.

use std::path::Path;
use std::process::{Command, ExitStatus};

use relive_faults::campaigns::power_loss::check::Checker;
use relive_faults::harness::medium::StoreMedium;
use relive_faults::harness::preload::Interposer;
use relive_faults::harness::process::Process;
use relive_faults::workload::{ClientView, Line, Plan};

const SEED: u64 = 9;
/// More than the small disk has. A sixteenth of this is a segment, which the medium writes through
/// before it uses it. So on segment files this is less than on sled: some segments fit.
fn log_bytes(medium: StoreMedium) -> u64 {
    match medium {
        StoreMedium::Sled => 64 << 20,
        StoreMedium::SegmentFiles => 4 << 20,
    }
}

fn worker() -> Command {
    Command::new(env!("CARGO_BIN_EXE_relive-faults"))
}

fn arguments(command: &mut Command, medium: StoreMedium, store: &Path, more: &[&str]) {
    command.args(["worker", "--tier", "power-loss", "--seed", &SEED.to_string()]);
    command.args(["--medium", &medium.to_string()]);
    command.args(["--log-bytes", &log_bytes(medium).to_string()]).args(more).arg("--store").arg(store);
}

struct Ended {
    view: ClientView,
    failed: Option<String>,
    closed: bool,
    status: ExitStatus,
    errors: String,
    /// The most memory that the test saw it use.
    memory_kib: u64,
}

fn live(command: &mut Command) -> Ended {
    let process = Process::start(command).unwrap();
    let (mut view, mut failed, mut closed) = (ClientView::default(), None, false);
    let mut memory_kib = 0;
    while let Some(line) = process.line("a worker that lacks something").unwrap() {
        let line: Line = line.parse().unwrap();
        assert!(failed.is_none() || !matches!(line, Line::Ack { .. }), "acknowledged after {failed:?}");
        view.hear(&line).unwrap();
        memory_kib = memory_kib.max(memory_of(process.id()));
        match line {
            Line::Failed(error) => failed = Some(error),
            Line::Closed => closed = true,
            _ => {}
        }
    }
    let (status, errors) = process.end().unwrap();
    Ended { view, failed, closed, status, errors, memory_kib }
}

/// The peak memory of a process so far; 0 when it has ended.
fn memory_of(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default()
}

fn all_is_there(medium: StoreMedium, store: &Path, view: &ClientView) {
    let interposer = Interposer::build().unwrap();
    let (program, log_bytes) = (env!("CARGO_BIN_EXE_relive-faults").into(), log_bytes(medium));
    let checker = Checker { program, interposer, log_bytes };
    let checked = checker.check_store(store, None, &Plan::new(SEED), view).unwrap();
    assert!(checked.outcome.recovered >= view.acknowledged);
}

/// A really full file system. Only root can make one: without root the test says so and shows
/// nothing.
#[test]
fn class_10_a_full_disk_stops_the_store_and_loses_nothing() {
    runs_full(StoreMedium::Sled);
}

#[test]
fn class_10_a_full_disk_stops_the_store_and_loses_nothing_on_segment_files() {
    runs_full(StoreMedium::SegmentFiles);
}

fn runs_full(medium: StoreMedium) {
    let directory = tempfile::tempdir().unwrap();
    let mount = |options: &str| {
        let mut command = Command::new("mount");
        let command = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory.path());
        command.output().is_ok_and(|output| output.status.success())
    };
    if !mount("size=1m") {
        println!("SKIPPED: a tmpfs can't be mounted here");
        return;
    }
    let store = directory.path().join("store");
    let mut command = worker();
    arguments(&mut command, medium, &store, &["--limit", "20000", "--checkpoint-records", "100000"]);
    let ended = live(&mut command);
    let refused = ended.failed.is_some() && ended.status.code() == Some(1);
    let told = format!("{:?} {} {}", ended.failed, ended.status, ended.errors);
    let larger = mount("remount,size=64m");
    let unmount = || Command::new("umount").arg("-l").arg(directory.path()).status().unwrap();
    let judged = std::panic::catch_unwind(|| {
        assert!(refused && larger, "{told}");
        assert!(ended.view.acknowledged > 100, "{}", ended.view.acknowledged);
        all_is_there(medium, &store, &ended.view);
    });
    assert!(unmount().success());
    judged.unwrap();
}

/// From too few descriptors to start at all, up to enough.
#[test]
fn class_10_too_few_descriptors_are_an_error() {
    lacks_descriptors(StoreMedium::Sled);
}

#[test]
fn class_10_too_few_descriptors_are_an_error_on_segment_files() {
    lacks_descriptors(StoreMedium::SegmentFiles);
}

fn lacks_descriptors(medium: StoreMedium) {
    let (mut refused, mut closed) = (0, 0);
    for limit in (6..=34).step_by(2) {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_relive-faults"));
        arguments(&mut command, medium, &store, &["--limit", "20"]);
        let ended = live(&mut command);
        match (&ended.failed, ended.closed) {
            (None, true) => closed += 1,
            (Some(_), false) if ended.status.code() == Some(1) => refused += 1,
            _ => panic!("{limit} descriptors: {} {:?} {}", ended.status, ended.failed, ended.errors),
        }
        all_is_there(medium, &store, &ended.view);
    }
    println!("{refused} refused, {closed} went well");
    assert!(refused > 2 && closed > 2, "{refused} refused, {closed} went well");
}

/// Invariant: bounded. A slow disk slows the senders, which send as fast as the runtime accepts.
/// Nothing gets lost, nothing fails, and the number of waiting messages is bounded.
#[test]
fn class_20_a_slow_disk_slows_senders_and_breaks_nothing() {
    is_slow(StoreMedium::Sled);
}

#[test]
fn class_20_a_slow_disk_slows_senders_and_breaks_nothing_on_segment_files() {
    is_slow(StoreMedium::SegmentFiles);
}

fn is_slow(medium: StoreMedium) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut command = worker();
    let window =
        ["--limit", "3000", "--window", "100000", "--ask-every", "0", "--checkpoint-records", "1000"];
    arguments(&mut command, medium, &store, &window);
    let interposer = Interposer::build().unwrap();
    interposer.stand_before(&mut command, &store, None, "sync:1+:delay=20");
    let ended = live(&mut command);
    assert!(ended.closed, "{:?} {}", ended.failed, ended.errors);
    assert_eq!(ended.view.acknowledged, 3000);
    println!("{} KiB at most", ended.memory_kib);
    assert!((1..256 << 10).contains(&ended.memory_kib), "{} KiB", ended.memory_kib);
    all_is_there(medium, &store, &ended.view);
}

/// Invariant: fail-stop. relive gives up a sync that never returns.
#[test]
fn class_20_a_disk_that_does_not_answer_is_an_error() {
    hangs(StoreMedium::Sled);
}

#[test]
fn class_20_a_disk_that_does_not_answer_is_an_error_on_segment_files() {
    hangs(StoreMedium::SegmentFiles);
}

fn hangs(medium: StoreMedium) {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let mut command = worker();
    arguments(&mut command, medium, &store, &["--limit", "1000", "--window", "4", "--store-timeout", "1500"]);
    let interposer = Interposer::build().unwrap();
    interposer.stand_before(
        &mut command,
        &store,
        None,
        &format!("fdatasync@{}:60+:delay=100000", medium.log()),
    );
    let ended = live(&mut command);
    let failed = ended.failed.unwrap_or_default();
    assert!(failed.contains("1.5s"), "{failed} {}", ended.errors);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.errors);
    let acknowledged = ended.view.acknowledged;
    assert!((1..1000).contains(&acknowledged), "{acknowledged} acknowledged: {failed}");
    all_is_there(medium, &store, &ended.view);
}
