//! Draws what the rounds gave: throughput by the number of actors, latency by the number of
//! clients. SVG with text, on white, so that it is legible wherever it is shown.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::combinators::{BindKeyPoints, LogCoord, WithKeyPoints};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::figures::Spread;
use crate::round::Round;
use crate::rows::{ACTORS, CLIENTS, SYNC};
use crate::unit::thousands;

/// A line of a plot.
struct Series {
    name: &'static str,
    color: RGBColor,
    /// By actors or clients.
    points: Vec<(f64, Spread)>,
}

const SIZE: (u32, u32) = (900, 480);
pub(crate) const BLUE: RGBColor = RGBColor(0, 90, 181);
const TEAL: RGBColor = RGBColor(0, 140, 130);
pub(crate) const GREY: RGBColor = RGBColor(110, 110, 110);
pub(crate) const ORANGE: RGBColor = RGBColor(220, 120, 0);
const RED: RGBColor = RGBColor(190, 20, 60);

/// Draws all plots for which there are figures; gives their names.
pub(crate) fn draw(rounds: &[Round], directory: &Path) -> Result<Vec<&'static str>> {
    let mut drawn = Vec::new();
    let throughput = throughput(rounds);
    if throughput.iter().any(|series| series.points.len() > 1) {
        draw_throughput(&throughput, &directory.join("throughput.svg"))?;
        drawn.push("throughput.svg");
    }
    let latency = latency(rounds);
    // The line of the synced write is there without any client.
    if latency.first().is_some_and(|series| series.points.len() > 1) {
        draw_latency(&latency, &directory.join("latency.svg"))?;
        drawn.push("latency.svg");
    }
    Ok(drawn)
}

fn throughput(rounds: &[Round]) -> Vec<Series> {
    let actors: Vec<_> = ACTORS.iter().map(|(actors, _)| *actors).collect();
    let lines = [
        ("kameo: in memory, forgets", GREY, "kameo"),
        ("relive Volatile: in memory", ORANGE, "volatile"),
        ("relive ProcessCrash: written", TEAL, "process-crash"),
        ("relive PowerLoss: written and synced", BLUE, "power-loss"),
    ];
    let series = lines.into_iter().map(|(name, color, what)| {
        let measure = |actors| format!("tells {what} {actors}");
        Series { name, color, points: points(rounds, &actors, measure, "messages_per_second") }
    });
    series.collect()
}

fn latency(rounds: &[Round]) -> Vec<Series> {
    let relive = |clients| format!("asks relive {clients}");
    let lines =
        [("relive p99.9", RED, "p999_us"), ("relive p99", ORANGE, "p99_us"), ("relive p50", BLUE, "p50_us")];
    let mut series: Vec<_> = lines
        .into_iter()
        .map(|(name, color, figure)| Series { name, color, points: points(rounds, &CLIENTS, relive, figure) })
        .collect();
    let sync = |_| SYNC.to_owned();
    let points_of_sync = points(rounds, &CLIENTS, sync, "p50_us");
    series.push(Series { name: "one synced write of 4 KiB, p50", color: TEAL, points: points_of_sync });
    let kameo = |clients| format!("asks kameo {clients}");
    let points_of_kameo = points(rounds, &CLIENTS, kameo, "p50_us");
    series.push(Series { name: "kameo p50", color: GREY, points: points_of_kameo });
    series
}

/// Where one figure lies over all rounds, for each number of actors or clients.
fn points(
    rounds: &[Round],
    numbers: &[usize],
    measure: impl Fn(usize) -> String,
    figure: &str,
) -> Vec<(f64, Spread)> {
    let points = numbers.iter().filter_map(|number| {
        let values: Vec<_> =
            rounds.iter().filter_map(|round| round.get(&measure(*number), figure).ok()).collect();
        Some((*number as f64, Spread::of(&values)?))
    });
    points.collect()
}

fn draw_throughput(series: &[Series], file: &Path) -> Result<()> {
    let most = bounds(series).1;
    let ticks: Vec<_> = ACTORS.iter().map(|(actors, _)| *actors as f64).collect();
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let plot = Plot {
        title: "Tells of 128 bytes handled a second",
        x: "actors",
        y: "messages a second",
        legend: SeriesLabelPosition::UpperRight,
        ticks,
        label: |rate| if rate == 0.0 { "0".to_owned() } else { format!("{:.1} M", rate / 1e6) },
    };
    // Room for the legend.
    plot.draw(&area, series, 0.0..most * 1.3).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn draw_latency(series: &[Series], file: &Path) -> Result<()> {
    let (least, most) = bounds(series);
    let ticks: Vec<_> = CLIENTS.iter().map(|clients| *clients as f64).collect();
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    let plot = Plot {
        title: "Time until an ask is answered",
        x: "clients that ask at the same time",
        y: "time, logarithmic",
        legend: SeriesLabelPosition::LowerRight,
        ticks,
        label: |micros| {
            if micros < 1000.0 { format!("{micros} µs") } else { format!("{} ms", micros / 1e3) }
        },
    };
    // Whole decades, so that the ends of the axis have labels.
    let range = 10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil());
    plot.draw(&area, series, range.log_scale()).map_err(|error| anyhow!("{}: {error}", file.display()))
}

/// The least and the most of all points.
fn bounds(series: &[Series]) -> (f64, f64) {
    let spreads = || series.iter().flat_map(|series| &series.points).map(|(_, spread)| spread);
    let least = spreads().map(|spread| spread.min).fold(f64::INFINITY, f64::min);
    (least, spreads().map(|spread| spread.max).fold(0.0, f64::max))
}

/// What stands around the lines.
struct Plot {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    legend: SeriesLabelPosition,
    /// Where the axis below has labels.
    ticks: Vec<f64>,
    label: fn(f64) -> String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type X = WithKeyPoints<LogCoord<f64>>;

impl Plot {
    /// Draws lines through the medians, and a stroke from the least to the most at each.
    fn draw<Y>(&self, area: &Area<'_>, series: &[Series], range: Y) -> Result<(), Box<dyn std::error::Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        area.fill(&WHITE)?;
        let (first, last) =
            (self.ticks.first().copied().unwrap_or(1.0), self.ticks.last().copied().unwrap_or(2.0));
        let below: X = (first / 1.3..last * 1.3).log_scale().with_key_points(self.ticks.clone());
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 24))
            .margin(16)
            .x_label_area_size(52)
            .y_label_area_size(90)
            .build_cartesian_2d(below, range)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_desc(self.x)
            .y_desc(self.y)
            .axis_desc_style(("sans-serif", 18))
            .label_style(("sans-serif", 16))
            .x_label_formatter(&|number| thousands(*number))
            .y_label_formatter(&|value| (self.label)(*value))
            .draw()?;
        for series in series.iter().filter(|series| !series.points.is_empty()) {
            let stroke = series.color.stroke_width(2);
            let medians = series.points.iter().map(|(number, spread)| (*number, spread.median));
            chart
                .draw_series(LineSeries::new(medians.clone(), stroke))?
                .label(series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], stroke));
            chart.draw_series(medians.map(|point| Circle::new(point, 4, series.color.filled())))?;
            chart.draw_series(series.points.iter().map(|(number, spread)| {
                PathElement::new([(*number, spread.min), (*number, spread.max)], series.color.stroke_width(1))
            }))?;
        }
        chart
            .configure_series_labels()
            .position(self.legend.clone())
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 16))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn plots_are_drawn_of_what_there_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut round = Round::default();
        assert!(draw(&[], directory.path()).unwrap().is_empty());
        for actors in [1, 64] {
            let figures = Figures::default().with("messages_per_second", 1e6 / f64::from(actors));
            round.add(&format!("tells power-loss {actors}"), figures);
        }
        assert_eq!(draw(&[round], directory.path()).unwrap(), ["throughput.svg"]);
        let text = std::fs::read_to_string(directory.path().join("throughput.svg")).unwrap();
        assert!(text.contains("messages a second") && text.contains("PowerLoss"));
    }
}
