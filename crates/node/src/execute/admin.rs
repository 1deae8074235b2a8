//! What an operator asks of a shard beside data: flush and compact now, change the ring.
//!
//! Each shard does its part; who asked adds the answers up. Of changes of the ring shard 0 does all, and answers when they are over.

use super::operation::Operation;
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::stream::plan;
use model::key::Token;
use model::read::KeyRange;
use model::schema::{TableId, TableKind};
use model::time::Now;
use std::sync::Arc;
use storage::KeptTokens;
use uuid::Uuid;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAction {
    /// Write what is in memory to SSTables.
    Flush,
    /// Merge all SSTables of each table into one.
    Compact,
    /// Leave out of SSTables what other nodes replicate alone.
    Cleanup,
    /// Change the ring, or take what it says that this node has; keyspace and table are not looked at.
    Ring(RingWork),
}

/// What is asked of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingWork {
    /// This node gives up its tokens and leaves.
    Decommission {
        /// Even if those that stay are fewer than replicas are wanted.
        force: bool,
    },
    /// The member with this host id, which is dead, loses its tokens to the others.
    Remove(Uuid),
    /// This node gives up its tokens for these.
    Move(Vec<Token>),
    /// This node takes everything it replicates from replicas of that data centre, or of any.
    Rebuild(Option<String>),
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
    /// Tables that are cleaned up when they all are flushed.
    cleanups: Vec<TableId>,
}

impl Shard {
    /// Does what an operator asks; [`Effects::admin`] says under this number when it is done.
    pub(crate) fn on_admin(&mut self, id: u64, work: &AdminWork, now: Now, out: &mut Effects) {
        if let AdminAction::Ring(work) = &work.action {
            return match self.number {
                0 => self.begin_ring_work(id, work, now, out),
                _ => out.admin.push((id, Ok(()))),
            };
        }
        let tables = match self.tables_of(work) {
            Ok(tables) => tables,
            Err(reason) => return out.admin.push((id, Err(reason))),
        };
        if tables.is_empty() {
            return out.admin.push((id, Ok(())));
        }
        let cleanups = match work.action {
            AdminAction::Cleanup => tables.clone(),
            _ => Vec::new(),
        };
        let operation = AdminOperation {
            id,
            left: tables.len(),
            failed: None,
            cleanups,
        };
        let number = self.operations.insert(Operation::Admin(operation));
        for table in tables {
            let caller = Caller::Local(number.into());
            match work.action {
                AdminAction::Flush | AdminAction::Cleanup => self.replica.flush(table, caller),
                AdminAction::Compact => self.replica.compact(table, caller),
                AdminAction::Ring(_) => unreachable!("begun above"),
            }
        }
    }

    /// Leaves out what this node does not replicate of a table; the operation hears when that is done.
    fn clean_up(&mut self, table: TableId, number: u64) {
        let keyspaces = self.schema.keyspaces.iter();
        let mut keyspaces = keyspaces.filter(|(_, keyspace)| {
            let mut tables = keyspace.tables.values();
            tables.any(|known| known.id == table)
        });
        let keyspace = keyspaces.next().map(|(name, _)| name.as_str());
        let keyspace = keyspace.and_then(|name| self.topology.keyspace(name));
        let placement = keyspace.and_then(|keyspace| keyspace.placement.as_ref());
        let own = self.topology.local;
        let ranges = match placement {
            Some(placement) => plan::owned(placement, own),
            // What every node has of its own.
            None => vec![KeyRange::all()],
        };
        let kept = Arc::new(KeptTokens::new(ranges));
        self.replica
            .clean_up(table, kept, Caller::Local(number.into()));
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
        if operation.left == 0 && operation.failed.is_none() && !operation.cleanups.is_empty() {
            let tables = std::mem::take(&mut operation.cleanups);
            operation.left = tables.len();
            return tables
                .into_iter()
                .for_each(|table| self.clean_up(table, number));
        }
        if operation.left == 0
            && let Some(Operation::Admin(operation)) = self.operations.remove(number)
        {
            out.admin
                .push((operation.id, operation.failed.map_or(Ok(()), Err)));
        }
    }
}
