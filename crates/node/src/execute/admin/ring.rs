//! Who replicates what, as tools show it: the arcs of the ring with their replicas, what each member owns, and the
//! replicas of one partition.

use super::AdminError;
use crate::shard::Shard;
use cluster::replication::KeyspaceReplicas;
use cluster::ring::PlacedArc;
use cluster::topology::NodeId;
use model::key::{self, Token};
use model::schema::{Keyspace, Replication};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The keyspace whose replication stands for all when clients have made none.
const STAND_IN: &str = "system_traces";
/// Keyspaces of the system itself, which clients did not make.
const SYSTEM_KEYSPACES: [&str; 5] = [
    "system",
    "system_schema",
    "system_auth",
    "system_distributed",
    "system_traces",
];

/// Whether a keyspace is the system's own.
pub(super) fn is_system(keyspace: &str) -> bool {
    SYSTEM_KEYSPACES.contains(&keyspace)
}

/// Which replication is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingQuestion {
    /// That of this keyspace; of all that clients made, if they have the same.
    pub keyspace: Option<String>,
}

/// A stretch of the ring: tokens after `after`, up to `through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArcFact {
    /// The token before it.
    pub after: i64,
    /// Its last token.
    pub through: i64,
    /// Numbers of its replicas, the primary first.
    pub replicas: Vec<u32>,
}

/// Who replicates what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RingFacts {
    /// Whose replication it is; none where there is not one for all keyspaces.
    pub keyspace: Option<String>,
    /// Why there is not one.
    pub note: Option<String>,
    /// The arcs, ascending.
    pub arcs: Vec<ArcFact>,
    /// The part of the data that each member has; without a keyspace the part of the ring that is first its own.
    pub owns: BTreeMap<u32, f64>,
}

impl Shard {
    pub(super) fn ring_facts(&self, question: &RingQuestion) -> Result<RingFacts, AdminError> {
        let (keyspace, note) = match &question.keyspace {
            Some(name) => (Some(self.keyspace_named(name)?.name.clone()), None),
            None => self.keyspace_for_all(),
        };
        let replicas = keyspace
            .as_deref()
            .and_then(|name| self.topology.keyspace(name));
        let arcs = match replicas {
            Some(KeyspaceReplicas {
                placement: Some(placement),
                ..
            }) => placement.arcs().map(|arc| arc_fact(&arc)).collect(),
            _ => self.primary_arcs(),
        };
        let mut owns: BTreeMap<u32, f64> = BTreeMap::new();
        for node in &self.topology.nodes {
            owns.insert(node.id.0, 0.0);
        }
        for arc in &arcs {
            for replica in &arc.replicas {
                *owns.entry(*replica).or_default() += share(arc);
            }
        }
        Ok(RingFacts {
            keyspace,
            note,
            arcs,
            owns,
        })
    }

    /// The keyspace whose replication is that of all that clients made; or why there is none.
    fn keyspace_for_all(&self) -> (Option<String>, Option<String>) {
        let is_clients = |keyspace: &&Keyspace| {
            !is_system(&keyspace.name) && keyspace.replication.class != "LocalStrategy"
        };
        let keyspaces = self.schema.keyspaces.values();
        let mut of_clients = keyspaces.map(AsRef::as_ref).filter(is_clients);
        let Some(first) = of_clients.next() else {
            return (Some(STAND_IN.to_owned()), None);
        };
        let same = |replication: &Replication| *replication == first.replication;
        if of_clients.all(|keyspace| same(&keyspace.replication)) {
            return (Some(first.name.clone()), None);
        }
        let note = "Non-system keyspaces don't have the same replication settings, effective ownership information is meaningless";
        (None, Some(note.to_owned()))
    }

    /// The arcs with the owners of their tokens alone.
    fn primary_arcs(&self) -> Vec<ArcFact> {
        let nodes = self.topology.nodes.iter();
        let owned = nodes.flat_map(|node| node.tokens.iter().map(|token| (*token, node.id)));
        let mut ring: Vec<(Token, NodeId)> = owned.collect();
        ring.sort_unstable();
        let before = ring.last().into_iter().chain(&ring);
        let arcs = before
            .zip(&ring)
            .map(|((after, _), (through, id))| ArcFact {
                after: after.0,
                through: through.0,
                replicas: vec![id.0],
            });
        arcs.collect()
    }

    /// Where the replicas of a partition are reached.
    pub(super) fn endpoints_of(
        &self,
        keyspace: &str,
        table: &str,
        key: &str,
    ) -> Result<Vec<SocketAddr>, AdminError> {
        let found = self
            .schema
            .keyspaces
            .get(keyspace)
            .ok_or_else(|| AdminError::Invalid(format!("Unknown keyspace '{keyspace}'")))?;
        let table = found.tables.get(table).ok_or_else(|| {
            AdminError::Invalid(format!("Unknown table '{table}' in keyspace '{keyspace}'"))
        })?;
        let columns = table.partition_key();
        let texts: Vec<&str> = match columns.len() {
            1 => vec![key],
            count => key.splitn(count, ':').collect(),
        };
        if texts.len() != columns.len() {
            let wanted = columns.len();
            let text = format!("the partition key has {wanted} columns: give them between colons");
            return Err(AdminError::Invalid(text));
        }
        let mut parts = Vec::with_capacity(columns.len());
        for (column, text) in columns.iter().zip(texts) {
            let value = cql::plan::literal::parse(&column.ctype, text);
            parts.push(value.map_err(|error| AdminError::Invalid(error.to_string()))?);
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let token = Token::of(&key::join(&parts));
        let placement = self.topology.keyspace(keyspace);
        let placement = placement.and_then(|replicas| replicas.placement.as_ref());
        let replicas = match placement.and_then(|placement| placement.replicas(token)) {
            Some(replicas) => replicas.natural.clone(),
            None => vec![self.topology.local],
        };
        let addresses = replicas.iter();
        Ok(addresses
            .filter_map(|id| self.topology.internode_address(*id))
            .collect())
    }
}

fn arc_fact(arc: &PlacedArc<'_>) -> ArcFact {
    let natural = arc.replicas.natural.iter();
    ArcFact {
        after: arc.after.0,
        through: arc.through.0,
        replicas: natural.map(|id| id.0).collect(),
    }
}

/// The part of the ring that an arc is; one that begins where it ends is all of it.
fn share(arc: &ArcFact) -> f64 {
    let width = arc.through.wrapping_sub(arc.after) as u64;
    let width = if width == 0 {
        2f64.powi(64)
    } else {
        width as f64
    };
    width / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_ring_add_up_to_all_of_it() {
        let arc = |after, through| ArcFact {
            after,
            through,
            replicas: vec![1],
        };
        assert_eq!(share(&arc(5, 5)), 1.0);
        assert_eq!(share(&arc(i64::MIN, 0)), 0.5);
        let around = [arc(i64::MAX - 9, -10), arc(-10, 20), arc(20, i64::MAX - 9)];
        let whole: f64 = around.iter().map(share).sum();
        assert!((whole - 1.0).abs() < 1e-12, "{whole}");
    }
}
