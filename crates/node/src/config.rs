//! What a node is told, in the units it uses.

use std::net::SocketAddr;

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
    /// Whether clients log in with a password.
    pub password_authentication: bool,
    /// Where clients connect, as told to drivers.
    pub client_address: SocketAddr,
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
    /// bcrypt cost of new passwords, log2 of the rounds.
    pub password_cost: u32,
    /// What decides about schema statements.
    pub ddl: cql::plan::ddl::DdlConfig,
    /// When the process started, in seconds.
    pub started_seconds: i64,
    /// Bytes a shard's block cache may take.
    pub cache_bytes_per_shard: u64,
    /// Properties as `system_views.system_properties` shows them.
    pub properties: Vec<(String, String)>,
    /// Settings as `system_views.settings` shows them.
    pub settings: Vec<(String, String)>,
}
