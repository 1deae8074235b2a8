//! What it costs when a replica dies and comes back: writes go on at a quarter of what the nodes can take, the last node is killed,
//! stays away, and is started again; it has caught up when it may be trusted again, as the first node says.

use crate::failure::{Failure, Outcome};
use crate::load::{Connection, Load, Pace, Shape, Window};
use crate::session::Session;
use crate::target::Cache;
use crate::workload::{Asking, Scenario};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often the first node is asked.
const LOOK: Duration = Duration::from_millis(250);
/// How long all is well before.
const CALM: Duration = Duration::from_secs(10);
/// How long the node stays away, in a whole run and in a quick one.
const AWAY: [Duration; 2] = [Duration::from_mins(1), Duration::from_secs(10)];
/// The longest that catching up may take.
pub const LIMIT: Duration = Duration::from_mins(3);
/// Of the throughput at saturation, the part that is written meanwhile.
const SHARE: f64 = 0.25;
/// The members that may not be trusted, as a node sees it.
const BEHIND: &str =
    "SELECT address FROM system_views.convergence WHERE fresh = false ALLOW FILTERING";

/// What was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Away {
    /// Writes a second, throughout.
    pub rate: f64,
    /// How long the node was away, in seconds.
    pub away_s: f64,
    /// From its launch until it could be trusted, in seconds; none if it could not within [`LIMIT`].
    pub caught_up_s: Option<f64>,
    /// Latency in calm, with the node dead, and while it caught up, in milliseconds.
    pub p99_ms: [f64; 3],
    /// Answers that were errors, the first of them if any was.
    pub faults: u64,
    /// The first of them.
    pub first_fault: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Calm,
    Dead,
    Returning,
}

/// Nine hundred and ninety of a thousand answers came within so many milliseconds.
fn p99_ms(window: Option<&Window>) -> f64 {
    window.map_or(0.0, |window| {
        window.latencies.value_at_quantile(0.99) as f64 / 1e6
    })
}

impl Session<'_> {
    /// Kills the last node under load and starts it again. `writes` is the throughput at saturation.
    pub(crate) fn away(&mut self, writes: f64) -> Outcome<Away> {
        let mut addresses = self.target.addresses();
        addresses.pop();
        let statements = self.prepare()?;
        let mut load = Load::open(&Shape {
            addresses: addresses.clone(),
            version: self.options.version,
            connections: self.options.connections,
            in_flight: self.options.in_flight,
        })?;
        let mut first = Connection::open(addresses[0], self.options.version)?;
        let orders = self.options.orders;
        let mut source = Asking::new(
            self.pool,
            &statements,
            Scenario::Write,
            orders,
            &mut self.asked,
        );
        let rate = writes * SHARE;
        let away = AWAY[usize::from(self.options.quick)];
        let target = &mut *self.target;
        let (mut phase, mut began) = (Phase::Calm, Instant::now());
        let mut seen: [Option<Window>; 3] = [None, None, None];
        let mut caught_up = None;
        load.run(&mut source, Pace::Rate(rate), LOOK, &mut |window| {
            match &mut seen[phase as usize] {
                Some(sum) => sum.absorb(&window)?,
                none => *none = Some(window),
            }
            let last = target.last_node();
            let last = last.ok_or_else(|| Failure::new("there is no node to be killed"))?;
            let passed = began.elapsed();
            match phase {
                Phase::Calm if passed >= CALM => {
                    last.kill()?;
                    (phase, began) = (Phase::Dead, Instant::now());
                }
                Phase::Dead if passed >= away => {
                    last.launch(Cache::Ample)?;
                    (phase, began) = (Phase::Returning, Instant::now());
                }
                Phase::Returning => {
                    if first.count(BEHIND)? == 0 {
                        caught_up = Some(passed);
                        return Ok(ControlFlow::Break(()));
                    }
                    if passed > LIMIT {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Phase::Calm | Phase::Dead => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Away {
            rate,
            away_s: away.as_secs_f64(),
            caught_up_s: caught_up.map(|time: Duration| time.as_secs_f64()),
            p99_ms: [0, 1, 2].map(|phase| p99_ms(seen[phase].as_ref())),
            faults: seen.iter().flatten().map(|window| window.faults).sum(),
            first_fault: seen
                .iter()
                .flatten()
                .find_map(|window| window.first_fault.clone()),
        })
    }
}
