//! What an operator asks of a shard beside data: flush and compact now.
//!
//! Each shard does its part; who asked adds the answers up.

use super::operation::Operation;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::replica::Caller;
use crate::shard::Shard;
use model::schema::{TableId, TableKind};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAction {
    /// Write what is in memory to SSTables.
    Flush,
    /// Merge all SSTables of each table into one.
    Compact,
}

/// What to do with which tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminWork {
    /// What.
    pub action: AdminAction,
    /// Tables of this keyspace, or of all.
    pub keyspace: Option<String>,
    /// This table, or all.
    pub table: Option<String>,
}

/// Admin work under way.
#[derive(Debug)]
pub struct AdminOperation {
    /// Number its answer carries.
    id: u64,
    /// Tables not done yet.
    left: usize,
    /// The first failure.
    failed: Option<String>,
}

impl Shard {
    /// Does what an operator asks; [`Effects::admin`] says under this number when it is done.
    pub(crate) fn on_admin(&mut self, id: u64, work: &AdminWork, out: &mut Effects) {
        let tables = match self.tables_of(work) {
            Ok(tables) => tables,
            Err(reason) => return out.admin.push((id, Err(reason))),
        };
        if tables.is_empty() {
            return out.admin.push((id, Ok(())));
        }
        let operation = AdminOperation {
            id,
            left: tables.len(),
            failed: None,
        };
        let number = self.operations.insert(Operation::Admin(operation));
        for table in tables {
            let caller = Caller::Local(number.into());
            match work.action {
                AdminAction::Flush => self.replica.flush(table, caller),
                AdminAction::Compact => self.replica.compact(table, caller),
            }
        }
    }

    fn tables_of(&self, work: &AdminWork) -> Result<Vec<TableId>, String> {
        let mut found = Vec::new();
        for (name, keyspace) in &self.schema.keyspaces {
            if work.keyspace.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let stored = keyspace
                .tables
                .values()
                .filter(|table| table.kind == TableKind::Stored);
            let wanted = stored.filter(|table| {
                work.table
                    .as_ref()
                    .is_none_or(|wanted| *wanted == table.name)
            });
            found.extend(wanted.map(|table| table.id));
        }
        match (&work.keyspace, &work.table) {
            (Some(keyspace), _) if !self.schema.keyspaces.contains_key(keyspace) => {
                Err(format!("keyspace {keyspace} does not exist"))
            }
            (_, Some(table)) if found.is_empty() => Err(format!("table {table} does not exist")),
            _ => Ok(found),
        }
    }

    /// One table of admin work is done.
    pub(super) fn admin_acknowledged(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        out: &mut Effects,
    ) {
        let Some(Operation::Admin(operation)) = self.operations.get_mut(number) else {
            return;
        };
        operation.left -= 1;
        if let Err(error) = result {
            operation.failed.get_or_insert(error.into_text());
        }
        if operation.left == 0
            && let Some(Operation::Admin(operation)) = self.operations.remove(number)
        {
            out.admin
                .push((operation.id, operation.failed.map_or(Ok(()), Err)));
        }
    }
}
