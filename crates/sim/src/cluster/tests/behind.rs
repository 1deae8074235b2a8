//! Replicas that are behind while the ring changes.

use super::START_MS;
use super::ring::Kept;
use crate::node::machine::Answer;
use model::error::Consistency;
use node::execute::admin::{AdminWork, HandoffChange, RingWork};

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

#[test]
fn who_leaves_stays_until_the_others_have_what_it_has() {
    let mut kept = Kept::new(42, 4, 4, 2);
    pause(&mut kept, &[0, 1, 2, 3], true);
    kept.cluster.crash(1);
    kept.cluster.pass(5_000);
    for key in kept.rows..kept.rows + 60 {
        let text = format!("INSERT INTO ks.t (k, c, v) VALUES ({key}, 1, {key})");
        kept.cluster.must(0, Consistency::One, &text).unwrap();
    }
    kept.rows += 60;
    kept.cluster.nodes[1].config.handoff.paused = true;
    // One shard: what an operator says here is said to the first.
    kept.cluster.start(1, 1);
    kept.cluster.wait_until_served(START_MS).unwrap();
    let leave = AdminWork::ChangeRing(RingWork::Decommission { force: false });
    let leaves = kept.cluster.nodes[0].administer(&leave);
    kept.cluster.pass(20_000);
    let ended = kept.cluster.nodes[0].administered.get(&leaves);
    assert!(ended.is_none(), "{ended:?}");
    pause(&mut kept, &[0, 1, 2, 3], false);
    for _ in 0..100 {
        kept.cluster.pass(200);
    }
    let ended = kept.cluster.nodes[0].administered.remove(&leaves);
    assert!(
        matches!(ended, Some(Ok(_))),
        "{ended:?}\n{}",
        kept.cluster.describe()
    );
    kept.cluster.crash(0);
    let (found, replicated) = own_rows(&mut kept, 1);
    assert!(replicated > kept.rows / 3, "{replicated} of {}", kept.rows);
    assert_eq!(found, replicated);
}
