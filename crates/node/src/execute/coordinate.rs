//! Where the machines of [`cluster::coordinate`] meet this node: who replicates a partition, and what this node says as
//! one of its replicas.
//!
//! A node alone is every replica there is, so what a machine sends goes to the shard that owns the token, and the first
//! answer is the last. Another replica's answers come to the same machines.

use crate::effects::Effects;
use crate::message::{ReplicaError, RequestId};
use crate::shard::Shard;
use cluster::coordinate::read::{self, Read};
use cluster::coordinate::write::{self, Send, WriteSet};
use cluster::coordinate::{self, Access, ReplicaPlan};
use cluster::topology::NodeId;
use model::error::{Consistency, RequestError, WriteType};
use model::key::Token;
use model::read::ReadResponse;
use model::time::Now;
use std::net::IpAddr;

/// A replica as machines and errors name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    node: NodeId,
    address: IpAddr,
}

impl Endpoint {
    /// It did its part of a write, or could not.
    pub(super) fn wrote(
        self,
        write: &mut WriteSet,
        part: u32,
        result: Result<(), ReplicaError>,
    ) -> write::Progress {
        let part = part as usize;
        match result {
            Ok(()) => write.on_ack(part, self.node),
            Err(error) => write.on_failure(part, self.node, self.address, error),
        }
    }

    /// It could not read what a read over several replicas asked it for.
    pub(super) fn failed(self, read: &mut Read, error: ReplicaError) -> read::Progress {
        read.on_failure(self.node, self.address, error)
    }

    /// It read what was asked for, or could not: the rows, or what the client is told.
    pub(super) fn read(
        self,
        read: &mut Read,
        result: Result<ReadResponse, ReplicaError>,
    ) -> Result<ReadResponse, RequestError> {
        let (progress, response) = match result {
            Err(ReplicaError::Told(error)) => return Err(*error),
            Ok(response) => {
                let digest = || unreachable!("a node alone has nothing to compare with");
                (read.on_data(self.node, digest), response)
            }
            Err(error) => {
                let progress = read.on_failure(self.node, self.address, error);
                (progress, ReadResponse::default())
            }
        };
        match progress {
            read::Progress::Done => Ok(response),
            read::Progress::Failed(error) => Err(error),
            other => unreachable!("a node alone has nobody else to ask: {other:?}"),
        }
    }
}

impl Shard {
    /// This node as a replica.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint {
            node: self.topology.local,
            address: self.config.client_address.ip(),
        }
    }

    /// Another member as a replica.
    pub(super) fn endpoint_of(&self, node: NodeId) -> Option<Endpoint> {
        let address = self.topology.internode_address(node)?.ip();
        Some(Endpoint { node, address })
    }

    /// Checks a level and finds who replicates a token of a keyspace.
    pub(crate) fn admit(
        &self,
        access: Access,
        level: Consistency,
        keyspace: &str,
        token: Token,
    ) -> Result<ReplicaPlan, RequestError> {
        match self.topology.keyspace(keyspace) {
            Some(keyspace) => coordinate::admit(access, level, keyspace, &self.topology, token),
            // Virtual keyspaces are this node's own.
            None => Ok(ReplicaPlan::local(level, &self.topology)),
        }
    }

    /// Whether a keyspace can be accessed so at a level.
    pub(super) fn check_level(
        &self,
        access: Access,
        level: Consistency,
        keyspace: &str,
    ) -> Result<(), RequestError> {
        self.topology.keyspace(keyspace).map_or(Ok(()), |keyspace| {
            coordinate::check_level(access, level, keyspace)
        })
    }

    /// Who is read before a write at a level, and who else has it: a read of this node alone if nobody does.
    pub(super) fn plan_reading_of(
        &self,
        keyspace: &str,
        level: Consistency,
        token: Token,
    ) -> Result<(Read, Option<ReplicaPlan>), RequestError> {
        let plan = self.admit(Access::Write, level, keyspace, token)?;
        if self.is_local(&plan) {
            return Ok((Read::new(plan), None));
        }
        let readable = match level {
            Consistency::Any => Consistency::One,
            level => level,
        };
        let plan = self.admit(Access::Read, readable, keyspace, token)?;
        let own = ReplicaPlan::local(level, &self.topology);
        Ok((Read::new(own), Some(plan)))
    }

    /// The plan of increments: one replica counts them and sees to the rest.
    pub(super) fn led(&self, plan: ReplicaPlan, token: Token) -> ReplicaPlan {
        if self.is_local(&plan) {
            return plan;
        }
        match plan.leader(token, &self.topology) {
            Some(leader) => plan.led_by(leader),
            None => plan,
        }
    }

    /// A write of one part that is this node's own.
    pub(super) fn local_write(&self, level: Consistency, write_type: WriteType) -> WriteSet {
        let plan = ReplicaPlan::local(level, &self.topology);
        WriteSet::new(write_type, [Ok(plan)]).expect("a plan there is")
    }

    /// Sends a part of a write to a replica.
    pub(super) fn send(
        &mut self,
        send: Send,
        (owner, mutation): (u16, Vec<u8>),
        planned: (u64, Option<Consistency>),
        number: u64,
        now: Now,
        out: &mut Effects,
    ) {
        assert_eq!(send.replica, self.topology.local, "its own part");
        let request = RequestId {
            operation: number,
            part: send.part as u32,
        };
        self.send_part(owner, mutation, planned, request, now, out);
    }
}
