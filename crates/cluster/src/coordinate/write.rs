//! A write: every live replica of each of its partitions is sent its part, and the client is told when as many as the
//! level asks for have theirs durable.
//!
//! A [`WriteSet`] is what one request writes, a part for each partition, each with its own replicas. Invariants:
//! - the client is told once: success when the last part reaches the level, an error as soon as one part cannot any more;
//! - what was refused everywhere is told as refused only if nothing of the request can have happened: drivers send again
//!   what they are told was refused.

use super::ReplicaError;
use super::plan::{ReplicaPlan, Replicas};
use super::tally::{Contact, Tally};
use crate::topology::NodeId;
use model::error::{Consistency, RequestError, WriteType};
use smallvec::SmallVec;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// The part of a write that goes to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// To whom.
    pub replica: NodeId,
    /// Which part.
    pub part: usize,
}

/// All that is sent.
pub type Sends = SmallVec<[Send; 1]>;

/// What a write's coordinator is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Wait on.
    Pending,
    /// Answer the client.
    Done(Result<(), RequestError>),
}

/// What one request writes.
#[derive(Debug)]
pub struct WriteSet {
    parts: SmallVec<[Tally; 1]>,
    write_type: WriteType,
    /// Parts that have not reached the level.
    left: usize,
    /// Whether the client was told.
    told: bool,
}

impl WriteSet {
    /// A write of so many parts, each with its plan, that is about to be sent to all live replicas.
    pub fn new(
        write_type: WriteType,
        plans: impl IntoIterator<Item = Result<ReplicaPlan, RequestError>>,
    ) -> Result<Self, RequestError> {
        let mut parts = SmallVec::new();
        for plan in plans {
            let plan = plan?;
            let live: SmallVec<[NodeId; 3]> = plan.live().map(|replica| replica.node).collect();
            let mut part = Tally::new(plan);
            live.into_iter().for_each(|node| part.ask(node));
            parts.push(part);
        }
        Ok(Self {
            left: parts.len(),
            parts,
            write_type,
            told: false,
        })
    }

    /// What kind of write errors tell of.
    pub fn write_type(&self) -> WriteType {
        self.write_type
    }

    /// The level of its parts.
    pub fn level(&self) -> Consistency {
        self.parts[0].plan.consistency
    }

    /// The level that leaders of increments are to reach; `None` if this is to be applied as it is.
    pub fn counts(&self) -> Option<Consistency> {
        let first = self.parts.first()?;
        (self.write_type == WriteType::Counter).then_some(first.plan.consistency)
    }

    /// The replicas of a part.
    pub fn replicas(&self, part: usize) -> &Replicas {
        &self.parts[part].plan.replicas
    }

    /// The epoch at which the replicas of a part were found.
    pub fn epoch(&self, part: usize) -> u64 {
        self.parts[part].plan.epoch
    }

    /// What is sent to whom.
    pub fn sends(&self) -> Sends {
        let parts = self.parts.iter().enumerate();
        parts
            .flat_map(|(part, tally)| {
                let live = tally.plan.live();
                live.map(move |replica| Send {
                    replica: replica.node,
                    part,
                })
            })
            .collect()
    }

    /// A replica has a part durable.
    pub fn on_ack(&mut self, part: usize, replica: NodeId) -> Progress {
        let tally = &mut self.parts[part];
        let reached_before = tally.is_reached();
        if !tally.answered(replica) || reached_before || !tally.is_reached() {
            return Progress::Pending;
        }
        self.left -= 1;
        if self.left > 0 {
            return Progress::Pending;
        }
        self.tell(Ok(()))
    }

    /// A replica has all of a write of one part durable; of others than its replicas that is no news.
    pub fn on_ack_of(&mut self, replica: NodeId) -> Progress {
        if self.parts[0].plan.has(replica) {
            self.on_ack(0, replica)
        } else {
            Progress::Pending
        }
    }

    /// A replica could not take a part; once the level cannot be reached any more the client is told.
    pub fn on_failure(
        &mut self,
        part: usize,
        replica: NodeId,
        endpoint: IpAddr,
        error: ReplicaError,
    ) -> Progress {
        if self.parts[part].failed(replica, endpoint, error) {
            self.judge(part)
        } else {
            Progress::Pending
        }
    }

    /// A replica is known not to answer any more: what needs it is told before its deadline, with true counts.
    pub fn on_unavailable(&mut self, replica: NodeId) -> Progress {
        for part in 0..self.parts.len() {
            if self.parts[part].away(replica) {
                let progress = self.judge(part);
                if progress != Progress::Pending {
                    return progress;
                }
            }
        }
        Progress::Pending
    }

    /// A node is no member any more: what waited for it beside the replicas that count may have reached its level.
    pub fn on_released(&mut self, node: NodeId) -> Progress {
        for part in 0..self.parts.len() {
            let tally = &mut self.parts[part];
            let reached_before = tally.is_reached();
            if tally.released(node) && !reached_before && tally.is_reached() {
                self.left -= 1;
            }
        }
        if self.left == 0 && !self.told {
            return self.tell(Ok(()));
        }
        Progress::Pending
    }

    /// The deadline passed: what the client is told, of the first part that has not reached the level.
    pub fn on_timeout(&self) -> RequestError {
        let open = self.parts.iter().find(|part| !part.is_reached());
        let part = open.or(self.parts.first()).expect("a write has parts");
        self.timeout(part)
    }

    /// Whether a part can still reach the level; if not, the client is told.
    fn judge(&mut self, part: usize) -> Progress {
        let whole = self.parts.len() == 1 && self.write_type != WriteType::Batch;
        let tally = &mut self.parts[part];
        let possible =
            tally.reaches(|contact| matches!(contact, Contact::Answered | Contact::Awaited));
        if self.told || possible {
            return Progress::Pending;
        }
        let (consistency, block_for) = (tally.plan.consistency, tally.plan.block_for);
        let received = tally.received();
        if !tally.has_failures() {
            let error = self.timeout(&self.parts[part]);
            return self.tell(Err(error));
        }
        let write_type = self.write_type;
        let error = match tally.take_failure(whole) {
            Err(refusal) => refusal,
            Ok((failures, detail)) => RequestError::WriteFailure {
                consistency,
                received,
                block_for,
                failures,
                write_type,
                detail,
            },
        };
        self.tell(Err(error))
    }

    fn timeout(&self, part: &Tally) -> RequestError {
        let plan = &part.plan;
        RequestError::WriteTimeout {
            consistency: plan.consistency,
            // Answers of data centres that the level does not wait for may be more than it waits for.
            received: part.received().min(plan.block_for.saturating_sub(1)),
            block_for: plan.block_for,
            write_type: self.write_type,
            // Conditional writes queue for their partition: none ever lost a ballot to another.
            contentions: (self.write_type == WriteType::Cas).then_some(0),
        }
    }

    fn tell(&mut self, result: Result<(), RequestError>) -> Progress {
        if std::mem::replace(&mut self.told, true) {
            return Progress::Pending;
        }
        Progress::Done(result)
    }
}
