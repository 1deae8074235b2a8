//! What a stretch of the load showed.

use crate::failure::{Failure, Outcome};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Longest latency told apart from longer ones.
const LONGEST_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;
/// Of a thousand answers so many may be wrong before the measurement is worth nothing.
const FAULTS_PER_MILLE: u64 = 1;

/// A stretch of the load.
#[derive(Debug)]
pub struct Window {
    start: Duration,
    /// How long it was.
    pub elapsed: Duration,
    /// Answers in it.
    pub operations: u64,
    /// Answers that were not the right ones.
    pub faults: u64,
    /// The first of them.
    pub first_fault: Option<String>,
    /// From when a request was due to its answer, in nanoseconds.
    pub latencies: Histogram<u64>,
    /// From when a request was due to its sending: how far the client itself was behind.
    pub delays: Histogram<u64>,
}

impl Window {
    /// Begins at `start`, a time since the client's own beginning.
    pub(super) fn new(start: Duration) -> Outcome<Self> {
        let histogram = || {
            Histogram::new_with_bounds(1_000, LONGEST_NS, DIGITS)
                .map_err(|error| Failure::new(format!("histogram: {error}")))
        };
        Ok(Self {
            start,
            elapsed: Duration::ZERO,
            operations: 0,
            faults: 0,
            first_fault: None,
            latencies: histogram()?,
            delays: histogram()?,
        })
    }

    pub(super) fn start(&self) -> Duration {
        self.start
    }

    pub(super) fn end(&mut self, now: Duration) {
        self.elapsed = now.saturating_sub(self.start);
    }

    pub(super) fn sent(&mut self, delay: Duration) {
        self.delays.saturating_record(delay.as_nanos() as u64);
    }

    pub(super) fn answered(&mut self, latency: Duration, fault: Option<String>) {
        self.operations += 1;
        self.latencies.saturating_record(latency.as_nanos() as u64);
        if let Some(fault) = fault {
            self.faults += 1;
            self.first_fault.get_or_insert(fault);
        }
    }

    /// Fails when too many answers were wrong.
    pub(super) fn check(&self) -> Outcome {
        match &self.first_fault {
            Some(fault) if self.faults * 1000 > self.operations * FAULTS_PER_MILLE => {
                Err(Failure::new(format!(
                    "{} of {} answers are wrong; the first: {fault}",
                    self.faults, self.operations
                )))
            }
            _ => Ok(()),
        }
    }

    /// Adds the window after this one.
    pub fn absorb(&mut self, next: &Self) -> Outcome {
        self.elapsed += next.elapsed;
        self.operations += next.operations;
        self.faults += next.faults;
        if self.first_fault.is_none() {
            self.first_fault.clone_from(&next.first_fault);
        }
        let add = |sum: &mut Histogram<u64>, more: &Histogram<u64>| {
            sum.add(more)
                .map_err(|error| Failure::new(format!("histogram: {error}")))
        };
        add(&mut self.latencies, &next.latencies)?;
        add(&mut self.delays, &next.delays)
    }

    /// Answers a second.
    pub fn throughput(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
