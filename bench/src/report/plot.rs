//! The plot: throughput, processor time and latency side by side, a bar for each server, as SVG.
//!
//! Processor time and latency differ by factors, so their axes are logarithmic; throughput's begins at zero.

use super::readable;
use crate::results::{Figures, Run, TargetRun};
use crate::workload::Scenario;
use std::fmt::Write;

const WIDTH: f64 = 1080.0;
const LEFT: f64 = 230.0;
const PANEL_WIDTH: f64 = 270.0;
const BAR_HEIGHT: f64 = 11.0;
const ROW_HEIGHT: f64 = 50.0;
const TOP: f64 = 66.0;
/// Room right of the longest bar for its number.
const LABEL_WIDTH: f64 = 56.0;
/// In the order the targets were measured.
const COLOURS: [&str; 3] = ["#9a6fb0", "#1f78b4", "#9aa5b1"];

#[derive(Clone, Copy)]
enum Axis {
    Linear,
    Logarithmic,
}

struct Panel {
    title: &'static str,
    axis: Axis,
    value: fn(&Figures) -> Option<f64>,
}

const PANELS: [Panel; 3] = [
    Panel {
        title: "operations/s (longer is better)",
        axis: Axis::Linear,
        value: |figures| Some(figures.saturation.throughput),
    },
    Panel {
        title: "server CPU µs each (log; shorter is better)",
        axis: Axis::Logarithmic,
        value: |figures| Some(figures.saturation.cpu_us),
    },
    Panel {
        title: "p99 ms at half of Cassandra's peak (log)",
        axis: Axis::Logarithmic,
        value: |figures| figures.at_rate.as_ref().map(|at| at.p99_ms),
    },
];

/// The plot of a run.
pub fn svg(run: &Run) -> String {
    let measured = |scenario: &Scenario| {
        run.targets
            .iter()
            .any(|target| target.scenarios.contains_key(scenario))
    };
    let scenarios: Vec<Scenario> = Scenario::ALL.into_iter().filter(measured).collect();
    let height = TOP + ROW_HEIGHT * scenarios.len() as f64 + 12.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, (target, colour)) in run.targets.iter().zip(COLOURS).enumerate() {
        let title = &target.title;
        let x = LEFT + 180.0 * index as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"22\">{title}</text>",
            x + 18.0
        );
    }
    for (row, scenario) in scenarios.iter().enumerate() {
        let y = TOP + ROW_HEIGHT * row as f64 + 22.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            scenario.title()
        );
    }
    for (index, panel) in PANELS.iter().enumerate() {
        panel.draw(
            run,
            &scenarios,
            LEFT + (PANEL_WIDTH + 12.0) * index as f64,
            &mut out,
        );
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn draw(&self, run: &Run, scenarios: &[Scenario], x: f64, out: &mut String) {
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            TOP - 16.0,
            self.title
        );
        let value = |target: &TargetRun, scenario: &Scenario| {
            let figures = target.scenarios.get(scenario)?;
            (self.value)(figures).filter(|value| *value > 0.0)
        };
        let all = || {
            let targets = run.targets.iter();
            targets.flat_map(|target| {
                scenarios
                    .iter()
                    .filter_map(|scenario| value(target, scenario))
            })
        };
        let most = all().fold(f64::MIN, f64::max);
        let least = all().fold(f64::MAX, f64::min);
        for (row, scenario) in scenarios.iter().enumerate() {
            for (index, (target, colour)) in run.targets.iter().zip(COLOURS).enumerate() {
                let Some(value) = value(target, scenario) else {
                    continue;
                };
                let y = TOP + ROW_HEIGHT * row as f64 + (BAR_HEIGHT + 1.0) * index as f64;
                let width = self.axis.part(value, least, most) * (PANEL_WIDTH - LABEL_WIDTH);
                let _ = writeln!(
                    out,
                    "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{colour}\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{}</text>",
                    x + width + 4.0,
                    y + BAR_HEIGHT - 1.5,
                    readable(value)
                );
            }
        }
    }
}

impl Axis {
    /// How much of the axis a value takes, from 0 to 1. A logarithmic axis begins at half of the least value.
    fn part(self, value: f64, least: f64, most: f64) -> f64 {
        match self {
            Self::Linear => value / most,
            Self::Logarithmic => (value * 2.0 / least).ln() / (most * 2.0 / least).ln(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    #[test]
    fn the_longest_bar_fills_its_axis() {
        for axis in [Axis::Linear, Axis::Logarithmic] {
            assert!((axis.part(90.0, 0.5, 90.0) - 1.0).abs() < 1e-9);
            let least = axis.part(0.5, 0.5, 90.0);
            assert!(0.0 < least && least < 0.2, "{least}");
        }
    }
}
