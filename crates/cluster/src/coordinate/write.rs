//! A write: sent to every replica, acknowledged when as many as the level asks for have it durable.

use super::ReplicaPlan;
use model::error::{ReplicaFailure, RequestError, WriteType};
use std::net::IpAddr;

/// The answers of a write so far.
#[derive(Debug, Clone)]
pub struct Write {
    plan: ReplicaPlan,
    write_type: WriteType,
    received: u32,
    failures: Vec<ReplicaFailure>,
}

/// What a write's coordinator is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Wait on.
    Pending,
    /// Answer the client.
    Done(Result<(), RequestError>),
}

impl Write {
    /// A write that was just sent to the plan's replicas.
    pub fn new(plan: ReplicaPlan, write_type: WriteType) -> Self {
        Self {
            plan,
            write_type,
            received: 0,
            failures: Vec::new(),
        }
    }

    /// A replica has it durable.
    pub fn on_ack(&mut self) -> Progress {
        self.received += 1;
        assert!(
            self.received as usize <= self.plan.replicas.len(),
            "a replica acknowledges once"
        );
        if self.received == self.plan.block_for {
            Progress::Done(Ok(()))
        } else {
            Progress::Pending
        }
    }

    /// A replica failed; once the level cannot be reached any more the client is told.
    pub fn on_failure(&mut self, endpoint: IpAddr, reason: u16, detail: String) -> Progress {
        self.failures.push(ReplicaFailure { endpoint, reason });
        let possible = self.plan.replicas.len() - self.failures.len();
        if possible < self.plan.block_for as usize && self.received < self.plan.block_for {
            return Progress::Done(Err(RequestError::WriteFailure {
                consistency: self.plan.consistency,
                received: self.received,
                block_for: self.plan.block_for,
                failures: std::mem::take(&mut self.failures),
                write_type: self.write_type,
                detail,
            }));
        }
        Progress::Pending
    }

    /// The deadline passed.
    pub fn on_timeout(&self) -> RequestError {
        RequestError::WriteTimeout {
            consistency: self.plan.consistency,
            received: self.received,
            block_for: self.plan.block_for,
            write_type: self.write_type,
            // Conditional writes queue for their partition: none ever lost a ballot to another.
            contentions: (self.write_type == WriteType::Cas).then_some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::NodeId;
    use model::error::Consistency;

    fn quorum_of_three() -> Write {
        let replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
        Write::new(
            ReplicaPlan {
                consistency: Consistency::Quorum,
                block_for: 2,
                replicas,
            },
            WriteType::Simple,
        )
    }

    #[test]
    fn a_quorum_answers_the_client_once() {
        let mut write = quorum_of_three();
        assert_eq!(write.on_ack(), Progress::Pending);
        assert_eq!(write.on_ack(), Progress::Done(Ok(())));
        assert_eq!(write.on_ack(), Progress::Pending);
    }

    #[test]
    fn failures_answer_as_soon_as_the_level_is_out_of_reach() {
        let mut write = quorum_of_three();
        let peer = IpAddr::from([127, 0, 0, 2]);
        assert_eq!(write.on_failure(peer, 0, String::new()), Progress::Pending);
        let Progress::Done(Err(RequestError::WriteFailure {
            received,
            block_for,
            failures,
            ..
        })) = write.on_failure(peer, 0, String::new())
        else {
            panic!("two failures of three end a quorum")
        };
        assert_eq!((received, block_for, failures.len()), (0, 2, 2));
    }
}
