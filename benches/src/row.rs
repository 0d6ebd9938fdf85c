//! A row of the suite: what is measured for it, what is compared with what, and what is aimed at.

use anyhow::Result;
use serde::Serialize;

use crate::figures::Spread;
use crate::round::{Measure, Round};
use crate::unit::Unit;

/// What is measured for one question, and the lines of the table that answer it.
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    pub(crate) measures: Vec<Measure>,
    pub(crate) lines: Vec<Line>,
}

/// A line of the table: a ratio of two figures of the same round, or a figure alone.
pub(crate) struct Line {
    what: String,
    unit: Unit,
    target: Target,
    sides: Box<Compare>,
}

type Compare = dyn Fn(&Round) -> Result<Sides>;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    pub(crate) ours: f64,
    /// None when there is nothing to compare with.
    pub(crate) theirs: Option<f64>,
}

impl Sides {
    fn value(self) -> f64 {
        self.theirs.map_or(self.ours, |theirs| self.ours / theirs)
    }
}

/// What is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Told, not judged.
    None,
}

impl Target {
    fn best(self, value: Spread) -> f64 {
        match self {
            Self::AtLeast(_) => value.max,
            Self::AtMost(_) => value.min,
            Self::None => value.median,
        }
    }

    fn is_reached(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::None => None,
        }
    }
}

impl Line {
    /// A ratio of two figures, both in this unit.
    pub(crate) fn ratio(
        what: impl Into<String>,
        unit: Unit,
        ours: impl Fn(&Round) -> Result<f64> + 'static,
        theirs: impl Fn(&Round) -> Result<f64> + 'static,
    ) -> Self {
        let sides = move |round: &Round| Ok(Sides { ours: ours(round)?, theirs: Some(theirs(round)?) });
        Self { what: what.into(), unit, target: Target::None, sides: Box::new(sides) }
    }

    /// A figure alone.
    pub(crate) fn figure(
        what: impl Into<String>,
        unit: Unit,
        figure: impl Fn(&Round) -> Result<f64> + 'static,
    ) -> Self {
        let sides = move |round: &Round| Ok(Sides { ours: figure(round)?, theirs: None });
        Self { what: what.into(), unit, target: Target::None, sides: Box::new(sides) }
    }

    pub(crate) fn at_least(self, least: f64) -> Self {
        Self { target: Target::AtLeast(least), ..self }
    }

    pub(crate) fn at_most(self, most: f64) -> Self {
        Self { target: Target::AtMost(most), ..self }
    }

    /// What came of it in all rounds in which it was measured.
    pub(crate) fn outcome(&self, row: &'static str, rounds: &[Round]) -> Outcome {
        let sides: Vec<_> = rounds.iter().filter_map(|round| (self.sides)(round).ok()).collect();
        let spread =
            |of: &dyn Fn(&Sides) -> Option<f64>| Spread::of(&sides.iter().filter_map(of).collect::<Vec<_>>());
        let value = spread(&|sides| Some(sides.value()));
        Outcome {
            row,
            what: self.what.clone(),
            unit: self.unit,
            target: self.target,
            reached: value.and_then(|value| self.target.is_reached(value.median)),
            value,
            ours: spread(&|sides| Some(sides.ours)),
            theirs: spread(&|sides| sides.theirs),
            rounds: sides.len(),
        }
    }
}

/// What came of a line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) row: &'static str,
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) target: Target,
    /// None when there is no target, or nothing was measured.
    pub(crate) reached: Option<bool>,
    /// The ratio, or the figure when it stands alone; none when it was not measured.
    pub(crate) value: Option<Spread>,
    pub(crate) ours: Option<Spread>,
    pub(crate) theirs: Option<Spread>,
    /// In how many rounds it was measured.
    pub(crate) rounds: usize,
}

impl Outcome {
    /// The unit of the value: a ratio has none of its own.
    pub(crate) fn value_unit(&self) -> Unit {
        if self.theirs.is_some() { Unit::Times } else { self.unit }
    }

    /// Whether at least one round reached what is aimed at.
    pub(crate) fn is_ever_reached(&self) -> bool {
        let best = self.value.map(|value| self.target.best(value));
        best.is_some_and(|best| self.target.is_reached(best) != Some(false))
    }

    /// The best round beside what is aimed at.
    pub(crate) fn sentence(&self) -> String {
        let (what, unit) = (&self.what, self.value_unit());
        let Some(value) = self.value else { return format!("{what} was not measured") };
        let best = unit.show(self.target.best(value));
        match self.target {
            Target::AtLeast(least) => {
                format!("{what} is {best} at best, and is to be at least {}", unit.show(least))
            }
            Target::AtMost(most) => {
                format!("{what} is {best} at best, and is to be at most {}", unit.show(most))
            }
            Target::None => format!("{what} is {best}"),
        }
    }
}

/// Reads one figure of one measurement.
pub(crate) fn of(
    measure: impl Into<String>,
    figure: &'static str,
) -> impl Fn(&Round) -> Result<f64> + 'static {
    let measure = measure.into();
    move |round| round.get(&measure, figure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    fn round(ours: f64, theirs: f64) -> Round {
        let mut round = Round::default();
        round.add("a", Figures::default().with("rate", ours));
        round.add("b", Figures::default().with("rate", theirs));
        round
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        let line = Line::ratio("a to b", Unit::PerSecond, of("a", "rate"), of("b", "rate")).at_least(2.0);
        // The median of the ratios is 2, that of the figures would give 1.
        let outcome = line.outcome("row", &[round(2.0, 1.0), round(10.0, 10.0), round(30.0, 10.0)]);
        assert_eq!(outcome.value, Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(outcome.ours.unwrap().median, 10.0);
        assert_eq!(outcome.reached, Some(true));
    }

    #[test]
    fn what_was_not_measured_is_not_reached() {
        let line = Line::figure("a", Unit::Bytes, of("c", "rate")).at_most(2.0);
        let outcome = line.outcome("row", &[round(1.0, 1.0)]);
        assert_eq!((outcome.value, outcome.reached, outcome.rounds), (None, None, 0));
    }

    #[test]
    fn targets_are_bounds() {
        assert_eq!(Target::AtLeast(2.0).is_reached(2.0), Some(true));
        assert_eq!(Target::AtLeast(2.0).is_reached(1.9), Some(false));
        assert_eq!(Target::AtMost(2.0).is_reached(2.1), Some(false));
        assert_eq!(Target::None.is_reached(0.0), None);
    }
}
