//! Read repair: replicas whose rows were compared are sent what they lack, and the read's answer waits for them. So what a read at
//! QUORUM has shown no later one can miss.
//!
//! Until its deadline: a read whose repair was not acknowledged has timed out.

use super::modify::WriteOperation;
use crate::effects::Effects;
use crate::replica::Caller;
use crate::shard::Shard;
use cluster::coordinate::ReplicaPlan;
use cluster::coordinate::write::WriteSet;
use cluster::topology::NodeId;
use model::error::{Consistency, WriteType};
use model::mutation::Mutation;
use model::time::{BootNanos, Now};

impl Shard {
    /// Sends replicas what they lack; the read under this number hears when all have it.
    pub(super) fn send_repairs(
        &mut self,
        number: u64,
        repairs: Vec<(NodeId, Mutation)>,
        deadline: BootNanos,
        now: Now,
        out: &mut Effects,
    ) {
        let (nodes, mutations): (Vec<NodeId>, Vec<Mutation>) = repairs.into_iter().unzip();
        let plans = nodes.into_iter().map(|node| {
            Ok(ReplicaPlan::of_all(
                Consistency::One,
                [node],
                &self.topology,
            ))
        });
        let write = WriteSet::new(WriteType::Simple, plans).expect("plans there are");
        let parts = self.encode_parts(&mutations);
        let operation = WriteOperation::of(Caller::Local(number.into()), write, deadline);
        self.send_write(parts, operation, now, out);
    }
}
