//! The system keyspaces: tables that nobody writes, computed from what the node knows when they are read.
//!
//! Drivers and tools learn from them where they are, who else is there and what the schema is, so names, types and texts
//! are those of Apache Cassandra 5.0.6. Tables that are about machinery Helenus does not have exist, too, and are empty.
//! [`read`] answers a read of any of them as a replica would.

mod definitions;
mod estimates;
mod facts;
pub(crate) mod hot;
mod local;
mod repairs;
mod roles;
pub(crate) mod row;
mod rows;
mod schema_tables;
mod values;
mod view;
mod views;

#[cfg(test)]
mod tests;

pub use definitions::{keyspaces, stored};
pub use hot::key_text;
pub use view::{
    CacheFact, ClientFact, LatencyFact, NodeFacts, NodeView, PerReadFact, PoolFact, QueryFact,
    SnapshotFact, StatementFact, TableFact, TaskFact,
};

use crate::auth;
use model::read::{ReadCommand, ReadResponse};
use model::schema::{SchemaEdit, Table};
use rows::Rows;

/// The version of Cassandra we say we are, by which drivers choose what to ask.
pub const RELEASE_VERSION: &str = "5.0.6";
/// Version of the language.
pub const CQL_VERSION: &str = "3.4.7";
/// Newest version of the native protocol.
pub const NATIVE_PROTOCOL_VERSION: &str = "5";
/// Class that Cassandra gives its hash of partition keys, ours being the same.
pub const PARTITIONER: &str = "org.apache.cassandra.dht.Murmur3Partitioner";

/// What the metadata log of a new cluster begins with: the system keyspaces whose replication can be altered, and the
/// role everyone knows.
pub fn initial_edits() -> Vec<SchemaEdit> {
    let mut edits = definitions::keyspace_edits();
    edits.push(SchemaEdit::PutRole(std::sync::Arc::new(
        auth::default_superuser(),
    )));
    edits
}

/// Answers a read of a computed table.
pub fn read(table: &Table, command: &ReadCommand, view: &NodeView<'_>) -> ReadResponse {
    let mut rows = Rows::new(table, view.now.wall.0);
    generate(table, view, &mut rows);
    rows.answer(command)
}

/// Generates all rows of a table; none for those that are always empty.
fn generate(table: &Table, view: &NodeView<'_>, rows: &mut Rows<'_>) {
    match (table.keyspace.as_str(), table.name.as_str()) {
        ("system", "local") => local::local(view, rows),
        ("system", "peers") => local::peers(view, rows),
        ("system", "peers_v2") => local::peers_v2(view, rows),
        ("system", "size_estimates") => estimates::size_estimates(view, rows),
        ("system", "table_estimates") => estimates::table_estimates(view, rows),
        ("system", "prepared_statements") => views::prepared_statements(view, rows),
        ("system_schema", "keyspaces") => schema_tables::keyspaces(view, rows),
        ("system_schema", "tables") => schema_tables::tables(view, rows),
        ("system_schema", "columns") => schema_tables::columns(view, rows),
        ("system_schema", "dropped_columns") => schema_tables::dropped_columns(view, rows),
        ("system_schema", "types") => schema_tables::types(view, rows),
        ("system_virtual_schema", "keyspaces") => schema_tables::virtual_keyspaces(view, rows),
        ("system_virtual_schema", "tables") => schema_tables::virtual_tables(view, rows),
        ("system_virtual_schema", "columns") => schema_tables::virtual_columns(view, rows),
        ("system_auth", "roles") => roles::roles(view, rows),
        ("system_auth", "role_members") => roles::role_members(view, rows),
        ("system_views", name) => generate_view(name, view, rows),
        _ => {}
    }
}

fn generate_view(name: &str, view: &NodeView<'_>, rows: &mut Rows<'_>) {
    const COORDINATOR: usize = 0;
    const REPLICA: usize = 1;
    match name {
        "caches" => views::caches(view, rows),
        "clients" => views::clients(view, rows),
        "convergence" => views::convergence(view, rows),
        "cql_metrics" => views::cql_metrics(view, rows),
        "gossip_info" => local::gossip_info(view, rows),
        "hot_partitions" => hot::hot_partitions(view, rows),
        "pending_hints" => repairs::pending_hints(view, rows),
        "queries" => views::queries(view, rows),
        "repairs" => repairs::repairs(view, rows),
        "settings" => views::settings(view, rows),
        "snapshots" => views::snapshots(view, rows),
        "sstable_tasks" => views::sstable_tasks(view, rows),
        "system_properties" => views::system_properties(view, rows),
        "thread_pools" => views::thread_pools(view, rows),
        "disk_usage" => views::mebibytes(view, rows, |facts| {
            facts.iter().map(|fact| fact.disk_bytes).sum()
        }),
        "max_partition_size" => views::mebibytes(view, rows, |facts| {
            facts
                .iter()
                .map(|fact| fact.max_partition_bytes)
                .max()
                .unwrap_or(0)
        }),
        "max_sstable_size" => views::mebibytes(view, rows, |facts| {
            facts
                .iter()
                .map(|fact| fact.max_sstable_bytes)
                .max()
                .unwrap_or(0)
        }),
        "coordinator_read_latency" => views::latencies(view, rows, |fact| fact.reads[COORDINATOR]),
        "coordinator_scan_latency" => views::latencies(view, rows, |fact| fact.scans[COORDINATOR]),
        "coordinator_write_latency" => {
            views::latencies(view, rows, |fact| fact.writes[COORDINATOR])
        }
        "local_read_latency" => views::latencies(view, rows, |fact| fact.reads[REPLICA]),
        "local_scan_latency" => views::latencies(view, rows, |fact| fact.scans[REPLICA]),
        "local_write_latency" => views::latencies(view, rows, |fact| fact.writes[REPLICA]),
        "rows_per_read" => views::per_read(view, rows, |fact| fact.rows_per_read),
        "tombstones_per_read" => views::per_read(view, rows, |fact| fact.tombstones_per_read),
        _ => {}
    }
}
