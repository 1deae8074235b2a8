//! What a node is told, in the units it uses.

use crate::track::gate::ReadGate;
use crate::track::handoff::HandoffSettings;
use model::key::Token;
use model::limits::METADATA_LOG_BYTES;
use model::policy::Policy;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Settings of a node that shards look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Shards of this node.
    pub shards: u16,
    /// Name of the cluster.
    pub cluster_name: String,
    /// Data centre of this node.
    pub datacenter: String,
    /// Rack of this node.
    pub rack: String,
    /// Snitch, by its class without the package.
    pub snitch: String,
    /// Tokens a node takes at its first start.
    pub num_tokens: u32,
    /// `initial_token`: the tokens it takes instead, if any are named.
    pub initial_tokens: Vec<Token>,
    /// `auto_bootstrap`: whether a node that takes its first tokens takes the data too.
    pub auto_bootstrap: bool,
    /// `replace_address_first_boot`: where the dead member was reached whose tokens a node without any takes over.
    pub replaces: Option<IpAddr>,
    /// Whether clients log in with a password.
    pub password_authentication: bool,
    /// Where clients connect, as told to drivers.
    pub client_address: SocketAddr,
    /// Where other nodes connect, as told to them.
    pub internode_address: SocketAddr,
    /// Where this node listens for them.
    pub listen_address: IpAddr,
    /// Where a node that knows nobody finds members.
    pub seeds: Vec<SocketAddr>,
    /// Whether this node founds a cluster if none of them is in one.
    pub founds: bool,
    /// Whether there is a wire to other nodes.
    pub has_wire: bool,
    /// Port of shard-aware connections, if one is open.
    pub shard_aware_port: Option<u16>,
    /// Requests one shard has in flight at most.
    pub max_requests_in_flight: usize,
    /// `read_request_timeout`, in milliseconds.
    pub read_timeout_ms: u64,
    /// `range_request_timeout`, in milliseconds.
    pub range_timeout_ms: u64,
    /// `write_request_timeout`, in milliseconds.
    pub write_timeout_ms: u64,
    /// `counter_write_request_timeout`, in milliseconds.
    pub counter_write_timeout_ms: u64,
    /// `cas_contention_timeout`, in milliseconds.
    pub cas_timeout_ms: u64,
    /// `truncate_request_timeout`, in milliseconds.
    pub truncate_timeout_ms: u64,
    /// `batch_size_warn_threshold`, in bytes.
    pub batch_warn_bytes: usize,
    /// `batch_size_fail_threshold`, in bytes.
    pub batch_fail_bytes: usize,
    /// `unlogged_batch_across_partitions_warn_threshold`.
    pub unlogged_batch_warn_partitions: usize,
    /// `tombstone_warn_threshold`.
    pub tombstone_warn: u64,
    /// `tombstone_failure_threshold`.
    pub tombstone_failure: u64,
    /// `auto_snapshot`.
    pub auto_snapshot: bool,
    /// `auto_snapshot_ttl`, in milliseconds.
    pub auto_snapshot_ttl_ms: Option<u64>,
    /// bcrypt cost of new passwords, log2 of the rounds.
    pub password_cost: u32,
    /// What decides about schema statements.
    pub ddl: cql::plan::ddl::DdlConfig,
    /// When the metadata log's entries are replaced by a snapshot.
    pub metadata_log: MetadataLogBound,
    /// When the process started, in seconds.
    pub started_seconds: i64,
    /// Bytes a shard's block cache may take.
    pub cache_bytes_per_shard: u64,
    /// Bytes of prepared statements a shard keeps.
    pub prepared_bytes_per_shard: usize,
    /// How promises are kept.
    pub policy: Policy,
    /// `helenus_read_gate`.
    pub read_gate: ReadGate,
    /// Bytes of its commit log that one shard keeps for other replicas alone.
    pub journal_bytes_per_shard: u64,
    /// What is kept for members that lack it, and how fast it is sent.
    pub handoff: HandoffSettings,
    /// After a round of repair over everything, the next one begins so much later, in milliseconds; 0 for none.
    pub repair_interval_ms: u64,
    /// Bytes of answers that one shard's requests under way may hold.
    pub answer_bytes_per_shard: usize,
    /// Properties as `system_views.system_properties` shows them.
    pub properties: Vec<(String, String)>,
    /// Settings as `system_views.settings` shows them.
    pub settings: Vec<(String, Option<String>)>,
}

/// What the metadata log may take before its entries are replaced by a snapshot: the larger of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataLogBound {
    /// Bytes.
    pub bytes: u64,
    /// Times the bytes of the snapshot.
    pub snapshots: u64,
}

impl Default for MetadataLogBound {
    fn default() -> Self {
        Self {
            bytes: METADATA_LOG_BYTES,
            snapshots: 4,
        }
    }
}

impl Default for NodeConfig {
    /// One shard that listens nowhere, with the limits and timeouts that `cassandra.yaml` ships with.
    fn default() -> Self {
        Self {
            shards: 1,
            cluster_name: "Test Cluster".to_owned(),
            datacenter: "datacenter1".to_owned(),
            rack: "rack1".to_owned(),
            snitch: "SimpleSnitch".to_owned(),
            num_tokens: 16,
            initial_tokens: Vec::new(),
            auto_bootstrap: true,
            replaces: None,
            password_authentication: false,
            client_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            internode_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7000)),
            listen_address: Ipv4Addr::UNSPECIFIED.into(),
            seeds: Vec::new(),
            founds: true,
            has_wire: false,
            shard_aware_port: None,
            max_requests_in_flight: 16_384,
            read_timeout_ms: 5_000,
            range_timeout_ms: 10_000,
            write_timeout_ms: 2_000,
            counter_write_timeout_ms: 5_000,
            cas_timeout_ms: 1_800,
            truncate_timeout_ms: 60_000,
            batch_warn_bytes: 5 << 10,
            batch_fail_bytes: 50 << 10,
            unlogged_batch_warn_partitions: 10,
            tombstone_warn: 1_000,
            tombstone_failure: 100_000,
            auto_snapshot: true,
            auto_snapshot_ttl_ms: None,
            password_cost: 10,
            ddl: cql::plan::ddl::DdlConfig::default(),
            metadata_log: MetadataLogBound::default(),
            started_seconds: 0,
            cache_bytes_per_shard: 0,
            prepared_bytes_per_shard: 10 << 20,
            policy: Policy::default(),
            read_gate: ReadGate::default(),
            journal_bytes_per_shard: 1 << 30,
            handoff: HandoffSettings::default(),
            repair_interval_ms: 3_600_000,
            answer_bytes_per_shard: 64 << 20,
            properties: Vec::new(),
            settings: Vec::new(),
        }
    }
}
