//! Nodes that are started together are one cluster.

use super::Cluster;
use crate::node::machine::Answer;

fn ready(cluster: &mut Cluster) {
    for _ in 0..200 {
        cluster.pass(100);
        let ready = cluster
            .nodes
            .iter()
            .map(|node| node.is_ready().expect("it starts"));
        if ready.into_iter().all(|ready| ready) {
            return;
        }
    }
    for node in &cluster.nodes {
        eprintln!("{:?}\n{}", node.describe(), node.log.join("\n"));
    }
    panic!("the nodes serve");
}

#[test]
fn nodes_that_start_at_once_make_one_cluster() {
    let mut cluster = Cluster::new(1, 3);
    for node in &mut cluster.nodes {
        node.start(1);
    }
    ready(&mut cluster);
    cluster.pass(5_000);
    for node in &mut cluster.nodes {
        println!("{}", node.log.join("\n"));
    }
    let _ = Answer::Done;
}
