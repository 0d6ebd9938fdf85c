//! Class 5: a short run of losses of power on the real path of the store; and a check that the
//! images would show a missing sync.

use std::path::Path;
use std::process::Command;

use relive_faults::campaigns::power_loss::check::Checker;
use relive_faults::campaigns::power_loss::disk::Disk;
use relive_faults::campaigns::power_loss::files::Files;
use relive_faults::campaigns::power_loss::image::{Strategy, choose};
use relive_faults::campaigns::power_loss::recording::{Entry, Recording};
use relive_faults::campaigns::power_loss::table::Table;
use relive_faults::campaigns::power_loss::{IgnoredSyncs, PowerLossArguments, run};
use relive_faults::harness::campaign::CommonArguments;
use relive_faults::harness::medium::StoreMedium;
use relive_faults::harness::preload::Interposer;
use relive_faults::harness::process::Process;
use relive_faults::harness::random::Random;
use relive_faults::workload::{ClientView, Line, Plan};

fn images(medium: StoreMedium, images: u64, seed: u64, ignored_syncs: Option<IgnoredSyncs>) -> Table {
    let common = CommonArguments { seed, medium };
    let arguments = PowerLossArguments { images, first: 0, common, jobs: 2, ignored_syncs, recording: None };
    let table = run(&arguments, Path::new(env!("CARGO_BIN_EXE_relive-faults"))).unwrap();
    println!("{table}");
    table
}

#[test]
fn class_05_nothing_acknowledged_is_lost_with_the_power() {
    let table = images(StoreMedium::Sled, 100, 5, None);
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.total() >= 100 && table.lacking > 30 && table.of_recoveries > 8, "{table}");
    assert!(table.acknowledged > 500 && table.recovered >= table.acknowledged, "{table}");
}

#[test]
fn class_05_nothing_acknowledged_is_lost_with_the_power_on_segment_files() {
    let table = images(StoreMedium::SegmentFiles, 100, 6, None);
    assert!(table.violations.is_empty(), "{table}");
    assert!(table.total() >= 100 && table.lacking > 30 && table.of_recoveries > 8, "{table}");
    assert!(table.acknowledged > 500 && table.recovered >= table.acknowledged, "{table}");
}

/// The test of the test: without relive's syncs acknowledged messages get lost, and the campaign
/// sees it. Most images do not open for other reasons, since sled's own files are torn too. One in
/// ten shows the loss, so the test makes more images until one does.
#[test]
fn class_05_a_sync_left_out_is_noticed() {
    is_noticed(StoreMedium::Sled);
}

#[test]
fn class_05_a_sync_left_out_is_noticed_on_segment_files() {
    is_noticed(StoreMedium::SegmentFiles);
}

fn is_noticed(medium: StoreMedium) {
    for ignored_syncs in [IgnoredSyncs::All, IgnoredSyncs::Log] {
        // The oracle says so, or the store, or an empty store stands in place of one with
        // acknowledged messages.
        let told =
            ["were acknowledged,", "was acknowledged: acknowledged records are lost", "the epoch 1 follows"];
        let lost = |found: &relive_faults::harness::campaign::Found| {
            told.iter().any(|told| found.what.contains(told))
        };
        let seen =
            (5..15).any(|seed| images(medium, 24, seed, Some(ignored_syncs)).violations.iter().any(lost));
        assert!(seen, "{ignored_syncs:?}: no image shows the loss");
    }
}

/// sled ends its recovery with a snapshot whose name it does not sync, and writes zeros over
/// segments that only the snapshot makes superfluous. The zeros may be there and the name not.
#[test]
fn class_05_an_opening_in_which_sled_overwrites_segments_may_lose_all_names() {
    const MESSAGES: u64 = 400;
    let directory = tempfile::tempdir().unwrap();
    let (store, copy) = (directory.path().join("store"), directory.path().join("copy"));
    let program = Path::new(env!("CARGO_BIN_EXE_relive-faults"));
    let interposer = Interposer::build().unwrap();
    let checker =
        Checker { program: program.to_owned(), interposer: interposer.clone(), log_bytes: LOG_BYTES };
    let log_bytes = LOG_BYTES.to_string();
    let mut view = ClientView::default();
    let mut overwriting = 0;
    for life in 0..8 {
        let mut command = Command::new(program);
        command.args(["worker", "--tier", "power-loss", "--seed", "3", "--log-bytes", &log_bytes]);
        command.args(["--limit", &MESSAGES.to_string(), "--checkpoint-records", "8"]);
        command.args(["--from", &(life * MESSAGES + 1).to_string()]).arg("--store").arg(&store);
        for line in lines(&mut command) {
            view.hear(&line).unwrap();
        }
        let base = Files::read(&store).unwrap();
        base.write(&copy).unwrap();
        let record = directory.path().join(format!("record-{life}"));
        let mut command = Command::new(program);
        command.args(["verify", "--tier", "power-loss", "--log-bytes", &log_bytes]).arg("--store").arg(&copy);
        interposer.stand_before(&mut command, &copy, Some(&record), "");
        lines(&mut command);
        std::fs::remove_dir_all(&copy).unwrap();
        let recording = Recording::parse(std::fs::read(&record).unwrap()).unwrap();
        let Some(first) = recording.entries().iter().position(|entry| overwrites(&recording, entry)) else {
            continue;
        };
        overwriting += 1;
        for end in first + 1..first + 8 {
            let disk = Disk::at(&base, &recording, end);
            let image = choose(&base, &recording, &disk, Strategy::NamesDropped, &mut Random::new(1));
            let checked = checker.check(&image, &directory.path().join("image"), None, &Plan::new(3), &view);
            let checked = checked.unwrap_or_else(|wrong| panic!("life {life}, at entry {end}: {wrong}"));
            assert!(checked.outcome.recovered >= view.acknowledged);
        }
    }
    assert!(overwriting > 2, "sled overwrote something in {overwriting} openings");
}

/// Whether sled overwrites a segment.
fn overwrites(recording: &Recording, entry: &Entry) -> bool {
    match entry {
        Entry::WriteBegins { name, content, .. } => {
            name == "db"
                && content.len() == 1 << 20
                && recording.content(content).iter().all(|byte| *byte == 0)
        }
        _ => false,
    }
}

const LOG_BYTES: u64 = 16 << 10;

fn lines(command: &mut Command) -> Vec<Line> {
    let process = Process::start(command).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = process.line("a worker").unwrap() {
        lines.push(line.parse().unwrap());
    }
    assert!(process.end().unwrap().0.success());
    lines
}
