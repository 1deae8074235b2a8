//! Nodes that are started together are one cluster.

mod statements;

use super::Cluster;

/// Whether every node knows so many members.
fn know_each_other(cluster: &mut Cluster, members: usize) -> bool {
    let mut nodes = cluster.nodes.iter_mut();
    nodes.all(|node| node.members() == Some(members))
}

#[test]
fn nodes_that_start_at_once_make_one_cluster() {
    let mut cluster = Cluster::new(1, 3);
    for node in &mut cluster.nodes {
        node.start(1);
    }
    for _ in 0..200 {
        cluster.pass(100);
        if know_each_other(&mut cluster, 3) {
            return;
        }
    }
    for node in &cluster.nodes {
        eprintln!("{:?}\n{}", node.describe(), node.log.join("\n"));
    }
    panic!("three nodes are not one cluster");
}
