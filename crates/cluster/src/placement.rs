//! Where the replicas of a token are, as Cassandra's replication strategies place them.
//!
//! `SimpleStrategy` takes the first distinct nodes of the ring from the token's owner on. `NetworkTopologyStrategy` does so
//! in each data centre, but takes a node of a rack that it has one of already only as often as there are more replicas
//! than racks. Everything else (`LocalStrategy`) is on this node.

use crate::replication::{NETWORK_TOPOLOGY, SIMPLE, factor, factor_in};
use crate::topology::Topology;
use model::key::Token;
use model::schema::Replication;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Places of nodes in [`Topology::nodes`].
pub type Places = SmallVec<[usize; 3]>;

/// The replicas of a token, in the order of the ring; fewer than configured if there are not enough nodes.
pub fn replicas(replication: &Replication, topology: &Topology, token: Token) -> Places {
    let mut found = Places::new();
    match replication.class.as_str() {
        // Without a walk, which is what every request of a node alone does.
        SIMPLE if topology.nodes.len() == 1 => {
            if factor(replication) > 0 {
                found.push(0);
            }
        }
        NETWORK_TOPOLOGY if topology.nodes.len() == 1 => {
            if factor_in(replication, &topology.nodes[0].datacenter) > 0 {
                found.push(0);
            }
        }
        SIMPLE => {
            let wanted = topology.nodes.len().min(factor(replication) as usize);
            for place in topology.walk(token) {
                if found.len() >= wanted {
                    break;
                }
                if !found.contains(&place) {
                    found.push(place);
                }
            }
        }
        NETWORK_TOPOLOGY => by_datacenter(replication, topology, token, &mut found),
        _ => found.push(topology.local_place()),
    }
    found
}

/// What is still wanted of one data centre.
struct Wanted<'t> {
    replicas: usize,
    /// Replicas that may share a rack with another.
    repeats: usize,
    racks: BTreeSet<&'t str>,
}

fn by_datacenter(replication: &Replication, topology: &Topology, token: Token, found: &mut Places) {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for (number, name) in topology.datacenters().iter().enumerate() {
        let nodes = topology.nodes.iter().enumerate();
        let here = nodes.filter(|(place, _)| usize::from(topology.datacenter_of(*place)) == number);
        let racks: Vec<&str> = here.map(|(_, node)| node.rack.as_str()).collect();
        let distinct: BTreeSet<&str> = racks.iter().copied().collect();
        let factor = factor_in(replication, name) as usize;
        wanted.push(Wanted {
            replicas: factor.min(racks.len()),
            repeats: factor.saturating_sub(distinct.len()),
            racks: BTreeSet::new(),
        });
    }
    for place in topology.walk(token) {
        let datacenter = &mut wanted[usize::from(topology.datacenter_of(place))];
        if datacenter.replicas == 0 || found.contains(&place) {
            continue;
        }
        if !datacenter.racks.insert(&topology.nodes[place].rack) {
            if datacenter.repeats == 0 {
                continue;
            }
            datacenter.repeats -= 1;
        }
        datacenter.replicas -= 1;
        found.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinate::fixtures::{cluster, network, simple};

    #[test]
    fn the_ring_gives_distinct_nodes_from_the_owner_on() {
        // Node n owns the token 100 * n.
        let topology = cluster(&[("dc1", "a"), ("dc1", "b"), ("dc1", "c"), ("dc1", "d")]);
        let at = |token| replicas(&simple(3), &topology, Token(token)).to_vec();
        assert_eq!(at(100), [0, 1, 2], "a node owns the range up to its token");
        assert_eq!(at(101), [1, 2, 3]);
        assert_eq!(at(401), [0, 1, 2], "the ring is closed");
        let few = replicas(&simple(9), &topology, Token(0));
        assert_eq!(few.len(), 4);
    }

    #[test]
    fn racks_are_shared_only_where_there_are_more_replicas_than_racks() {
        let nodes = [
            ("dc1", "a"),
            ("dc1", "a"),
            ("dc2", "x"),
            ("dc1", "b"),
            ("dc2", "x"),
        ];
        let topology = cluster(&nodes);
        let at =
            |factors: &[(&str, u32)]| replicas(&network(factors), &topology, Token(1)).to_vec();
        assert_eq!(
            at(&[("dc1", 2)]),
            [0, 3],
            "the second of rack a is passed over"
        );
        assert_eq!(at(&[("dc1", 3)]), [0, 1, 3]);
        assert_eq!(at(&[("dc1", 1), ("dc2", 2)]), [0, 2, 4]);
        assert_eq!(at(&[("dc2", 0), ("dc3", 2)]), Vec::<usize>::new());
    }

    #[test]
    fn a_node_alone_needs_no_ring() {
        let topology = cluster(&[("dc1", "a")]);
        assert_eq!(replicas(&simple(3), &topology, Token(5)).to_vec(), [0]);
        assert!(replicas(&network(&[("dc1", 0)]), &topology, Token(5)).is_empty());
    }
}
