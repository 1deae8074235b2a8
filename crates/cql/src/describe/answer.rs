//! The result sets of DESCRIBE.

use crate::ast::maybe_quote;
use model::schema::{Keyspace, Table};
use model::types::{CqlType, Frozen, UserType};
use model::value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The keyspace the columns of every answer belong to.
pub const KEYSPACE: &str = "system";

/// The table the columns of every answer belong to.
pub const TABLE: &str = "describe";

/// A result set: columns, and rows of the bytes of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Names and types of the columns.
    pub columns: Vec<(&'static str, CqlType)>,
    /// The values of each row; none is null.
    pub rows: Vec<Vec<Vec<u8>>>,
}

/// What DESCRIBE CLUSTER tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFacts {
    /// Name of the cluster.
    pub name: String,
    /// Class of the partitioner, without its package.
    pub partitioner: String,
    /// Class of the snitch, without its package.
    pub snitch: String,
    /// Replicas (`address/address:port`) by the token that ends their range, where the keyspace in use is replicated.
    pub range_ownership: Option<BTreeMap<String, Vec<String>>>,
}

/// Something described.
pub(super) struct Element {
    keyspace: String,
    kind: &'static str,
    name: String,
    create_statement: Option<String>,
}

impl Element {
    pub(super) fn keyspace(keyspace: &Keyspace, create_statement: Option<String>) -> Self {
        Self::new(&keyspace.name, "keyspace", &keyspace.name, create_statement)
    }

    pub(super) fn table(table: &Table, create_statement: Option<String>) -> Self {
        Self::new(&table.keyspace, "table", &table.name, create_statement)
    }

    pub(super) fn user_type(definition: &UserType, create_statement: Option<String>) -> Self {
        Self::new(
            &definition.keyspace,
            "type",
            &definition.name,
            create_statement,
        )
    }

    fn new(
        keyspace: &str,
        kind: &'static str,
        name: &str,
        create_statement: Option<String>,
    ) -> Self {
        let quoted = |name| maybe_quote(name);
        Self {
            keyspace: quoted(keyspace),
            kind,
            name: quoted(name),
            create_statement,
        }
    }

    fn row(self) -> Vec<Vec<u8>> {
        let kind = self.kind.to_owned();
        let texts = [
            Some(self.keyspace),
            Some(kind),
            Some(self.name),
            self.create_statement,
        ];
        texts
            .into_iter()
            .flatten()
            .map(String::into_bytes)
            .collect()
    }
}

const NAMES: [(&str, CqlType); 3] = [
    ("keyspace_name", CqlType::Text),
    ("type", CqlType::Text),
    ("name", CqlType::Text),
];

/// The names of elements.
pub(super) fn list(elements: Vec<Element>) -> Answer {
    Answer {
        columns: NAMES.to_vec(),
        rows: elements.into_iter().map(Element::row).collect(),
    }
}

/// The names of elements and the statements that create them.
pub(super) fn create_statements(elements: Vec<Element>) -> Answer {
    let mut columns = NAMES.to_vec();
    columns.push(("create_statement", CqlType::Text));
    Answer {
        columns,
        rows: elements.into_iter().map(Element::row).collect(),
    }
}

pub(super) fn cluster(facts: &ClusterFacts) -> Answer {
    let mut columns = vec![
        ("cluster", CqlType::Text),
        ("partitioner", CqlType::Text),
        ("snitch", CqlType::Text),
    ];
    let mut row: Vec<Vec<u8>> = [&facts.name, &facts.partitioner, &facts.snitch]
        .map(|text| text.clone().into_bytes())
        .into();
    if let Some(ownership) = &facts.range_ownership {
        let replicas = CqlType::List(Arc::new(CqlType::Text), Frozen::No);
        columns.push((
            "range_ownership",
            CqlType::Map(Arc::new(CqlType::Text), Arc::new(replicas), Frozen::No),
        ));
        let lists: Vec<(&str, Vec<u8>)> = ownership
            .iter()
            .map(|(token, replicas)| {
                (
                    token.as_str(),
                    value::join_collection(replicas.len(), replicas.iter().map(String::as_bytes)),
                )
            })
            .collect();
        let parts = lists
            .iter()
            .flat_map(|(token, list)| [token.as_bytes(), list.as_slice()]);
        row.push(value::join_collection(lists.len(), parts));
    }
    Answer {
        columns,
        rows: vec![row],
    }
}
