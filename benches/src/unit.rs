//! Units, and how a figure reads in each.

use serde::Serialize;

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    /// So many a second.
    PerSecond,
    BytesPerSecond,
    Bytes,
    BytesPerMinute,
    Micros,
    Seconds,
    /// So many times.
    Times,
}

impl Unit {
    /// A figure with its unit, to three digits or so.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond if value < 1e3 => format!("{} /s", digits(value)),
            Self::PerSecond => format!("{} /s", thousands(value)),
            Self::BytesPerSecond => format!("{} MB/s", digits(value / 1e6)),
            Self::Bytes if value >= 1e6 => format!("{} MB", digits(value / 1e6)),
            Self::Bytes => format!("{} B", digits(value)),
            Self::BytesPerMinute => format!("{} MB/min", digits(value / 1e6)),
            Self::Micros if value >= 1e4 => format!("{} ms", digits(value / 1e3)),
            Self::Micros => format!("{} µs", digits(value)),
            Self::Seconds => format!("{} s", digits(value)),
            Self::Times => format!("{}x", digits(value)),
        }
    }
}

/// Three digits, at least.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Groups of three digits.
pub(crate) fn thousands(value: f64) -> String {
    let plain = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(Unit::PerSecond.show(1_234_567.0), "1,234,567 /s");
        assert_eq!(Unit::PerSecond.show(999_999.0), "999,999 /s");
        assert_eq!(Unit::PerSecond.show(12.34), "12.3 /s");
        assert_eq!(Unit::BytesPerSecond.show(310.32e6), "310 MB/s");
        assert_eq!(Unit::Micros.show(331.0), "331 µs");
        assert_eq!(Unit::Micros.show(35_880.0), "35.9 ms");
        assert_eq!(Unit::Times.show(0.5), "0.50x");
        assert_eq!(Unit::Times.show(0.0123), "0.0123x");
        assert_eq!(Unit::Bytes.show(5.27), "5.27 B");
        assert_eq!(Unit::BytesPerMinute.show(-1_250_000.0), "-1.25 MB/min");
    }
}
