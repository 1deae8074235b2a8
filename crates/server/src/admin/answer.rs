//! What the API answers with: the JSON of every path, as types that `nodetool` reads it with.
//!
//! Sizes are in bytes, durations in the unit of their name. Fields may be added; none changes its meaning.

use node::execute::admin::ClusterFacts;
pub use node::execute::admin::{
    ArcFact, DetectorFact, GossipFact, KeyspaceFact, Life, MemberFact, RangeFact, RepairFact,
    RepairReason, RepairState, ReplicaFact, RingFacts,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uuid::Uuid;

/// What is done has no other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// `done`, or what became so.
    pub state: String,
}

impl Default for Done {
    fn default() -> Self {
        Self {
            state: "done".to_owned(),
        }
    }
}

/// `GET /api/v1/info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Info {
    pub version: String,
    pub release_version: String,
    pub host_id: Uuid,
    /// Its number, given by the metadata log.
    pub number: u32,
    pub cluster_name: String,
    pub dc: String,
    pub rack: String,
    pub life: Life,
    pub tokens: Vec<i64>,
    pub shards: u16,
    pub process: u32,
    pub data_directory: String,
    pub native_address: SocketAddr,
    pub shard_aware_address: Option<SocketAddr>,
    pub internode_address: SocketAddr,
    pub uptime_seconds: u64,
    /// When it was started, in seconds since 1970.
    pub generation: u64,
    /// `serving` or `drained`.
    pub state: String,
    /// Whether clients are let in.
    pub native_running: bool,
    /// Whether it gossips: a node that has no others does not.
    pub gossip_running: bool,
    pub load_bytes: u64,
    /// The same, uncompressed.
    pub raw_bytes: u64,
    pub memory_used_bytes: u64,
    /// What it may use.
    pub memory_bytes: u64,
    pub clients: usize,
    /// The cache of blocks of SSTables.
    pub block_cache: Cache,
}

/// A cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Cache {
    pub size_bytes: u64,
    pub capacity_bytes: u64,
    pub hits: u64,
    pub requests: u64,
}

/// A line of `GET /api/v1/shards`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ShardText {
    pub shard: usize,
    pub state: Vec<String>,
}

/// `GET /api/v1/cluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Class of the snitch.
    pub snitch: String,
    /// The rest, as shard 0 says it.
    #[serde(flatten)]
    pub facts: ClusterFacts,
}

/// A line of `GET /api/v1/peers`: since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Peer {
    pub connections: u64,
    pub reconnects: u64,
    pub sent_messages: u64,
    pub sent_bytes: u64,
    pub received_messages: u64,
    pub received_bytes: u64,
    pub dropped_messages: u64,
    /// Waiting to be sent now.
    pub waiting_bytes: u64,
}

/// `GET /api/v1/peers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// By the address they are reached at.
    pub peers: BTreeMap<SocketAddr, Peer>,
}

/// Some values' distribution over the last minutes. Times are in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Percentiles {
    /// Values since the start.
    pub count: u64,
    pub min: f64,
    pub p50: f64,
    pub p75: f64,
    pub p95: f64,
    pub p98: f64,
    pub p99: f64,
    pub max: f64,
    pub mean: f64,
}

/// `GET /api/v1/latencies`: what clients waited for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Proxy {
    pub read: Percentiles,
    pub range: Percentiles,
    pub write: Percentiles,
}

/// A line of [`Pools`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Pool {
    pub name: String,
    pub active: u64,
    pub pending: u64,
    pub completed: u64,
    pub blocked: u64,
    pub blocked_all_time: u64,
}

/// `GET /api/v1/pools`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pools {
    /// Stages of work: shares of the shards, not threads.
    pub pools: Vec<Pool>,
    /// Messages that came too late to be worth doing, by Cassandra's names.
    pub dropped: BTreeMap<String, u64>,
}

/// A line of `GET /api/v1/tables`: a table on this node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TableReport {
    pub keyspace: String,
    pub table: String,
    pub id: Uuid,
    pub sstables: usize,
    /// Live bytes on disk.
    pub disk_bytes: u64,
    /// Bytes of its snapshots.
    pub snapshot_bytes: u64,
    /// Uncompressed bytes of its SSTables.
    pub raw_bytes: u64,
    /// Partitions in its SSTables; one that is in several counts several times.
    pub partitions: u64,
    pub rows: u64,
    pub tombstones: u64,
    /// Memory of roots of indexes and of bloom filters.
    pub index_bytes: u64,
    pub memtable_partitions: u64,
    pub memtable_rows: u64,
    pub memtable_bytes: u64,
    pub flushes: u64,
    pub compactions: u64,
    pub pending_compactions: u64,
    pub reads: u64,
    pub writes: u64,
    pub read_latency: Percentiles,
    pub write_latency: Percentiles,
    /// Live rows that a read met.
    pub rows_per_read: Percentiles,
    pub tombstones_per_read: Percentiles,
    /// Milliseconds since 1970, if it ever was.
    pub truncated_at: Option<i64>,
}

/// A compaction or flush under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Task {
    pub id: Uuid,
    pub kind: String,
    pub keyspace: String,
    pub table: String,
    pub completed: u64,
    pub total: u64,
    pub unit: String,
}

/// `GET /api/v1/compactions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compactions {
    /// Compactions that are due, by keyspace and table; tables without any are left out.
    pub pending: BTreeMap<String, BTreeMap<String, u64>>,
    /// What is under way.
    pub tasks: Vec<Task>,
    /// Compactions since the start.
    pub completed: u64,
}

/// A line of `GET /api/v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Snapshot {
    pub name: String,
    pub keyspace: String,
    pub table: String,
    pub bytes: u64,
    pub created_millis: i64,
    pub expires_millis: Option<i64>,
}

/// A line of `GET /api/v1/hot-partitions`: of the last minutes, estimated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct HotPartition {
    pub keyspace: String,
    pub table: String,
    /// `read` or `write`.
    pub operation: String,
    /// As text, its columns between colons.
    pub partition_key: String,
    pub requests: u64,
    /// By how many `requests` may be too high.
    pub requests_too_high: u64,
    /// The part of the requests of the table on its shard.
    pub share: f64,
}

/// `GET /api/v1/safe-to-stop`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopCheck {
    /// Whether this node can be stopped now without a client noticing.
    pub safe: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// `GET /api/v1/convergence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convergence {
    /// Whether all replicas are proved to hold everything that was acknowledged before the question.
    pub is_equal: bool,
    /// Sets of replicas, and what each of them lacks.
    pub ranges: Vec<RangeFact>,
}

/// A line of `GET /api/v1/debts`: a member, and what it lacks of the ranges that it has together with this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Debt {
    pub number: u32,
    pub host_id: Uuid,
    pub internode_address: SocketAddr,
    pub datacenter: String,
    pub rack: String,
    /// Whether it answers.
    pub up: bool,
    /// Whether it is this node.
    pub is_local: bool,
    /// Mutations that it does not hold.
    pub lacks: u64,
    /// Those of them that no journal has any more, as far as this node lacks them: repair brings them.
    pub owed: u64,
}

/// `GET /api/v1/handoff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// Whether anything is kept for members that lack it.
    pub enabled: bool,
    /// Whether nothing is sent nor fetched.
    pub paused: bool,
    /// Kibibytes a second that each shard sends; 0 without limit.
    pub throttle_kib: u64,
    /// After which nothing is kept for a member that is away.
    pub window_ms: u64,
    /// For members of these nothing is kept.
    pub disabled_datacenters: Vec<String>,
}

/// `GET /api/v1/native`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// Whether clients are let in.
    pub running: bool,
}

/// `GET /api/v1/trace-probability`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TraceProbability {
    /// From 0 to 1.
    pub value: f64,
}

/// `GET /api/v1/logging`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevels {
    /// By module; `root` is all that has no level of its own.
    pub levels: BTreeMap<String, String>,
}

/// A line of `POST /api/v1/verify`: what was found in a table's SSTables on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Verified {
    pub keyspace: String,
    pub table: String,
    /// SSTables that were read.
    pub files: u64,
    pub bytes: u64,
    pub partitions: u64,
    /// How much is wrong.
    pub wrong: u64,
    /// What is wrong, in words; of much only the first.
    pub found: Vec<String>,
}
