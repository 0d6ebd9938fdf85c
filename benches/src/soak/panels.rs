//! The plot of a soak: disk, log and memory against time, one below the other, in the look of the
//! other plots.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::Course;
use crate::plots::{BLUE, GREY, ORANGE};
use crate::samples::Sample;

const SIZE: (u32, u32) = (900, 1080);

const MEGABYTE: f64 = 1e6;

/// What a line of the legend takes of the height of a panel. The legend is above the highest line.
const LEGEND_LINE: f64 = 0.083;

/// A curve or a bound.
struct Line {
    name: String,
    color: RGBColor,
    dashed: bool,
    /// Minutes and megabytes.
    points: Vec<(f64, f64)>,
}

/// One of the three.
struct Panel {
    title: &'static str,
    y: &'static str,
    lines: Vec<Line>,
}

/// Draws all three.
pub(super) fn draw(courses: &[Course], budget: f64, file: &Path) -> Result<()> {
    let ends = courses.iter().filter_map(|course| course.samples.last()).map(|sample| sample.minutes);
    let end = ends.max_by(f64::total_cmp).context("nothing was measured")?;
    let level = |name: String, color, bytes: f64| Line {
        name,
        color,
        dashed: true,
        points: vec![(0.0, bytes / MEGABYTE), (end, bytes / MEGABYTE)],
    };
    let mut disk = curves(courses, |sample| sample.disk_bytes);
    disk.extend(courses.iter().filter_map(|course| {
        let bound = course.disk_bound(budget)?;
        Some(level(format!("{}, at most", course.promise.name), color(course), bound))
    }));
    let mut log = curves(courses, |sample| sample.log_bytes);
    log.push(level("budget".to_owned(), GREY, budget));
    let memory = curves(courses, |sample| sample.resident_bytes);
    let panels = [
        Panel { title: "Disk that the store takes up", y: "disk, MB", lines: disk },
        Panel { title: "Log that is kept", y: "log, MB", lines: log },
        Panel { title: "Memory of the process", y: "resident memory, MB", lines: memory },
    ];
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    draw_all(&area, &panels, end).map_err(|error| anyhow!("{}: {error}", file.display()))
}

fn color(course: &Course) -> RGBColor {
    if course.promise.name == "sled" { ORANGE } else { BLUE }
}

fn curves(courses: &[Course], of: fn(&Sample) -> f64) -> Vec<Line> {
    let curve = |course: &Course| Line {
        name: course.promise.name.to_owned(),
        color: color(course),
        dashed: false,
        points: course.samples.iter().map(|sample| (sample.minutes, of(sample) / MEGABYTE)).collect(),
    };
    courses.iter().map(curve).collect()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_all(area: &Area<'_>, panels: &[Panel], end: f64) -> Drawn {
    area.fill(&WHITE)?;
    for (panel, area) in panels.iter().zip(area.split_evenly((panels.len(), 1))) {
        panel.draw(&area, end)?;
    }
    area.present()?;
    Ok(())
}

impl Panel {
    fn draw(&self, area: &Area<'_>, end: f64) -> Drawn {
        let heights = self.lines.iter().flat_map(|line| &line.points).map(|(_, height)| *height);
        let most = heights.fold(0.0, f64::max);
        let room = 1.0 / (1.0 - LEGEND_LINE * (self.lines.len() + 1) as f64);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 24))
            .margin(16)
            .x_label_area_size(52)
            .y_label_area_size(90)
            .build_cartesian_2d(0.0..end, 0.0..(most * room).max(0.001))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_desc("minutes")
            .y_desc(self.y)
            .axis_desc_style(("sans-serif", 18))
            .label_style(("sans-serif", 16))
            .y_labels(6)
            .x_label_formatter(&|minutes| label(*minutes))
            .y_label_formatter(&|height| label(*height))
            .draw()?;
        for line in &self.lines {
            let stroke = line.color.stroke_width(2);
            let points = line.points.iter().copied();
            if line.dashed {
                chart
                    .draw_series(DashedLineSeries::new(points, 8, 6, stroke))?
                    .label(line.name.as_str())
                    .legend(move |(x, y)| DashedPathElement::new([(x, y), (x + 24, y)], 6, 4, stroke));
            } else {
                chart
                    .draw_series(LineSeries::new(points, stroke))?
                    .label(line.name.as_str())
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], stroke));
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 16))
            .draw()?;
        Ok(())
    }
}

/// A figure at an axis: without zeros behind the point, and without what is left of a calculation
/// in binary.
fn label(value: f64) -> String {
    format!("{}", (value * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::promises;
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn three_panels_have_units_and_bounds() {
        let sample = |minutes| Sample { minutes, disk_bytes: 5e6, log_bytes: 1e6, ..Sample::default() };
        let course = |promise| Course {
            promise,
            samples: [0.0, 1.0].map(sample).to_vec(),
            figures: Some(Figures::default().with("newest_two_bytes", 1e6)),
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("soak.svg");
        draw(&[course(&promises::ALL[0]), course(&promises::ALL[1])], 1e6, &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for word in
            ["minutes", "disk, MB", "log, MB", "resident memory, MB", "segment-files, at most", "budget"]
        {
            assert!(text.contains(word), "{word}");
        }
        assert!(draw(&[], 1e6, &file).is_err());
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([label(50.0), label(0.1 + 0.2), label(0.05)], ["50", "0.3", "0.05"]);
    }
}
