//! What a repair brings is made durable by the shards that own it, synced whatever the sync mode: who lacked it may say that it
//! holds it.

use super::message::RepairMessage;
use super::{RepairOperation, Whom};
use crate::effects::Effects;
use crate::execute::operation::Operation;
use crate::message::{ReplicaError, ShardMessage};
use crate::peers::message::PeerMessage;
use crate::shard::Shard;
use crate::stream::Kept;
use model::mutation::MutationView;
use model::schema::TableId;
use model::time::Now;
use std::collections::BTreeMap;

/// What other members bring at once, at most: the rest has to come again.
const MAX_MENDING: usize = 16;

impl Shard {
    /// Makes mutations durable that this node lacked; they were read at an epoch.
    pub(super) fn mend(
        &mut self,
        whom: Whom,
        (epoch, table): (u64, TableId),
        mutations: Vec<Vec<u8>>,
        now: Now,
        out: &mut Effects,
    ) {
        let parts = match self.mendable(whom, (epoch, table), mutations) {
            Ok(parts) if parts.is_empty() => return self.tell_mended(whom, Ok(()), now, out),
            Ok(parts) => parts,
            Err(reason) => return self.tell_mended(whom, Err(reason), now, out),
        };
        self.repairs.mending += 1;
        let mending = RepairOperation::Mending {
            whom,
            left: parts.len(),
            failed: None,
        };
        let request = self.operations.insert(Operation::Repair(mending));
        for (shard, mutations) in parts {
            if shard == self.number {
                let chunk = (mutations, Kept::ByLog);
                self.apply_chunk(shard, request, chunk, now, out);
            } else {
                let message = ShardMessage::Take {
                    request,
                    mutations,
                    kept: Kept::ByLog,
                };
                self.tell(shard, message, out);
            }
        }
    }

    /// What of it is to be applied, by the shards that own it; or why nothing may be.
    fn mendable(
        &self,
        whom: Whom,
        (epoch, table): (u64, TableId),
        mutations: Vec<Vec<u8>>,
    ) -> Result<BTreeMap<u16, Vec<Vec<u8>>>, String> {
        let mut parts: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        if let Whom::Peer(..) = whom
            && self.repairs.mending >= MAX_MENDING
        {
            return Err("busy with other repairs".to_owned());
        }
        if epoch > self.topology.epoch {
            return Err(format!("epoch {epoch} is not known here yet"));
        }
        if self.is_outdated(epoch) {
            return Err(format!(
                "what was read at epoch {epoch} may not be for this replica any more"
            ));
        }
        let metadata = self.metadata();
        let emptied = metadata.and_then(|all| all.truncations.get(&table).copied());
        if emptied.is_some_and(|at| at > epoch) {
            return Ok(parts);
        }
        let mut tables = self.schema.tables();
        let Some(known) = tables.find(|known| known.id == table) else {
            return Err("the table is not known here".to_owned());
        };
        let keyspace = self.topology.keyspace(&known.keyspace);
        let placement = keyspace.and_then(|keyspace| keyspace.placement.as_ref());
        let own = self.topology.local;
        for mutation in mutations {
            let view = MutationView::parse(&mutation);
            let is_sound = |view: &MutationView<'_>| {
                view.updates().all(|(of, _)| of == table) && MutationView::verify(&mutation)
            };
            let Some(view) = view.filter(is_sound) else {
                return Err("what was sent is no mutation of the table".to_owned());
            };
            // Who gave a range up would only collect it.
            let replicas = placement.and_then(|placement| placement.replicas(view.token));
            if !replicas.is_some_and(|replicas| replicas.contains(own)) {
                continue;
            }
            let owner = self.owner(view.token);
            parts.entry(owner).or_default().push(mutation);
        }
        Ok(parts)
    }

    /// A shard has made its part durable, or could not.
    pub(crate) fn part_mended(
        &mut self,
        operation: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Repair(RepairOperation::Mending { left, failed, .. })) =
            self.operations.get_mut(operation)
        else {
            return;
        };
        *left -= 1;
        if let Err(error) = result {
            failed.get_or_insert(error.into_text());
        }
        if *left > 0 {
            return;
        }
        let Some(Operation::Repair(RepairOperation::Mending { whom, failed, .. })) =
            self.operations.remove(operation)
        else {
            return;
        };
        self.repairs.mending -= 1;
        self.tell_mended(whom, failed.map_or(Ok(()), Err), now, out);
    }

    fn tell_mended(&mut self, whom: Whom, result: Result<(), String>, now: Now, out: &mut Effects) {
        match whom {
            Whom::Own(repair, question) => self.member_mended(repair, question, result, now, out),
            Whom::Peer(node, number) => {
                let message = RepairMessage::Mended { number, result };
                self.say(node, &PeerMessage::Repair(message), out);
            }
        }
    }
}
