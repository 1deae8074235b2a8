//! Whether our client measures what another one measures: the same reads and writes by `latte` (crate `latte-cli`), on
//! the same server, right after ours.
//!
//! Figures of the server are compared, its processor time for each request above all: a client that sent something
//! easier, or in another rhythm, would show in them. At saturation `latte` itself is what is saturated first, so both
//! are compared at one rate too: a quarter of what `latte` reached.

use crate::failure::{Failure, Outcome};
use crate::measure::{Meter, measure};
use crate::results::Measured;
use crate::session::Session;
use crate::workload::{Asking, Scenario};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What both clients can ask.
const SCENARIOS: [Scenario; 2] = [Scenario::Read, Scenario::Write];
/// Share of `latte`'s throughput at saturation that is the common rate.
const RATE_SHARE: f64 = 0.25;

/// The executable and its workload.
#[derive(Debug)]
pub struct Latte {
    executable: PathBuf,
    workload: PathBuf,
    /// Where it leaves its report and its log.
    output: PathBuf,
}

/// What both clients saw of one scenario: throughput, the server's processor time in µs, p50 and p99 in ms.
#[derive(Debug)]
struct Seen {
    throughput: f64,
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl From<&Measured> for Seen {
    fn from(measured: &Measured) -> Self {
        Self {
            throughput: measured.throughput,
            cpu_us: measured.cpu_us,
            p50_ms: measured.p50_ms,
            p99_ms: measured.p99_ms,
        }
    }
}

impl Latte {
    /// The executable at this path, with the workload of the repository; its report goes to `output`.
    pub fn new(executable: &Path, root: &Path, output: &Path) -> Self {
        Self {
            executable: absolute(executable),
            workload: absolute(&root.join("bench/latte/orders.rn")),
            output: absolute(output),
        }
    }

    fn command(&self, session: &Session<'_>, subcommand: &str) -> Command {
        // A connection count is that of each shard, for a driver that knows them.
        let connections = (session.options.connections / 2).max(1).to_string();
        let mut command = Command::new(&self.executable);
        command
            .args([subcommand, "--quiet", "--threads", "1"])
            .args(["--connections", &connections])
            .args(["--concurrency", &session.options.in_flight.to_string()])
            .args(["--consistency", "ONE"])
            .current_dir(&self.output)
            .stdout(Stdio::null());
        command
    }

    fn finish(&self, mut command: Command, session: &Session<'_>) -> Outcome {
        let address = session.target.addresses()[0];
        let status = command
            .arg(&self.workload)
            .arg(address.to_string())
            .status();
        let status = status.map_err(|error| Failure::at(&self.executable, error))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("latte ended with {status}")))
        }
    }

    fn load(&self, session: &Session<'_>) -> Outcome {
        self.finish(self.command(session, "load"), session)
    }

    fn run(&self, session: &Session<'_>, scenario: Scenario, rate: Option<f64>) -> Outcome<Seen> {
        let mut command = self.command(session, "run");
        let report = self.output.join("latte.json");
        let seconds = session.options.lengths().measured.as_secs();
        command
            .args(["--functions", scenario.name()])
            .args(["--duration", &format!("{seconds}s")])
            .arg("--output")
            .arg(&report);
        if let Some(rate) = rate {
            command.args(["--rate", &format!("{rate:.0}")]);
        }
        let mut meter = Meter::start(&session.target.processes()?)?;
        self.finish(command, session)?;
        let server = meter.lap()?.server;
        let text = std::fs::read_to_string(&report);
        let text = text.map_err(|error| Failure::at(&report, error))?;
        let found = serde_json::from_str(&text).map_err(|error| Failure::at(&report, error))?;
        seen(&found, server.as_secs_f64()).ok_or_else(|| {
            Failure::new("latte's report has another form than that of version 0.29")
        })
    }
}

/// The path from the root, for another directory's process.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What a report says, and the server's processor time in the same stretch.
fn seen(report: &Value, server_s: f64) -> Option<Seen> {
    let result = report.get("result")?;
    let requests = result.get("request_count")?.as_f64()?;
    if result.get("error_count")?.as_f64()? > 0.0 {
        return None;
    }
    let quantiles = report.get("percentiles")?.as_array()?;
    let latencies = result
        .get("cycle_latency")?
        .get("percentiles")?
        .as_array()?;
    let latency = |wanted: f64| {
        let at = quantiles.iter().position(|q| q.as_f64() == Some(wanted))?;
        latencies.get(at)?.get("value")?.as_f64()
    };
    Some(Seen {
        throughput: result.get("req_throughput")?.get("value")?.as_f64()?,
        cpu_us: server_s * 1e6 / requests,
        p50_ms: latency(50.0)?,
        p99_ms: latency(99.0)?,
    })
}

impl Session<'_> {
    /// Asks the same with both clients and says what each saw, as a table.
    pub fn compare(mut self, latte: &Latte) -> Outcome<String> {
        self.begin()?;
        latte.load(&self)?;
        self.flush()?;
        let statements = self.prepare()?;
        let mut load = self.load()?;
        let lengths = self.options.lengths();
        let mut table = String::from(
            "| scenario | client | operations/s | server CPU µs each | at rate /s | p50 / p99 ms | CPU µs each there |\n\
             |---|---|--:|--:|--:|--:|--:|\n",
        );
        for scenario in SCENARIOS {
            let full = latte.run(&self, scenario, None)?;
            let rate = full.throughput * RATE_SHARE;
            let mut asked = self.asked;
            let mut source = Asking::new(
                self.pool,
                &statements,
                scenario,
                self.options.orders,
                &mut asked,
            );
            let servers = self.target.processes()?;
            let ours = measure(&mut load, &servers, &mut source, lengths, |_| Some(rate))?;
            self.asked = asked;
            let theirs = latte.run(&self, scenario, Some(rate))?;
            row(&mut table, scenario, "latte", &full, Some(&theirs));
            let at_rate = ours.at_rate.as_ref().map(Seen::from);
            let saturation = Seen::from(&ours.saturation);
            row(&mut table, scenario, "ours", &saturation, at_rate.as_ref());
        }
        self.target.stop()?;
        Ok(table)
    }
}

fn row(table: &mut String, scenario: Scenario, client: &str, full: &Seen, at_rate: Option<&Seen>) {
    let (title, throughput, cpu) = (scenario.title(), full.throughput, full.cpu_us);
    let _ = write!(table, "| {title} | {client} | {throughput:.0} | {cpu:.2} |");
    if let Some(at) = at_rate {
        let Seen {
            throughput,
            cpu_us,
            p50_ms,
            p99_ms,
        } = at;
        let _ = write!(
            table,
            " {throughput:.0} | {p50_ms:.2} / {p99_ms:.2} | {cpu_us:.2} |"
        );
    }
    table.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_read_and_one_with_errors_is_not() {
        let report = |errors: u32| {
            json!({
                "percentiles": [0.0, 50.0, 99.0],
                "result": {
                    "request_count": 1000,
                    "error_count": errors,
                    "req_throughput": { "value": 100.0 },
                    "cycle_latency": { "percentiles": [{ "value": 0.1 }, { "value": 0.5 }, { "value": 2.0 }] },
                },
            })
        };
        let read = seen(&report(0), 0.01).expect("a report");
        assert_eq!(
            (read.throughput, read.p50_ms, read.p99_ms),
            (100.0, 0.5, 2.0)
        );
        assert!((read.cpu_us - 10.0).abs() < 1e-9);
        assert!(seen(&report(1), 0.01).is_none());
    }
}
