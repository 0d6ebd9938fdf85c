//! A measurement of the suite, and what all measurements of one round gave. Knows no row.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::figures::Figures;

/// A measurement in a process of its own.
pub(crate) struct Measure {
    /// What it is called, by rows and in the raw figures.
    pub(crate) name: String,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// It takes so long that it is made in the first round only.
    pub(crate) once: bool,
    arguments: Box<Arguments>,
}

type Arguments = dyn Fn(&Round) -> Result<String>;

impl Measure {
    /// The command `one` with these arguments.
    pub(crate) fn new(name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let arguments = arguments.into();
        Self::after(name, move |_| Ok(arguments.clone()))
    }

    /// One whose arguments are made of what was measured before, in the same round.
    pub(crate) fn after(
        name: impl Into<String>,
        arguments: impl Fn(&Round) -> Result<String> + 'static,
    ) -> Self {
        let limit = Duration::from_secs(120);
        Self { name: name.into(), limit, once: false, arguments: Box::new(arguments) }
    }

    /// Made in the first round only, and allowed so long.
    pub(crate) fn once(self, limit: Duration) -> Self {
        Self { once: true, limit, ..self }
    }

    /// The arguments of `one`.
    pub(crate) fn arguments(&self, round: &Round) -> Result<Vec<String>> {
        Ok((self.arguments)(round)?.split_whitespace().map(str::to_owned).collect())
    }
}

/// The figures of one round, by measurement.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Round(BTreeMap<String, Figures>);

impl Round {
    /// Adds what a measurement gave.
    pub(crate) fn add(&mut self, measure: &str, figures: Figures) {
        self.0.insert(measure.to_owned(), figures);
    }

    /// One figure of one measurement.
    pub(crate) fn get(&self, measure: &str, figure: &str) -> Result<f64> {
        let figures = self.0.get(measure).with_context(|| format!("{measure:?} was not measured"))?;
        figures.get(figure).with_context(|| format!("in {measure:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_made_of_what_was_measured_before() {
        let mut round = Round::default();
        let second = Measure::after("second", |round| {
            Ok(format!("plain --block {}", round.get("first", "commit_bytes")?))
        });
        assert!(second.arguments(&round).is_err());
        round.add("first", Figures::default().with("commit_bytes", 512.0));
        assert_eq!(second.arguments(&round).unwrap(), ["plain", "--block", "512"]);
        assert!(round.get("first", "nothing").is_err());
    }
}
