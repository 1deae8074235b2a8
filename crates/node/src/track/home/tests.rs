//! A group that replicates nothing any more is heard once more.

use super::*;
use cluster::topology::Node;
use model::time::WallMicros;
use uuid::Uuid;

/// The homes of a group of three, each at its node.
struct Three {
    homes: Vec<Home>,
    nanos: u64,
}

impl Three {
    fn new() -> Self {
        let nodes = (1..=3).map(|number: u32| Node {
            id: NodeId(number),
            host_id: Uuid::from_u128(u128::from(number)),
            client_address: ([127, 0, 0, number as u8], 9042).into(),
            internode_address: ([127, 0, 0, number as u8], 7000).into(),
            datacenter: "dc".to_owned(),
            rack: "r".to_owned(),
            tokens: Vec::new(),
            alive: true,
        });
        let nodes: Vec<Node> = nodes.collect();
        let members: Members = Arc::new([1, 2, 3]);
        let home = |number: u32| {
            let topology = Topology::new("c".to_owned(), nodes.clone(), NodeId(number));
            let own = Incarnation {
                node: NodeId(number),
                incarnation: 7,
                boot: 1,
            };
            let now = Now {
                wall: WallMicros(1),
                boot: BootNanos(1),
            };
            let parts = (own, GATE_MS, &topology);
            Home::new(members.clone(), parts, Restored::default(), now)
        };
        Self {
            homes: [1, 2, 3].map(home).into(),
            nanos: 1,
        }
    }

    /// Time passes, in which those who are up hear each other.
    fn pass(&mut self, millis: u64, up: &[usize]) {
        for _ in 0..millis / 10 {
            self.nanos += 10_000_000;
            let now = BootNanos(self.nanos);
            let mut sent = Vec::new();
            for from in up {
                let mut effects = Vec::new();
                self.homes[*from].tick(now, &mut effects);
                sent.extend(effects.into_iter().map(|effect| (*from, effect)));
            }
            while let Some((from, effect)) = sent.pop() {
                let mut effects = Vec::new();
                let at = match effect {
                    Effect::Ask { round, .. } => {
                        self.homes[from].group.on_asked(round);
                        from
                    }
                    Effect::Send { to, summary } => {
                        let to = to.0 as usize - 1;
                        if up.contains(&to) {
                            let from = NodeId(from as u32 + 1);
                            let group = &mut self.homes[to].group;
                            group.on_summary(from, summary, now, &mut effects);
                        }
                        to
                    }
                    _ => continue,
                };
                sent.extend(effects.into_iter().map(|effect| (at, effect)));
            }
        }
    }

    fn place(&mut self, node: usize, is_placed: bool) {
        self.homes[node].set_placed(is_placed, BootNanos(self.nanos));
    }

    /// Whom a node doubts.
    fn doubted(&self, node: usize) -> Vec<NodeId> {
        self.homes[node].standing(BootNanos(self.nanos)).doubted
    }
}

#[test]
fn who_was_cut_off_while_the_ring_changed_is_doubted_until_it_has_heard_those_of_before() {
    let mut three = Three::new();
    for node in 0..3 {
        three.place(node, true);
    }
    three.pass(2_000, &[0, 1, 2]);
    // The ring changes while the third hears nobody; it learns of that by somebody else.
    three.pass(5_000, &[0, 1]);
    for node in 0..3 {
        three.place(node, false);
    }
    three.pass(2_000, &[0, 1]);
    three.pass(2_000, &[2]);
    assert!(three.doubted(2).contains(&NodeId(3)));
    three.pass(5_000, &[0, 1, 2]);
    for node in 0..3 {
        assert_eq!(three.doubted(node), [], "of node {}", node + 1);
        assert!(three.homes[node].is_over());
    }
}

#[test]
fn who_hears_everybody_when_the_ring_changes_is_not_doubted_for_it() {
    let mut three = Three::new();
    for node in 0..3 {
        three.place(node, true);
    }
    three.pass(2_000, &[0, 1, 2]);
    for node in 0..3 {
        three.place(node, false);
        three.pass(50, &[0, 1, 2]);
    }
    for _ in 0..100 {
        three.pass(50, &[0, 1, 2]);
        for node in 0..3 {
            assert_eq!(three.doubted(node), [], "of node {}", node + 1);
        }
    }
}
