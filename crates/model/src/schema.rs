//! Schema: keyspaces, tables, columns, user types, roles; immutable snapshots with an epoch.
//!
//! A snapshot is shared by every shard as an `Arc` and replaced as a whole by the metadata log; nothing in it is ever
//! changed in place. Column ids are never used again within a table.

mod edit;
mod options;
mod roles;

pub use edit::SchemaEdit;
pub use options::{Caching, RowsPerPartition, SpeculativeRetry, TableOptions};
pub use roles::Role;

use crate::row::ColumnId;
use crate::types::{CqlType, UserType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table's identity: survives nothing, so that a dropped and re-created name is another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(pub uuid::Uuid);

/// What a column is to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    /// Part of the partition key.
    PartitionKey,
    /// Part of the clustering key.
    Clustering,
    /// One value a partition.
    Static,
    /// One value a row.
    Regular,
}

/// Direction of a clustering column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ClusteringOrder {
    Ascending,
    Descending,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Stable number in the table.
    pub id: ColumnId,
    /// Name as stored.
    pub name: String,
    /// Type.
    pub ctype: CqlType,
    /// Role in the table.
    pub kind: ColumnKind,
    /// Index within the partition or clustering key; 0 otherwise.
    pub position: usize,
    /// Order, of a clustering column.
    pub order: ClusteringOrder,
}

impl Column {
    /// Whether the column sorts descending.
    pub fn is_descending(&self) -> bool {
        self.order == ClusteringOrder::Descending
    }

    /// Whether it is part of the primary key.
    pub fn is_primary_key(&self) -> bool {
        matches!(self.kind, ColumnKind::PartitionKey | ColumnKind::Clustering)
    }
}

/// A column that was dropped: data written up to `dropped_at` is not read again, and the name may come back only with
/// a compatible type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedColumn {
    /// The column as it was.
    pub column: Column,
    /// Time of the drop, in microseconds.
    pub dropped_at: i64,
}

/// Where a table's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableKind {
    /// Storage.
    Stored,
    /// Computed when read (`system`, `system_schema`, `system_views`, `system_virtual_schema`).
    Virtual,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Identity.
    pub id: TableId,
    /// Keyspace name.
    pub keyspace: String,
    /// Name.
    pub name: String,
    /// Stored or virtual.
    pub kind: TableKind,
    /// Columns: partition key, clustering key, static by name, regular by name: the order of `SELECT *`.
    columns: Vec<Column>,
    partition_columns: usize,
    clustering_columns: usize,
    static_columns: usize,
    /// Columns dropped since the table was made.
    pub dropped: Vec<DroppedColumn>,
    /// Whether it was made WITH COMPACT STORAGE: columns can be neither added nor made static.
    pub compact: bool,
    next_column_id: u32,
    /// Options of WITH.
    pub options: TableOptions,
}

impl Table {
    /// A table of these columns, whose ids are assigned here in the order given. Key columns carry their positions.
    pub fn new(
        id: TableId,
        keyspace: &str,
        name: &str,
        kind: TableKind,
        mut columns: Vec<Column>,
        options: TableOptions,
    ) -> Self {
        for (index, column) in columns.iter_mut().enumerate() {
            column.id = ColumnId(index as u32);
        }
        let next_column_id = columns.len() as u32;
        let mut table = Self {
            id,
            keyspace: keyspace.to_owned(),
            name: name.to_owned(),
            kind,
            columns,
            partition_columns: 0,
            clustering_columns: 0,
            static_columns: 0,
            dropped: Vec::new(),
            compact: false,
            next_column_id,
            options,
        };
        table.arrange();
        table
    }

    fn arrange(&mut self) {
        // Cassandra orders names by their first eight bytes as a signed number, so those outside ASCII come first.
        let prefix = |name: &str| {
            let mut bytes = [0; 8];
            let length = name.len().min(8);
            bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
            i64::from_be_bytes(bytes)
        };
        self.columns.sort_by(|one, other| {
            let place = |column: &Column| (column.kind, column.position, prefix(&column.name));
            place(one)
                .cmp(&place(other))
                .then_with(|| one.name.cmp(&other.name))
        });
        let count = |kind| {
            self.columns
                .iter()
                .filter(|column| column.kind == kind)
                .count()
        };
        (
            self.partition_columns,
            self.clustering_columns,
            self.static_columns,
        ) = (
            count(ColumnKind::PartitionKey),
            count(ColumnKind::Clustering),
            count(ColumnKind::Static),
        );
        assert!(self.partition_columns > 0, "a table has a partition key");
    }

    /// All columns in the order of `SELECT *`.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Partition key columns in order.
    pub fn partition_key(&self) -> &[Column] {
        &self.columns[..self.partition_columns]
    }

    /// Clustering columns in order.
    pub fn clustering_key(&self) -> &[Column] {
        &self.columns[self.partition_columns..self.partition_columns + self.clustering_columns]
    }

    /// Clustering columns in order, to iterate.
    pub fn clustering(&self) -> std::slice::Iter<'_, Column> {
        self.clustering_key().iter()
    }

    /// Static columns by name.
    pub fn statics(&self) -> &[Column] {
        let start = self.partition_columns + self.clustering_columns;
        &self.columns[start..start + self.static_columns]
    }

    /// Regular columns by name.
    pub fn regulars(&self) -> &[Column] {
        &self.columns[self.partition_columns + self.clustering_columns + self.static_columns..]
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column with this id.
    pub fn column_by_id(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// Whether its columns are counters, or were before they were all dropped.
    pub fn is_counter(&self) -> bool {
        let dropped = self.dropped.iter().map(|dropped| &dropped.column);
        self.statics()
            .iter()
            .chain(self.regulars())
            .chain(dropped)
            .any(|column| column.ctype == CqlType::Counter)
    }

    /// Whether the user type of this name, in the table's keyspace, occurs in any column.
    pub fn references_type(&self, name: &str) -> bool {
        self.columns
            .iter()
            .any(|column| column.ctype.references(&self.keyspace, name))
    }

    /// Adds a column under a new id.
    pub fn add_column(&mut self, name: &str, ctype: CqlType, kind: ColumnKind) {
        assert!(
            self.column(name).is_none() && !matches!(kind, ColumnKind::PartitionKey),
            "checked by the statement"
        );
        let id = ColumnId(self.next_column_id);
        self.next_column_id += 1;
        self.columns.push(Column {
            id,
            name: name.to_owned(),
            ctype,
            kind,
            position: 0,
            order: ClusteringOrder::Ascending,
        });
        self.arrange();
    }

    /// Drops a column at a time in microseconds. Its type is kept with user types as the tuples they are, so that it
    /// does not depend on their later fate.
    pub fn drop_column(&mut self, name: &str, dropped_at: i64) {
        if let Some(index) = self.columns.iter().position(|column| column.name == name) {
            let mut column = self.columns.remove(index);
            column.ctype = column.ctype.expand_user_types();
            self.dropped.retain(|dropped| dropped.column.name != name);
            self.dropped.push(DroppedColumn { column, dropped_at });
            self.arrange();
        }
    }

    /// Renames a primary key column.
    pub fn rename_column(&mut self, from: &str, to: &str) {
        if let Some(column) = self.columns.iter_mut().find(|column| column.name == from) {
            to.clone_into(&mut column.name);
            self.arrange();
        }
    }

    /// The same table with a user type's definition replaced wherever it is used.
    pub fn with_user_type(&self, definition: &Arc<UserType>) -> Self {
        let mut table = self.clone();
        table
            .columns
            .iter_mut()
            .for_each(|column| column.ctype = column.ctype.with_user_type(definition));
        table
    }
}

/// Replication of a keyspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    /// Strategy class without its package: `SimpleStrategy`, `NetworkTopologyStrategy`, `LocalStrategy`.
    pub class: String,
    /// Its options: `replication_factor`, or factors by data centre.
    pub options: BTreeMap<String, String>,
}

/// A keyspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyspace {
    /// Name as stored.
    pub name: String,
    /// Replication.
    pub replication: Replication,
    /// Whether writes go to the commit log.
    pub durable_writes: bool,
    /// Tables by name.
    pub tables: BTreeMap<String, Arc<Table>>,
    /// User types by name.
    pub types: BTreeMap<String, Arc<UserType>>,
}

/// All of it, at one epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Grows with every change.
    pub epoch: u64,
    /// Keyspaces by name, the virtual ones left out.
    pub keyspaces: BTreeMap<String, Arc<Keyspace>>,
    /// Roles by name.
    pub roles: BTreeMap<String, Arc<Role>>,
}

impl Schema {
    /// The keyspace of this name.
    pub fn keyspace(&self, name: &str) -> Option<&Arc<Keyspace>> {
        self.keyspaces.get(name)
    }

    /// The table of this name.
    pub fn table(&self, keyspace: &str, name: &str) -> Option<&Arc<Table>> {
        self.keyspaces.get(keyspace)?.tables.get(name)
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.keyspaces
            .values()
            .flat_map(|keyspace| keyspace.tables.values())
    }

    /// A digest of all definitions, as `schema_version` shows it: equal exactly when the definitions are.
    pub fn version(&self) -> uuid::Uuid {
        let mut bytes = Vec::new();
        for keyspace in self.keyspaces.values() {
            bytes.extend_from_slice(format!("{keyspace:?}").as_bytes());
        }
        let low = crate::murmur::hash(&bytes) as u64;
        bytes.push(1);
        let high = crate::murmur::hash(&bytes) as u64;
        uuid::Builder::from_custom_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
            .into_uuid()
    }
}
