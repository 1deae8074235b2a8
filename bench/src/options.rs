//! The command line.

use crate::failure::{Failure, Outcome};
use crate::measure::Lengths;
use crate::orders::ROWS_PER_PARTITION;
use crate::requests::Level;
use crate::workload::Scenario;
use cql::frame::ProtocolVersion;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What can be asked.
pub const USAGE: &str = "\
cargo xtask bench [--quick] [--only write,read,range,mixed,wide,cold-read,cold-range]
                  [--targets oracle,helenus,null] [--skip-oracle] [--record]
                  [--nodes 1|3] [--running IP:PORT,PID] [--latte PATH] [--results FILE]
                  [--orders N] [--protocol 4|5] [--connections N] [--in-flight N] [--set key=value]…
  --quick        30,000 orders and short measurements, for a look; Cassandra does not get warm
  --skip-oracle  without Apache Cassandra; latencies at the rates of the last run with it
  --record       put table and plot into docs/performance.md
  --nodes        so many nodes that have all data each, asked at QUORUM: read, write and mixed, without the null server; then
                 what happens when one is away, what tracking costs, and how fast a node that joins takes its data
  --running      only this server, which runs already; nothing is flushed, killed or stopped
  --results      measure nothing: table and plot of a run that was kept (target/bench/results.json)
  --latte        compare our client with this one (crate latte-cli) instead, on the first target
  --set          a further setting of Helenus";

/// What is asked of several nodes.
const CLUSTER_SCENARIOS: [Scenario; 3] = [Scenario::Read, Scenario::Write, Scenario::Mixed];
const ORDERS: u64 = 300_000;
const CLUSTER_ORDERS: u64 = 100_000;
const QUICK_ORDERS: u64 = 30_000;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Short measurements.
    pub quick: bool,
    /// Scenarios to measure.
    pub only: Vec<Scenario>,
    /// Targets to measure, by their short names.
    pub targets: Vec<String>,
    /// Nodes of each target.
    pub nodes: usize,
    /// A server that runs already, with its process id.
    pub running: Option<(SocketAddr, u32)>,
    /// The other client, if ours is to be compared with it.
    pub latte: Option<PathBuf>,
    /// A run kept before that is shown instead of measuring.
    pub results: Option<PathBuf>,
    /// Whether the document is rewritten.
    pub record: bool,
    /// Orders written before reading: a multiple of a partition's rows.
    pub orders: u64,
    /// Protocol spoken.
    pub version: ProtocolVersion,
    /// Connections of the client.
    pub connections: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Settings of Helenus.
    pub settings: Vec<String>,
    /// The executable of Helenus.
    pub helenus: PathBuf,
    /// That of a node with or without tracking, if that is to be compared.
    pub measured_node: Option<PathBuf>,
    /// Replicas of the data, which are asked for a quorum if there are several.
    pub replicas: usize,
    /// The project's launcher of Cassandra, and where it keeps nodes.
    pub launcher: PathBuf,
    /// Directories of Cassandra's nodes.
    pub cassandra_home: PathBuf,
    /// The repository.
    pub root: PathBuf,
    /// Where results and Helenus' data go.
    pub output: PathBuf,
    /// Address of Cassandra.
    pub oracle_ip: IpAddr,
    /// Address of Helenus.
    pub helenus_ip: IpAddr,
    /// Address of the empty server.
    pub null_ip: IpAddr,
}

impl Options {
    /// Reads arguments; `--helenus`, `--launcher`, `--cassandra-home` and `--root` come from `cargo xtask`.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self::default();
        let (mut orders, mut only, mut targets) = (None, None, None);
        let (mut arguments, mut skip_oracle) = (arguments, false);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| Failure::new(format!("{argument} needs a value\n{USAGE}")))
            };
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--skip-oracle" => skip_oracle = true,
                "--record" => options.record = true,
                "--only" => only = Some(scenarios(&value()?)?),
                "--targets" => targets = Some(value()?.split(',').map(str::to_owned).collect()),
                "--nodes" => options.nodes = nodes(&value()?)?,
                "--running" => {
                    options.running = Some(running(&value()?)?);
                    targets = Some(vec!["running".to_owned()]);
                }
                "--results" => options.results = Some(value()?.into()),
                "--latte" => options.latte = Some(value()?.into()),
                "--orders" => orders = Some(number(&value()?)?),
                "--protocol" => options.version = version(&value()?)?,
                "--connections" => options.connections = number(&value()?)? as usize,
                "--in-flight" => options.in_flight = number(&value()?)? as usize,
                "--set" => options.settings.push(value()?),
                "--helenus" => options.helenus = value()?.into(),
                "--measured-node" => options.measured_node = Some(value()?.into()),
                "--launcher" => options.launcher = value()?.into(),
                "--cassandra-home" => options.cassandra_home = value()?.into(),
                "--root" => options.root = value()?.into(),
                "--output" => options.output = value()?.into(),
                "--oracle-ip" => options.oracle_ip = ip(&value()?)?,
                "--helenus-ip" => options.helenus_ip = ip(&value()?)?,
                "--null-ip" => options.null_ip = ip(&value()?)?,
                _ => return Err(Failure::new(format!("{argument} is not known\n{USAGE}"))),
            }
        }
        options.replicas = options.nodes;
        if options.nodes > 1 {
            options.only = CLUSTER_SCENARIOS.to_vec();
            options.targets.retain(|name| name != "null");
        }
        options.only = only.unwrap_or(options.only);
        options.targets = targets.unwrap_or(options.targets);
        options
            .targets
            .retain(|name| !(skip_oracle && name == "oracle"));
        if options.nodes > 1 && options.restarts() {
            return Err(Failure::new("several nodes are not measured cold"));
        }
        let orders = orders.unwrap_or(match (options.quick, options.nodes) {
            (true, _) => QUICK_ORDERS,
            (false, 1) => ORDERS,
            (false, _) => CLUSTER_ORDERS,
        });
        options.orders = orders.next_multiple_of(ROWS_PER_PARTITION);
        options.connections = options.connections.next_multiple_of(options.nodes);
        if options.orders == 0
            || options.connections == 0
            || options.in_flight < options.connections
        {
            return Err(Failure::new(
                "there must be orders, connections, and at least as many requests in flight",
            ));
        }
        Ok(options)
    }

    /// How long the parts of a measurement take.
    pub fn lengths(&self) -> Lengths {
        match (self.quick, self.nodes) {
            (true, _) => Lengths::QUICK,
            (false, 1) => Lengths::FULL,
            (false, _) => Lengths::CLUSTER,
        }
    }

    /// Whether servers are killed and started again: always but where one warm scenario is asked for.
    pub fn restarts(&self) -> bool {
        self.only.iter().any(|scenario| scenario.is_cold())
    }

    /// At which consistency is asked.
    pub fn level(&self) -> Level {
        if self.nodes > 1 {
            Level::Quorum
        } else {
            Level::LocalOne
        }
    }

    /// What makes this run less than a whole one.
    pub fn restrictions(&self) -> Vec<String> {
        let mut restrictions = Vec::new();
        if self.quick {
            restrictions.push("short measurements".to_owned());
            restrictions.push("too little data to exceed the least block cache".to_owned());
        }
        let all = if self.nodes > 1 {
            &CLUSTER_SCENARIOS[..]
        } else {
            &Scenario::ALL
        };
        if self.only.len() < all.len() {
            restrictions.push("some scenarios".to_owned());
        }
        restrictions.extend(
            self.settings
                .iter()
                .map(|setting| format!("Helenus with {setting}")),
        );
        restrictions
    }
}

impl Default for Options {
    fn default() -> Self {
        let loopback = |last| IpAddr::from([127, 0, 0, last]);
        Self {
            quick: false,
            only: Scenario::ALL.to_vec(),
            targets: ["oracle", "helenus", "null"].map(str::to_owned).to_vec(),
            nodes: 1,
            running: None,
            latte: None,
            results: None,
            record: false,
            orders: ORDERS,
            version: ProtocolVersion::V5,
            connections: 4,
            in_flight: 256,
            settings: Vec::new(),
            helenus: PathBuf::from("target/release/helenus"),
            measured_node: None,
            replicas: 1,
            launcher: PathBuf::from("target/debug/xtask"),
            cassandra_home: PathBuf::new(),
            root: PathBuf::from("."),
            output: PathBuf::from("target/bench"),
            oracle_ip: loopback(29),
            helenus_ip: loopback(28),
            null_ip: loopback(27),
        }
    }
}

fn scenarios(list: &str) -> Outcome<Vec<Scenario>> {
    let find = |name: &str| {
        Scenario::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
            .ok_or_else(|| Failure::new(format!("{name} is no scenario\n{USAGE}")))
    };
    list.split(',').map(find).collect()
}

fn running(text: &str) -> Outcome<(SocketAddr, u32)> {
    let parts = text.split_once(',');
    let read = parts.and_then(|(address, id)| Some((address.parse().ok()?, id.parse().ok()?)));
    read.ok_or_else(|| Failure::new(format!("{text} is not IP:PORT,PID")))
}

fn nodes(text: &str) -> Outcome<usize> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err(Failure::new("there are 1 or 3 nodes")),
    }
}

fn version(text: &str) -> Outcome<ProtocolVersion> {
    match text {
        "4" => Ok(ProtocolVersion::V4),
        "5" => Ok(ProtocolVersion::V5),
        _ => Err(Failure::new("the protocol is 4 or 5")),
    }
}

fn number(text: &str) -> Outcome<u64> {
    text.replace(['_', ','], "")
        .parse()
        .map_err(|_| Failure::new(format!("{text} is no number")))
}

fn ip(text: &str) -> Outcome<IpAddr> {
    text.parse()
        .map_err(|_| Failure::new(format!("{text} is no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Options> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_and_mistakes_named() {
        let options = parse("--quick --only write,cold-read --skip-oracle --orders 100").unwrap();
        assert_eq!(options.only, [Scenario::Write, Scenario::ColdRead]);
        assert_eq!(options.targets, ["helenus", "null"]);
        assert_eq!(options.orders, 120);
        assert!(
            parse("--only writes")
                .unwrap_err()
                .to_string()
                .contains("writes")
        );
        let options = parse("--nodes 3 --skip-oracle").unwrap();
        assert_eq!(options.only, CLUSTER_SCENARIOS);
        assert_eq!(options.targets, ["helenus"]);
        assert!(parse("--nodes 3 --only cold-read").is_err());
        assert!(parse("--orders").is_err());
        assert!(parse("--in-flight 1").is_err());
    }
}
