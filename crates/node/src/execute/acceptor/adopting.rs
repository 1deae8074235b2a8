//! With a partition a node gains what the acceptor knew that has it: what a majority accepted or committed before a change of the ring
//! is known to a majority after it, too (DESIGN, section 5).
//!
//! Rows of `system.paxos` travel as chunks of any table, and are not applied as rows: two acceptors' rows are merged by their ballots.

use super::state::instance_of;
use super::{Adopted, Asker, Told};
use crate::effects::Effects;
use crate::message::ReplicaError;
use crate::shard::Shard;
use model::clustering;
use model::key::DecoratedKey;
use model::mutation::MutationView;
use model::schema::TableId;
use model::time::Now;

impl Shard {
    /// The table that goes with the partitions of every other.
    pub(crate) fn acceptors_table(&self) -> TableId {
        self.paxos_table().id
    }

    /// How many rows of other acceptors a part of a chunk is; `None` if it is of another table.
    pub(crate) fn adopted_rows(&self, mutation: &[u8]) -> Option<usize> {
        let view = MutationView::parse(mutation)?;
        let (table, update) = view.updates().next()?;
        (table == self.paxos_table().id).then(|| update.rows().count())
    }

    /// Takes over what another acceptor knew; the operation of a chunk hears of each row.
    pub(crate) fn adopt(&mut self, mutation: &[u8], chunk: u64, now: Now, out: &mut Effects) {
        let table = self.paxos_table();
        let view = MutationView::parse(mutation).expect("counted before");
        let key = DecoratedKey {
            token: view.token,
            key: view.key.into(),
        };
        let (_, update) = view.updates().next().expect("counted before");
        for (place, row) in update.rows() {
            let of = clustering::decode(&table, place);
            let of = of.and_then(|values| uuid::Uuid::from_slice(values.first()?).ok());
            let (Some(of), Some((instance, commit_kept))) = (of, instance_of(&table, row, now))
            else {
                let text = "a row of system.paxos is damaged".to_owned();
                self.chunk_applied(chunk, Err(ReplicaError::Failed(0, text)), now, out);
                continue;
            };
            let adopted = Adopted {
                table: TableId(of),
                key: key.clone(),
                instance,
                commit_kept,
            };
            let asker = Asker::Stream(chunk);
            self.tell_acceptor(Told::Adopt(adopted), u64::MAX, asker, now, out);
        }
    }
}
