//! The definitions of the system tables, written in CQL as Apache Cassandra 5.0.6 has them.
//!
//! `system`, `system_schema`, `system_views` and `system_virtual_schema` are the same on every node and never change:
//! they are not in the schema. `system_auth`, `system_distributed` and `system_traces` are, since their replication can
//! be altered; of these only the last two are stored. A table's id is what Cassandra computes from its name.

use cql::ast::Statement;
use cql::plan::ddl;
use md5::{Digest, Md5};
use model::schema::{Keyspace, Replication, Schema, SchemaEdit, Table, TableId, TableKind};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

const COMPUTED: &[(&str, &str)] = &[
    ("system", include_str!("definitions/system.cql")),
    (
        "system_schema",
        include_str!("definitions/system_schema.cql"),
    ),
    ("system_views", include_str!("definitions/system_views.cql")),
    (
        "system_virtual_schema",
        include_str!("definitions/system_virtual_schema.cql"),
    ),
];

/// Tables of these keyspaces that are stored all the same, each shard's share on that shard.
const STORED: &[(&str, &str)] = &[
    ("system", "batches"),
    ("system", "compaction_history"),
    ("system", "paxos"),
];

/// Keyspaces of the schema: name, definitions, replication factor, kind of the tables.
const IN_SCHEMA: &[(&str, &str, &str, TableKind)] = &[
    (
        "system_auth",
        include_str!("definitions/system_auth.cql"),
        "1",
        TableKind::Virtual,
    ),
    (
        "system_distributed",
        include_str!("definitions/system_distributed.cql"),
        "3",
        TableKind::Stored,
    ),
    (
        "system_traces",
        include_str!("definitions/system_traces.cql"),
        "2",
        TableKind::Stored,
    ),
];

/// Keyspaces that `system_virtual_schema` lists instead of `system_schema`.
pub(super) const SHOWN_AS_VIRTUAL: &[&str] = &["system_views", "system_virtual_schema"];

/// The keyspaces that are not in the schema.
pub fn keyspaces() -> BTreeMap<String, Arc<Keyspace>> {
    static KEYSPACES: OnceLock<BTreeMap<String, Arc<Keyspace>>> = OnceLock::new();
    let make = || {
        let keyspace = |(name, text): &(&str, &str)| {
            let replication = Replication {
                class: "LocalStrategy".into(),
                options: BTreeMap::new(),
            };
            let mut keyspace = Keyspace::empty(name, &replication);
            for mut table in tables(name, text, TableKind::Virtual) {
                if STORED.contains(&(*name, &table.name)) {
                    table.kind = TableKind::Stored;
                }
                keyspace.tables.insert(table.name.clone(), Arc::new(table));
            }
            ((*name).to_owned(), Arc::new(keyspace))
        };
        COMPUTED.iter().map(keyspace).collect()
    };
    KEYSPACES.get_or_init(make).clone()
}

/// The schema as the store needs it: with the stored tables of keyspaces that are not in it.
pub fn stored(schema: &Schema) -> Arc<Schema> {
    let mut all = schema.clone();
    for (name, keyspace) in keyspaces() {
        let mut own = Keyspace::clone(&keyspace);
        own.tables
            .retain(|_, table| table.kind == TableKind::Stored);
        if !own.tables.is_empty() {
            all.keyspaces.insert(name, Arc::new(own));
        }
    }
    Arc::new(all)
}

/// What makes the system keyspaces of an empty schema.
pub(super) fn keyspace_edits() -> Vec<SchemaEdit> {
    let mut edits = Vec::new();
    for (name, text, factor, kind) in IN_SCHEMA {
        edits.push(SchemaEdit::PutKeyspace {
            name: (*name).to_owned(),
            replication: Replication {
                class: "SimpleStrategy".into(),
                options: [("replication_factor".to_owned(), (*factor).to_owned())].into(),
            },
            durable_writes: true,
        });
        let tables = tables(name, text, *kind).into_iter();
        edits.extend(tables.map(|table| SchemaEdit::PutTable(Arc::new(table))));
    }
    edits
}

/// The tables of a file of definitions. The files are part of the program, so one that is wrong is a defect of it,
/// which the first start of a test would show.
fn tables(keyspace: &str, text: &str, kind: TableKind) -> Vec<Table> {
    let statements = text
        .split(";\n")
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let table = |text: &str| {
        let parsed = cql::parse::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let Statement::CreateTable(create) = parsed.statement else {
            panic!("not a table: {text}");
        };
        let id = table_id(keyspace, &create.name.name);
        ddl::define(&create, keyspace, kind, id).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    statements.map(table).collect()
}

/// The id of a system table: a version 3 UUID of both names.
fn table_id(keyspace: &str, table: &str) -> TableId {
    let digest = Md5::new()
        .chain_update(keyspace)
        .chain_update(table)
        .finalize();
    TableId(uuid::Builder::from_md5_bytes(digest.into()).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cassandras() {
        for (keyspace, table, id) in [
            ("system", "local", "7ad54392-bcdd-35a6-8417-4e047860b377"),
            (
                "system_schema",
                "keyspaces",
                "abac5682-dea6-31c5-b535-b3d6cffd0fb6",
            ),
            (
                "system_traces",
                "events",
                "8826e8e9-e16a-3728-8753-3bc1fc713c25",
            ),
        ] {
            assert_eq!(table_id(keyspace, table).0.to_string(), id);
        }
    }

    #[test]
    fn every_definition_makes_a_table() {
        let counts: Vec<(String, usize)> = keyspaces()
            .into_iter()
            .map(|(name, keyspace)| (name, keyspace.tables.len()))
            .collect();
        let expected = [
            ("system", 23),
            ("system_schema", 11),
            // Cassandra has 43.
            ("system_views", 45),
            ("system_virtual_schema", 3),
        ];
        assert_eq!(
            counts,
            expected.map(|(name, count)| (name.to_owned(), count))
        );
        let tables = keyspace_edits().into_iter();
        let tables = tables.filter(|edit| matches!(edit, SchemaEdit::PutTable(_)));
        assert_eq!(tables.count(), 8 + 4 + 2);
    }
}
