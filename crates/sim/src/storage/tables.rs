//! The tables of the storage simulation, and how their bytes are made.

use model::clustering;
use model::key::DecoratedKey;
use model::row::ColumnId;
use model::schema::{
    ClusteringOrder, Column, ColumnKind, Keyspace, Replication, Schema, Table, TableId, TableKind,
    TableOptions,
};
use model::types::{CqlType, Frozen};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Partition keys there are.
pub const KEYS: u8 = 24;
/// Clustering keys there are.
pub const ROWS: u8 = 30;

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// One row a partition.
    Plain,
    /// Clustering, a static column, a collection.
    Wide,
    /// A row for each mutation, never deleted: its presence tells that the mutation is there.
    Witness,
}

impl Name {
    /// Its id.
    pub fn id(self) -> TableId {
        TableId(uuid::Uuid::from_u128(0x1000 + self as u128))
    }
}

/// Columns of [`Name::Wide`] by what they are.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// The static column.
    pub fixed: ColumnId,
    /// Plain columns.
    pub plain: [ColumnId; 2],
    /// The map.
    pub map: ColumnId,
}

/// Schema and column ids.
#[derive(Debug, Clone)]
pub struct Tables {
    /// The schema.
    pub schema: Arc<Schema>,
    /// Columns of the wide table.
    pub wide: Columns,
    /// Columns of the plain table.
    pub plain: [ColumnId; 2],
    /// The witness' one column.
    pub witness: ColumnId,
}

fn column(name: &str, ctype: CqlType, kind: ColumnKind) -> Column {
    Column {
        id: ColumnId(0),
        name: name.to_owned(),
        ctype,
        kind,
        position: 0,
        order: ClusteringOrder::Ascending,
    }
}

impl Tables {
    /// The schema with these options for every table.
    pub fn new(options: &TableOptions) -> Self {
        let key = || column("k", CqlType::Tinyint, ColumnKind::PartitionKey);
        let row = || column("c", CqlType::Tinyint, ColumnKind::Clustering);
        let text = |name: &str| column(name, CqlType::Text, ColumnKind::Regular);
        let map = CqlType::Map(
            Arc::new(CqlType::Tinyint),
            Arc::new(CqlType::Text),
            Frozen::No,
        );
        let table = |name: Name, columns: Vec<Column>| {
            let title = format!("{name:?}").to_lowercase();
            let kind = TableKind::Stored;
            Arc::new(Table::new(
                name.id(),
                "sim",
                &title,
                kind,
                columns,
                options.clone(),
            ))
        };
        let plain = table(Name::Plain, vec![key(), text("a"), text("b")]);
        let wide = table(
            Name::Wide,
            vec![
                key(),
                row(),
                column("s", CqlType::Text, ColumnKind::Static),
                text("a"),
                text("b"),
                column("m", map, ColumnKind::Regular),
            ],
        );
        let number = column("c", CqlType::Bigint, ColumnKind::Clustering);
        let witness = table(Name::Witness, vec![key(), number, text("v")]);
        let id = |table: &Table, name: &str| table.column(name).expect("just made").id;
        let made = [&plain, &wide, &witness];
        let tables = made.map(|table| (table.name.clone(), table.clone()));
        let keyspace = Keyspace {
            name: "sim".into(),
            replication: Replication {
                class: "SimpleStrategy".into(),
                options: BTreeMap::new(),
            },
            durable_writes: true,
            tables: tables.into_iter().collect(),
            types: BTreeMap::new(),
        };
        let schema = Schema {
            epoch: 1,
            keyspaces: BTreeMap::from([("sim".to_owned(), Arc::new(keyspace))]),
            roles: BTreeMap::new(),
        };
        Self {
            wide: Columns {
                fixed: id(&wide, "s"),
                plain: [id(&wide, "a"), id(&wide, "b")],
                map: id(&wide, "m"),
            },
            plain: [id(&plain, "a"), id(&plain, "b")],
            witness: id(&witness, "v"),
            schema: Arc::new(schema),
        }
    }

    fn table(&self, name: Name) -> &Table {
        let title = format!("{name:?}").to_lowercase();
        self.schema.table("sim", &title).expect("one of ours")
    }

    /// The clustering key of a row.
    pub fn clustering(&self, name: Name, row: u64) -> Vec<u8> {
        match name {
            Name::Plain => Vec::new(),
            Name::Wide => clustering::encode(self.table(name), &[&[row as u8]]),
            Name::Witness => clustering::encode(self.table(name), &[&row.to_be_bytes()]),
        }
    }

    /// The row of a clustering key.
    pub fn row(&self, name: Name, clustering: &[u8]) -> u64 {
        let values = clustering::decode(self.table(name), clustering).expect("a key of ours");
        values.first().map_or(0, |value| {
            value
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        })
    }
}

/// A partition key.
pub fn key(number: u8) -> DecoratedKey {
    DecoratedKey::new(vec![number])
}
