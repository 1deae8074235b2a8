//! Whether every replica of a table holds what an SSTable of it holds, beside what ids say.
//!
//! Repair of reads, streams and commits that were brought again write without ids: what they bring is there already under the ids of
//! who had it. So it is on every replica once these are proved equal up to a later moment (docs/tracking.md, section 10). An SSTable
//! therefore has a moment up to which such came to it.

use super::Store;
use crate::sstable::SsTable;
use model::schema::TableId;
use model::time::BootNanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of other replicas of a table.
#[derive(Debug, Default)]
pub(crate) struct TableProof {
    /// Up to which moment all replicas hold everything; `None` if this node is the only one.
    proved: Option<BootNanos>,
    /// By file written since the start, the last moment at which something came to it without an id, if any did. To others it came
    /// before the start.
    untracked: BTreeMap<u64, Option<BootNanos>>,
}

impl TableProof {
    /// The last moment at which something came without an id to any of these files.
    fn untracked(&self, tables: &[Arc<SsTable>]) -> Option<BootNanos> {
        let came = tables.iter().map(|table| {
            let known = self.untracked.get(&table.id);
            known.copied().unwrap_or(Some(BootNanos(0)))
        });
        came.max().flatten()
    }

    /// Whether all that came to these files without ids is on every replica.
    pub(super) fn covers(&self, tables: &[Arc<SsTable>]) -> bool {
        match (self.proved, self.untracked(tables)) {
            (Some(proved), Some(at)) => at < proved,
            (None, _) | (_, None) => true,
        }
    }

    /// A memtable to which something came without an id, or nothing, is in this file.
    pub(super) fn flushed(&mut self, table: &SsTable, untracked: Option<BootNanos>) {
        self.untracked.insert(table.id, untracked);
    }

    /// All files are gone.
    pub(super) fn emptied(&mut self) {
        self.untracked.clear();
    }

    /// Some files have taken the place of others.
    pub(super) fn compacted(&mut self, inputs: &[Arc<SsTable>], outputs: &[Arc<SsTable>]) {
        // What is proved by now need not be proved again.
        let untracked = self.untracked(inputs).filter(|_| !self.covers(inputs));
        for input in inputs {
            self.untracked.remove(&input.id);
        }
        for output in outputs {
            self.untracked.insert(output.id, untracked);
        }
    }
}

impl Store {
    /// Tells up to which moment all replicas of a table hold everything; `None` if this node is the only one. Tombstones that came
    /// without ids are purged only when they came before it.
    pub fn prove_upto(&mut self, table: TableId, proved: Option<BootNanos>) {
        if let Some(state) = self.tables.get_mut(&table) {
            state.proof.proved = proved;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_start_needs_a_proof_of_this_start() {
        let proof = |proved| TableProof {
            proved,
            untracked: BTreeMap::new(),
        };
        assert!(proof(None).covers(&[]));
        assert!(proof(Some(BootNanos(0))).covers(&[]), "of nothing");
    }
}
