//! What a soak looks at every few seconds, as lines of a CSV file, and how fast a curve rises.
//! Knows no store.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What was there at one moment. Counters begin with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Since the load began.
    pub(crate) minutes: f64,
    /// Blocks that the files of the store take up on the disk.
    pub(crate) disk_bytes: f64,
    /// The log that is kept, as the runtime reports it.
    pub(crate) log_bytes: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) actors_in_memory: f64,
    /// Deliveries logged, each of which is handled.
    pub(crate) handled: f64,
    pub(crate) checkpoints: f64,
    pub(crate) commits: f64,
    pub(crate) logged_bytes: f64,
    /// Handed to calls that write (`wchar`), by this process.
    pub(crate) process_written_bytes: f64,
    /// Pages of the cache that this process made dirty (`write_bytes`).
    pub(crate) process_dirtied_bytes: f64,
    /// Written by the device, for anybody.
    pub(crate) device_written_bytes: f64,
}

const COLUMNS: [&str; 12] = [
    "minutes",
    "disk_bytes",
    "log_bytes",
    "resident_bytes",
    "actors_in_memory",
    "handled",
    "checkpoints",
    "commits",
    "logged_bytes",
    "process_written_bytes",
    "process_dirtied_bytes",
    "device_written_bytes",
];

impl Sample {
    /// The first line of the file.
    pub(crate) fn head() -> String {
        format!("medium,{}\n", COLUMNS.join(","))
    }

    /// A line of the file.
    pub(crate) fn line(&self, medium: &str) -> String {
        let bytes = &self.values()[1..];
        let bytes: String = bytes.iter().map(|value| format!(",{value:.0}")).collect();
        format!("{medium},{:.3}{bytes}\n", self.minutes)
    }

    /// Reads the samples of one medium from a file.
    pub(crate) fn read(file: &Path, medium: &str) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
        let mut lines = text.lines();
        ensure!(lines.next() == Some(Self::head().trim_end()), "{} has other columns", file.display());
        let samples = lines.filter_map(|line| line.strip_prefix(medium)?.strip_prefix(','));
        samples
            .map(|line| Self::parse(line).with_context(|| format!("in {}: {line}", file.display())))
            .collect()
    }

    fn parse(line: &str) -> Result<Self> {
        let values = line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let values: [f64; COLUMNS.len()] =
            values.try_into().ok().context("a line has too few or too many columns")?;
        let [
            minutes,
            disk_bytes,
            log_bytes,
            resident_bytes,
            actors_in_memory,
            handled,
            checkpoints,
            commits,
            logged_bytes,
            process_written_bytes,
            process_dirtied_bytes,
            device_written_bytes,
        ] = values;
        Ok(Self {
            minutes,
            disk_bytes,
            log_bytes,
            resident_bytes,
            actors_in_memory,
            handled,
            checkpoints,
            commits,
            logged_bytes,
            process_written_bytes,
            process_dirtied_bytes,
            device_written_bytes,
        })
    }

    fn values(&self) -> [f64; COLUMNS.len()] {
        [
            self.minutes,
            self.disk_bytes,
            self.log_bytes,
            self.resident_bytes,
            self.actors_in_memory,
            self.handled,
            self.checkpoints,
            self.commits,
            self.logged_bytes,
            self.process_written_bytes,
            self.process_dirtied_bytes,
            self.device_written_bytes,
        ]
    }
}

/// By how much a curve rises a minute: the slope of the line with the least squares. None for fewer
/// than two moments.
pub(crate) fn slope(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Option<f64> {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (middle, height) = (mean(&|sample| sample.minutes), mean(&|sample| of(sample)));
    let spread: f64 = samples.iter().map(|sample| (sample.minutes - middle).powi(2)).sum();
    let rise: f64 = samples.iter().map(|sample| (sample.minutes - middle) * (of(sample) - height)).sum();
    (spread > 0.0).then(|| rise / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(minutes: f64, disk_bytes: f64) -> Sample {
        Sample { minutes, disk_bytes, device_written_bytes: 7.0, ..Sample::default() }
    }

    #[test]
    fn samples_go_through_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let samples = [sample(0.0, 4096.0), sample(0.125, 8192.0)];
        let lines = [samples[0].line("sled"), samples[1].line("other"), samples[1].line("sled")];
        std::fs::write(file.path(), Sample::head() + &lines.concat()).unwrap();
        assert_eq!(Sample::read(file.path(), "sled").unwrap(), samples);
        assert_eq!(Sample::read(file.path(), "none").unwrap(), []);
        std::fs::write(file.path(), Sample::head() + "sled,1,2\n").unwrap();
        assert!(Sample::read(file.path(), "sled").is_err());
        std::fs::write(file.path(), "minutes\n").unwrap();
        assert!(Sample::read(file.path(), "sled").is_err());
    }

    #[test]
    fn a_slope_is_a_rise_a_minute() {
        let of = |sample: &Sample| sample.disk_bytes;
        assert_eq!(slope(&[sample(1.0, 10.0), sample(2.0, 13.0), sample(3.0, 16.0)], of), Some(3.0));
        assert_eq!(slope(&[sample(0.0, 5.0), sample(1.0, 6.0), sample(2.0, 5.0)], of), Some(0.0));
        assert_eq!(slope(&[sample(1.0, 10.0)], of), None);
        assert_eq!(slope(&[], of), None);
    }
}
