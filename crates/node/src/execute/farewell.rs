//! What is done before data goes with TRUNCATE or DROP: every shard takes its part of a snapshot of each table, the snapshot
//! is made whole, and only then does anything go.
//!
//! So a disk that is full, or a crash, leaves everything as it was, but for a snapshot that nobody needs. Tables are kept
//! out of snapshots by `auto_snapshot: false` and by their own `allow_auto_snapshot`.

use super::gather::{AfterGather, GatherOperation};
use super::operation::Operation;
use super::schema::PlannedChange;
use crate::effects::{Effects, LogLevel};
use crate::message::{Emptied, ShardMessage};
use crate::replica::Caller;
use crate::reply::Reply;
use crate::shard::Shard;
use crate::snapshots::Linked;
use cql::describe::{Internals, create_table};
use model::error::RequestError;
use model::schema::{SchemaEdit, Table, TableId, TableKind};
use model::time::{BootNanos, Now};
use std::sync::Arc;
use storage::{Farewell, Removal};

/// What is done once the farewell is.
#[derive(Debug)]
pub enum Goal {
    /// A change is proposed to the metadata log.
    Propose(Box<PlannedChange>),
    /// What the metadata log has decided comes into force.
    Apply,
    /// A table of the node's own is emptied.
    Empty(TableId),
}

/// A farewell under way.
#[derive(Debug)]
pub struct Leaving {
    /// Snapshots that shards link, or have linked.
    linked: Vec<Linked>,
    /// What is done then.
    goal: Goal,
}

impl Leaving {
    /// What a client is told when it came to nothing.
    pub(super) fn error(&self, reason: &str) -> RequestError {
        match &self.goal {
            Goal::Propose(planned) if !planned.truncates() => RequestError::Server(format!(
                "Nothing was dropped, for what is dropped could not be kept in a snapshot: {reason}"
            )),
            _ => RequestError::Truncate(format!("Error during truncate: {reason}")),
        }
    }

    /// Whether the next change of the schema waits for it.
    pub(super) fn is_change(&self) -> bool {
        matches!(self.goal, Goal::Propose(_))
    }
}

impl Shard {
    /// Removes snapshots whose time is over; returns when to look again.
    pub(crate) fn tend_snapshots(&mut self, now: Now, out: &mut Effects) -> Option<BootNanos> {
        let snapshots = self.snapshots.as_mut()?;
        snapshots.expire(now, &mut out.io);
        let notes = snapshots.take_notes().into_iter();
        out.log.extend(notes.map(|note| (LogLevel::Warn, note)));
        snapshots.next_deadline(now)
    }

    /// The tables that edits drop.
    pub(super) fn tables_dropped(&self, edits: &[SchemaEdit]) -> Vec<(Arc<Table>, Removal)> {
        let mut dropped = Vec::new();
        for edit in edits {
            match edit {
                SchemaEdit::DropTable { keyspace, name } => {
                    dropped.extend(self.schema.table(keyspace, name).cloned());
                }
                SchemaEdit::DropKeyspace { name } => {
                    let keyspace = self.schema.keyspace(name).into_iter();
                    dropped.extend(keyspace.flat_map(|keyspace| keyspace.tables.values().cloned()));
                }
                _ => {}
            }
        }
        let stored = dropped
            .into_iter()
            .filter(|table| table.kind == TableKind::Stored);
        stored.map(|table| (table, Removal::Drop)).collect()
    }

    /// Bids tables farewell on every shard, then goes on to the goal.
    pub(super) fn leave(
        &mut self,
        tables: &[(Arc<Table>, Removal)],
        goal: Goal,
        reply: Option<Reply>,
        now: Now,
        out: &mut Effects,
    ) {
        let mut farewells = Vec::with_capacity(tables.len());
        let mut linked = Vec::new();
        for (table, removal) in tables {
            let removal = *removal;
            let snapshot = self.snapshot_before(table, removal, now);
            let farewell = Farewell {
                table: table.id,
                removal,
                snapshot: snapshot.as_ref().map(|linked| linked.name.clone()),
            };
            linked.extend(snapshot);
            if farewell.snapshot.is_some() || removal == Removal::Drop {
                farewells.push(farewell);
            }
        }
        let leaving = Leaving { linked, goal };
        if farewells.is_empty() {
            return self.reach(leaving.goal, reply, now, out);
        }
        let gather = GatherOperation {
            reply,
            left: farewells.len() * usize::from(self.config.shards),
            deadline: match leaving.goal {
                // Nobody waits for it, and nothing comes after it before it is done.
                Goal::Apply => BootNanos(u64::MAX),
                _ => now.boot.plus_millis(self.config.truncate_timeout_ms),
            },
            then: AfterGather::Linked(Box::new(leaving)),
            failed: None,
        };
        let request = self.operations.insert(Operation::Gather(gather));
        self.bid_farewells(request, farewells, out);
    }

    /// Has every shard keep what is to be kept of tables, which each acknowledges.
    pub(super) fn bid_farewells(
        &mut self,
        request: u64,
        farewells: Vec<Farewell>,
        out: &mut Effects,
    ) {
        for farewell in farewells {
            for shard in self.other_shards() {
                let farewell = farewell.clone();
                let message = ShardMessage::Farewell { request, farewell };
                self.tell(shard, message, out);
            }
            let caller = Caller::Local(request.into());
            self.replica.bid_farewell(&farewell, caller);
        }
    }

    /// The snapshot to take of a table before its data goes.
    fn snapshot_before(&mut self, table: &Table, removal: Removal, now: Now) -> Option<Linked> {
        if !self.config.auto_snapshot || !table.options.allow_auto_snapshot {
            return None;
        }
        let what = match removal {
            Removal::Drop => "dropped",
            Removal::Nothing | Removal::Truncate => "truncated",
        };
        let created_millis = self.snapshot_millis(now);
        let ttl = self.config.auto_snapshot_ttl_ms;
        let schema_cql = create_table(table, Internals::Shown);
        Some(Linked {
            name: format!("{what}-{created_millis}-{}", table.name).into(),
            keyspace: table.keyspace.clone(),
            table: table.name.clone(),
            table_directory: self.replica.store.table_directory(table),
            schema_cql: format!("{schema_cql}\n"),
            created_millis,
            expires_millis: ttl.map(|ttl| created_millis.saturating_add_unsigned(ttl)),
        })
    }

    /// All shards have linked what they have, or all snapshots are whole, or something failed.
    pub(super) fn left(&mut self, gather: GatherOperation, now: Now, out: &mut Effects) {
        let GatherOperation {
            reply,
            then,
            failed,
            deadline,
            ..
        } = gather;
        let (leaving, whole) = match then {
            AfterGather::Linked(leaving) => (leaving, false),
            AfterGather::Kept(leaving) => (leaving, true),
            _ => unreachable!("the caller looked"),
        };
        if let Some(error) = failed {
            let reason = error.into_text();
            if let Some(snapshots) = &mut self.snapshots {
                for linked in &leaving.linked {
                    snapshots.discard(linked, &mut out.io);
                }
            }
            match reply {
                Some(reply) => self.fail(&reply, &leaving.error(&reason), now, out),
                // It is decided, and goes all the same.
                None => {
                    let text = format!("data goes that could not be kept in a snapshot: {reason}");
                    out.log.push((LogLevel::Error, text));
                    return self.reach(leaving.goal, None, now, out);
                }
            }
            if leaving.is_change() {
                self.next_schema_change(now, out);
            }
            return;
        }
        if whole || leaving.linked.is_empty() {
            return self.reach(leaving.goal, reply, now, out);
        }
        let linked = leaving.linked.clone();
        let gather = GatherOperation {
            reply,
            left: linked.len(),
            then: AfterGather::Kept(leaving),
            failed: None,
            deadline,
        };
        let request = self.operations.insert(Operation::Gather(gather));
        let snapshots = self.snapshots.as_mut();
        let snapshots = snapshots.expect("shard 0 has the snapshots");
        for linked in linked {
            snapshots.complete(request, linked, &mut out.io);
        }
    }

    /// The farewell is done: now the data goes.
    fn reach(&mut self, goal: Goal, reply: Option<Reply>, now: Now, out: &mut Effects) {
        match (goal, reply) {
            (Goal::Empty(table), reply) => {
                let emptied = Emptied {
                    table,
                    at: self.clock.next(now),
                    epoch: 0,
                };
                self.empty(emptied, reply, now, out);
            }
            (Goal::Propose(planned), Some(reply)) => self.propose_change(planned, reply, now, out),
            (Goal::Propose(_), None) => unreachable!("who asks is told by the end or the deadline"),
            (Goal::Apply, _) => self.empty_tables(now, out),
        }
    }

    fn empty(&mut self, emptied: Emptied, reply: Option<Reply>, now: Now, out: &mut Effects) {
        let deadline = now.boot.plus_millis(self.config.truncate_timeout_ms);
        let left = usize::from(self.config.shards);
        let gather = GatherOperation {
            reply,
            left,
            then: AfterGather::Truncated,
            failed: None,
            deadline,
        };
        let request = self.operations.insert(Operation::Gather(gather));
        for shard in self.other_shards() {
            self.tell(shard, ShardMessage::Truncate { request, emptied }, out);
        }
        let caller = Caller::Local(request.into());
        self.replica.truncate(emptied, caller, now, &mut out.io);
    }

    /// A time for the names of snapshots that none had before, in milliseconds.
    fn snapshot_millis(&mut self, now: Now) -> i64 {
        let last = &mut self.schema_changes.last_snapshot_millis;
        *last = (now.wall.0 / 1000).max(*last + 1);
        *last
    }
}
