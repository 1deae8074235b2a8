//! `system_views` and what of `system` is about work: clients, statements, stages, caches, tables, tasks.

use super::rows::Rows;
use super::values::{bigint, boolean, double, inet, int, text, text_map, timestamp, uuid};
use super::view::{CacheFact, LatencyFact, NodeView, PerReadFact, PoolFact, TableFact};
use cluster::topology::NodeId;
use model::schema::{Table, TableKind};
use std::collections::BTreeMap;

const BYTES_PER_MEBIBYTE: u64 = 1024 * 1024;

pub(super) fn clients(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for client in view.facts.iter().flat_map(|facts| &facts.clients) {
        let options = client.options.iter();
        let options = options.map(|(option, value)| (option.as_str(), value.clone()));
        rows.row()
            .set("address", inet(client.address.ip()))
            .set("port", int(i32::from(client.address.port())))
            .set("client_options", text_map(options))
            .set("connection_stage", text(client.stage))
            .set("driver_name", client.options.get("DRIVER_NAME").map(text))
            .set(
                "driver_version",
                client.options.get("DRIVER_VERSION").map(text),
            )
            .set("hostname", text(client.address.ip().to_string()))
            .set("keyspace_name", client.keyspace.as_ref().map(text))
            .set("protocol_version", int(i32::from(client.protocol_version)))
            .set("request_count", bigint(client.requests))
            .set("ssl_enabled", boolean(client.tls))
            .set(
                "username",
                text(client.user.as_deref().unwrap_or("anonymous")),
            )
            .add();
    }
}

/// What each member of each group of replicas lacks, and up to when all are proved equal.
pub(super) fn convergence(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let node = |id: NodeId| view.topology.nodes.iter().find(|node| node.id == id);
    for group in view.facts.iter().flat_map(|facts| &facts.groups) {
        let names = group.members.iter().map(|id| match node(NodeId(*id)) {
            Some(node) => node.internode_address.ip().to_string(),
            None => format!("removed {id}"),
        });
        let replicas = names.collect::<Vec<_>>().join(" ");
        let age = group.proved_age_ms(view.now.boot);
        let equal = age.map(|age| view.now.wall.0 - age as i64 * 1_000);
        for member in &group.of {
            let Some(found) = node(member.node) else {
                continue;
            };
            rows.row()
                .set("replicas", text(&replicas))
                .set("host_id", uuid(found.host_id))
                .set("address", inet(found.internode_address.ip()))
                .set("lacks", bigint(member.lacks))
                .set("owed", bigint(group.gone))
                .set("fresh", boolean(member.fresh))
                .set("equal_up_to", equal.map(timestamp))
                .set("age_ms", age.map(bigint))
                .add();
        }
    }
}

pub(super) fn queries(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for query in view.facts.iter().flat_map(|facts| &facts.queries) {
        rows.row()
            .set("thread_id", text(&query.id))
            .set("queued_micros", bigint(query.queued_micros))
            .set("running_micros", bigint(query.running_micros))
            .set("task", text(&query.task))
            .add();
    }
}

pub(super) fn prepared_statements(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for statement in view.facts.iter().flat_map(|facts| &facts.statements) {
        rows.row()
            .set("prepared_id", statement.id.to_vec())
            .set("logged_keyspace", statement.keyspace.as_deref().map(text))
            .set("query_string", text(&statement.query))
            .add();
    }
}

pub(super) fn cql_metrics(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let sum = |of: fn(&super::view::NodeFacts) -> u64| -> f64 {
        view.facts.iter().map(|facts| of(facts)).sum::<u64>() as f64
    };
    let regular = sum(|facts| facts.regular_executed);
    let prepared = sum(|facts| facts.prepared_executed);
    let count = view
        .facts
        .iter()
        .map(|facts| facts.statements.len())
        .max()
        .unwrap_or(0) as f64;
    let executed = regular + prepared;
    for (name, value) in [
        ("prepared_statements_count", count),
        (
            "prepared_statements_evicted",
            sum(|facts| facts.prepared_evicted),
        ),
        ("prepared_statements_executed", prepared),
        (
            "prepared_statements_ratio",
            if executed == 0.0 {
                0.0
            } else {
                prepared / executed
            },
        ),
        ("regular_statements_executed", regular),
    ] {
        rows.row()
            .set("name", text(name))
            .set("value", double(value))
            .add();
    }
}

pub(super) fn settings(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for (name, value) in view.settings {
        rows.row()
            .set("name", text(name))
            .set("value", value.as_ref().map(text))
            .add();
    }
}

pub(super) fn system_properties(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for (name, value) in view.properties {
        rows.row()
            .set("name", text(name))
            .set("value", text(value))
            .add();
    }
}

pub(super) fn thread_pools(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let mut pools: BTreeMap<&str, PoolFact> = BTreeMap::new();
    for pool in view.facts.iter().flat_map(|facts| &facts.pools) {
        let sum = pools.entry(&pool.name).or_default();
        sum.active += pool.active;
        sum.active_limit += pool.active_limit;
        sum.pending += pool.pending;
        sum.completed += pool.completed;
        sum.blocked += pool.blocked;
        sum.blocked_all_time += pool.blocked_all_time;
    }
    for (name, pool) in pools {
        rows.row()
            .set("name", text(name))
            .set("active_tasks", int(pool.active as i32))
            .set("active_tasks_limit", int(pool.active_limit as i32))
            .set("blocked_tasks", bigint(pool.blocked))
            .set("blocked_tasks_all_time", bigint(pool.blocked_all_time))
            .set("completed_tasks", bigint(pool.completed))
            .set("pending_tasks", int(pool.pending as i32))
            .add();
    }
}

pub(super) fn caches(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let mut caches: BTreeMap<&str, CacheFact> = BTreeMap::new();
    for cache in view.facts.iter().flat_map(|facts| &facts.caches) {
        let sum = caches.entry(&cache.name).or_default();
        sum.capacity_bytes += cache.capacity_bytes;
        sum.size_bytes += cache.size_bytes;
        sum.entries += cache.entries;
        sum.requests += cache.requests;
        sum.hits += cache.hits;
        sum.recent_requests_per_second += cache.recent_requests_per_second;
        sum.recent_hits_per_second += cache.recent_hits_per_second;
    }
    for (name, cache) in caches {
        rows.row()
            .set("name", text(name))
            .set("capacity_bytes", bigint(cache.capacity_bytes))
            .set(
                "entry_count",
                int(i32::try_from(cache.entries).unwrap_or(i32::MAX)),
            )
            .set("hit_count", bigint(cache.hits))
            // Not a number before the first look-up, as in Cassandra.
            .set(
                "hit_ratio",
                double(cache.hits as f64 / cache.requests as f64),
            )
            .set(
                "recent_hit_rate_per_second",
                bigint(cache.recent_hits_per_second),
            )
            .set(
                "recent_request_rate_per_second",
                bigint(cache.recent_requests_per_second),
            )
            .set("request_count", bigint(cache.requests))
            .set("size_bytes", bigint(cache.size_bytes))
            .add();
    }
}

/// The facts of each stored table, over all shards.
fn tables<'a>(view: &'a NodeView<'_>) -> impl Iterator<Item = (&'a Table, Vec<&'a TableFact>)> {
    let stored = view
        .schema
        .tables()
        .filter(|table| table.kind == TableKind::Stored);
    stored.map(|table| {
        let facts = view.facts.iter().flat_map(|facts| &facts.tables);
        (
            table.as_ref(),
            facts.filter(|fact| fact.table == table.id).collect(),
        )
    })
}

/// A number of bytes of each table, in whole mebibytes, rounded up.
pub(super) fn mebibytes(
    view: &NodeView<'_>,
    rows: &mut Rows<'_>,
    of_table: impl Fn(&[&TableFact]) -> u64,
) {
    for (table, facts) in tables(view) {
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set(
                "mebibytes",
                bigint(of_table(&facts).div_ceil(BYTES_PER_MEBIBYTE)),
            )
            .add();
    }
}

/// Latencies of each table. Of several shards the slowest counts, but for the median, which is their mean by count.
pub(super) fn latencies(
    view: &NodeView<'_>,
    rows: &mut Rows<'_>,
    of_table: impl Fn(&TableFact) -> LatencyFact,
) {
    for (table, facts) in tables(view) {
        let mut sum = LatencyFact::default();
        let mut weighted = 0.0;
        for latency in facts.into_iter().map(&of_table) {
            sum.count += latency.count;
            sum.max_ms = sum.max_ms.max(latency.max_ms);
            sum.p99_ms = sum.p99_ms.max(latency.p99_ms);
            sum.per_second += latency.per_second;
            weighted += latency.p50_ms * latency.count as f64;
        }
        if sum.count > 0 {
            sum.p50_ms = weighted / sum.count as f64;
        }
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set("count", bigint(sum.count))
            .set("max_ms", double(sum.max_ms))
            .set("p50th_ms", double(sum.p50_ms))
            .set("p99th_ms", double(sum.p99_ms))
            .set("per_second", double(sum.per_second))
            .add();
    }
}

/// What reads of each table met, put together as [`latencies`].
pub(super) fn per_read(
    view: &NodeView<'_>,
    rows: &mut Rows<'_>,
    of_table: impl Fn(&TableFact) -> PerReadFact,
) {
    for (table, facts) in tables(view) {
        let mut sum = PerReadFact::default();
        let mut weighted = 0.0;
        for met in facts.into_iter().map(&of_table) {
            sum.count += met.count;
            sum.max = sum.max.max(met.max);
            sum.p99 = sum.p99.max(met.p99);
            weighted += met.p50 * met.count as f64;
        }
        if sum.count > 0 {
            sum.p50 = weighted / sum.count as f64;
        }
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set("count", bigint(sum.count))
            .set("max", double(sum.max))
            .set("p50th", double(sum.p50))
            .set("p99th", double(sum.p99))
            .add();
    }
}

pub(super) fn sstable_tasks(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for task in view.facts.iter().flat_map(|facts| &facts.tasks) {
        // A table that is dropped meanwhile has no name to show.
        let Some(table) = view.schema.tables().find(|table| table.id == task.table) else {
            continue;
        };
        let completion = if task.total == 0 {
            1.0
        } else {
            task.progress as f64 / task.total as f64
        };
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set("task_id", uuid(task.id))
            .set("completion_ratio", double(completion))
            .set("kind", text(task.kind))
            .set("progress", bigint(task.progress))
            .set("sstables", int(task.sstables as i32))
            .set("total", bigint(task.total))
            .set("unit", text(task.unit))
            .add();
    }
}

pub(super) fn snapshots(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let facts = view.facts.iter().flat_map(|facts| facts.snapshots.iter());
    for snapshot in facts {
        let expires = snapshot.expires_millis;
        rows.row()
            .set("name", text(&snapshot.name))
            .set("keyspace_name", text(&snapshot.keyspace))
            .set("table_name", text(&snapshot.table))
            .set("created_at", timestamp(snapshot.created_millis * 1000))
            .set("ephemeral", boolean(false))
            .set("expires_at", expires.map(|at| timestamp(at * 1000)))
            .set("size_on_disk", bigint(snapshot.bytes))
            // What was dropped or truncated is nowhere else.
            .set("true_size", bigint(snapshot.bytes))
            .add();
    }
}
