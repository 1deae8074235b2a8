//! What mutation tracking costs: two clusters of one build, one of which tracks nothing, under the same load in turns, so that
//! whatever else the machine does disturbs both alike.

use crate::failure::{Failure, Outcome};
use crate::load::{Load, Pace};
use crate::measure::Meter;
use crate::options::Options;
use crate::orders::Pool;
use crate::session::{RateRule, Rates, Session};
use crate::target::Target;
use crate::workload::{Asking, Scenario, Statements};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::Duration;

/// Turns of each cluster in each scenario, in a whole run and in a quick one.
const TURNS: [usize; 2] = [8, 4];
/// A turn, of which the first quarter is left out.
const QUARTER: Duration = Duration::from_secs(1);
const SCENARIOS: [Scenario; 2] = [Scenario::Write, Scenario::Read];

/// What one scenario costs with tracking and without, all nodes together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TrackingCost {
    /// Which.
    pub scenario: Scenario,
    /// Processor time of an operation with tracking, microseconds: the median of all turns.
    pub tracked_us: f64,
    /// The same without.
    pub untracked_us: f64,
}

impl TrackingCost {
    /// By how much an operation costs more with tracking, as a part of its cost without.
    pub fn more(&self) -> f64 {
        self.tracked_us / self.untracked_us - 1.0
    }
}

/// A cluster that runs, and its client.
struct Side {
    processes: Vec<u32>,
    statements: Statements,
    load: Load,
    asked: u64,
}

impl Side {
    fn begin(target: &mut dyn Target, options: &Options, pool: &Pool) -> Outcome<Self> {
        let rates = Rates::new();
        let mut session = Session::new(target, options, pool, RateRule::Given(&rates));
        session.begin()?;
        session.flush()?;
        Ok(Self {
            statements: session.prepare()?,
            load: session.load()?,
            processes: session.target.processes()?,
            asked: 0,
        })
    }

    /// One turn: processor time of an operation, microseconds.
    fn turn(&mut self, scenario: Scenario, options: &Options, pool: &Pool) -> Outcome<f64> {
        let orders = options.orders;
        let mut source = Asking::new(pool, &self.statements, scenario, orders, &mut self.asked);
        let mut meter = Meter::start(&self.processes)?;
        let (mut quarter, mut operations, mut spent) = (0, 0.0, 0.0);
        let mut fault = None;
        self.load
            .run(&mut source, Pace::Saturation, QUARTER, &mut |window| {
                let lap = meter.lap()?;
                if quarter > 0 {
                    operations += window.throughput() * window.elapsed.as_secs_f64();
                    spent += lap.server.as_secs_f64();
                }
                fault = fault.take().or(window.first_fault);
                quarter += 1;
                Ok(if quarter == 4 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
        match fault {
            Some(fault) => Err(Failure::new(fault)),
            None => Ok(spent * 1e6 / operations),
        }
    }
}

/// Measures both clusters, which are started and stopped.
pub fn compare(
    [tracked, untracked]: [&mut dyn Target; 2],
    options: &Options,
    pool: &Pool,
) -> Outcome<Vec<TrackingCost>> {
    let mut sides = [
        Side::begin(tracked, options, pool)?,
        Side::begin(untracked, options, pool)?,
    ];
    let mut costs = Vec::new();
    for scenario in SCENARIOS {
        let mut found: [Vec<f64>; 2] = Default::default();
        for turn in 0..TURNS[usize::from(options.quick)] {
            // Whoever is first is not always the same.
            for side in [turn % 2, 1 - turn % 2] {
                found[side].push(sides[side].turn(scenario, options, pool)?);
            }
        }
        let [tracked_us, untracked_us] = found.map(median);
        let cost = TrackingCost {
            scenario,
            tracked_us,
            untracked_us,
        };
        eprintln!(
            "tracking, {}: {tracked_us:.2} µs with, {untracked_us:.2} µs without: {:+.1} %",
            scenario.name(),
            cost.more() * 100.0
        );
        costs.push(cost);
    }
    Ok(costs)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    f64::midpoint(values[(values.len() - 1) / 2], values[middle])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_turn_changes_nothing() {
        assert!((median(vec![5.0, 1.0, 90.0]) - 5.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 90.0, 6.0]) - 5.0).abs() < f64::EPSILON);
    }
}
