//! Members that went away: what is under way and needs them is told at once, with what has come by then, and not at its deadline.

use super::operation::Operation;
use crate::effects::Effects;
use crate::shard::Shard;
use cluster::topology::NodeId;
use model::time::Now;
use std::collections::BTreeSet;

impl Shard {
    /// These members answered before; those that do not any more are lost to what waits for them.
    pub(crate) fn tell_of_lost(&mut self, before: &BTreeSet<NodeId>, now: Now, out: &mut Effects) {
        let lost = |node: &&NodeId| !self.outlook.alive.contains(node);
        let lost: Vec<NodeId> = before.iter().filter(lost).copied().collect();
        for node in lost {
            self.replica_lost(node, now, out);
        }
    }

    /// These are no members any more: writes that waited for them beside the replicas there are may be done.
    pub(super) fn tell_of_gone(&mut self, gone: &[NodeId], now: Now, out: &mut Effects) {
        let waits = |operation: &Operation| {
            matches!(operation, Operation::Write(_) | Operation::Decision(_))
        };
        for number in self.operations.select(waits) {
            for node in gone {
                match self.operations.get_mut(number) {
                    Some(Operation::Write(_)) => self.write_released(number, *node, now, out),
                    Some(Operation::Decision(_)) => self.commit_released(number, *node, now, out),
                    _ => {}
                }
            }
        }
    }

    /// A member answers no more.
    fn replica_lost(&mut self, node: NodeId, now: Now, out: &mut Effects) {
        let waits = |operation: &Operation| {
            matches!(
                operation,
                Operation::Write(_) | Operation::Replicas(_) | Operation::Decision(_)
            )
        };
        for number in self.operations.select(waits) {
            match self.operations.get_mut(number) {
                Some(Operation::Write(_)) => self.write_lost(number, node, now, out),
                Some(Operation::Replicas(operation)) => {
                    let progress = operation.read.on_unavailable(node);
                    self.follow_read(number, progress, now, out);
                }
                Some(Operation::Decision(_)) => self.acceptor_lost(number, node, now, out),
                _ => {}
            }
        }
    }
}
