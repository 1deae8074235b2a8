//! What an operator has done with tables: flush, compact, clean up, verify.

use super::{AdminAnswer, AdminError, AdminResult, AfterAdmin};
use crate::effects::Effects;
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::stream::plan;
use model::read::KeyRange;
use model::schema::{Keyspace, Table, TableId, TableKind};
use std::sync::Arc;
use storage::{Closeness, KeptTokens, Rewritten, Verified};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableAction {
    /// Write what is in memory to SSTables.
    Flush,
    /// Merge all SSTables of each table into one.
    Compact,
    /// Leave out of SSTables what other nodes replicate alone.
    Cleanup,
    /// Rewrite every SSTable: what may be forgotten is.
    Rewrite,
    /// Read every SSTable again, and say what is wrong.
    Verify {
        /// Only the end of each.
        quick: bool,
        /// Tokens that are not this node's are wrong, too.
        tokens: bool,
    },
    /// Look at the files that are placed in the directory `refresh` of each table.
    LookAtPlaced,
    /// Take over what these hold.
    TakePlaced,
    /// Remove those that were taken.
    RemovePlaced,
}

/// What is wrong with a table's files on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTable {
    /// Its keyspace.
    pub keyspace: String,
    /// Its name.
    pub table: String,
    /// What was found.
    pub verified: Verified,
}

/// What to do with which tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableWork {
    /// What.
    pub action: TableAction,
    /// Tables of this keyspace, or of all.
    pub keyspace: Option<String>,
    /// These tables of it, or all if none is named.
    pub tables: Vec<String>,
}

impl Shard {
    /// Begins this shard's part; the answer, if there is nothing to wait for.
    pub(super) fn begin_table_work(
        &mut self,
        id: u64,
        work: &TableWork,
        out: &mut Effects,
    ) -> Option<AdminResult> {
        let tables = match self.tables_named(work.keyspace.as_deref(), &work.tables) {
            Ok(tables) => tables,
            Err(error) => return Some(Err(error)),
        };
        if work.action == TableAction::RemovePlaced {
            for table in &tables {
                self.replica.store.remove_placed(table.id, &mut out.io);
            }
            return Some(Ok(AdminAnswer::Done));
        }
        if tables.is_empty() {
            return Some(Ok(match work.action {
                TableAction::Verify { .. } | TableAction::LookAtPlaced => {
                    AdminAnswer::Verified(Vec::new())
                }
                _ => AdminAnswer::Done,
            }));
        }
        let ids: Vec<TableId> = tables.iter().map(|table| table.id).collect();
        let then = match work.action {
            TableAction::Cleanup | TableAction::Rewrite => {
                AfterAdmin::CleanUp(ids.clone(), work.action)
            }
            TableAction::Verify { .. } | TableAction::LookAtPlaced => AfterAdmin::Verified(tables),
            _ => AfterAdmin::Answer,
        };
        let number = self.wait_for(id, ids.len(), then);
        for table in ids {
            let caller = Caller::Local(number.into());
            match work.action {
                TableAction::Flush | TableAction::Cleanup | TableAction::Rewrite => {
                    self.replica.flush(table, caller);
                }
                TableAction::Compact => self.replica.compact(table, caller),
                TableAction::LookAtPlaced | TableAction::TakePlaced => {
                    let tokens = self.kept_tokens(table);
                    let takes = work.action == TableAction::TakePlaced;
                    self.replica
                        .refresh(table, (tokens, takes), caller, &mut out.io);
                }
                TableAction::RemovePlaced => {}
                TableAction::Verify { quick, tokens } => {
                    let tokens = tokens.then(|| self.kept_tokens(table));
                    let how = Closeness { quick, tokens };
                    self.replica.verify(table, how, caller, &mut out.io);
                }
            }
        }
        None
    }

    /// Cleans up tables that are flushed, or rewrites them.
    pub(super) fn clean_up_all(&mut self, id: u64, tables: &[TableId], action: TableAction) {
        let number = self.wait_for(id, tables.len(), AfterAdmin::Answer);
        for table in tables {
            let which = match action {
                TableAction::Cleanup => Rewritten::Cut(self.kept_tokens(*table)),
                _ => Rewritten::Every,
            };
            let caller = Caller::Local(number.into());
            self.replica.clean_up(*table, which, caller);
        }
    }

    /// What was found in tables that are verified.
    pub(super) fn verified(&mut self, tables: &[Arc<Table>]) -> AdminAnswer {
        let facts = tables.iter().map(|table| VerifiedTable {
            keyspace: table.keyspace.clone(),
            table: table.name.clone(),
            // Who asked for the same table meanwhile was told.
            verified: self
                .replica
                .store
                .take_verified(table.id)
                .unwrap_or_default(),
        });
        AdminAnswer::Verified(facts.collect())
    }

    /// The ring has changed: cleanups under way leave what this node has now, or is to have.
    pub(crate) fn renew_cleanups(&mut self) {
        let tables: Vec<TableId> = self.replica.store.cleaned_up().collect();
        for table in tables {
            let kept = self.kept_tokens(table);
            self.replica.store.keep_tokens(table, kept);
        }
    }

    /// The tokens of a table that this node has, or is to have.
    fn kept_tokens(&self, table: TableId) -> Arc<KeptTokens> {
        let mut tables = self.schema.tables();
        let keyspace = tables
            .find(|known| known.id == table)
            .map(|known| &known.keyspace);
        let keyspace = keyspace.and_then(|name| self.topology.keyspace(name));
        let placement = keyspace.and_then(|keyspace| keyspace.placement.as_ref());
        let own = self.topology.local;
        let ranges = match placement {
            Some(placement) => plan::owned(placement, own),
            // What every node has of its own.
            None => vec![KeyRange::all()],
        };
        Arc::new(KeptTokens::new(ranges))
    }

    /// The stored tables of a keyspace, or of all; those that are named, or all.
    pub(super) fn tables_named(
        &self,
        keyspace: Option<&str>,
        names: &[String],
    ) -> Result<Vec<Arc<Table>>, AdminError> {
        let keyspaces: Vec<&Keyspace> = match keyspace {
            None => {
                let keyspaces = self.schema.keyspaces.values();
                keyspaces.map(AsRef::as_ref).collect()
            }
            Some(name) => vec![self.keyspace_named(name)?],
        };
        let mut found = Vec::new();
        for keyspace in keyspaces {
            let stored = keyspace
                .tables
                .values()
                .filter(|table| table.kind == TableKind::Stored);
            let wanted = stored.filter(|table| names.is_empty() || names.contains(&table.name));
            found.extend(wanted.cloned());
        }
        let is_found = |name: &String| found.iter().any(|table| table.name == *name);
        match names.iter().find(|name| !is_found(name)) {
            None => Ok(found),
            Some(name) => {
                let keyspace = keyspace.unwrap_or_default();
                let text = format!("Unknown keyspace/cf pair ({keyspace}.{name})");
                Err(AdminError::Invalid(text))
            }
        }
    }

    /// A keyspace of the schema.
    pub(super) fn keyspace_named(&self, name: &str) -> Result<&Keyspace, AdminError> {
        let known = self.schema.keyspaces.get(name);
        known
            .map(AsRef::as_ref)
            .ok_or_else(|| AdminError::Invalid(format!("Keyspace [{name}] does not exist.")))
    }
}
