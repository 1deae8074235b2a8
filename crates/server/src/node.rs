//! The node that ships: `node`'s shards in this shell.

use crate::clock::SystemClock;
use crate::config::{Authentication, CommitlogSync, Settings, memory};
use crate::internode::seeds::{self, Seeds};
use crate::process::{self, Addresses, Factory, Serving, StartError};
use ::node::config::{MetadataLogBound, NodeConfig};
use ::node::startup::{NodeShard, StartupConfig};
use cql::plan::ddl::DdlConfig;
use model::env::Clock;
use model::policy::Policy;
use node::track::gate::ReadGate;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::{Generation, OnRot, StoreConfig, SyncMode};

/// Requests one shard has in flight at most.
const MAX_REQUESTS_IN_FLIGHT: usize = 16_384;
/// bcrypt cost of new passwords: Cassandra's.
const PASSWORD_COST: u32 = 10;

/// Runs a node until a signal ends it. `ready` is called once clients are served.
pub fn run(settings: &Settings, ready: impl FnOnce(Serving)) -> Result<(), StartError> {
    run_by(settings, Policy::default(), ready)
}

/// [`run`] with another policy, for what must not be an option.
pub fn run_by(
    settings: &Settings,
    policy: Policy,
    ready: impl FnOnce(Serving),
) -> Result<(), StartError> {
    let seeds = seeds::resolve(settings)?;
    let factory = |addresses: &Addresses| Node {
        config: Arc::new(NodeConfig {
            policy,
            ..node_config(settings, seeds, addresses)
        }),
        store: store_config(settings),
        seed: seed(),
    };
    process::run(settings, factory, ready)
}

struct Node {
    config: Arc<NodeConfig>,
    store: StoreConfig,
    seed: u64,
}

impl Factory for Node {
    type Shard = NodeShard;

    fn make(&self, index: u16, _shards: u16) -> NodeShard {
        NodeShard::new(StartupConfig {
            number: index,
            node: self.config.clone(),
            store: self.store.clone(),
            stopwatch: Arc::new(SystemClock),
            seed: self
                .seed
                .wrapping_add(u64::from(index).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        })
    }
}

/// Different at every start.
fn seed() -> u64 {
    let now = SystemClock.now();
    let mut bytes = [0; 8];
    // Without the system's random numbers the clocks still differ from start to start.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes) ^ now.wall.0 as u64 ^ now.boot.0.rotate_left(32)
}

fn node_config(settings: &Settings, seeds: Seeds, addresses: &Addresses) -> NodeConfig {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let (native, timeouts, thresholds) =
        (&settings.native, &settings.timeouts, &settings.thresholds);
    let features = &settings.features;
    NodeConfig {
        shards: settings.shards,
        cluster_name: settings.cluster_name.clone(),
        datacenter: settings.dc.clone(),
        rack: settings.rack.clone(),
        snitch: settings.snitch.clone(),
        num_tokens: settings.ring.num_tokens,
        initial_tokens: settings.ring.initial_tokens.clone(),
        auto_bootstrap: settings.ring.auto_bootstrap,
        replaces: settings.ring.replaces,
        password_authentication: settings.authentication == Authentication::Password,
        client_address: SocketAddr::new(native.broadcast_address, addresses.native.port()),
        internode_address: addresses.internode.unwrap_or(settings.internode.announced),
        listen_address: settings.listen_address,
        has_wire: addresses.internode.is_some(),
        seeds: seeds.others,
        founds: seeds.founds,
        shard_aware_port: addresses.shard_aware.map(|address| address.port()),
        max_requests_in_flight: MAX_REQUESTS_IN_FLIGHT,
        read_timeout_ms: millis(timeouts.read),
        range_timeout_ms: millis(timeouts.range),
        write_timeout_ms: millis(timeouts.write),
        counter_write_timeout_ms: millis(timeouts.counter_write),
        cas_timeout_ms: millis(timeouts.cas_contention),
        truncate_timeout_ms: millis(timeouts.truncate),
        batch_warn_bytes: limit(thresholds.batch_warn_bytes),
        batch_fail_bytes: limit(thresholds.batch_fail_bytes),
        unlogged_batch_warn_partitions: limit(thresholds.unlogged_batch_warn_partitions),
        tombstone_warn: thresholds.tombstone_warn,
        tombstone_failure: thresholds.tombstone_failure,
        auto_snapshot: settings.auto_snapshot,
        auto_snapshot_ttl_ms: settings.auto_snapshot_ttl.map(millis),
        password_cost: PASSWORD_COST,
        ddl: DdlConfig {
            materialized_views_enabled: features.materialized_views,
            user_defined_functions_enabled: features.user_defined_functions,
            sasi_indexes_enabled: features.sasi_indexes,
            drop_compact_storage_enabled: features.drop_compact_storage,
            dynamic_data_masking_enabled: features.dynamic_data_masking,
            default_keyspace_rf: features.default_keyspace_rf,
            memtable_configurations: features.memtable_configurations.clone(),
        },
        metadata_log: MetadataLogBound::default(),
        started_seconds: SystemClock.wall().seconds(),
        cache_bytes_per_shard: memory::of_shard(settings, memory::CACHE) as u64,
        prepared_bytes_per_shard: (settings.prepared_bytes / u64::from(settings.shards)) as usize,
        answer_bytes_per_shard: memory::of_shard(settings, memory::ANSWERS),
        policy: Policy::default(),
        read_gate: if settings.strict_reads {
            ReadGate::Strict
        } else {
            ReadGate::Warn
        },
        journal_bytes_per_shard: settings.journal_bytes / u64::from(settings.shards),
        handoff: settings.handoff.clone(),
        repair_interval_ms: settings.repair_interval.as_millis() as u64,
        properties: properties(),
        settings: settings
            .view
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    }
}

/// What `system_views.system_properties` shows.
fn properties() -> Vec<(String, String)> {
    vec![
        (
            "helenus.version".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
        ("os.arch".to_owned(), std::env::consts::ARCH.to_owned()),
        ("os.name".to_owned(), std::env::consts::OS.to_owned()),
    ]
}

/// What every shard's store is told; its number is set by whoever opens it.
fn store_config(settings: &Settings) -> StoreConfig {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    StoreConfig {
        sync: match settings.commitlog_sync {
            CommitlogSync::Group => SyncMode::Group,
            CommitlogSync::Batch => SyncMode::Batch,
            CommitlogSync::Periodic(period) => SyncMode::Periodic {
                ms: period.as_millis() as u64,
            },
        },
        on_rot: if settings.skip_rot {
            OnRot::Skip
        } else {
            OnRot::Refuse
        },
        queued_log_bytes: memory::of_shard(settings, memory::LOG),
        memtable_bytes: memory::of_shard(settings, memory::MEMTABLES),
        cache_bytes: memory::of_shard(settings, memory::CACHE),
        filter_bytes: memory::of_shard(settings, memory::FILTERS),
        answer_bytes: memory::of_shard(settings, memory::ANSWERS),
        ..StoreConfig::new(0, settings.shards, generation)
    }
}
