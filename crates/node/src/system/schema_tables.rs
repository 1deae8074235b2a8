//! `system_schema` and `system_virtual_schema`: the definitions of everything, in the words of Apache Cassandra, from
//! which drivers and tools build their picture of the schema.

use super::definitions::SHOWN_AS_VIRTUAL;
use super::rows::Rows;
use super::values::{boolean, double, int, text, text_map, texts, timestamp, uuid};
use super::view::NodeView;
use model::schema::{
    ClusteringOrder, Column, ColumnKind, Keyspace, Replication, Table, TableOptions,
};
use model::types::CqlType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The keyspaces that `system_schema` lists.
fn real<'a>(view: &NodeView<'a>) -> impl Iterator<Item = &'a Arc<Keyspace>> {
    let local = view.virtual_keyspaces.values();
    let local = local.filter(|keyspace| !SHOWN_AS_VIRTUAL.contains(&keyspace.name.as_str()));
    view.schema.keyspaces.values().chain(local)
}

/// The keyspaces that `system_virtual_schema` lists.
fn computed<'a>(view: &NodeView<'a>) -> impl Iterator<Item = &'a Arc<Keyspace>> {
    let keyspaces = view.virtual_keyspaces.values();
    keyspaces.filter(|keyspace| SHOWN_AS_VIRTUAL.contains(&keyspace.name.as_str()))
}

/// A class and its options as one map, the class with its package.
fn class_map(package: &str, options: &BTreeMap<String, String>) -> Vec<u8> {
    text_map(options.iter().map(|(option, value)| {
        let value = if option == "class" {
            format!("org.apache.cassandra.{package}.{value}")
        } else {
            value.clone()
        };
        (option.as_str(), value)
    }))
}

/// The map that `system_schema.keyspaces` shows.
fn replication(replication: &Replication) -> Vec<u8> {
    let mut options = replication.options.clone();
    options.insert("class".into(), replication.class.clone());
    class_map("locator", &options)
}

pub(super) fn keyspaces(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for keyspace in real(view) {
        rows.row()
            .set("keyspace_name", text(&keyspace.name))
            .set("durable_writes", boolean(keyspace.durable_writes))
            .set("replication", replication(&keyspace.replication))
            .add();
    }
}

pub(super) fn tables(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for table in real(view).flat_map(|keyspace| keyspace.tables.values()) {
        let options = &table.options;
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set(
                "additional_write_policy",
                text(options.additional_write_policy.to_string()),
            )
            .set(
                "allow_auto_snapshot",
                unless_true(options.allow_auto_snapshot),
            )
            .set(
                "bloom_filter_fp_chance",
                double(options.bloom_filter_fp_chance),
            )
            .set("caching", caching(options))
            .set("comment", text(&options.comment))
            .set(
                "compaction",
                class_map("db.compaction", &options.compaction),
            )
            .set("compression", compression(options))
            .set("crc_check_chance", double(options.crc_check_chance))
            .set("dclocal_read_repair_chance", double(0.0))
            .set(
                "default_time_to_live",
                int(options.default_time_to_live as i32),
            )
            .set("extensions", text_map([]))
            .set("flags", texts(flags(table)))
            .set("gc_grace_seconds", int(options.gc_grace_seconds as i32))
            .set("id", uuid(table.id.0))
            .set(
                "incremental_backups",
                unless_true(options.incremental_backups),
            )
            .set("max_index_interval", int(options.max_index_interval as i32))
            .set(
                "memtable",
                (options.memtable != "default").then(|| text(&options.memtable)),
            )
            .set(
                "memtable_flush_period_in_ms",
                int(options.memtable_flush_period_in_ms as i32),
            )
            .set("min_index_interval", int(options.min_index_interval as i32))
            .set(
                "read_repair",
                text(if options.read_repair {
                    "BLOCKING"
                } else {
                    "NONE"
                }),
            )
            .set("read_repair_chance", double(0.0))
            .set(
                "speculative_retry",
                text(options.speculative_retry.to_string()),
            )
            .add();
    }
}

/// Options that came after 4.0 are shown only where they are not the default, so that older nodes can read the row.
fn unless_true(option: bool) -> Option<Vec<u8>> {
    (!option).then(|| boolean(false))
}

fn caching(options: &TableOptions) -> Vec<u8> {
    let keys = if options.caching.keys { "ALL" } else { "NONE" };
    text_map([
        ("keys", keys.to_owned()),
        ("rows_per_partition", options.caching.rows.to_string()),
    ])
}

fn compression(options: &TableOptions) -> Vec<u8> {
    if options.compression.is_empty() {
        return text_map([("enabled", "false".to_owned())]);
    }
    class_map("io.compress", &options.compression)
}

/// What Cassandra knows of how a table was stored in Thrift's time.
fn flags(table: &Table) -> Vec<&'static str> {
    let clustering = table.clustering_key().len();
    let mut flags = Vec::new();
    if !table.compact || clustering > 1 {
        flags.push("compound");
    }
    if table.is_counter() {
        flags.push("counter");
    }
    if table.compact && clustering > 0 {
        flags.push("dense");
    }
    flags
}

pub(super) fn columns(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for table in real(view).flat_map(|keyspace| keyspace.tables.values()) {
        put_columns(table, rows);
    }
}

pub(super) fn virtual_columns(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for table in computed(view).flat_map(|keyspace| keyspace.tables.values()) {
        put_columns(table, rows);
    }
}

fn put_columns(table: &Table, rows: &mut Rows<'_>) {
    for column in &shown_columns(table) {
        let order = match column.order {
            _ if column.kind != ColumnKind::Clustering => "none",
            ClusteringOrder::Ascending => "asc",
            ClusteringOrder::Descending => "desc",
        };
        let position = if column.is_primary_key() {
            column.position as i32
        } else {
            -1
        };
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set("column_name", text(&column.name))
            .set("clustering_order", text(order))
            .set("column_name_bytes", text(&column.name))
            .set("kind", text(kind(column.kind)))
            .set("position", int(position))
            .set("type", text(column.ctype.to_string()))
            .add();
    }
}

fn kind(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::PartitionKey => "partition_key",
        ColumnKind::Clustering => "clustering",
        ColumnKind::Static => "static",
        ColumnKind::Regular => "regular",
    }
}

/// The columns of a table; for one WITH COMPACT STORAGE those that Cassandra makes of them, hidden ones included, which
/// drivers know how to take back.
fn shown_columns(table: &Table) -> Vec<Column> {
    let mut columns = table.columns().to_vec();
    if !table.compact {
        return columns;
    }
    let hidden = |name: &str, ctype: CqlType, kind: ColumnKind| {
        let free = |name: &String| table.column(name).is_none();
        let numbered = (2..).map(|number| format!("{name}{number}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(free);
        Column {
            name: name.unwrap_or_default(),
            ctype,
            kind,
            ..table.columns()[0].clone()
        }
    };
    let value = |ctype: CqlType| hidden("value", ctype, ColumnKind::Regular);
    if table.clustering_key().is_empty() {
        for column in &mut columns {
            if column.kind == ColumnKind::Regular {
                column.kind = ColumnKind::Static;
            }
        }
        let name = if table.column("column1").is_none() {
            "column1"
        } else {
            "column"
        };
        columns.push(hidden(name, CqlType::Text, ColumnKind::Clustering));
        columns.push(value(if table.is_counter() {
            CqlType::Counter
        } else {
            CqlType::Blob
        }));
    } else if table.regulars().is_empty() {
        columns.push(value(CqlType::Empty));
    }
    columns
}

pub(super) fn dropped_columns(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for table in real(view).flat_map(|keyspace| keyspace.tables.values()) {
        for dropped in &table.dropped {
            rows.row()
                .set("keyspace_name", text(&table.keyspace))
                .set("table_name", text(&table.name))
                .set("column_name", text(&dropped.column.name))
                .set("dropped_time", timestamp(dropped.dropped_at))
                .set("kind", text(kind(dropped.column.kind)))
                .set("type", text(dropped.column.ctype.to_string()))
                .add();
        }
    }
}

pub(super) fn types(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for definition in real(view).flat_map(|keyspace| keyspace.types.values()) {
        let types = definition.fields.iter().map(|(_, ctype)| ctype.to_string());
        rows.row()
            .set("keyspace_name", text(&definition.keyspace))
            .set("type_name", text(&definition.name))
            .set(
                "field_names",
                texts(definition.fields.iter().map(|(name, _)| name)),
            )
            .set("field_types", texts(types))
            .add();
    }
}

pub(super) fn virtual_keyspaces(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for keyspace in computed(view) {
        rows.row().set("keyspace_name", text(&keyspace.name)).add();
    }
}

pub(super) fn virtual_tables(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for table in computed(view).flat_map(|keyspace| keyspace.tables.values()) {
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set("comment", text(&table.options.comment))
            .add();
    }
}
