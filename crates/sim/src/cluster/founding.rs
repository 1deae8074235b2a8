//! Clusters whose members have their tokens from the beginning: the directories are as a long-gone founding left them.

use super::{Cluster, address, client_address};
use crate::disk::SimDisk;
use crate::random::Rng;
use ::cluster::metadata::{ClusterIdentity, Command, Member, Metadata, Proposal, ProposalId};
use ::cluster::raft::Snapshot;
use ::cluster::ring::Location;
use ::cluster::topology::NodeId;
use ::node::metadata_log::recover::{Held, RecoverError};
use ::node::metadata_log::{NodeIdentity, Stored, spread_tokens};
use ::node::shard::METADATA_IO_SPACE;
use ::node::system::initial_edits;
use model::env::{IoQueue, Random};
use model::schema::Schema;
use std::sync::Arc;
use storage::MetaLog;
use uuid::Uuid;

/// Name of the data centre of the node with this number, of so many nodes in so many data centres.
pub(super) fn datacenter(node: usize, datacenters: usize) -> String {
    format!("dc{}", node % datacenters + 1)
}

impl Cluster {
    /// As [`Cluster::new`], of machines that are members of one cluster, with so many tokens each, spread over so many data centres
    /// and in each over three racks.
    pub fn founded(
        seed: u64,
        count: usize,
        tokens: u32,
        datacenters: usize,
    ) -> Result<Self, String> {
        let mut cluster = Self::new(seed, count);
        let mut rng = Rng::new(!seed);
        let identities: Vec<NodeIdentity> =
            (0..count).map(|_| NodeIdentity::new(&mut rng)).collect();
        for (number, node) in cluster.nodes.iter_mut().enumerate() {
            node.config.datacenter = datacenter(number, datacenters);
            node.config.rack = format!("r{}", number / datacenters % 3 + 1);
            node.config.num_tokens = tokens;
        }
        let members: Vec<Member> = (0..count)
            .map(|number| {
                let config = &cluster.nodes[number].config;
                Member {
                    host_id: identities[number].host_id,
                    incarnation: identities[number].incarnation,
                    internode_address: address(number),
                    client_address: client_address(number),
                    location: Location {
                        datacenter: config.datacenter.clone(),
                        rack: config.rack.clone(),
                    },
                    tokens: spread_tokens(tokens, &mut rng),
                    shards: 1,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }
            })
            .collect();
        let metadata = metadata(&cluster.nodes[0].config.cluster_name, members, &mut rng);
        let voters = (1..=count.min(3) as u32).map(NodeId);
        let snapshot = Snapshot {
            index: metadata.epoch,
            term: 1,
            voters: voters.collect(),
            state: metadata.encode(),
        };
        for (number, identity) in identities.into_iter().enumerate() {
            let id = NodeId(number as u32 + 1);
            let stored = Stored::joined(identity, id, snapshot.clone());
            rewrite(&mut cluster.nodes[number].disk, |_| Ok(stored.payloads()))?;
        }
        Ok(cluster)
    }

    /// Has a node that does not run decide alone from its next start on, as `helenus metadata recover` does; returns term and place of its
    /// last entry before.
    pub fn recover_metadata(&mut self, number: usize) -> Result<(u64, u64), String> {
        let mut last = (0, 0);
        rewrite(&mut self.nodes[number].disk, |entries| {
            let held = Held::read(entries)?;
            last = held.last;
            held.recovered()
        })?;
        Ok(last)
    }
}

/// What the members agree on.
fn metadata(name: &str, members: Vec<Member>, rng: &mut Rng) -> Metadata {
    let identity = ClusterIdentity {
        id: Uuid::from_u64_pair(rng.next_u64(), rng.next_u64()),
        name: name.to_owned(),
    };
    let mut metadata = Metadata::founded(identity, members[0].clone());
    metadata.schema = Arc::new(Schema::default().apply_all(&initial_edits()));
    for (number, member) in members.into_iter().enumerate().skip(1) {
        let proposal = Proposal {
            id: ProposalId {
                node: NodeId(1),
                number: number as u64,
            },
            command: Command::Register(Box::new(member.clone())),
        };
        metadata = metadata.apply(metadata.epoch + 1, &proposal).0;
        let known = metadata.members.get_mut(&NodeId(number as u32 + 1));
        known.expect("it was just registered").tokens = member.tokens;
    }
    metadata.placement_epoch = metadata.epoch;
    metadata
}

/// Writes the metadata log of a directory that is not in use, from what it holds.
fn rewrite(
    disk: &mut SimDisk,
    make: impl FnOnce(&[Vec<u8>]) -> Result<Vec<Vec<u8>>, RecoverError>,
) -> Result<(), String> {
    const TICKET: u64 = 1;
    let mut io = IoQueue::default();
    let mut log = MetaLog::open(METADATA_IO_SPACE, &mut io);
    let mut make = Some(make);
    loop {
        if log.is_ready()
            && let Some(make) = make.take()
        {
            let entries = make(&log.take_entries()).map_err(|error| error.to_string())?;
            log.replace(entries, TICKET, &mut io);
        }
        if log.durable_tickets().contains(&TICKET) {
            disk.kill();
            return Ok(());
        }
        for (tag, request) in io.drain() {
            disk.submit(0, tag, request, 0);
        }
        if disk.next_at().is_none() {
            return Err(format!(
                "the metadata log is not written: {:?}",
                log.error()
            ));
        }
        if let Some((_, tag, outcome)) = disk.step() {
            log.on_io(tag, outcome, &mut io);
        }
    }
}
