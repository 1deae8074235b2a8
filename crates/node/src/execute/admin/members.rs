//! The members as this node sees them: what the metadata log says of them, what gossip spreads, what the detector thinks.

use crate::shard::Shard;
use crate::system;
use cluster::detector::matrix::{self, Member as Row};
use cluster::gossip::endpoint::Endpoint;
use cluster::gossip::state::{State, StateKey, Status};
use cluster::metadata::{Change, Metadata};
use cluster::topology::{Node, NodeId};
use model::time::{BootNanos, Now};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use uuid::Uuid;

/// Where phi is as good as certain.
const MAX_PHI: f64 = 1e6;

/// The cluster at a moment, as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// Name of the cluster.
    pub name: String,
    /// Class of the partitioner.
    pub partitioner: String,
    /// This node's number.
    pub local: u32,
    /// Epoch of the metadata in force here.
    pub epoch: u64,
    /// Who leads the metadata log, as far as is known here.
    pub leader: Option<u32>,
    /// Who votes in it.
    pub voters: Vec<u32>,
    /// Version of the schema in force here.
    pub schema_version: Uuid,
    /// Keyspaces with their replication, ascending.
    pub keyspaces: Vec<KeyspaceFact>,
    /// The members, by number.
    pub members: Vec<MemberFact>,
    /// Whether this node gossips: one that has no others does not.
    pub gossips: bool,
    /// What is wrong between them, the worst first, in words.
    pub verdicts: Vec<String>,
}

/// A keyspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceFact {
    /// Its name.
    pub name: String,
    /// Class of its strategy, without the package.
    pub class: String,
    /// The strategy's options, ascending.
    pub options: Vec<(String, String)>,
}

/// Where a member stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// It takes over its ranges.
    Joining,
    /// It serves.
    Normal,
    /// It hands its ranges over, or they are taken from it.
    Leaving,
    /// It changes its tokens.
    Moving,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberFact {
    /// Its number, given by the metadata log.
    pub number: u32,
    /// Its identity as tools show it.
    pub host_id: Uuid,
    /// Where other nodes reach it.
    pub internode_address: SocketAddr,
    /// Where clients reach it.
    pub client_address: SocketAddr,
    /// Data centre.
    pub datacenter: String,
    /// Rack.
    pub rack: String,
    /// Its tokens, ascending.
    pub tokens: Vec<i64>,
    /// Whether it answers.
    pub up: bool,
    /// Where it stands in its life.
    pub life: Life,
    /// Bytes of its data, if it has said.
    pub load_bytes: Option<u64>,
    /// Version of the schema in force there, if it has said.
    pub schema_version: Option<Uuid>,
    /// The release it says it runs, as drivers are told.
    pub release_version: String,
    /// When it was started, in seconds since 1970; 0 if that is not known.
    pub generation: u64,
    /// Beats of its heart since then.
    pub heartbeat: u64,
    /// What it says of itself, or the metadata log of it, by Cassandra's names.
    pub gossip: Vec<GossipFact>,
    /// What the detector here thinks of it; nothing of this node itself.
    pub detector: Option<DetectorFact>,
    /// Numbers of the members that it does not reach, by its own word.
    pub unreachable: Vec<u32>,
}

/// Something that is said of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GossipFact {
    /// What.
    pub name: String,
    /// Version that gossip gave it; 0 if it is from the metadata log.
    pub version: u64,
    /// Its value.
    pub value: String,
}

/// What the detector thinks of a member, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectorFact {
    /// `HEALTHY`, `SUSPECTED`, `CONFIRMED`, `RECOVERING`.
    pub state: String,
    /// For how many milliseconds.
    pub since_ms: u64,
    /// Why, in words.
    pub why: String,
    /// How unlikely its silence is.
    pub phi: f64,
    /// For how many milliseconds nothing was heard of it.
    pub silent_ms: u64,
    /// Median of its last answers to pings, in microseconds; none if it never answered.
    pub median_round_trip_us: Option<u64>,
}

impl Shard {
    pub(super) fn cluster_facts(&mut self, now: Now) -> ClusterFacts {
        let log = self.schema_changes.log_mut();
        let status = log.as_ref().map(|log| log.status());
        let metadata = log.map(|log| log.metadata().clone());
        let own_load = self.load_bytes();
        let nodes = self.topology.nodes.iter();
        let members: Vec<MemberFact> = nodes
            .map(|node| {
                let mut fact = self.member_fact(node, metadata.as_deref(), now);
                if node.id == self.topology.local {
                    fact.load_bytes = Some(own_load);
                    fact.schema_version = Some(self.schema.version());
                }
                fact
            })
            .collect();
        let own = self.virtual_keyspaces.values();
        let is_local = |name: &str| matches!(name, "system" | "system_schema");
        let own = own.filter(|keyspace| is_local(&keyspace.name));
        let keyspaces = self.schema.keyspaces.values().chain(own);
        ClusterFacts {
            name: self.topology.cluster_name.clone(),
            partitioner: system::PARTITIONER.to_owned(),
            local: self.topology.local.0,
            epoch: self.topology.epoch,
            leader: status.as_ref().and_then(|status| Some(status.leader?.0)),
            voters: status
                .iter()
                .flat_map(|status| status.voters.iter().map(|id| id.0))
                .collect(),
            schema_version: self.schema.version(),
            keyspaces: keyspaces
                .map(|keyspace| KeyspaceFact {
                    name: keyspace.name.clone(),
                    class: keyspace.replication.class.clone(),
                    options: keyspace.replication.options.clone().into_iter().collect(),
                })
                .collect(),
            gossips: self.membership.is_some(),
            verdicts: self.verdicts(now),
            members,
        }
    }

    /// Bytes of data on this node, as the shards told last.
    pub(crate) fn load_bytes(&self) -> u64 {
        let own = self.replica.store.stats();
        let own: u64 = own.tables.iter().map(|table| table.disk_bytes).sum();
        let others = self.facts.iter().enumerate();
        let others = others.filter(|(shard, _)| *shard != usize::from(self.number));
        let others = others.flat_map(|(_, facts)| facts.iter().flat_map(|facts| &facts.tables));
        own + others.map(|fact| fact.disk_bytes).sum::<u64>()
    }

    fn member_fact(&self, node: &Node, metadata: Option<&Metadata>, now: Now) -> MemberFact {
        let endpoint = self.gossip_of(node);
        let detector = self.membership.as_ref().map(|members| members.detector());
        let report = detector.and_then(|detector| detector.report(node.id, now.boot));
        let state = |key| endpoint.and_then(|endpoint| endpoint.state(key));
        let is_local = node.id == self.topology.local;
        MemberFact {
            number: node.id.0,
            host_id: node.host_id,
            internode_address: node.internode_address,
            client_address: node.client_address,
            datacenter: node.datacenter.clone(),
            rack: node.rack.clone(),
            tokens: node.tokens.iter().map(|token| token.0).collect(),
            up: node.alive,
            life: life(node, metadata),
            load_bytes: match state(StateKey::Load) {
                Some(State::Load(bytes)) => Some(*bytes),
                _ => None,
            },
            schema_version: match state(StateKey::Schema) {
                Some(State::Schema { version, .. }) => Some(*version),
                _ => None,
            },
            release_version: system::RELEASE_VERSION.to_owned(),
            generation: match endpoint {
                Some(endpoint) => endpoint.identity().generation.started_seconds,
                None if is_local => self.config.started_seconds as u64,
                None => 0,
            },
            heartbeat: endpoint.map_or(0, Endpoint::heartbeat),
            gossip: gossip_facts(node, endpoint),
            detector: report.map(|report| DetectorFact {
                state: report.opinion.state.to_string(),
                since_ms: millis(now.boot, report.opinion.since),
                why: report.opinion.why.to_string(),
                // Of JSON's numbers none is without end.
                phi: report.phi.min(MAX_PHI),
                silent_ms: report.silent_ms,
                median_round_trip_us: report.median_round_trip_us,
            }),
            unreachable: match state(StateKey::Unreachable) {
                Some(State::Unreachable(list)) => list.iter().map(|entry| entry.node.0).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// What gossip knows of a member.
    fn gossip_of(&self, node: &Node) -> Option<&Endpoint> {
        let gossip = self.membership.as_ref()?.gossip();
        if node.id == self.topology.local {
            return Some(gossip.local());
        }
        gossip.endpoint(node.internode_address)
    }

    /// What is wrong between members.
    fn verdicts(&self, now: Now) -> Vec<String> {
        let Some(membership) = &self.membership else {
            return Vec::new();
        };
        let own = membership.detector().unreachable(now.boot);
        let places: Vec<String> = self
            .topology
            .nodes
            .iter()
            .map(|node| format!("{} {}", node.datacenter, node.rack))
            .collect();
        let rows = self.topology.nodes.iter().zip(&places);
        let rows = rows.map(|(node, place)| {
            let endpoint = self.gossip_of(node);
            let unreachable = match endpoint.and_then(|known| known.state(StateKey::Unreachable)) {
                _ if node.id == self.topology.local => own.as_slice(),
                Some(State::Unreachable(list)) => list.as_slice(),
                _ => &[],
            };
            Row {
                node: node.id,
                place,
                heard_ms_ago: endpoint.map_or(u64::MAX, |known| millis(now.boot, known.heard_at())),
                unreachable,
            }
        });
        let rows: Vec<Row<'_>> = rows.collect();
        let verdicts = matrix::verdicts(self.topology.local, &rows);
        verdicts.iter().map(ToString::to_string).collect()
    }
}

fn millis(now: BootNanos, since: BootNanos) -> u64 {
    now.since(since) / 1_000_000
}

/// Where a member stands, by the changes of the ring that are under way.
fn life(node: &Node, metadata: Option<&Metadata>) -> Life {
    let transition = metadata.and_then(|metadata| metadata.transitions.get(&node.id));
    match transition.map(|transition| &transition.change) {
        Some(Change::Join(_) | Change::Replace(_)) => Life::Joining,
        Some(Change::Leave | Change::Remove) => Life::Leaving,
        Some(Change::Move(_)) => Life::Moving,
        Some(Change::Replicate { .. }) | None if node.tokens.is_empty() => Life::Joining,
        Some(Change::Replicate { .. }) | None => Life::Normal,
    }
}

/// What is said of a member, by Cassandra's names where it has one.
fn gossip_facts(node: &Node, endpoint: Option<&Endpoint>) -> Vec<GossipFact> {
    let fact = |name: &str, version: u64, value: String| GossipFact {
        name: name.to_owned(),
        version,
        value,
    };
    let mut facts = Vec::new();
    for (key, known) in endpoint.into_iter().flat_map(Endpoint::states) {
        let (name, value) = shown(*key, &known.state, node);
        facts.push(fact(&name, known.version, value));
    }
    let agreed = [
        ("STATUS_WITH_PORT", status(Status::Normal, node)),
        ("DC", node.datacenter.clone()),
        ("RACK", node.rack.clone()),
        ("RELEASE_VERSION", system::RELEASE_VERSION.to_owned()),
        (
            "INTERNAL_ADDRESS_AND_PORT",
            node.internode_address.to_string(),
        ),
        ("NATIVE_ADDRESS_AND_PORT", node.client_address.to_string()),
        ("HOST_ID", node.host_id.to_string()),
        ("TOKENS", "<hidden>".to_owned()),
    ];
    for (name, value) in agreed {
        if !facts.iter().any(|known| known.name == name) {
            facts.push(fact(name, 0, value));
        }
    }
    facts
}

fn status(status: Status, node: &Node) -> String {
    let name = match status {
        Status::Joining => "BOOT",
        Status::Normal => "NORMAL",
        Status::Leaving => "LEAVING",
        Status::Moving => "MOVING",
        Status::Left => "LEFT",
        Status::Removed => "removed",
        Status::Hibernate => "hibernate",
        Status::Shutdown => "shutdown",
    };
    match node.tokens.first() {
        Some(token) => format!("{name},{}", token.0),
        None => name.to_owned(),
    }
}

/// The name and value that gossip's state is shown with.
fn shown(key: StateKey, state: &State, node: &Node) -> (String, String) {
    let (name, value) = match state {
        State::Status(said) => ("STATUS_WITH_PORT", status(*said, node)),
        State::DataCenter(name) => ("DC", name.clone()),
        State::Rack(name) => ("RACK", name.clone()),
        State::TokensDigest(digest) => ("TOKENS_DIGEST", format!("{digest:016x}")),
        State::ReleaseVersion(version) => ("RELEASE_VERSION", version.clone()),
        State::Schema { version, .. } => ("SCHEMA", version.to_string()),
        State::Load(bytes) => ("LOAD", format!("{:.1}", *bytes as f64)),
        State::Severity(thousandths) => {
            ("SEVERITY", format!("{}", f64::from(*thousandths) / 1000.0))
        }
        State::NativeAddress(address) => ("NATIVE_ADDRESS_AND_PORT", address.to_string()),
        State::NativeReady(ready) => ("RPC_READY", ready.to_string()),
        State::Features { lowest, highest } => ("NET_VERSION", format!("{lowest}-{highest}")),
        State::Unreachable(list) => {
            let numbers = list.iter().map(|entry| entry.node.0.to_string());
            ("UNREACHABLE", numbers.collect::<Vec<_>>().join(","))
        }
        State::ShardCount(shards) => ("SHARDS", shards.to_string()),
        State::NodeNumber(NodeId(number)) => ("NODE_NUMBER", number.to_string()),
        State::Unknown { bytes, .. } => {
            return (
                format!("X_{}", key.code()),
                format!("{} bytes", bytes.len()),
            );
        }
    };
    (name.to_owned(), value)
}
