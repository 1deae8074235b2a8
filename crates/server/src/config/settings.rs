//! The settings that are acted on, typed, with every default filled in.

use super::access::{address, class, duration, flag, integer, port, positive, size, text};
use super::encryption::{self, ClientEncryption};
use super::internode::{self, Internode};
use super::report::{snitch, view, warnings};
use super::ring::{self, RingSettings};
use super::snitch::{self as location, Files, Place};
use super::value::Value;
use super::{Configured, Profile, machine, memory, units};
use model::limits::{MAX_CLUSTER_NAME_BYTES, MAX_SHARDS};
use node::track::handoff::HandoffSettings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of commit log kept for other replicas, by default.
const DEFAULT_JOURNAL_BYTES: u64 = 4 << 30;
/// What `native_transport_max_request_data_in_flight` is where it is unset: a tenth of the memory, as in Cassandra,
/// and a fortieth for one client address.
const IN_FLIGHT_SHARE: u64 = 10;
const IN_FLIGHT_SHARE_PER_IP: u64 = 40;
/// Less than this cannot hold a memtable, a cache and a few large requests a shard.
const MIN_MEMORY_BYTES: u64 = 64 << 20;

/// Everything the process is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Name that keeps clusters apart.
    pub cluster_name: String,
    /// Data centre of this node.
    pub dc: String,
    /// Rack of this node.
    pub rack: String,
    /// Snitch, by its class without the package.
    pub snitch: String,
    /// Where everything durable lives.
    pub data_directory: PathBuf,
    /// Where clients connect and what they may take.
    pub native: NativeTransport,
    /// Where the admin API listens; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// Address other nodes reach this one by.
    pub broadcast_address: IpAddr,
    /// Address this node listens on for other nodes.
    pub listen_address: IpAddr,
    /// Port for other nodes.
    pub storage_port: u16,
    /// How this node talks to others.
    pub internode: Internode,
    /// Nodes to ask first, as written.
    pub seeds: Vec<String>,
    /// Where this node begins on the ring.
    pub ring: RingSettings,
    /// Threads that serve data.
    pub shards: u16,
    /// Threads that read and write files.
    pub io_threads: usize,
    /// What the process may use.
    pub memory_bytes: u64,
    /// What prepared statements may take of it.
    pub prepared_bytes: u64,
    /// Who may connect.
    pub authentication: Authentication,
    /// When a write counts as on disk.
    pub commitlog_sync: CommitlogSync,
    /// Whether a start goes on without what it cannot read of the commit log.
    pub skip_rot: bool,
    /// Whether reads of one replica are refused where none is known to have caught up.
    pub strict_reads: bool,
    /// Bytes of commit log that are kept for other replicas alone.
    pub journal_bytes: u64,
    /// For whom what they lack is kept, and how fast it is sent.
    pub handoff: HandoffSettings,
    /// Between two rounds of repair; zero for none.
    pub repair_interval: Duration,
    /// Whether what is dropped or truncated is kept in a snapshot.
    pub auto_snapshot: bool,
    /// How long such a snapshot is kept; `None` for until somebody removes it.
    pub auto_snapshot_ttl: Option<Duration>,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// Sizes and counts that warn or refuse.
    pub thresholds: Thresholds,
    /// What schema statements may ask for.
    pub features: Features,
    /// Every key with its value, for `system_views.settings`; none where it is unset.
    pub view: Vec<(&'static str, Option<String>)>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The native transport's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeTransport {
    /// Where to listen.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Port where the source port chooses the shard.
    pub shard_aware_port: Option<u16>,
    /// Whether nobody asked for that port.
    pub shard_aware_port_is_default: bool,
    /// Address that clients are told.
    pub broadcast_address: IpAddr,
    /// Longest body of a request.
    pub max_frame_bytes: usize,
    /// Connections at once, in all.
    pub max_connections: Option<u64>,
    /// Connections at once from one address.
    pub max_connections_per_ip: Option<u64>,
    /// A connection silent for this long is closed.
    pub idle_timeout: Option<Duration>,
    /// Whether the operating system probes silent connections.
    pub keepalive: bool,
    /// Whether versions below 5 are spoken.
    pub older_protocols: bool,
    /// Bytes of requests without answers, in all.
    pub max_in_flight_bytes: u64,
    /// Bytes of requests without answers, of one address.
    pub max_in_flight_bytes_per_ip: u64,
    /// Requests a second, in all, if that is limited.
    pub max_requests_per_second: Option<u64>,
    /// Whether what is too much is refused also to clients that do not ask for that.
    pub throw_on_overload: bool,
    /// Requests without answers, of one connection.
    pub max_in_flight_requests: usize,
    /// How connections are encrypted; `None` if they are not.
    pub encryption: Option<ClientEncryption>,
}

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Anyone.
    AllowAll,
    /// Roles with a password.
    Password,
}

/// When a write counts as on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitlogSync {
    /// Once a sync that covers it is done; what arrives during one sync shares the next.
    Group,
    /// As `Group`, under Cassandra's other name for it.
    Batch,
    /// At once; syncs run this often.
    Periodic(Duration),
}

/// How long a request may take, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Timeouts {
    pub read: Duration,
    pub range: Duration,
    pub write: Duration,
    pub counter_write: Duration,
    pub cas_contention: Duration,
    pub truncate: Duration,
    pub request: Duration,
}

/// Sizes and counts above which a request is warned about or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Thresholds {
    pub batch_warn_bytes: u64,
    pub batch_fail_bytes: u64,
    pub unlogged_batch_warn_partitions: u64,
    pub tombstone_warn: u64,
    pub tombstone_failure: u64,
}

/// What schema statements may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Features {
    pub materialized_views: bool,
    pub user_defined_functions: bool,
    pub sasi_indexes: bool,
    pub drop_compact_storage: bool,
    pub dynamic_data_masking: bool,
    /// Replication factor of a keyspace that says none.
    pub default_keyspace_rf: u32,
    /// Names a table's `memtable` option may have.
    pub memtable_configurations: Vec<String>,
}

impl Settings {
    /// Types what was configured. Whatever is wrong is added to its errors, and a default stands in its place.
    pub(super) fn build(configured: &mut Configured, profile: Profile, files: &Files) -> Self {
        let address = address(configured, "rpc_address").unwrap_or(Ipv4Addr::LOCALHOST.into());
        let listen_address = super::access::address(configured, "listen_address").unwrap_or(
            if address.is_unspecified() {
                machine::outgoing_address().unwrap_or(Ipv4Addr::LOCALHOST.into())
            } else {
                address
            },
        );
        let broadcast_address =
            super::access::address(configured, "broadcast_address").unwrap_or(listen_address);
        let memory_bytes = memory(configured);
        let shards = shards(configured);
        let io_threads = match positive(configured, "helenus_io_threads") {
            Some(threads) => threads as usize,
            None => (usize::from(shards) * 2).max(2),
        };
        let Place { dc, rack } = place(configured, broadcast_address, files);
        let seeds = seeds(configured);
        // A node to develop against is alone unless it was told of others.
        let has_peers = profile == Profile::Server || !seeds.is_empty();
        let authentication = authentication(configured);
        let mut settings = Self {
            cluster_name: cluster_name(configured, profile),
            dc: dc.unwrap_or_else(|| "datacenter1".to_owned()),
            rack: rack.unwrap_or_else(|| "rack1".to_owned()),
            snitch: snitch(configured),
            data_directory: data_directory(configured),
            native: native(configured, address, broadcast_address, memory_bytes),
            admin: admin(configured, authentication == Authentication::Password),
            broadcast_address,
            listen_address,
            storage_port: port(configured, "storage_port").unwrap_or(7000),
            internode: internode::read(configured, has_peers, listen_address, broadcast_address),
            seeds,
            ring: ring::read(configured),
            shards,
            io_threads,
            memory_bytes,
            prepared_bytes: size(configured, "prepared_statements_cache_size").unwrap_or_else(
                || (memory_bytes / 100 * memory::PREPARED).max(memory::PREPARED_BYTES),
            ),
            authentication,
            commitlog_sync: commitlog_sync(configured),
            strict_reads: text(configured, "helenus_read_gate").as_deref() == Some("strict"),
            journal_bytes: size(configured, "helenus_journal_space")
                .unwrap_or(DEFAULT_JOURNAL_BYTES),
            handoff: handoff(configured),
            repair_interval: duration(configured, "helenus_repair_interval").unwrap_or_default(),
            skip_rot: text(configured, "helenus_on_rot").as_deref() == Some("skip"),
            auto_snapshot: flag(configured, "auto_snapshot"),
            auto_snapshot_ttl: duration(configured, "auto_snapshot_ttl"),
            timeouts: timeouts(configured),
            thresholds: thresholds(configured),
            features: features(configured),
            view: Vec::new(),
            warnings: Vec::new(),
        };
        check_partitioner(configured);
        settings.view = view(configured, &settings);
        settings.warnings = warnings(configured);
        settings
    }
}

/// What is kept for members that lack it.
fn handoff(configured: &Configured) -> HandoffSettings {
    let disabled = match configured.get("hinted_handoff_disabled_datacenters") {
        Some(Value::List(names)) => names,
        _ => Vec::new(),
    };
    let window = duration(configured, "max_hint_window");
    HandoffSettings {
        enabled: flag(configured, "hinted_handoff_enabled"),
        paused: false,
        throttle_bytes: size(configured, "hinted_handoff_throttle").unwrap_or(0),
        disabled_datacenters: disabled.into_iter().collect(),
        window_ms: window.map_or(u64::MAX, |window| window.as_millis() as u64),
    }
}

/// Where the node stands: as configured by name, else as the snitch says.
fn place(configured: &mut Configured, own: IpAddr, files: &Files) -> Place {
    let named = Place {
        dc: text(configured, "helenus_dc"),
        rack: text(configured, "helenus_rack"),
    };
    if named.dc.is_some() && named.rack.is_some() {
        return named;
    }
    let zone = text(configured, "helenus_availability_zone");
    match location::place(&snitch(configured), zone.as_deref(), own, files) {
        Ok(found) => Place {
            dc: named.dc.or(found.dc),
            rack: named.rack.or(found.rack),
        },
        Err(reason) => {
            configured.refuse("endpoint_snitch", reason);
            named
        }
    }
}

fn memory(configured: &mut Configured) -> u64 {
    let Some(text) = text(configured, "helenus_memory") else {
        return (machine::memory_bytes() / 2).max(MIN_MEMORY_BYTES);
    };
    match units::loose_size(&text) {
        Some(bytes) if bytes >= MIN_MEMORY_BYTES => bytes,
        Some(_) => {
            configured.refuse(
                "helenus_memory",
                format!("`{text}` is too little; at least 64MiB are needed"),
            );
            MIN_MEMORY_BYTES
        }
        None => {
            configured.refuse(
                "helenus_memory",
                format!("`{text}` is not a size such as `2GiB`"),
            );
            MIN_MEMORY_BYTES
        }
    }
}

fn shards(configured: &mut Configured) -> u16 {
    let default = machine::cores().min(MAX_SHARDS as usize) as u16;
    match positive(configured, "helenus_shards") {
        None => default,
        Some(shards) if shards <= i64::from(MAX_SHARDS) => shards as u16,
        Some(shards) => {
            configured.refuse(
                "helenus_shards",
                format!("{shards} is more than {MAX_SHARDS}"),
            );
            default
        }
    }
}

fn cluster_name(configured: &mut Configured, profile: Profile) -> String {
    let name = match (profile, configured.values.contains_key("cluster_name")) {
        (Profile::Dev, false) => "Helenus Dev".to_owned(),
        _ => text(configured, "cluster_name").unwrap_or_default(),
    };
    if name.len() > MAX_CLUSTER_NAME_BYTES {
        configured.refuse(
            "cluster_name",
            format!("is longer than {MAX_CLUSTER_NAME_BYTES} bytes"),
        );
    }
    name
}

fn data_directory(configured: &mut Configured) -> PathBuf {
    match configured.get("data_file_directories") {
        Some(Value::List(directories)) if directories.len() > 1 => {
            configured.refuse(
                "data_file_directories",
                "several directories are not supported; give one, on a volume that spans the disks",
            );
            PathBuf::from(&directories[0])
        }
        Some(Value::List(directories)) if directories.len() == 1 => PathBuf::from(&directories[0]),
        _ => PathBuf::from("helenus-data"),
    }
}

fn native(
    configured: &mut Configured,
    address: IpAddr,
    broadcast: IpAddr,
    memory_bytes: u64,
) -> NativeTransport {
    let limit = |configured: &Configured, name: &str| {
        integer(configured, name).and_then(|number| u64::try_from(number).ok())
    };
    let port = port(configured, "native_transport_port").unwrap_or(9042);
    let broadcast_rpc = super::access::address(configured, "broadcast_rpc_address");
    let told = broadcast_rpc.unwrap_or(if address.is_unspecified() {
        broadcast
    } else {
        address
    });
    NativeTransport {
        address,
        port,
        shard_aware_port: super::access::port(configured, "helenus_shard_aware_port")
            .filter(|port| *port != 0),
        shard_aware_port_is_default: !configured.values.contains_key("helenus_shard_aware_port"),
        broadcast_address: told,
        max_frame_bytes: size(configured, "native_transport_max_frame_size").unwrap_or(16 << 20)
            as usize,
        max_connections: limit(configured, "native_transport_max_concurrent_connections"),
        max_connections_per_ip: limit(
            configured,
            "native_transport_max_concurrent_connections_per_ip",
        ),
        idle_timeout: duration(configured, "native_transport_idle_timeout")
            .filter(|idle| !idle.is_zero()),
        keepalive: flag(configured, "rpc_keepalive"),
        older_protocols: flag(configured, "native_transport_allow_older_protocols"),
        max_in_flight_bytes: size(configured, "native_transport_max_request_data_in_flight")
            .unwrap_or(memory_bytes / IN_FLIGHT_SHARE),
        max_in_flight_bytes_per_ip: size(
            configured,
            "native_transport_max_request_data_in_flight_per_ip",
        )
        .unwrap_or(memory_bytes / IN_FLIGHT_SHARE_PER_IP),
        max_requests_per_second: flag(configured, "native_transport_rate_limiting_enabled")
            .then(|| limit(configured, "native_transport_max_requests_per_second"))
            .flatten(),
        throw_on_overload: flag(configured, "native_transport_throw_on_overload"),
        max_in_flight_requests: positive(
            configured,
            "helenus_max_requests_in_flight_per_connection",
        )
        .unwrap_or(2048) as usize,
        encryption: client_encryption(configured),
    }
}

fn client_encryption(configured: &mut Configured) -> Option<ClientEncryption> {
    let Some(Value::Tree(node)) = configured.get("client_encryption_options") else {
        return None;
    };
    encryption::read(&node).unwrap_or_else(|reason| {
        configured.refuse("client_encryption_options", reason);
        None
    })
}

fn admin(configured: &mut Configured, logs_in: bool) -> Option<SocketAddr> {
    let text = text(configured, "helenus_admin_address")?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() || logs_in => Some(address),
        Ok(_) => {
            configured.refuse(
                "helenus_admin_address",
                "the admin API listens on other than loopback addresses only where roles log in: `authenticator: PasswordAuthenticator`",
            );
            None
        }
        Err(_) => {
            configured.refuse(
                "helenus_admin_address",
                format!("`{text}` is not an address with a port"),
            );
            None
        }
    }
}

fn seeds(configured: &mut Configured) -> Vec<String> {
    let Some(class) = class(configured, "seed_provider") else {
        return Vec::new();
    };
    if class.short_name() != "SimpleSeedProvider" {
        configured.refuse(
            "seed_provider",
            format!("only SimpleSeedProvider is known, not `{}`", class.name),
        );
    }
    let seeds = class.parameter("seeds").unwrap_or_default();
    seeds
        .split(',')
        .map(str::trim)
        .filter(|seed| !seed.is_empty())
        .map(str::to_owned)
        .collect()
}

fn authentication(configured: &mut Configured) -> Authentication {
    if let Some(class) = class(configured, "role_manager")
        && class.short_name() != "CassandraRoleManager"
    {
        configured.refuse(
            "role_manager",
            format!("only CassandraRoleManager is known, not `{}`", class.name),
        );
    }
    let Some(class) = class(configured, "authenticator") else {
        return Authentication::AllowAll;
    };
    match class.short_name() {
        "AllowAllAuthenticator" => Authentication::AllowAll,
        "PasswordAuthenticator" => Authentication::Password,
        _ => {
            let reason = format!(
                "only AllowAllAuthenticator and PasswordAuthenticator are known, not `{}`",
                class.name
            );
            configured.refuse("authenticator", reason);
            Authentication::Password
        }
    }
}

fn commitlog_sync(configured: &Configured) -> CommitlogSync {
    match text(configured, "commitlog_sync").as_deref() {
        Some("periodic") => CommitlogSync::Periodic(
            duration(configured, "commitlog_sync_period").unwrap_or(Duration::from_secs(10)),
        ),
        Some("batch") => CommitlogSync::Batch,
        _ => CommitlogSync::Group,
    }
}

fn timeouts(configured: &Configured) -> Timeouts {
    let timeout = |name: &str| duration(configured, name).unwrap_or(Duration::from_secs(10));
    Timeouts {
        read: timeout("read_request_timeout"),
        range: timeout("range_request_timeout"),
        write: timeout("write_request_timeout"),
        counter_write: timeout("counter_write_request_timeout"),
        cas_contention: timeout("cas_contention_timeout"),
        truncate: timeout("truncate_request_timeout"),
        request: timeout("request_timeout"),
    }
}

fn thresholds(configured: &Configured) -> Thresholds {
    let count =
        |name: &str| integer(configured, name).and_then(|number| u64::try_from(number).ok());
    Thresholds {
        batch_warn_bytes: size(configured, "batch_size_warn_threshold").unwrap_or(u64::MAX),
        batch_fail_bytes: size(configured, "batch_size_fail_threshold").unwrap_or(u64::MAX),
        unlogged_batch_warn_partitions: count("unlogged_batch_across_partitions_warn_threshold")
            .unwrap_or(u64::MAX),
        tombstone_warn: count("tombstone_warn_threshold").unwrap_or(u64::MAX),
        tombstone_failure: count("tombstone_failure_threshold").unwrap_or(u64::MAX),
    }
}

fn features(configured: &mut Configured) -> Features {
    let mut memtables = vec!["default".to_owned()];
    if let Some(Value::Tree(node)) = configured.get("memtable")
        && let Some(configurations) = node.get("configurations")
    {
        let names = configurations
            .entries()
            .iter()
            .map(|(name, _)| name.clone());
        memtables.extend(names.filter(|name| name != "default"));
    }
    Features {
        materialized_views: flag(configured, "materialized_views_enabled"),
        user_defined_functions: flag(configured, "user_defined_functions_enabled"),
        sasi_indexes: flag(configured, "sasi_indexes_enabled"),
        drop_compact_storage: flag(configured, "drop_compact_storage_enabled"),
        dynamic_data_masking: flag(configured, "dynamic_data_masking_enabled"),
        default_keyspace_rf: positive(configured, "default_keyspace_rf").unwrap_or(1) as u32,
        memtable_configurations: memtables,
    }
}

fn check_partitioner(configured: &mut Configured) {
    if let Some(name) = text(configured, "partitioner")
        && name.rsplit('.').next() != Some("Murmur3Partitioner")
    {
        configured.refuse(
            "partitioner",
            format!("only Murmur3Partitioner is known, not `{name}`"),
        );
    }
}
