//! What the ring makes of groups: in which of them each table is, for the proof that purging needs (docs/tracking.md, section 10), and
//! which are written in where others are read, for the gate (section 8).

use super::Shard;
use cluster::ring::Replicas;
use model::schema::TableId;
use model::time::{BootNanos, Now};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::held::Members;

/// How often the store is told what is proved, in milliseconds.
const PROVE_MS: u64 = 1_000;

/// The tables that other nodes have, too.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// By table, the groups that replicate it of which this node is one.
    tables: BTreeMap<TableId, Arc<[Members]>>,
    next: BootNanos,
}

/// Those who are written to.
fn members_of(replicas: &Replicas) -> Vec<u32> {
    let mut members: Vec<u32> = replicas.all().map(|id| id.0).collect();
    members.sort_unstable();
    members
}

impl Shard {
    /// The schema or the ring has changed.
    pub(super) fn place_tables(&mut self) {
        let local = self.topology.local.0;
        let mut written: BTreeMap<Vec<u32>, Vec<Members>> = BTreeMap::new();
        for replicas in self.topology.groups() {
            let mut read: Vec<u32> = replicas.natural.iter().map(|id| id.0).collect();
            read.sort_unstable();
            let members = members_of(replicas);
            if members != read && members.contains(&local) {
                written.entry(read).or_default().push(members.into());
            }
        }
        self.tracking.freshness.set_written(written);
        let mut keyspaces: BTreeMap<&str, Arc<[Members]>> = BTreeMap::new();
        let mut tables = BTreeMap::new();
        for table in self.schema.tables() {
            let groups = keyspaces.entry(&table.keyspace).or_insert_with(|| {
                let keyspace = self.topology.keyspace(&table.keyspace);
                let placement = keyspace.and_then(|keyspace| keyspace.placement.as_ref());
                let groups = placement
                    .into_iter()
                    .flat_map(|placement| placement.groups());
                let groups = groups.map(|replicas| members_of(replicas));
                let own = groups.filter(|members| members.len() > 1 && members.contains(&local));
                own.map(Members::from).collect()
            });
            if !groups.is_empty() {
                tables.insert(table.id, groups.clone());
            }
        }
        // Nothing is proved of a table that others have from now on.
        let before = std::mem::replace(&mut self.tracking.proofs.tables, tables);
        for table in self.tracking.proofs.tables.keys() {
            if !before.contains_key(table) {
                self.replica.store.prove_upto(*table, Some(BootNanos(0)));
            }
        }
        for table in before.keys() {
            if !self.tracking.proofs.tables.contains_key(table) {
                self.replica.store.prove_upto(*table, None);
            }
        }
    }

    /// Tells the store up to which moment the replicas of its tables are proved equal.
    pub(super) fn prove_tables(&mut self, now: Now) {
        let proofs = &mut self.tracking.proofs;
        if proofs.tables.is_empty() || now.boot < proofs.next {
            return;
        }
        proofs.next = now.boot.plus_millis(PROVE_MS);
        let mut known: Option<(Arc<[Members]>, BootNanos)> = None;
        for (table, groups) in &self.tracking.proofs.tables {
            let same = known.as_ref().filter(|(last, _)| Arc::ptr_eq(last, groups));
            let proved = match same {
                Some((_, proved)) => *proved,
                None => self.tracking.freshness.proved(groups),
            };
            known = Some((groups.clone(), proved));
            self.replica.store.prove_upto(*table, Some(proved));
        }
    }
}
