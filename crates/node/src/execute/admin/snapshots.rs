//! Snapshots that an operator takes and removes. Shard 0 has every shard link what it holds of each table, and when all
//! have, makes the snapshots whole, as before a TRUNCATE (`execute/farewell.rs`), but nothing goes afterwards.

use super::{AdminAnswer, AdminError, AdminResult, AfterAdmin};
use crate::effects::Effects;
use crate::shard::Shard;
use crate::snapshots::Linked;
use cql::describe::{Internals, create_table};
use model::schema::Table;
use model::time::Now;
use std::sync::Arc;
use storage::{Farewell, Removal};

/// What to do about snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotWork {
    /// Take one of each table.
    Take {
        /// Its name; that of a directory.
        name: String,
        /// Of all tables of these keyspaces, of every keyspace if none is named.
        keyspaces: Vec<String>,
        /// Of this table alone.
        table: Option<String>,
        /// After how many milliseconds it goes by itself.
        ttl_ms: Option<u64>,
    },
    /// Remove them.
    Clear {
        /// Those of this name, or all.
        name: Option<String>,
        /// Those of these keyspaces, or of all if none is named.
        keyspaces: Vec<String>,
    },
}

/// Snapshots that shards link, or have linked.
#[derive(Debug)]
pub(super) struct LinkedSnapshots(Vec<Linked>);

impl Shard {
    pub(super) fn begin_snapshot_work(
        &mut self,
        id: u64,
        work: &SnapshotWork,
        now: Now,
        out: &mut Effects,
    ) -> Option<AdminResult> {
        match work {
            SnapshotWork::Take {
                name,
                keyspaces,
                table,
                ttl_ms,
            } => match self.snapshots_to_take(name, keyspaces, table.as_ref(), *ttl_ms, now) {
                Ok(wanted) => self.link_snapshots(id, wanted, out),
                Err(error) => Some(Err(error)),
            },
            SnapshotWork::Clear { name, keyspaces } => {
                for keyspace in keyspaces {
                    if let Err(error) = self.keyspace_named(keyspace) {
                        return Some(Err(error));
                    }
                }
                let number = self.wait_for(id, 1, AfterAdmin::Answer);
                let snapshots = self.snapshots.as_mut();
                let snapshots = snapshots.expect("shard 0 has the snapshots");
                let cleared = snapshots.clear(number, name.as_deref(), keyspaces, &mut out.io);
                if cleared == 0 {
                    self.operations.remove(number);
                    return Some(Ok(AdminAnswer::Done));
                }
                if let Some(super::Operation::Admin(operation)) = self.operations.get_mut(number) {
                    operation.left = cleared;
                }
                None
            }
        }
    }

    /// The tables a snapshot is wanted of, each with what it will be.
    fn snapshots_to_take(
        &self,
        name: &str,
        keyspaces: &[String],
        table: Option<&String>,
        ttl_ms: Option<u64>,
        now: Now,
    ) -> Result<Vec<(Arc<Table>, Linked)>, AdminError> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            let text = format!("\"{name}\" cannot be a snapshot's name: it names a directory");
            return Err(AdminError::Invalid(text));
        }
        let names: Vec<String> = table.into_iter().cloned().collect();
        let mut tables = Vec::new();
        match keyspaces {
            [] => tables = self.tables_named(None, &names)?,
            some => {
                for keyspace in some {
                    tables.extend(self.tables_named(Some(keyspace), &names)?);
                }
            }
        }
        let taken = self.snapshots.as_ref().is_some_and(|snapshots| {
            let shown = snapshots.shown();
            let is_of = |table: &Arc<Table>| {
                shown.iter().any(|fact| {
                    fact.name == name && fact.keyspace == table.keyspace && fact.table == table.name
                })
            };
            tables.iter().any(is_of)
        });
        if taken {
            let text = format!("Snapshot {name} already exists.");
            return Err(AdminError::Invalid(text));
        }
        let created_millis = now.wall.0 / 1000;
        let wanted = tables.into_iter().map(|table| {
            let linked = Linked {
                name: name.into(),
                keyspace: table.keyspace.clone(),
                table: table.name.clone(),
                table_directory: self.replica.store.table_directory(&table),
                schema_cql: format!("{}\n", create_table(&table, Internals::Shown)),
                created_millis,
                expires_millis: ttl_ms.map(|ttl| created_millis.saturating_add_unsigned(ttl)),
            };
            (table, linked)
        });
        Ok(wanted.collect())
    }

    fn link_snapshots(
        &mut self,
        id: u64,
        wanted: Vec<(Arc<Table>, Linked)>,
        out: &mut Effects,
    ) -> Option<AdminResult> {
        if wanted.is_empty() {
            return Some(Ok(AdminAnswer::Done));
        }
        let left = wanted.len() * usize::from(self.config.shards);
        let (tables, linked): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let farewells = tables.iter().zip(&linked).map(|(table, linked)| Farewell {
            table: table.id,
            removal: Removal::Nothing,
            snapshot: Some(linked.name.clone()),
        });
        let farewells: Vec<Farewell> = farewells.collect();
        let then = AfterAdmin::Complete(LinkedSnapshots(linked));
        let request = self.wait_for(id, left, then);
        self.bid_farewells(request, farewells, out);
        None
    }

    /// All shards have linked what they have, or something failed.
    pub(super) fn snapshots_linked(
        &mut self,
        id: u64,
        linked: LinkedSnapshots,
        failed: Option<String>,
        out: &mut Effects,
    ) {
        let number = self.wait_for(id, linked.0.len(), AfterAdmin::Answer);
        let snapshots = self.snapshots.as_mut();
        let snapshots = snapshots.expect("shard 0 has the snapshots");
        let Some(reason) = failed else {
            for linked in linked.0 {
                snapshots.complete(number, linked, &mut out.io);
            }
            return;
        };
        for linked in &linked.0 {
            snapshots.discard(linked, &mut out.io);
        }
        self.operations.remove(number);
        out.admin.push((id, Err(AdminError::Failed(reason))));
    }
}
