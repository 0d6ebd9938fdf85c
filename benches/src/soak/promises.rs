//! What is promised of either medium, and the lines of the table that say whether it holds.

use super::Course;
use crate::figures::Figures;
use crate::load::Tier;
use crate::round::Round;
use crate::row::{Line, Outcome, of};
use crate::samples::{Sample, slope};
use crate::unit::Unit;

/// What is promised of a medium.
pub(super) struct Promise {
    /// In the files and in the table.
    pub(super) name: &'static str,
    pub(super) tier: Tier,
    /// The disk holds at most so many times the budget of the log and the newest two checkpoints,
    /// and [`SLACK_BYTES`].
    disk_times: f64,
    /// The device writes at most so much for each byte that is logged and checkpointed.
    written_times: Option<f64>,
}

/// The media, in the order of the table.
pub(super) const ALL: [Promise; 2] = [
    Promise { name: "sled", tier: Tier::PowerLoss, disk_times: 4.0, written_times: None },
    Promise {
        name: "segment-files",
        tier: Tier::PowerLossOnFiles,
        disk_times: 3.0,
        written_times: Some(1.3),
    },
];

/// One curve of the plot, or a counter.
type Curve = fn(&Sample) -> f64;

/// What a store may take up whatever it holds.
const SLACK_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

impl Course {
    /// The most that the disk may hold; none when the newest two checkpoints are not known.
    pub(super) fn disk_bound(&self, budget: f64) -> Option<f64> {
        let two = self.figures.as_ref()?.get("newest_two_bytes").ok()?;
        Some(self.promise.disk_times * (budget + two) + SLACK_BYTES)
    }

    /// The lines of the table. The device is judged only when nothing else is measured beside it.
    pub(super) fn outcomes(&self, warm_up: f64, budget: f64, alone: bool) -> Vec<Outcome> {
        let name = self.promise.name;
        let mut round = Round::default();
        round.add(name, self.judged(warm_up));
        let figure = |what: &str, unit, figure| Line::figure(what, unit, of(name, figure));
        let two = of(name, "newest_two_bytes");
        let base = move |round: &Round| Ok(budget + two(round)?);
        let mut disk = figure("peak of the disk", Unit::Bytes, "disk_peak_bytes");
        if let Some(bound) = self.disk_bound(budget) {
            disk = disk.at_most(bound);
        }
        let per_byte = "per byte logged and checkpointed";
        let mut device = figure(
            &format!("written by the device, for anybody, {per_byte}"),
            Unit::Times,
            "device_per_byte",
        );
        if let Some(most) = self.promise.written_times.filter(|_| alone) {
            device = device.at_most(most);
        }
        let lines = [
            figure("tells handled", Unit::PerSecond, "handled_per_second"),
            figure("checkpoints", Unit::PerSecond, "checkpoints_per_second"),
            figure("a commit", Unit::Bytes, "commit_bytes"),
            figure("newest two checkpoints of all actors", Unit::Bytes, "newest_two_bytes"),
            disk,
            Line::ratio(
                "peak of the disk, to the budget of the log and the newest two checkpoints",
                Unit::Bytes,
                of(name, "disk_peak_bytes"),
                base,
            ),
            Line::ratio(
                "peak of the log, to its budget",
                Unit::Bytes,
                of(name, "log_peak_bytes"),
                move |_| Ok(budget),
            ),
            figure("peak of the memory", Unit::Bytes, "resident_peak_bytes"),
            figure("the disk rises by", Unit::BytesPerMinute, "disk_slope"),
            figure("the log rises by", Unit::BytesPerMinute, "log_slope"),
            figure("the memory rises by", Unit::BytesPerMinute, "resident_slope"),
            figure(&format!("handed to the kernel {per_byte}"), Unit::Times, "process_per_byte"),
            figure(&format!("pages made dirty {per_byte}"), Unit::Times, "dirtied_per_byte"),
            device,
        ];
        let rounds = [round];
        lines.iter().map(|line| line.outcome(name, &rounds)).collect()
    }

    /// Peaks of the whole run; slopes and rates of what comes after the warm-up.
    fn judged(&self, warm_up: f64) -> Figures {
        let mut figures = self.figures.clone().unwrap_or_default();
        let warm: Vec<_> = self.samples.iter().copied().filter(|sample| sample.minutes >= warm_up).collect();
        let curves: [(&str, Curve); 3] = [
            ("disk", |sample| sample.disk_bytes),
            ("log", |sample| sample.log_bytes),
            ("resident", |sample| sample.resident_bytes),
        ];
        for (name, of) in curves {
            if let Some(peak) = self.samples.iter().map(of).max_by(f64::total_cmp) {
                figures = figures.with(&format!("{name}_peak_bytes"), peak);
            }
            if let Some(slope) = slope(&warm, of) {
                figures = figures.with(&format!("{name}_slope"), slope);
            }
        }
        let (Some(first), Some(last)) = (warm.first(), warm.last()) else { return figures };
        let seconds = (last.minutes - first.minutes) * 60.0;
        let since = |of: Curve| of(last) - of(first);
        if seconds > 0.0 {
            figures = figures
                .with("handled_per_second", since(|sample| sample.handled) / seconds)
                .with("checkpoints_per_second", since(|sample| sample.checkpoints) / seconds);
        }
        let commits = since(|sample| sample.commits);
        if commits > 0.0 {
            figures = figures.with("commit_bytes", since(|sample| sample.logged_bytes) / commits);
        }
        let Ok(checkpoint_bytes) = figures.get("checkpoint_bytes") else { return figures };
        let bytes =
            since(|sample| sample.logged_bytes) + since(|sample| sample.checkpoints) * checkpoint_bytes;
        if bytes > 0.0 {
            figures = figures
                .with("process_per_byte", since(|sample| sample.process_written_bytes) / bytes)
                .with("dirtied_per_byte", since(|sample| sample.process_dirtied_bytes) / bytes)
                .with("device_per_byte", since(|sample| sample.device_written_bytes) / bytes);
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(disk: f64) -> Course {
        let sample = |minutes: f64| Sample {
            minutes,
            disk_bytes: disk + minutes,
            handled: 60.0 * minutes,
            checkpoints: minutes,
            commits: minutes,
            logged_bytes: 100.0 * minutes,
            device_written_bytes: 150.0 * minutes,
            ..Sample::default()
        };
        let figures = Figures::default().with("newest_two_bytes", 1e6).with("checkpoint_bytes", 50.0);
        let samples = [0.0, 1.0, 2.0, 3.0].map(sample).to_vec();
        Course { promise: &ALL[1], samples, figures: Some(figures) }
    }

    fn found(outcomes: &[Outcome], what: &str) -> (f64, Option<bool>) {
        let outcome = outcomes.iter().find(|outcome| outcome.what.starts_with(what)).unwrap();
        (outcome.value.unwrap().median, outcome.reached)
    }

    #[test]
    fn promises_are_judged() {
        let bound = 3.0 * 2e6 + SLACK_BYTES;
        assert_eq!(course(0.0).disk_bound(1e6), Some(bound));
        let outcomes = course(bound - 3.0).outcomes(1.0, 1e6, true);
        assert_eq!(found(&outcomes, "peak of the disk"), (bound, Some(true)));
        assert_eq!(found(&outcomes, "the disk rises"), (1.0, None));
        assert_eq!(found(&outcomes, "tells handled"), (1.0, None));
        assert_eq!(found(&outcomes, "a commit"), (100.0, None));
        assert_eq!(found(&outcomes, "written by the device"), (1.0, Some(true)));
        let outcomes = course(bound).outcomes(1.0, 1e6, false);
        assert_eq!(found(&outcomes, "peak of the disk"), (bound + 3.0, Some(false)));
        assert_eq!(found(&outcomes, "written by the device"), (1.0, None));
        assert_eq!(super::super::broken(&outcomes).len(), 1);
    }

    #[test]
    fn what_ended_early_is_broken() {
        let ended = Course { figures: None, ..course(0.0) };
        let outcomes = ended.outcomes(1.0, 1e6, true);
        assert_eq!(found(&outcomes, "the disk rises"), (1.0, None));
        assert!(super::super::broken(&outcomes).iter().any(|sentence| sentence.contains("not measured")));
    }
}
