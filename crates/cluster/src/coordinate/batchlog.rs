//! Who keeps a logged batch until all of its parts are written.
//!
//! As in Cassandra two other live members of this data centre, on other racks than this node's and on two of them, as far as there
//! are any: whoever coordinates the batch may die, and take its rack along. One if there is only one. A node with no other
//! in its data centre keeps batches itself.

use crate::topology::{Node, NodeId, Topology};
use smallvec::SmallVec;

/// Who keeps a batch: one or two.
pub type Holders = SmallVec<[NodeId; 2]>;

/// Picks the holders of a batch, at random by `seed`. Empty if others there are, but none of them answers.
pub fn holders(topology: &Topology, seed: u64) -> Holders {
    let own = topology.local();
    let here = |node: &&Node| node.datacenter == own.datacenter && node.id != own.id;
    let mut others: Vec<&Node> = topology.nodes.iter().filter(here).collect();
    if others.is_empty() {
        return SmallVec::from_iter([own.id]);
    }
    others.retain(|node| node.alive);
    if others.len() <= 2 {
        return others.iter().map(|node| node.id).collect();
    }
    if others.iter().filter(|node| node.rack != own.rack).count() >= 2 {
        others.retain(|node| node.rack != own.rack);
    }
    let first = others.remove(seed as usize % others.len());
    let elsewhere = |node: &&Node| node.rack != first.rack;
    if others.iter().any(elsewhere) {
        others.retain(elsewhere);
    }
    let second = others[(seed >> 32) as usize % others.len()];
    SmallVec::from_iter([first.id, second.id])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinate::fixtures::cluster;

    fn picked(nodes: &[(&str, &str)], down: &[usize]) -> Vec<Vec<u32>> {
        let mut topology = cluster(nodes);
        for place in down {
            topology.nodes[*place].alive = false;
        }
        let seeds = (0..64u64).map(|seed| seed << 32 | seed.wrapping_mul(7) % 61);
        let mut all: Vec<Vec<u32>> = seeds
            .map(|seed| {
                let mut holders: Vec<u32> =
                    holders(&topology, seed).iter().map(|node| node.0).collect();
                holders.sort_unstable();
                holders
            })
            .collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn two_others_on_two_other_racks() {
        let nodes = [
            ("dc1", "a"),
            ("dc1", "a"),
            ("dc1", "b"),
            ("dc1", "c"),
            ("dc2", "x"),
        ];
        assert_eq!(picked(&nodes, &[]), [[3, 4]]);
        assert_eq!(picked(&nodes, &[2]), [[2, 4]]);
        assert_eq!(picked(&nodes, &[2, 3]), [[2]]);
        assert_eq!(picked(&nodes, &[1, 2, 3]), [Vec::<u32>::new()]);
    }

    #[test]
    fn one_other_rack_has_both() {
        let nodes = [("dc1", "a"), ("dc1", "b"), ("dc1", "b"), ("dc1", "b")];
        assert_eq!(picked(&nodes, &[]), [[2, 3], [2, 4], [3, 4]]);
    }

    #[test]
    fn a_node_alone_keeps_them_itself() {
        assert_eq!(picked(&[("dc1", "a"), ("dc2", "a")], &[]), [[1]]);
    }
}
