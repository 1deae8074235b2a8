//! How one scenario is measured on one server: warm until its figures settle, then at saturation, then at a fixed rate.
//!
//! The rule is the same for every target. It exists for the Java machine, whose compiler halves the cost of a request in
//! the first minutes; a server that has nothing to warm settles at once.

use crate::failure::Outcome;
use crate::load::{Load, Pace, Source, Window};
use crate::process::{CpuTime, machine_cpu_time};
use crate::results::{Figures, Measured, Spent};
use std::ops::ControlFlow;
use std::time::Duration;

/// Windows of which the mean is compared with that of as many before them.
const COMPARED: usize = 4;
/// By how much the later mean may still be better when figures count as settled.
const STILL_BETTER: f64 = 1.04;

/// How long each part of a measurement takes.
#[derive(Debug, Clone, Copy)]
pub struct Lengths {
    /// A window of the warming.
    pub window: Duration,
    /// Windows that the warming takes at least: on a busy machine figures seem to settle long before a compiler is done.
    pub least: usize,
    /// Windows after which the warming ends although the figures have not settled.
    pub windows: usize,
    /// The measured stretch at saturation, and that at a fixed rate.
    pub measured: Duration,
    /// What is left out before each.
    pub ramp: Duration,
}

impl Lengths {
    /// For figures to be published.
    pub const FULL: Self = Self {
        window: Duration::from_secs(2),
        least: 30,
        windows: 90,
        measured: Duration::from_secs(10),
        ramp: Duration::from_secs(2),
    };
    /// For figures of several nodes: all of a run is to take twenty minutes.
    pub const CLUSTER: Self = Self {
        least: 20,
        windows: 40,
        ..Self::FULL
    };
    /// For a look.
    pub const QUICK: Self = Self {
        window: Duration::from_secs(1),
        least: 8,
        windows: 12,
        measured: Duration::from_secs(3),
        ramp: Duration::from_millis(500),
    };
}

/// Warms, saturates, then loads at the rate that `rate` makes of the throughput found.
pub fn measure(
    load: &mut Load,
    servers: &[u32],
    source: &mut dyn Source,
    lengths: Lengths,
    rate: impl FnOnce(f64) -> Option<f64>,
) -> Outcome<Figures> {
    let settled = warm(load, servers, source, lengths)?;
    let saturation = stretch(load, servers, source, Pace::Saturation, lengths)?;
    let at_rate = match rate(saturation.throughput) {
        Some(rate) => Some(stretch(load, servers, source, Pace::Rate(rate), lengths)?),
        None => None,
    };
    Ok(Figures {
        settled,
        saturation,
        at_rate,
    })
}

/// Loads until the last few windows agree; whether they did in time.
fn warm(
    load: &mut Load,
    servers: &[u32],
    source: &mut dyn Source,
    lengths: Lengths,
) -> Outcome<bool> {
    let mut windows: Vec<(f64, f64)> = Vec::new();
    let mut settled = false;
    let mut meter = Meter::start(servers)?;
    load.run(source, Pace::Saturation, lengths.window, &mut |window| {
        let measured = Measured::new(&window, meter.lap()?);
        windows.push((measured.throughput, measured.cpu_us));
        settled = windows.len() >= lengths.least && is_settled(&windows);
        Ok(if settled || windows.len() >= lengths.windows {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(settled)
}

/// Whether the last windows are no better than those before them. It looks for the end of a trend, not for windows that
/// agree: a half-warm compiler has plateaus, and a busy machine never agrees.
fn is_settled(windows: &[(f64, f64)]) -> bool {
    let Some(last) = windows.last_chunk::<{ COMPARED * 2 }>() else {
        return false;
    };
    let (before, after) = last.split_at(COMPARED);
    let mean = |windows: &[(f64, f64)], part: fn(&(f64, f64)) -> f64| {
        windows.iter().map(part).sum::<f64>() / windows.len() as f64
    };
    let faster = mean(after, |window| window.0) / mean(before, |window| window.0);
    let cheaper = mean(before, |window| window.1) / mean(after, |window| window.1);
    faster <= STILL_BETTER && cheaper <= STILL_BETTER
}

/// Leaves out the ramp and measures one stretch.
fn stretch(
    load: &mut Load,
    servers: &[u32],
    source: &mut dyn Source,
    pace: Pace,
    lengths: Lengths,
) -> Outcome<Measured> {
    let mut measured = None;
    let mut meter = Meter::start(servers)?;
    // The ramp sets the length of windows; as many of them make the stretch.
    let count = (lengths.measured.as_secs_f64() / lengths.ramp.as_secs_f64()).round() as usize;
    let mut sum: Option<(Window, Spent)> = None;
    let mut seen = 0;
    load.run(source, pace, lengths.ramp, &mut |window| {
        let spent = meter.lap()?;
        seen += 1;
        if seen == 1 {
            return Ok(ControlFlow::Continue(()));
        }
        let total = match sum.take() {
            None => (window, spent),
            Some((mut sum, before)) => {
                sum.absorb(&window)?;
                (sum, before.plus(spent))
            }
        };
        let done = seen > count;
        if done {
            measured.get_or_insert_with(|| Measured::new(&total.0, total.1));
        }
        sum = Some(total);
        Ok(if done {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    measured.ok_or_else(|| crate::failure::Failure::new("the source ended before the measurement"))
}

/// Processor time so far: of each server, of this process, of the machine.
type Looked = (Vec<CpuTime>, CpuTime, Duration);

/// Measures processor time lap by lap.
#[derive(Debug)]
pub struct Meter {
    servers: Vec<u32>,
    before: Looked,
}

impl Meter {
    /// Of these processes together, from now.
    pub fn start(servers: &[u32]) -> Outcome<Self> {
        Ok(Self {
            before: Self::look(servers)?,
            servers: servers.to_vec(),
        })
    }

    /// What was spent since the last lap.
    pub fn lap(&mut self) -> Outcome<Spent> {
        let now = Self::look(&self.servers)?;
        let before = std::mem::replace(&mut self.before, now);
        let each = self.before.0.iter().zip(&before.0);
        Ok(Spent {
            server: each.map(|(now, before)| now.since(before)).sum(),
            client: self.before.1.since(&before.1),
            machine: self.before.2.saturating_sub(before.2),
        })
    }

    fn look(servers: &[u32]) -> Outcome<Looked> {
        let each = servers.iter().map(|server| CpuTime::of(*server));
        Ok((
            each.collect::<Outcome<_>>()?,
            CpuTime::of(std::process::id())?,
            machine_cpu_time()?,
        ))
    }
}

impl Spent {
    fn plus(self, other: Self) -> Self {
        Self {
            server: self.server + other.server,
            client: self.client + other.client,
            machine: self.machine + other.machine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_settle_when_they_stop_getting_better() {
        let falling: Vec<(f64, f64)> = (0..8).map(|i| (10.0, 50.0 - 3.0 * f64::from(i))).collect();
        assert!(!is_settled(&falling));
        assert!(!is_settled(&falling[..7]));
        let mut windows = falling;
        windows.extend([(10.0, 26.0), (11.0, 29.0), (9.0, 28.0), (10.0, 27.0)]);
        assert!(!is_settled(&windows));
        windows.extend([(10.0, 29.0), (9.0, 27.0), (10.0, 28.0), (11.0, 26.0)]);
        assert!(is_settled(&windows));
    }
}
