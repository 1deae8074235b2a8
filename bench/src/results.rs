//! What a run found, as it is kept in `results.json`.

use crate::away::Away;
use crate::failure::{Failure, Outcome};
use crate::join::Join;
use crate::load::Window;
use crate::tracking::TrackingCost;
use crate::workload::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// One run over all targets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Day of the run.
    pub date: String,
    /// Commit of the source measured, with `+` if there were changes beside it.
    pub commit: String,
    /// Nodes of each target.
    #[serde(default = "one")]
    pub nodes: usize,
    /// Processor cores the machine has.
    pub cores: usize,
    /// What was asked for on the command line, if not everything.
    pub restrictions: Vec<String>,
    /// Orders written before reading.
    pub orders: u64,
    /// Native protocol version.
    pub protocol: u8,
    /// Connections of the client.
    pub connections: usize,
    /// Requests in flight at saturation, and at most at a fixed rate.
    pub in_flight: usize,
    /// Block cache of the cold scenarios, bytes.
    pub cold_cache_bytes: u64,
    /// By target, in the order measured.
    pub targets: Vec<TargetRun>,
    /// What tracking costs, by scenario, if that was measured.
    #[serde(default)]
    pub tracking: Vec<TrackingCost>,
    /// How a node joined, if that was measured.
    #[serde(default)]
    pub join: Option<Join>,
}

fn one() -> usize {
    1
}

/// What one target showed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TargetRun {
    /// As the table writes it.
    pub title: String,
    /// From the launch on an empty directory to the first CQL answer, seconds.
    pub start_s: f64,
    /// Resident memory of a node some seconds after that, bytes.
    pub idle_resident_bytes: u64,
    /// Resident memory of a node after all warm scenarios, bytes.
    pub loaded_resident_bytes: u64,
    /// Every order written twice (by id, by customer) and flushed: bytes of SSTables on the disk.
    pub data_bytes: Option<u64>,
    /// After `kill -9`.
    pub restart: Option<Restart>,
    /// When one of several nodes was away.
    #[serde(default)]
    pub away: Option<Away>,
    /// By scenario.
    pub scenarios: BTreeMap<Scenario, Figures>,
}

/// A start after `kill -9`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Restart {
    /// Bytes in the commit log then.
    pub log_bytes: u64,
    /// From the launch to the first CQL answer, seconds.
    pub start_s: f64,
}

/// What one scenario showed on one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// Whether throughput and processor time had settled before they were measured.
    pub settled: bool,
    /// At saturation.
    pub saturation: Measured,
    /// At a fixed rate; none where no rate was known.
    pub at_rate: Option<Measured>,
}

/// A measured stretch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Operations a second.
    pub throughput: f64,
    /// Server's processor time for each, microseconds.
    pub cpu_us: f64,
    /// Client's processor time for each, microseconds.
    pub client_cpu_us: f64,
    /// Latency, milliseconds.
    pub p50_ms: f64,
    /// Latency, milliseconds.
    pub p99_ms: f64,
    /// Latency, milliseconds.
    pub p999_ms: f64,
    /// How late the client itself was in a hundredth of its sendings, milliseconds; counted in the latencies.
    pub delay_p99_ms: f64,
    /// Part of the machine that neither server nor client used: what disturbed the measurement.
    pub foreign: f64,
    /// Answers that were not the right ones.
    pub faults: u64,
    /// The first of them.
    pub first_fault: Option<String>,
}

/// Processor time of a stretch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// By the server.
    pub server: Duration,
    /// By this process.
    pub client: Duration,
    /// By the whole machine.
    pub machine: Duration,
}

impl Measured {
    /// Of a window in which this was spent.
    pub fn new(window: &Window, spent: Spent) -> Self {
        let operations = window.operations.max(1) as f64;
        let ms = |quantile: f64| window.latencies.value_at_quantile(quantile) as f64 / 1e6;
        let foreign = spent.machine.saturating_sub(spent.server + spent.client);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            throughput: window.throughput(),
            cpu_us: spent.server.as_secs_f64() * 1e6 / operations,
            client_cpu_us: spent.client.as_secs_f64() * 1e6 / operations,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            delay_p99_ms: window.delays.value_at_quantile(0.99) as f64 / 1e6,
            foreign: foreign.as_secs_f64() / window.elapsed.as_secs_f64() / cores as f64,
            faults: window.faults,
            first_fault: window.first_fault.clone(),
        }
    }
}

impl Run {
    /// The target of this title, if it was measured.
    pub fn target(&self, title: &str) -> Option<&TargetRun> {
        self.targets.iter().find(|target| target.title == title)
    }

    /// Reads a run kept before.
    pub fn read(path: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::at(path, error))?;
        serde_json::from_str(&text).map_err(|error| Failure::at(path, error))
    }

    /// Keeps it.
    pub fn write(&self, path: &Path) -> Outcome {
        let text = serde_json::to_string_pretty(self).map_err(|error| Failure::at(path, error))?;
        std::fs::write(path, text + "\n").map_err(|error| Failure::at(path, error))
    }
}
