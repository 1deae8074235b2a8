//! What shard 0 does before anything is recovered: reads what the node is, makes it up for a new data directory, and counts the
//! start.

use super::{COUNTED, LOOKING_TAG, NodeShard, StartOrder, State};
use crate::effects::Effects;
use crate::metadata_log::{DiskRecord, MetadataLog, NodeIdentity, Stored, spread_tokens};
use crate::random::SplitMix;
use crate::track::Incarnation;
use cluster::metadata::{ClusterIdentity, Member, Metadata};
use cluster::ring::Location;
use model::env::{IoRequest, Random};
use model::key::Token;
use model::policy::Defect;
use model::schema::Schema;
use model::time::Now;
use std::sync::Arc;
use storage::{Generation, LayoutFile, MetaLog};

impl NodeShard {
    /// Shard 0: are the layout and the metadata log read?
    pub(super) fn read(
        &self,
        layout: LayoutFile,
        mut log: MetaLog,
        out: &mut Effects,
    ) -> (State, bool) {
        if let Some(error) = layout.error() {
            return (State::Failed(error.to_string()), false);
        }
        if let Some(error) = log.error() {
            return (State::Failed(error.to_string()), false);
        }
        let (Some(generation), true) = (layout.generation(), log.is_ready()) else {
            return (State::Reading { layout, log }, false);
        };
        let entries = log.take_entries();
        let mut stored = match Stored::read(entries.iter().map(Vec::as_slice)) {
            Err(error) => return (State::Failed(error), false),
            Ok(Some(stored)) if stored.identity.node.is_some() => stored,
            Ok(unnumbered) => {
                let named = unnumbered.map(|stored| stored.identity);
                let path = "commitlog".to_owned();
                out.io.submit(LOOKING_TAG, IoRequest::List { path });
                let state = State::Looking {
                    layout,
                    generation,
                    log,
                    named,
                    segments: None,
                };
                return (state, false);
            }
        };
        if !self.config.node.policy.has(Defect::BootRepeated) {
            stored.boot += 1;
        }
        let boot = DiskRecord::Boot(stored.boot).encode();
        log.append(&boot, COUNTED, &mut out.io);
        let state = State::Counting {
            layout,
            generation,
            log,
            stored: Box::new(stored),
        };
        (state, true)
    }

    /// Shard 0: a directory without metadata is a new one, unless it has a commit log: then what is in that would be taken for
    /// writes to tables that were dropped.
    pub(super) fn look(
        &self,
        (layout, generation, log): (LayoutFile, Generation, MetaLog),
        named: Option<NodeIdentity>,
        segments: usize,
        now: Now,
        out: &mut Effects,
    ) -> (State, bool) {
        match segments {
            0 if !self.config.node.seeds.is_empty() => {
                let files = (layout, generation, log);
                let joining = self.begin_joining(files, named, now, out);
                (State::Joining(Box::new(joining)), true)
            }
            0 if self.config.node.replaces.is_some() => {
                let reason = "a node that replaces another needs seeds: members of its cluster";
                (State::Failed(reason.to_owned()), false)
            }
            0 => {
                let stored = self.found(named.unwrap_or_else(|| self.new_identity()));
                (Self::write_down(layout, generation, log, stored, out), true)
            }
            segments => {
                let reason = format!(
                    "metadata.log is missing or empty, but there are {segments} commit log segments: restore it, or start \
                     with an empty data directory"
                );
                (State::Failed(reason), false)
            }
        }
    }

    /// Puts what a new data directory holds on disk.
    pub(super) fn write_down(
        layout: LayoutFile,
        generation: Generation,
        mut log: MetaLog,
        stored: Stored,
        out: &mut Effects,
    ) -> State {
        // All of it or none: half of it is no node.
        log.replace(stored.payloads(), COUNTED, &mut out.io);
        State::Counting {
            layout,
            generation,
            log,
            stored: Box::new(stored),
        }
    }

    /// What a new data directory is.
    pub(super) fn new_identity(&self) -> NodeIdentity {
        NodeIdentity::new(&mut SplitMix::new(self.config.seed))
    }

    /// What the data directory of a cluster's first node holds.
    pub(super) fn found(&self, identity: NodeIdentity) -> Stored {
        let node = &self.config.node;
        let mut random = SplitMix::new(!self.config.seed);
        let tokens = match node.initial_tokens.as_slice() {
            [] => spread_tokens(node.num_tokens, &mut random),
            told => told.to_vec(),
        };
        let high = u128::from(random.next_u64()) << 64;
        let id = (high | u128::from(random.next_u64())).to_be_bytes();
        let cluster = ClusterIdentity {
            id: uuid::Builder::from_random_bytes(id).into_uuid(),
            name: node.cluster_name.clone(),
        };
        let founder = self.member(&identity, tokens);
        let edits = crate::system::initial_edits();
        let mut metadata = Metadata::founded(cluster, founder);
        metadata.schema = Arc::new(Schema::default().apply_all(&edits));
        Stored::founded(identity, &metadata)
    }

    /// This node, as its configuration and process have it.
    pub(super) fn member(&self, identity: &NodeIdentity, tokens: Vec<Token>) -> Member {
        let node = &self.config.node;
        Member {
            host_id: identity.host_id,
            incarnation: identity.incarnation,
            internode_address: node.internode_address,
            client_address: node.client_address,
            location: Location {
                datacenter: node.datacenter.clone(),
                rack: node.rack.clone(),
            },
            tokens,
            shards: node.shards,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Shard 0: is this start on disk?
    pub(super) fn count(
        &mut self,
        layout: LayoutFile,
        generation: Generation,
        mut log: MetaLog,
        stored: Box<Stored>,
        now: Now,
        out: &mut Effects,
    ) -> (State, bool) {
        if let Some((_, error)) = log.failed_tickets().into_iter().next() {
            return (State::Failed(error.to_string()), false);
        }
        if !log.durable_tickets().contains(&COUNTED) {
            let state = State::Counting {
                layout,
                generation,
                log,
                stored,
            };
            return (state, false);
        }
        let own = self.member(&stored.identity, Vec::new());
        let bound = self.config.node.metadata_log;
        let mut random = SplitMix::new(self.config.seed);
        let log = match MetadataLog::new(log, *stored, own, bound, now.boot, &mut random) {
            Ok(log) => log,
            Err(error) => return (State::Failed(error), false),
        };
        if let Err(error) = self.check(&log) {
            return (State::Failed(error), false);
        }
        let order = StartOrder {
            metadata: log.metadata().clone(),
            id: log.id(),
            incarnation: Incarnation {
                node: log.id(),
                incarnation: log.identity().incarnation,
                boot: log.boot(),
            },
            generation,
        };
        let state = self.begin_recovery(order, Some(layout), Some(log), now, out);
        (state, true)
    }

    /// What must not change while there is data: it was placed by it.
    fn check(&self, log: &MetadataLog) -> Result<(), String> {
        let (node, metadata) = (&self.config.node, log.metadata());
        let saved = &metadata.cluster.name;
        if *saved != node.cluster_name {
            let configured = &node.cluster_name;
            return Err(format!(
                "Saved cluster name {saved} != configured name {configured}"
            ));
        }
        let Some(member) = metadata.members.get(&log.id()) else {
            return Err("This node was removed from the cluster; an empty data directory would join it anew".into());
        };
        let Location { datacenter, rack } = &member.location;
        for (what, saved, configured) in [
            ("data center", datacenter, &node.datacenter),
            ("rack", rack, &node.rack),
        ] {
            if saved != configured {
                return Err(format!(
                    "Cannot start node if snitch's {what} ({configured}) differs from previous {what} ({saved}). \
                     Please fix the snitch configuration, or decommission and rebootstrap this node"
                ));
            }
        }
        Ok(())
    }
}
