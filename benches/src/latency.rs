//! Latencies as a histogram, and the percentiles that are told of it.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::figures::Figures;

/// Latencies in nanoseconds, to three digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    pub(crate) fn record(&mut self, latency: Duration) -> Result<()> {
        Ok(self.0.record(u64::try_from(latency.as_nanos())?)?)
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Percentiles in microseconds.
    pub(crate) fn figures(&self) -> Figures {
        self.figures_of("")
    }

    /// The same, with the name of what took so long before each.
    pub(crate) fn figures_of(&self, what: &str) -> Figures {
        let micros = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Figures::default()
            .with(&format!("{what}p50_us"), micros(0.5))
            .with(&format!("{what}p99_us"), micros(0.99))
            .with(&format!("{what}p999_us"), micros(0.999))
            .with(&format!("{what}max_us"), self.0.max() as f64 / 1e3)
            .with(&format!("{what}samples"), self.0.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut latencies = Latencies::new().unwrap();
        for micros in 1..=1000 {
            latencies.record(Duration::from_micros(micros)).unwrap();
        }
        let figures = latencies.figures();
        assert!((figures.get("p50_us").unwrap() - 500.0).abs() < 1.0);
        assert!((figures.get("p99_us").unwrap() - 990.0).abs() < 1.0);
        assert_eq!(figures.get("samples").unwrap(), 1000.0);
    }
}
