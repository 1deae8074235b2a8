//! What all shards say, put together to what the API answers with.

mod debts;
mod tables;

pub(super) use debts::debts;
pub(super) use tables::{compactions, hot, tables, verified};

use super::answer::{Cache, Info, Peer, Peers, Percentiles, Pool, Pools, Proxy, Snapshot};
use super::api::{Admin, Refused};
use ::node::execute::admin::{ClusterFacts, ShardFacts};
use ::node::latency::{Distribution, Measure};
use ::node::system::RELEASE_VERSION;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Who this node is and how it is.
pub(super) fn info(
    admin: &Admin,
    shards: &[ShardFacts],
    cluster: ClusterFacts,
    native_running: bool,
) -> Result<Info, Refused> {
    let local = cluster.local;
    let mut members = cluster.members.into_iter();
    let member = members
        .find(|member| member.number == local)
        .ok_or_else(|| Refused::Failed("this node is not among the members".to_owned()))?;
    let tables = || shards.iter().flat_map(|shard| &shard.store.tables);
    let state = if admin.drained.load(Ordering::Relaxed) {
        "drained"
    } else {
        "serving"
    };
    Ok(Info {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        release_version: RELEASE_VERSION.to_owned(),
        host_id: member.host_id,
        number: local,
        cluster_name: cluster.name,
        dc: member.datacenter,
        rack: member.rack,
        life: member.life,
        tokens: member.tokens,
        shards: admin.shards,
        process: std::process::id(),
        data_directory: admin.data_directory.display().to_string(),
        native_address: admin.addresses.native,
        shard_aware_address: admin.addresses.shard_aware,
        internode_address: member.internode_address,
        uptime_seconds: admin.started.elapsed().as_secs(),
        generation: member.generation,
        state: state.to_owned(),
        native_running,
        gossip_running: cluster.gossips,
        load_bytes: tables().map(|table| table.disk_bytes).sum(),
        raw_bytes: tables().map(|table| table.raw_bytes).sum(),
        memory_used_bytes: resident_bytes(),
        memory_bytes: admin.memory_bytes,
        clients: shards.iter().map(|shard| shard.shown.clients.len()).sum(),
        block_cache: Cache {
            size_bytes: shards
                .iter()
                .map(|shard| shard.store.cache_bytes as u64)
                .sum(),
            capacity_bytes: admin.cache_bytes,
            hits: shards.iter().map(|shard| shard.store.cache_hits).sum(),
            requests: shards
                .iter()
                .map(|shard| shard.store.cache_hits + shard.store.cache_misses)
                .sum(),
        },
    })
}

/// Bytes of memory this process has in use; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// What was sent to and received from other nodes.
pub(super) fn peers(admin: &Admin) -> Peers {
    let mut peers: BTreeMap<_, Peer> = BTreeMap::new();
    for (address, metrics) in admin.metrics.peers() {
        let peer = peers.entry(address).or_default();
        peer.connections += metrics.opened.get().saturating_sub(metrics.ended.get());
        peer.reconnects += metrics.reconnects.get();
        peer.sent_messages += metrics.sent_messages.get();
        peer.sent_bytes += metrics.sent_bytes.get();
        peer.received_messages += metrics.received_messages.get();
        peer.received_bytes += metrics.received_bytes.get();
        peer.dropped_messages += metrics.dropped_messages.get();
        peer.waiting_bytes += metrics.waiting_bytes.get();
    }
    Peers { peers }
}

/// Stages of work.
pub(super) fn pools(shards: &[ShardFacts]) -> Pools {
    let mut pools: Vec<Pool> = Vec::new();
    for fact in shards.iter().flat_map(|shard| &shard.shown.pools) {
        let place = pools.iter().position(|pool| pool.name == fact.name);
        let place = place.unwrap_or_else(|| {
            pools.push(Pool {
                name: fact.name.clone(),
                ..Pool::default()
            });
            pools.len() - 1
        });
        let pool = &mut pools[place];
        pool.active += u64::from(fact.active);
        pool.pending += u64::from(fact.pending);
        pool.completed += fact.completed;
        pool.blocked += fact.blocked;
        pool.blocked_all_time += fact.blocked_all_time;
    }
    let reads = shards.iter().map(|shard| shard.counts.dropped_reads).sum();
    Pools {
        pools,
        dropped: BTreeMap::from([("READ_REQ".to_owned(), reads)]),
    }
}

/// What clients waited for, over all tables.
pub(super) fn proxy(shards: &[ShardFacts]) -> Proxy {
    let of = |measure| {
        let mut sum = Distribution::default();
        for measured in shards.iter().flat_map(|shard| shard.measured.values()) {
            sum.add(&measured.of(measure));
        }
        percentiles(&sum)
    };
    Proxy {
        read: of(Measure::CoordinatorRead),
        range: of(Measure::CoordinatorScan),
        write: of(Measure::CoordinatorWrite),
    }
}

/// The snapshots there are.
pub(super) fn snapshots(shards: &[ShardFacts]) -> Vec<Snapshot> {
    let known = shards.iter().flat_map(|shard| shard.shown.snapshots.iter());
    known
        .map(|fact| Snapshot {
            name: fact.name.clone(),
            keyspace: fact.keyspace.clone(),
            table: fact.table.clone(),
            bytes: fact.bytes,
            created_millis: fact.created_millis,
            expires_millis: fact.expires_millis,
        })
        .collect()
}

fn percentiles(of: &Distribution) -> Percentiles {
    Percentiles {
        count: of.count,
        min: of.min(),
        p50: of.percentile(0.5),
        p75: of.percentile(0.75),
        p95: of.percentile(0.95),
        p98: of.percentile(0.98),
        p99: of.percentile(0.99),
        max: of.max(),
        mean: of.mean(),
    }
}
