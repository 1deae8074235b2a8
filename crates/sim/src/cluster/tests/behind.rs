//! Replicas that are behind while the ring changes.

use super::START_MS;
use super::ring::Kept;
use crate::node::machine::Answer;
use model::error::Consistency;
use node::execute::admin::{AdminWork, HandoffChange};

/// Whether nodes fetch what they missed.
fn pause(kept: &mut Kept, nodes: &[usize], paused: bool) {
    for node in nodes {
        let change = AdminWork::Handoff(HandoffChange::Pause(paused));
        kept.administer(*node, &change, 1).unwrap();
    }
}

/// How many rows a node has itself, and of how many it is a replica.
fn own_rows(kept: &mut Kept, node: usize) -> (u64, u64) {
    for other in 0..kept.cluster.nodes.len() {
        kept.cluster.network.cut.insert((node, other));
        kept.cluster.network.cut.insert((other, node));
    }
    kept.cluster.pass(5_000);
    let (mut found, mut replicated) = (0, 0);
    for key in 0..kept.rows {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        match kept.cluster.ask(node, Consistency::One, &text) {
            Ok(Answer::Rows(rows)) => {
                replicated += 1;
                found += rows.len() as u64;
            }
            // Others replicate it.
            Ok(Answer::Error(0x1000, _)) => {}
            other => panic!("{other:?}"),
        }
    }
    (found, replicated)
}

#[test]
fn who_is_behind_gives_nothing_away_before_it_has_caught_up() {
    let mut kept = Kept::new(41, 4, 3, 3);
    pause(&mut kept, &[0, 1, 2], true);
    kept.cluster.crash(0);
    for _ in 0..60 {
        kept.write(1);
    }
    kept.cluster.nodes[0].config.handoff.paused = true;
    kept.cluster.start(0, 1);
    kept.cluster.wait_until_served(START_MS).unwrap();
    kept.cluster.start(3, 2);
    kept.cluster.pass(15_000);
    let served = kept.cluster.serves(3).unwrap();
    assert!(!served, "it has the gaps of whom it takes over from");
    pause(&mut kept, &[0, 1, 2], false);
    kept.cluster.wait_until_served(START_MS).unwrap();
    kept.cluster.pass(5_000);
    let (found, replicated) = own_rows(&mut kept, 3);
    assert!(replicated > kept.rows / 2, "{replicated} of {}", kept.rows);
    assert_eq!(found, replicated);
}
