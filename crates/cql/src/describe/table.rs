//! CREATE TABLE.
//!
//! Columns come in the order of the primary key, then statics, then the others; of either those that are one cell first.
//! WITH INTERNALS adds the id, and tells the story of dropped columns: they are created, dropped at their time, and
//! created again if they came back.

use super::VIRTUAL_KEYSPACES;
use super::keyspace::quoted;
use crate::ast::maybe_quote;
use crate::functions::text;
use model::schema::{Column, ColumnKind, DroppedColumn, SpeculativeRetry, Table, TableOptions};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Whether WITH INTERNALS was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Internals {
    /// Ids and dropped columns are left out.
    Hidden,
    /// They are shown.
    Shown,
}

/// The statement that creates a table; for one that CQL cannot create a comment that says what it is.
pub fn create_table(table: &Table, internals: Internals) -> String {
    let name = format!(
        "{}.{}",
        maybe_quote(&table.keyspace),
        maybe_quote(&table.name)
    );
    let is_virtual = VIRTUAL_KEYSPACES.contains(&table.keyspace.as_str());
    let verb = if is_virtual {
        "VIRTUAL TABLE"
    } else {
        "CREATE TABLE"
    };
    let columns = columns(table, internals);
    let properties = properties(table, internals, is_virtual).join("\n    AND ");
    let statement = format!("{verb} {name} (\n{columns}) WITH {properties};");
    if is_virtual {
        return format!(
            "/*\nWarning: Table {name} is a virtual table and cannot be recreated with CQL.\n\
             Structure, for reference:\n{statement}\n*/"
        );
    }
    if table.compact {
        return format!(
            "/*\nWarning: Table {name} omitted because it has constructs not compatible with CQL (was created via legacy \
             API).\nApproximate structure, for reference:\n(this should not be used to reproduce this schema)\n\n\
             {statement}\n*/"
        );
    }
    match internals {
        Internals::Shown => statement + &drops(table, &name),
        Internals::Hidden => statement,
    }
}

/// Columns dropped, by name.
fn dropped(table: &Table) -> Vec<&DroppedColumn> {
    let mut dropped: Vec<&DroppedColumn> = table.dropped.iter().collect();
    dropped.sort_by(|left, right| left.column.name.cmp(&right.column.name));
    dropped
}

fn definition(column: &Column) -> String {
    let suffix = if column.kind == ColumnKind::Static {
        " static"
    } else {
        ""
    };
    format!("{} {}{suffix}", maybe_quote(&column.name), column.ctype)
}

/// The lines between the parentheses.
fn columns(table: &Table, internals: Internals) -> String {
    let dropped = if internals == Internals::Shown {
        dropped(table)
    } else {
        Vec::new()
    };
    let is_dropped = |column: &Column| {
        dropped
            .iter()
            .any(|dropped| dropped.column.name == column.name)
    };
    let has_single_key =
        table.partition_key().len() == 1 && table.clustering_key().is_empty() && !table.compact;
    let mut lines: Vec<String> = Vec::new();
    let keys = table.partition_key().iter().chain(table.clustering_key());
    for column in keys {
        let suffix = if has_single_key { " PRIMARY KEY" } else { "" };
        lines.push(definition(column) + suffix);
    }
    let others = simple_first(table.statics()).chain(simple_first(table.regulars()));
    lines.extend(others.filter(|column| !is_dropped(column)).map(definition));
    lines.extend(dropped.iter().map(|dropped| definition(&dropped.column)));
    if !has_single_key {
        lines.push(primary_key(table));
    }
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let comma = if index + 1 < lines.len() { "," } else { "" };
        let _ = writeln!(out, "    {line}{comma}");
    }
    out
}

/// The columns that are one cell, then those that are many.
fn simple_first(columns: &[Column]) -> impl Iterator<Item = &Column> {
    let of_kind = |multi_cell| {
        columns
            .iter()
            .filter(move |column| column.ctype.is_multi_cell() == multi_cell)
    };
    of_kind(false).chain(of_kind(true))
}

fn names(columns: &[Column]) -> Vec<String> {
    columns
        .iter()
        .map(|column| maybe_quote(&column.name))
        .collect()
}

fn primary_key(table: &Table) -> String {
    let partition = names(table.partition_key());
    let partition = if partition.len() > 1 {
        format!("({})", partition.join(", "))
    } else {
        partition.join(", ")
    };
    let all: Vec<String> = std::iter::once(partition)
        .chain(names(table.clustering_key()))
        .collect();
    format!("PRIMARY KEY ({})", all.join(", "))
}

/// What comes after WITH, one property each.
fn properties(table: &Table, internals: Internals, is_virtual: bool) -> Vec<String> {
    let mut properties = Vec::new();
    if table.compact {
        properties.push("COMPACT STORAGE".to_owned());
    }
    if internals == Internals::Shown {
        properties.push(format!("ID = {}", table.id.0));
    }
    if !table.clustering_key().is_empty() {
        let order = |column: &Column| {
            let direction = if column.is_descending() {
                "DESC"
            } else {
                "ASC"
            };
            format!("{} {direction}", maybe_quote(&column.name))
        };
        let orders: Vec<String> = table.clustering().map(order).collect();
        properties.push(format!("CLUSTERING ORDER BY ({})", orders.join(", ")));
    } else if table.compact {
        // The hidden clustering column of a compact table that has none.
        properties.push("CLUSTERING ORDER BY (column1 ASC)".to_owned());
    }
    if is_virtual {
        properties.push(format!("comment = {}", quoted(&table.options.comment)));
    } else {
        properties.extend(options(&table.options));
    }
    properties
}

fn options(options: &TableOptions) -> Vec<String> {
    let caching = options.caching;
    let keys = if caching.keys { "ALL" } else { "NONE" };
    let read_repair = if options.read_repair {
        "BLOCKING"
    } else {
        "NONE"
    };
    vec![
        format!(
            "additional_write_policy = '{}'",
            speculative(options.additional_write_policy)
        ),
        format!("allow_auto_snapshot = {}", options.allow_auto_snapshot),
        format!(
            "bloom_filter_fp_chance = {}",
            text::double(options.bloom_filter_fp_chance)
        ),
        format!(
            "caching = {{'keys': '{keys}', 'rows_per_partition': '{}'}}",
            caching.rows
        ),
        format!("cdc = {}", options.cdc),
        format!("comment = {}", quoted(&options.comment)),
        format!(
            "compaction = {}",
            map(&options.compaction, "org.apache.cassandra.db.compaction.")
        ),
        format!("compression = {}", compression(&options.compression)),
        format!("memtable = {}", quoted(&options.memtable)),
        format!(
            "crc_check_chance = {}",
            text::double(options.crc_check_chance)
        ),
        format!("default_time_to_live = {}", options.default_time_to_live),
        format!("extensions = {}", map(&options.extensions, "")),
        format!("gc_grace_seconds = {}", options.gc_grace_seconds),
        format!("incremental_backups = {}", options.incremental_backups),
        format!("max_index_interval = {}", options.max_index_interval),
        format!(
            "memtable_flush_period_in_ms = {}",
            options.memtable_flush_period_in_ms
        ),
        format!("min_index_interval = {}", options.min_index_interval),
        format!("read_repair = '{read_repair}'"),
        format!(
            "speculative_retry = '{}'",
            speculative(options.speculative_retry)
        ),
    ]
}

fn compression(options: &BTreeMap<String, String>) -> String {
    if options.is_empty() {
        return "{'enabled': 'false'}".to_owned();
    }
    map(options, "org.apache.cassandra.io.compress.")
}

/// A map of strings; a class without a package gets the one it is looked for in.
fn map(options: &BTreeMap<String, String>, package: &str) -> String {
    let entries: Vec<String> = options
        .iter()
        .map(|(key, value)| {
            let package = if key == "class" && !value.contains('.') {
                package
            } else {
                ""
            };
            format!("{}: {}", quoted(key), quoted(&format!("{package}{value}")))
        })
        .collect();
    format!("{{{}}}", entries.join(", "))
}

/// A retry policy; times in whole milliseconds.
fn speculative(policy: SpeculativeRetry) -> String {
    let percentile = |number: f64| {
        let text = text::double(number);
        format!("{}p", text.strip_suffix(".0").unwrap_or(&text))
    };
    let millis = |number: f64| format!("{}ms", number.trunc());
    match policy {
        SpeculativeRetry::Never => "NEVER".to_owned(),
        SpeculativeRetry::Always => "ALWAYS".to_owned(),
        SpeculativeRetry::Percentile(number) => percentile(number),
        SpeculativeRetry::FixedMillis(number) => millis(number),
        SpeculativeRetry::Min(number, time) => {
            format!("MIN({},{})", percentile(number), millis(time))
        }
        SpeculativeRetry::Max(number, time) => {
            format!("MAX({},{})", percentile(number), millis(time))
        }
    }
}

/// The statements that drop columns, and create again those that came back.
fn drops(table: &Table, name: &str) -> String {
    let mut out = String::new();
    for DroppedColumn { column, dropped_at } in dropped(table) {
        let quoted = maybe_quote(&column.name);
        let _ = write!(
            out,
            "\nALTER TABLE {name} DROP {quoted} USING TIMESTAMP {dropped_at};"
        );
        if let Some(column) = table.column(&column.name) {
            let _ = write!(out, "\nALTER TABLE {name} ADD {};", definition(column));
        }
    }
    out
}
