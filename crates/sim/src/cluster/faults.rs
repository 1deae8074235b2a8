//! What happens to nodes, disks, clocks and links: drawn from the seed, mended after a while, all of it at the end.

use super::Cluster;
use crate::disk::Faults as DiskFaults;
use crate::random::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// Longest time until something is mended, in milliseconds.
const MAX_LASTING_MS: u64 = 8_000;
/// Longest pause of a process, in milliseconds.
const MAX_PAUSE_MS: u64 = 4_000;
/// Longest detour of a message on a slow link, in nanoseconds.
const MAX_DETOUR_NANOS: u64 = 400_000_000;
/// How far a wall clock is set wrong at most, in microseconds.
const MAX_SKEW_MICROS: u64 = 3_000_000;
/// Most bytes that are left on a disk that gets full.
const MAX_LEFT_BYTES: u64 = 200 << 10;
/// How many runs of a hundred have nodes come back with other numbers of shards.
const RESHARDS_PERCENT: u64 = 25;
/// Most shards a node is started with.
const MAX_SHARDS: u64 = 3;

/// How something is mended.
#[derive(Debug, Clone)]
enum Mend {
    /// The node is started again.
    Start(usize),
    /// The links work again.
    Open(Vec<(usize, usize)>),
    /// The disk has room again.
    Room(usize),
}

/// The faults of a run.
pub(super) struct Faults {
    rng: Rng,
    /// Mean time between two, in milliseconds.
    every_ms: u64,
    next_at: u64,
    /// By when, in nanoseconds, and a number that keeps them apart.
    ends: BTreeMap<(u64, u64), Mend>,
    /// Nodes that are down, and the shards they had.
    down: BTreeMap<usize, u16>,
    /// Whether nodes come back with other numbers of shards. What others lack is not found in journals of before then
    /// (docs/clusters.md): such a run ends with what is read at ALL.
    pub reshards: bool,
    /// Faults so far.
    pub count: u64,
    /// What happened, a line each.
    pub told: Vec<String>,
}

impl Faults {
    /// Faults so often on average, from so many nanoseconds on.
    pub(super) fn new(mut rng: Rng, every_ms: u64, from: u64) -> Self {
        let next_at = from + rng.below(every_ms * 1_000_000);
        let reshards = rng.chance(RESHARDS_PERCENT);
        Self {
            rng,
            reshards,
            every_ms,
            next_at,
            ends: BTreeMap::new(),
            down: BTreeMap::new(),
            count: 0,
            told: Vec::new(),
        }
    }

    /// When [`Self::happen`] is due, in nanoseconds.
    pub(super) fn next_at(&self) -> u64 {
        let mend = self.ends.keys().next().map_or(u64::MAX, |(at, _)| *at);
        self.next_at.min(mend)
    }

    /// Writes down what happened.
    pub(super) fn tell(&mut self, cluster: &Cluster, what: &str) {
        let millis = cluster.nanos() / 1_000_000;
        self.told.push(format!("{millis} ms: {what}"));
    }

    /// Faults happen again, after everything was mended.
    pub(super) fn resume(&mut self, cluster: &Cluster) {
        self.next_at = cluster.nanos() + 1 + self.rng.below(self.every_ms * 1_000_000);
    }

    /// Carries out what is due; the nodes whose process ended.
    pub(super) fn happen(&mut self, cluster: &mut Cluster) -> Vec<usize> {
        let now = cluster.nanos();
        while let Some(entry) = self.ends.first_entry()
            && entry.key().0 <= now
        {
            let mend = entry.remove();
            self.mend(mend, cluster);
        }
        if now < self.next_at {
            return Vec::new();
        }
        self.next_at = now + 1 + self.rng.below(2 * self.every_ms * 1_000_000);
        self.count += 1;
        self.strike(cluster)
    }

    /// Something goes wrong.
    fn strike(&mut self, cluster: &mut Cluster) -> Vec<usize> {
        let members = cluster.members();
        let node = *self.rng.pick(&members);
        match self.rng.below(100) {
            0..14 => return self.end(&[node], true, cluster),
            14..26 => return self.end(&[node], false, cluster),
            26..29 => {
                return self.end(&members, true, cluster);
            }
            29..40 => self.pause(node, cluster),
            40..78 => self.trouble_links(node, cluster),
            78..84 => self.reset(node, cluster),
            84..93 => {
                let micros = self.rng.below(2 * MAX_SKEW_MICROS) as i64 - MAX_SKEW_MICROS as i64;
                cluster.nodes[node].step_wall_clock(micros);
                self.tell(
                    cluster,
                    &format!("clock of node {} {micros} us off", node + 1),
                );
            }
            _ => self.fill(node, cluster),
        }
        Vec::new()
    }

    fn later(&mut self, cluster: &Cluster, mend: Mend) {
        let millis = 100 + self.rng.below(MAX_LASTING_MS);
        let at = cluster.nanos() + millis * 1_000_000;
        self.ends
            .insert((at, self.count * 100 + self.ends.len() as u64), mend);
    }

    /// Power fails at nodes, or their processes die; they come back.
    fn end(&mut self, nodes: &[usize], power: bool, cluster: &mut Cluster) -> Vec<usize> {
        let up = nodes
            .iter()
            .copied()
            .filter(|node| !self.down.contains_key(node));
        let up: Vec<usize> = up.collect();
        for node in &up {
            let shards = cluster.nodes[*node].shard_count();
            if power {
                cluster.crash(*node);
            } else {
                cluster.kill(*node);
            }
            self.down.insert(*node, shards);
            let how = if power { "loses power" } else { "is killed" };
            self.tell(cluster, &format!("node {} {how}", node + 1));
            self.later(cluster, Mend::Start(*node));
        }
        up
    }

    fn pause(&mut self, node: usize, cluster: &mut Cluster) {
        let millis = 50 + self.rng.below(MAX_PAUSE_MS);
        if !self.down.contains_key(&node) {
            cluster.pause(node, millis);
            self.tell(
                cluster,
                &format!("node {} stands still for {millis} ms", node + 1),
            );
        }
    }

    /// Links of a node, or between two parts of the cluster, lose, keep or delay what is sent.
    fn trouble_links(&mut self, node: usize, cluster: &mut Cluster) {
        let count = cluster.nodes.len();
        let other = (node + 1 + self.rng.index(count - 1)) % count;
        let part: BTreeSet<usize> = (0..count).filter(|_| self.rng.chance(50)).collect();
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        let pairs = pairs.filter(|(a, b)| a != b);
        let links: Vec<(usize, usize)> = match self.rng.below(5) {
            0 => vec![(node, other)],
            1 => vec![(node, other), (other, node)],
            2 => pairs.filter(|(a, b)| *a == node || *b == node).collect(),
            3 => pairs.filter(|(a, _)| *a == node).collect(),
            _ => pairs
                .filter(|(a, b)| part.contains(a) != part.contains(b))
                .collect(),
        };
        let (how, detour) = (self.rng.below(3), self.rng.below(MAX_DETOUR_NANOS));
        for (from, to) in &links {
            match how {
                0 => cluster.network.cut_link(*from, *to, cluster.nanos()),
                1 => cluster.network.stall_link(*from, *to),
                _ => cluster.network.slow_link(*from, *to, detour),
            }
        }
        let how = ["cut", "stalled", "slow"][how as usize];
        let named: Vec<String> = links
            .iter()
            .map(|(from, to)| format!("{}-{}", from + 1, to + 1))
            .collect();
        self.tell(cluster, &format!("links are {how}: {}", named.join(" ")));
        self.later(cluster, Mend::Open(links));
    }

    /// A node's connections break and are opened again.
    fn reset(&mut self, node: usize, cluster: &mut Cluster) {
        let now = cluster.nanos();
        cluster
            .network
            .lose(now, |flying| flying.sender == node || flying.to == node);
        self.tell(cluster, &format!("connections of node {} break", node + 1));
    }

    fn fill(&mut self, node: usize, cluster: &mut Cluster) {
        let left = self.rng.below(MAX_LEFT_BYTES);
        let disk = &mut cluster.nodes[node].disk;
        disk.faults.capacity = disk.used() + left;
        self.tell(cluster, &format!("the disk of node {} gets full", node + 1));
        self.later(cluster, Mend::Room(node));
    }

    fn mend(&mut self, mend: Mend, cluster: &mut Cluster) {
        match mend {
            Mend::Start(node) => self.start(node, cluster),
            Mend::Open(links) => {
                let now = cluster.nanos();
                for (from, to) in links {
                    cluster.network.open_link(from, to, now);
                }
                self.tell(cluster, "links work again");
            }
            Mend::Room(node) => {
                cluster.nodes[node].disk.faults = DiskFaults::NONE;
                self.tell(cluster, &format!("the disk of node {} has room", node + 1));
            }
        }
    }

    fn start(&mut self, node: usize, cluster: &mut Cluster) {
        if let Some(before) = self.down.remove(&node)
            && !cluster.out.contains(&node)
        {
            // Nobody starts a node on a full disk.
            cluster.nodes[node].disk.faults = DiskFaults::NONE;
            let shards = if self.reshards {
                1 + self.rng.below(MAX_SHARDS) as u16
            } else {
                before
            };
            cluster.start(node, shards);
            self.tell(
                cluster,
                &format!("node {} starts, {shards} shards", node + 1),
            );
        }
    }

    /// Everything is mended, and nothing more happens.
    pub(super) fn end_all(&mut self, cluster: &mut Cluster) {
        self.ends.clear();
        self.next_at = u64::MAX;
        cluster.network.heal(cluster.nanos());
        for node in cluster.members() {
            cluster.nodes[node].disk.faults = DiskFaults::NONE;
            self.start(node, cluster);
        }
        self.tell(cluster, "everything is mended");
    }
}
