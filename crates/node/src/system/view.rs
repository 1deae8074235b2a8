//! What computed tables are computed from: plain data that the shards fill in.
//!
//! What every shard has alike (schema, topology, settings) comes with the [`NodeView`]; what each has of its own are its
//! [`NodeFacts`], which shards send to one another, so that whichever shard answers shows the whole node.

use crate::hot::HotFact;
use crate::membership::Outlook;
use crate::repair::facts::RepairFact;
use crate::statement::StatementId;
use crate::track::facts::GroupFact;
use cluster::topology::Topology;
use model::schema::{Keyspace, Schema, TableId};
use model::time::Now;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use uuid::Uuid;

/// A node at a moment.
#[derive(Debug, Clone)]
pub struct NodeView<'a> {
    /// The schema in force.
    pub schema: &'a Schema,
    /// The keyspaces that are not in it ([`super::keyspaces`]).
    pub virtual_keyspaces: &'a BTreeMap<String, Arc<Keyspace>>,
    /// The cluster.
    pub topology: &'a Topology,
    /// What is known of its other members.
    pub outlook: &'a Outlook,
    /// Where this node listens for them.
    pub listen_address: IpAddr,
    /// When the process started, in seconds: the generation that gossip shows.
    pub generation: i64,
    /// `system_views.settings`.
    pub settings: &'a [(String, Option<String>)],
    /// `system_views.system_properties`.
    pub properties: &'a [(String, String)],
    /// What each shard shows of itself.
    pub facts: Vec<&'a NodeFacts>,
    /// Now.
    pub now: Now,
}

/// What one shard shows of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeFacts {
    /// Its connections.
    pub clients: Vec<ClientFact>,
    /// Requests being carried out.
    pub queries: Vec<QueryFact>,
    /// Prepared statements; the same on all shards.
    pub statements: Vec<StatementFact>,
    /// Stages of work; those of one name are added up over the shards.
    pub pools: Vec<PoolFact>,
    /// Caches; those of one name are added up over the shards.
    pub caches: Vec<CacheFact>,
    /// Tables, as far as this shard holds them.
    pub tables: Vec<TableFact>,
    /// Partitions that take much of its requests.
    pub hot: Vec<HotFact>,
    /// Flushes, compactions and the like under way.
    pub tasks: Vec<TaskFact>,
    /// Snapshots; shard 0 knows them.
    pub snapshots: Arc<Vec<SnapshotFact>>,
    /// Repairs that this node drives, and the last that it did; shard 0 knows them.
    pub repairs: Arc<Vec<RepairFact>>,
    /// What is known of the groups whose home the shard is.
    pub groups: Vec<GroupFact>,
    /// Statements executed unprepared.
    pub regular_executed: u64,
    /// Statements executed prepared.
    pub prepared_executed: u64,
    /// Prepared statements that had to make room.
    pub prepared_evicted: u64,
}

/// A connection (`clients`).
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFact {
    /// The peer's address.
    pub address: SocketAddr,
    /// `ready`, or how far it has come until then.
    pub stage: &'static str,
    /// Options of STARTUP; the driver's name and version are among them.
    pub options: BTreeMap<String, String>,
    /// Protocol version.
    pub protocol_version: u8,
    /// Keyspace in use.
    pub keyspace: Option<String>,
    /// Who is logged in; `None` shows as `anonymous`.
    pub user: Option<String>,
    /// Requests so far.
    pub requests: u64,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// A request under way (`queries`).
#[derive(Debug, Clone, PartialEq)]
pub struct QueryFact {
    /// Names it, unique within the node.
    pub id: String,
    /// Time it waited, in microseconds.
    pub queued_micros: u64,
    /// Time it has been carried out, in microseconds.
    pub running_micros: u64,
    /// What it is.
    pub task: String,
}

/// A prepared statement (`prepared_statements`).
#[derive(Debug, Clone, PartialEq)]
pub struct StatementFact {
    /// Its id.
    pub id: StatementId,
    /// The keyspace it was prepared in.
    pub keyspace: Option<Arc<str>>,
    /// Its text, shared with the statement: facts are collected every second.
    pub query: Arc<str>,
}

/// A stage of work (`thread_pools`); with us a share of the shards, not threads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolFact {
    /// Name.
    pub name: String,
    /// At work now.
    pub active: u32,
    /// At work at most.
    pub active_limit: u32,
    /// Waiting.
    pub pending: u32,
    /// Done since the start.
    pub completed: u64,
    /// Refused or held back now.
    pub blocked: u64,
    /// Refused or held back since the start.
    pub blocked_all_time: u64,
}

/// A cache (`caches`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CacheFact {
    /// Name.
    pub name: String,
    /// Bytes it may hold.
    pub capacity_bytes: u64,
    /// Bytes it holds.
    pub size_bytes: u64,
    /// Entries it holds.
    pub entries: u64,
    /// Look-ups.
    pub requests: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups a second, lately.
    pub recent_requests_per_second: u64,
    /// Hits a second, lately.
    pub recent_hits_per_second: u64,
}

/// Latencies of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LatencyFact {
    /// Operations since the start.
    pub count: u64,
    /// Slowest, in milliseconds.
    pub max_ms: f64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Operations a second, lately.
    pub per_second: f64,
}

/// How many of something reads of a table met.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PerReadFact {
    /// Reads since the start.
    pub count: u64,
    /// Most.
    pub max: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// A table on one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFact {
    /// Which.
    pub table: TableId,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Partitions, as estimated.
    pub partitions: u64,
    /// Mean bytes of a partition.
    pub mean_partition_bytes: u64,
    /// Bytes of the largest partition.
    pub max_partition_bytes: u64,
    /// Bytes of the largest SSTable.
    pub max_sstable_bytes: u64,
    /// Reads of one partition, at the coordinator and at the replica.
    pub reads: [LatencyFact; 2],
    /// Reads of ranges, at the coordinator and at the replica.
    pub scans: [LatencyFact; 2],
    /// Writes, at the coordinator and at the replica.
    pub writes: [LatencyFact; 2],
    /// Rows a read met.
    pub rows_per_read: PerReadFact,
    /// Tombstones a read met.
    pub tombstones_per_read: PerReadFact,
}

impl TableFact {
    /// A table of which nothing is known yet.
    pub fn new(table: TableId) -> Self {
        Self {
            table,
            disk_bytes: 0,
            partitions: 0,
            mean_partition_bytes: 0,
            max_partition_bytes: 0,
            max_sstable_bytes: 0,
            reads: Default::default(),
            scans: Default::default(),
            writes: Default::default(),
            rows_per_read: PerReadFact::default(),
            tombstones_per_read: PerReadFact::default(),
        }
    }
}

/// A flush or compaction under way (`sstable_tasks`).
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFact {
    /// The table.
    pub table: TableId,
    /// A version 1 UUID.
    pub id: Uuid,
    /// `compaction`, `flush`, `validation`, …
    pub kind: &'static str,
    /// Done, in `unit`.
    pub progress: u64,
    /// To do in all, in `unit`.
    pub total: u64,
    /// `bytes`, `keys` or `ranges`.
    pub unit: &'static str,
    /// SSTables it reads.
    pub sstables: u32,
}

/// A snapshot of a table (`snapshots`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFact {
    /// Its name.
    pub name: String,
    /// Keyspace of the table.
    pub keyspace: String,
    /// The table.
    pub table: String,
    /// When it was taken, in milliseconds.
    pub created_millis: i64,
    /// When it is to go, in milliseconds.
    pub expires_millis: Option<i64>,
    /// Bytes of its files.
    pub bytes: u64,
}
