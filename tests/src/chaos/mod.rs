//! Real processes in trouble: nodes in network namespaces of their own, the Python driver's load on them (`tests/chaos/load.py`), and
//! what happens to processes, links and disks meanwhile.
//!
//! [`checks`] runs in a namespace that nothing else is in ([`network`] says what it makes there). The load is told of each fault and
//! judges by that which errors may be. What must be true in the end: nothing acknowledged is missing, on any node; no read at ONE is
//! stale after all is mended; nobody who asked at QUORUM was refused but by a node in trouble.

mod faults;
mod load;
mod network;

use crate::checks::Check;
use crate::process::{Helenus, Start};
use faults::{Fault, Plan};
use load::Load;
use network::Network;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Nodes of the cluster; there is one machine more, for a node that replaces one of them.
const NODES: u8 = 3;
/// Where clients reach each of them.
const PORT: u16 = 9042;
/// Size of a node's disk: room for its log, and for what a load of minutes leaves.
const DISK_BYTES: u64 = 384 << 20;
/// Calm before the first fault, and after each.
const CALM: Duration = Duration::from_secs(5);
/// What is left on a disk that is filled up.
const LEFT_BYTES: u64 = 64 << 10;

/// What is to be done.
#[derive(Debug)]
pub struct Trial {
    /// How nodes are started, but for what differs between them.
    pub start: Start,
    /// An interpreter that has the driver.
    pub python: PathBuf,
    /// The load.
    pub script: PathBuf,
    /// How many rounds of faults.
    pub rounds: u64,
    /// Which faults those are, beyond the first round.
    pub seed: u64,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A cluster whose nodes may not run.
struct Cluster {
    start: Start,
    network: Network,
    /// By machine; what does not run is missing.
    nodes: Vec<Option<Helenus>>,
    /// The machine without a member.
    spare: u8,
}

/// Runs a program that must succeed.
fn must(program: &str, arguments: &[&str]) -> Result<(), String> {
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.map_err(|error| format!("{program}: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(format!("{program} {}: {said}", arguments.join(" ")))
}

/// Where a machine is reached.
fn address(machine: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, machine)
}

impl Cluster {
    /// Starts all nodes at once, on disks of their own.
    fn form(start: &Start) -> Result<Self, String> {
        let mut cluster = Self {
            start: start.clone(),
            network: Network::new(NODES + 1)?,
            nodes: Vec::new(),
            spare: NODES + 1,
        };
        for machine in 1..=NODES + 1 {
            let disk = cluster.disk(machine);
            std::fs::create_dir_all(&disk).map_err(text)?;
            let size = format!("size={DISK_BYTES}");
            let path = disk.display().to_string();
            must("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &path])?;
        }
        let starting: Vec<_> = (1..=NODES)
            .map(|machine| {
                let start = cluster.start_of(machine, &[]);
                thread::spawn(move || Helenus::start(&start))
            })
            .collect();
        for thread in starting {
            let node = thread.join().expect("a start does not panic");
            cluster.nodes.push(Some(node.map_err(text)?));
        }
        cluster.nodes.push(None);
        Ok(cluster)
    }

    /// Where a machine's disk is mounted.
    fn disk(&self, machine: u8) -> PathBuf {
        format!("{}-{machine}", self.start.data.display()).into()
    }

    /// How a node is started; the first two are seeds.
    fn start_of(&self, machine: u8, more: &[String]) -> Start {
        let seeds = format!(
            "seed_provider.parameters.seeds={},{}",
            address(1),
            address(2)
        );
        let settings = [
            format!("listen_address={}", address(machine)),
            "storage_port=7000".to_owned(),
            "seed_provider=SimpleSeedProvider".to_owned(),
            seeds,
            // Whoever has several talks to whoever has one.
            format!("helenus_shards={}", 1 + machine % 2),
            "helenus_memory=256MiB".to_owned(),
            // Beyond loopback it would ask for passwords.
            "helenus_admin_address=".to_owned(),
        ];
        Start {
            host: address(machine),
            port: Some(PORT),
            data: self.disk(machine).join("data"),
            settings: [&settings, more].concat(),
            wrapper: self.network.entrance(machine),
            ..self.start.clone()
        }
    }

    fn members(&self) -> Vec<u8> {
        let machines = 1..=NODES + 1;
        machines.filter(|machine| *machine != self.spare).collect()
    }

    fn node(&mut self, machine: u8) -> &mut Option<Helenus> {
        &mut self.nodes[usize::from(machine) - 1]
    }

    fn kill(&mut self, machine: u8) {
        if let Some(node) = self.node(machine).take() {
            node.kill();
        }
    }

    fn restart(&mut self, machine: u8, more: &[String]) -> Result<(), String> {
        let node = Helenus::start(&self.start_of(machine, more)).map_err(text)?;
        *self.node(machine) = Some(node);
        Ok(())
    }

    /// What its nodes wrote last.
    fn logs(&self) -> String {
        let nodes = self.nodes.iter().zip(1..);
        let tails = nodes.filter_map(|(node, machine)| {
            let tail = node.as_ref()?.log_tail();
            Some(format!("node {machine}:\n{tail}"))
        });
        tails.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.drain(..).flatten() {
            node.kill();
        }
        for machine in 1..=NODES + 1 {
            // What was never mounted cannot be unmounted.
            let _ = must("umount", &[&self.disk(machine).display().to_string()]);
        }
    }
}

/// Forms a cluster, puts it under load and in trouble, and looks for what it must have kept.
pub fn checks(trial: &Trial) -> Vec<Check> {
    let mut judged = Vec::new();
    let name = format!("{} rounds of trouble, seed {}", trial.rounds, trial.seed);
    let ended = Check::run(&name, || {
        let mut cluster = Cluster::form(&trial.start)?;
        let hosts = cluster.members().into_iter().map(address).collect();
        let mut load = Load::start(&trial.python, &trial.script, PORT, hosts)?;
        thread::sleep(CALM);
        let mut plan = Plan::new(trial.seed);
        for round in 0..trial.rounds {
            for fault in plan.round(round, &cluster.members()) {
                println!("round {round}: {fault}");
                happen(&mut cluster, &fault, &mut load)
                    .map_err(|why| format!("{fault}: {why}\n{}", cluster.logs()))?;
                thread::sleep(CALM);
            }
        }
        judged = load.judge()?;
        if judged.iter().any(|check| check.outcome.is_err()) {
            println!("{}", cluster.logs());
        }
        Ok(())
    });
    judged.push(ended);
    judged
}

/// Something goes wrong for a while, and is mended.
fn happen(cluster: &mut Cluster, fault: &Fault, load: &mut Load) -> Result<(), String> {
    let struck = fault.nodes().iter().map(|node| address(*node)).collect();
    load.struck(fault.name(), struck)?;
    match *fault {
        Fault::Kill { node, lasting } => {
            cluster.kill(node);
            thread::sleep(lasting);
            cluster.restart(node, &[])?;
        }
        Fault::Pause { node, lasting } => {
            let process = cluster.node(node).as_ref().ok_or("it does not run")?;
            let id = process.id().to_string();
            must("kill", &["-s", "STOP", &id])?;
            thread::sleep(lasting);
            must("kill", &["-s", "CONT", &id])?;
        }
        Fault::Cut { ref links, lasting } => {
            for (from, to) in links {
                cluster.network.cut(*from, *to)?;
            }
            thread::sleep(lasting);
            for (from, to) in links {
                cluster.network.open(*from, *to)?;
            }
        }
        Fault::Fill { node, lasting } => {
            let ballast = cluster.disk(node).join("ballast");
            fill(&ballast, &cluster.disk(node))?;
            thread::sleep(lasting);
            std::fs::remove_file(&ballast).map_err(text)?;
        }
        Fault::Replace { node } => replace(cluster, node, load)?,
    }
    load.healed()
}

/// A node's disk is lost, and another takes its place.
fn replace(cluster: &mut Cluster, node: u8, load: &mut Load) -> Result<(), String> {
    load.lost(address(node))?;
    cluster.kill(node);
    std::fs::remove_dir_all(cluster.disk(node).join("data")).map_err(text)?;
    // The others must have seen that it is away.
    thread::sleep(CALM);
    let dead = address(node);
    let replaces = format!("helenus_replace_address_first_boot={dead}");
    let spare = std::mem::replace(&mut cluster.spare, node);
    cluster.restart(spare, &[replaces])?;
    let hosts = cluster.members().into_iter().map(address).collect();
    load.hosts(hosts)
}

/// Leaves next to no room on a disk.
fn fill(ballast: &Path, disk: &Path) -> Result<(), String> {
    let path = disk.display().to_string();
    let free = Command::new("df")
        .args(["--output=avail", "--block-size=1", &path])
        .output()
        .map_err(text)?;
    let said = String::from_utf8_lossy(&free.stdout).into_owned();
    let free = said
        .lines()
        .last()
        .and_then(|line| line.trim().parse().ok());
    let free: u64 = free.ok_or_else(|| format!("df: {said}"))?;
    let length = free.saturating_sub(LEFT_BYTES).to_string();
    must(
        "fallocate",
        &["-l", &length, &ballast.display().to_string()],
    )
}
