//! Changes of the schema: what the metadata log stores and every node applies.
//!
//! An edit says what is to be, not how to get there: it holds whole definitions, so that a node that applies it needs
//! nothing but the snapshot it stands on. What must stay true:
//! - applying is a pure function of snapshot and edit: all nodes at one epoch have equal schemas;
//! - an edit was planned against one snapshot. The log refuses it if what it touches has changed since (its epoch tells);
//!   applied to something else it would silently undo the other change;
//! - columns, fields and dropped columns always hold the current definition of every user type: [`SchemaEdit::PutType`]
//!   renews them all.

use super::{Keyspace, Replication, Role, Schema, Table};
use crate::types::UserType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One change of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchemaEdit {
    /// Creates a keyspace, or changes its properties and leaves what is in it.
    PutKeyspace {
        /// Name.
        name: String,
        /// Replication.
        replication: Replication,
        /// Whether writes go to the commit log.
        durable_writes: bool,
    },
    /// Drops a keyspace and everything in it.
    DropKeyspace {
        /// Name.
        name: String,
    },
    /// Creates or replaces a table.
    PutTable(Arc<Table>),
    /// Drops a table.
    DropTable {
        /// Keyspace.
        keyspace: String,
        /// Name.
        name: String,
    },
    /// Creates a user type, or replaces its definition wherever it is used.
    PutType(Arc<UserType>),
    /// Drops a user type that nothing uses.
    DropType {
        /// Keyspace.
        keyspace: String,
        /// Name.
        name: String,
    },
    /// Creates or replaces a role.
    PutRole(Arc<Role>),
    /// Drops a role, and its membership in and of others.
    DropRole {
        /// Name.
        name: String,
    },
}

impl Schema {
    /// The schema after one edit, one epoch later.
    pub fn apply(&self, edit: &SchemaEdit) -> Self {
        self.apply_all(std::slice::from_ref(edit))
    }

    /// The schema after all the edits of one statement, one epoch later.
    pub fn apply_all(&self, edits: &[SchemaEdit]) -> Self {
        let mut schema = self.clone();
        schema.epoch += 1;
        edits.iter().for_each(|edit| schema.change(edit));
        schema
    }

    /// Whether the edits would leave every definition as it is.
    pub fn is_unchanged_by(&self, edits: &[SchemaEdit]) -> bool {
        let after = self.apply_all(edits);
        after.keyspaces == self.keyspaces && after.roles == self.roles
    }

    fn change(&mut self, edit: &SchemaEdit) {
        match edit {
            SchemaEdit::PutKeyspace {
                name,
                replication,
                durable_writes,
            } => {
                let keyspace = self
                    .keyspaces
                    .entry(name.clone())
                    .or_insert_with(|| Arc::new(Keyspace::empty(name, replication)));
                let keyspace = Arc::make_mut(keyspace);
                keyspace.replication = replication.clone();
                keyspace.durable_writes = *durable_writes;
            }
            SchemaEdit::DropKeyspace { name } => {
                self.keyspaces.remove(name);
            }
            SchemaEdit::PutTable(table) => self.change_keyspace(&table.keyspace, |keyspace| {
                keyspace.tables.insert(table.name.clone(), table.clone());
            }),
            SchemaEdit::DropTable { keyspace, name } => {
                self.change_keyspace(keyspace, |keyspace| {
                    keyspace.tables.remove(name);
                })
            }
            SchemaEdit::PutType(definition) => {
                self.change_keyspace(&definition.keyspace, |keyspace| {
                    keyspace.put_type(definition)
                });
            }
            SchemaEdit::DropType { keyspace, name } => self.change_keyspace(keyspace, |keyspace| {
                keyspace.types.remove(name);
            }),
            SchemaEdit::PutRole(role) => {
                self.roles.insert(role.name.clone(), role.clone());
            }
            SchemaEdit::DropRole { name } => {
                self.roles.remove(name);
                for role in self.roles.values_mut() {
                    if role.member_of.contains(name) {
                        Arc::make_mut(role).member_of.remove(name);
                    }
                }
            }
        }
    }

    fn change_keyspace(&mut self, name: &str, change: impl FnOnce(&mut Keyspace)) {
        if let Some(keyspace) = self.keyspaces.get_mut(name) {
            change(Arc::make_mut(keyspace));
        }
    }
}

impl Keyspace {
    /// A keyspace with nothing in it.
    pub fn empty(name: &str, replication: &Replication) -> Self {
        Self {
            name: name.to_owned(),
            replication: replication.clone(),
            durable_writes: true,
            tables: BTreeMap::new(),
            types: BTreeMap::new(),
        }
    }

    fn put_type(&mut self, definition: &Arc<UserType>) {
        for other in self.types.values_mut() {
            let uses = other
                .fields
                .iter()
                .any(|(_, field)| field.references(&definition.keyspace, &definition.name));
            if uses {
                let other = Arc::make_mut(other);
                for (_, field) in &mut other.fields {
                    *field = field.with_user_type(definition);
                }
            }
        }
        self.types
            .insert(definition.name.clone(), definition.clone());
        for table in self.tables.values_mut() {
            if table.references_type(&definition.name) {
                *table = Arc::new(table.with_user_type(definition));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ClusteringOrder, Column, ColumnKind, TableId, TableKind, TableOptions};
    use crate::types::{CqlType, Frozen};

    fn keyspace_edit(name: &str, factor: &str) -> SchemaEdit {
        SchemaEdit::PutKeyspace {
            name: name.into(),
            replication: Replication {
                class: "SimpleStrategy".into(),
                options: [("replication_factor".to_owned(), factor.to_owned())].into(),
            },
            durable_writes: true,
        }
    }

    fn user_type(name: &str, fields: &[(&str, CqlType)]) -> Arc<UserType> {
        Arc::new(UserType {
            keyspace: "k".into(),
            name: name.into(),
            fields: fields
                .iter()
                .map(|(field, ctype)| ((*field).to_owned(), ctype.clone()))
                .collect(),
        })
    }

    fn table(columns: Vec<(&str, CqlType, ColumnKind)>) -> Arc<Table> {
        let columns = columns
            .into_iter()
            .map(|(name, ctype, kind)| Column {
                id: crate::row::ColumnId(0),
                name: name.into(),
                ctype,
                kind,
                position: 0,
                order: ClusteringOrder::Ascending,
            })
            .collect();
        let id = TableId(uuid::Uuid::from_u128(1));
        Arc::new(Table::new(
            id,
            "k",
            "t",
            TableKind::Stored,
            columns,
            TableOptions::default(),
        ))
    }

    #[test]
    fn every_statement_is_one_epoch() {
        let schema = Schema::default()
            .apply_all(&[keyspace_edit("k", "1"), keyspace_edit("l", "1")])
            .apply(&SchemaEdit::DropKeyspace { name: "l".into() });
        assert_eq!(schema.epoch, 2);
        assert_eq!(schema.keyspaces.keys().collect::<Vec<_>>(), ["k"]);
    }

    #[test]
    fn a_changed_keyspace_keeps_its_tables() {
        let key = vec![("p", CqlType::Int, ColumnKind::PartitionKey)];
        let before = Schema::default()
            .apply(&keyspace_edit("k", "1"))
            .apply(&SchemaEdit::PutTable(table(key)));
        let after = before.apply(&keyspace_edit("k", "3"));
        assert_eq!(after.table("k", "t"), before.table("k", "t"));
        assert_eq!(
            after.keyspaces["k"].replication.options["replication_factor"],
            "3"
        );
        assert!(after.is_unchanged_by(&[keyspace_edit("k", "3")]));
        assert!(!after.is_unchanged_by(&[keyspace_edit("k", "2")]));
    }

    #[test]
    fn a_changed_type_changes_whatever_uses_it() {
        let inner = user_type("inner", &[("a", CqlType::Int)]);
        let outer = user_type(
            "outer",
            &[("i", CqlType::Udt(inner.clone(), Frozen::No).freeze())],
        );
        let before = Schema::default()
            .apply(&keyspace_edit("k", "1"))
            .apply(&SchemaEdit::PutType(inner))
            .apply(&SchemaEdit::PutType(outer.clone()))
            .apply(&SchemaEdit::PutTable(table(vec![
                ("p", CqlType::Int, ColumnKind::PartitionKey),
                ("v", CqlType::Udt(outer, Frozen::No), ColumnKind::Regular),
            ])));
        let renewed = user_type("inner", &[("a", CqlType::Int), ("b", CqlType::Text)]);
        let after = before.apply(&SchemaEdit::PutType(renewed.clone()));
        let frozen = CqlType::Udt(renewed, Frozen::No).freeze();
        assert_eq!(after.keyspaces["k"].types["outer"].fields[0].1, frozen);
        let column = after.table("k", "t").and_then(|table| table.column("v"));
        let Some(CqlType::Udt(outer, Frozen::No)) = column.map(|column| &column.ctype) else {
            panic!("still the outer type");
        };
        assert_eq!(outer.fields[0].1, frozen);
        assert_ne!(before.version(), after.version());
    }

    #[test]
    fn a_dropped_role_is_nobodys_member() {
        let role = |name: &str, of: &[&str]| {
            SchemaEdit::PutRole(Arc::new(Role {
                name: name.into(),
                member_of: of.iter().map(|role| (*role).to_owned()).collect(),
                ..Role::default()
            }))
        };
        let schema = Schema::default()
            .apply_all(&[role("a", &[]), role("b", &["a"])])
            .apply(&SchemaEdit::DropRole { name: "a".into() });
        assert!(schema.roles["b"].member_of.is_empty());
        assert!(!schema.roles.contains_key("a"));
    }

    #[test]
    fn edits_survive_the_log() {
        let edit = SchemaEdit::PutTable(table(vec![
            ("p", CqlType::Int, ColumnKind::PartitionKey),
            (
                "v",
                CqlType::Udt(user_type("u", &[("a", CqlType::Text)]), Frozen::No),
                ColumnKind::Regular,
            ),
        ]));
        let json = serde_json::to_string(&edit).expect("edits have string keys only");
        assert_eq!(serde_json::from_str::<SchemaEdit>(&json).ok(), Some(edit));
    }
}
