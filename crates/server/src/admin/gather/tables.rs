//! Figures of tables, over all shards.

use super::percentiles;
use crate::admin::answer::{Compactions, HotPartition, TableReport, Task, Verified};
use crate::admin::api::Refused;
use ::node::execute::admin::{ShardFacts, VerifiedTable};
use ::node::latency::{Distribution, Measure};
use ::node::system::key_text;
use model::schema::{Table, TableKind};
use std::collections::BTreeMap;

/// What shards found in their tables' files, each table once.
pub(in crate::admin) fn verified(
    shards: impl Iterator<Item = Vec<VerifiedTable>>,
) -> Vec<Verified> {
    let mut tables: BTreeMap<(String, String), Verified> = BTreeMap::new();
    for VerifiedTable {
        keyspace,
        table,
        verified,
    } in shards.flatten()
    {
        let known = tables.entry((keyspace, table)).or_default();
        known.files += verified.files;
        known.bytes += verified.bytes;
        known.partitions += verified.partitions;
        known.wrong += verified.wrong;
        known.found.extend(verified.found);
    }
    let named = tables
        .into_iter()
        .map(|((keyspace, table), known)| Verified {
            keyspace,
            table,
            ..known
        });
    named.collect()
}

/// The tables of a keyspace, or of all; those that are named, or all.
pub(in crate::admin) fn tables(
    shards: &[ShardFacts],
    keyspace: Option<&str>,
    names: &[String],
) -> Result<Vec<TableReport>, Refused> {
    let Some(schema) = shards.first().map(|shard| &shard.schema) else {
        return Ok(Vec::new());
    };
    if let Some(unknown) = keyspace.filter(|name| !schema.keyspaces.contains_key(*name)) {
        return Err(Refused::Invalid(format!("Unknown keyspace: {unknown}")));
    }
    let stored = schema
        .tables()
        .filter(|table| table.kind == TableKind::Stored);
    let of_keyspace = stored.filter(|table| keyspace.is_none_or(|name| table.keyspace == name));
    let wanted: Vec<_> = of_keyspace
        .filter(|table| names.is_empty() || names.contains(&table.name))
        .collect();
    let is_found = |name: &String| wanted.iter().any(|table| table.name == *name);
    if let Some(unknown) = names.iter().find(|name| !is_found(name)) {
        let keyspace = keyspace.unwrap_or_default();
        return Err(Refused::Invalid(format!(
            "Unknown table {keyspace}.{unknown}"
        )));
    }
    Ok(wanted.iter().map(|table| report(shards, table)).collect())
}

fn report(shards: &[ShardFacts], table: &Table) -> TableReport {
    let mut report = TableReport {
        keyspace: table.keyspace.clone(),
        table: table.name.clone(),
        id: table.id.0,
        ..TableReport::default()
    };
    for shard in shards {
        report.pending_compactions += shard.pending.get(&table.id).copied().unwrap_or(0);
        let stats = shard.store.tables.iter();
        for stats in stats.filter(|stats| stats.table == table.id) {
            report.sstables += stats.sstables;
            report.disk_bytes += stats.disk_bytes;
            report.raw_bytes += stats.raw_bytes;
            report.partitions += stats.partitions;
            report.rows += stats.rows;
            report.tombstones += stats.tombstones;
            report.index_bytes += stats.index_bytes as u64;
            report.memtable_partitions += stats.memtable_partitions as u64;
            report.memtable_rows += stats.memtable_rows;
            report.memtable_bytes += stats.memtable_bytes as u64;
            report.flushes += stats.flushes;
            report.compactions += stats.compactions;
            report.reads += stats.reads;
            report.writes += stats.writes;
            let truncated = (stats.truncated_at > i64::MIN).then_some(stats.truncated_at / 1000);
            report.truncated_at = report.truncated_at.max(truncated);
        }
        let snapshots = shard.shown.snapshots.iter();
        let own =
            snapshots.filter(|fact| fact.keyspace == table.keyspace && fact.table == table.name);
        report.snapshot_bytes += own.map(|fact| fact.bytes).sum::<u64>();
    }
    let of = |measure| {
        let mut sum = Distribution::default();
        for shard in shards {
            if let Some(measured) = shard.measured.get(&table.id) {
                sum.add(&measured.of(measure));
            }
        }
        percentiles(&sum)
    };
    report.read_latency = of(Measure::LocalRead);
    report.write_latency = of(Measure::LocalWrite);
    report.rows_per_read = of(Measure::Rows);
    report.tombstones_per_read = of(Measure::Tombstones);
    report
}

/// Partitions that take much of their tables' requests, those that take the most first.
pub(in crate::admin) fn hot(shards: &[ShardFacts]) -> Vec<HotPartition> {
    let mut all = Vec::new();
    for shard in shards {
        for fact in &shard.shown.hot {
            let mut tables = shard.schema.tables();
            // A table that is dropped meanwhile has no name to show.
            let Some(table) = tables.find(|table| table.id == fact.table) else {
                continue;
            };
            all.push(HotPartition {
                keyspace: table.keyspace.clone(),
                table: table.name.clone(),
                operation: fact.access.name().to_owned(),
                partition_key: key_text(table, &fact.key),
                requests: fact.requests,
                requests_too_high: fact.error,
                share: fact.requests as f64 / fact.of as f64,
            });
        }
    }
    all.sort_by_key(|one| std::cmp::Reverse(one.requests));
    all
}

/// Compactions that are due and under way.
pub(in crate::admin) fn compactions(shards: &[ShardFacts]) -> Compactions {
    let mut all = Compactions::default();
    for shard in shards {
        let tables = shard.store.tables.iter();
        all.completed += tables.map(|stats| stats.compactions).sum::<u64>();
        let named = |id| shard.schema.tables().find(move |table| table.id == id);
        for (id, count) in shard.pending.iter().filter(|(_, count)| **count > 0) {
            if let Some(table) = named(*id) {
                let tables = all.pending.entry(table.keyspace.clone()).or_default();
                *tables.entry(table.name.clone()).or_default() += count;
            }
        }
        for task in &shard.shown.tasks {
            if let Some(table) = named(task.table) {
                all.tasks.push(Task {
                    id: task.id,
                    kind: task.kind.to_owned(),
                    keyspace: table.keyspace.clone(),
                    table: table.name.clone(),
                    completed: task.progress,
                    total: task.total,
                    unit: task.unit.to_owned(),
                });
            }
        }
    }
    all
}
