//! What happens to nodes: the first round has what the test command tries each time, later ones are drawn from a seed.

use std::fmt;
use std::time::Duration;

/// Shortest and longest time that something lasts, in milliseconds.
const LASTING_MS: (u64, u64) = (500, 8_000);
/// How many faults a round has.
const FAULTS: usize = 3;
/// Every so many rounds a disk is lost for ever.
const REPLACE_EVERY: u64 = 3;

/// Something that goes wrong for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A node is killed (SIGKILL) and started again.
    Kill { node: u8, lasting: Duration },
    /// A node stands still (SIGSTOP).
    Pause { node: u8, lasting: Duration },
    /// What is sent on these links, from and to, is lost.
    Cut {
        links: Vec<(u8, u8)>,
        lasting: Duration,
    },
    /// A node's disk is full.
    Fill { node: u8, lasting: Duration },
    /// A node's disk is lost, and a new node takes its place.
    Replace { node: u8 },
}

impl Fault {
    /// A word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Kill { .. } => "killed",
            Fault::Pause { .. } => "paused",
            Fault::Cut { .. } => "cut",
            Fault::Fill { .. } => "full",
            Fault::Replace { .. } => "replaced",
        }
    }

    /// The nodes in trouble.
    pub fn nodes(&self) -> Vec<u8> {
        match self {
            Fault::Kill { node, .. }
            | Fault::Pause { node, .. }
            | Fault::Fill { node, .. }
            | Fault::Replace { node } => vec![*node],
            Fault::Cut { links, .. } => {
                let mut nodes: Vec<u8> = links.iter().flat_map(|(a, b)| [*a, *b]).collect();
                nodes.sort_unstable();
                nodes.dedup();
                match nodes.iter().find(|node| is_end_of_all(**node, links)) {
                    // The others reach each other.
                    Some(alone) => vec![*alone],
                    None => nodes,
                }
            }
        }
    }
}

/// Whether each of several links begins or ends at a node.
fn is_end_of_all(node: u8, links: &[(u8, u8)]) -> bool {
    let ends = |(from, to): &(u8, u8)| *from == node || *to == node;
    links.len() > 2 && links.iter().all(ends)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill { node, lasting } => write!(f, "node {node} is killed for {lasting:?}"),
            Fault::Pause { node, lasting } => write!(f, "node {node} is paused for {lasting:?}"),
            Fault::Cut { links, lasting } => {
                let links: Vec<String> = links.iter().map(|(a, b)| format!("{a}-{b}")).collect();
                write!(f, "links are cut for {lasting:?}: {}", links.join(" "))
            }
            Fault::Fill { node, lasting } => {
                write!(f, "the disk of node {node} is full for {lasting:?}")
            }
            Fault::Replace { node } => write!(f, "node {node} loses its disk and is replaced"),
        }
    }
}

/// Links between a node and others, both ways.
fn around(node: u8, members: &[u8]) -> Vec<(u8, u8)> {
    let others = members.iter().filter(|other| **other != node);
    others
        .flat_map(|other| [(node, *other), (*other, node)])
        .collect()
}

/// Faults by a seed.
pub struct Plan {
    state: u64,
}

impl Plan {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below a bound: SplitMix64, S. Vigna.
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// What happens in a round to these members.
    pub fn round(&mut self, round: u64, members: &[u8]) -> Vec<Fault> {
        if round == 0 {
            return first(members);
        }
        let mut faults: Vec<Fault> = (0..FAULTS).map(|_| self.fault(members)).collect();
        if round.is_multiple_of(REPLACE_EVERY) {
            let node = self.member(members);
            faults.push(Fault::Replace { node });
        }
        faults
    }

    fn member(&mut self, members: &[u8]) -> u8 {
        members[self.below(members.len() as u64) as usize]
    }

    fn fault(&mut self, members: &[u8]) -> Fault {
        let node = self.member(members);
        let other = around(node, members);
        let (shortest, longest) = LASTING_MS;
        let lasting = Duration::from_millis(shortest + self.below(longest - shortest));
        match self.below(6) {
            0 => Fault::Kill { node, lasting },
            1 => Fault::Pause { node, lasting },
            2 => Fault::Fill { node, lasting },
            3 => Fault::Cut {
                links: other,
                lasting,
            },
            // A link between two, both ways, or one way.
            4 => Fault::Cut {
                links: other[..2].to_vec(),
                lasting,
            },
            _ => Fault::Cut {
                links: other[..1].to_vec(),
                lasting,
            },
        }
    }
}

/// What is tried each time: one member dies, one stands still, one is cut off.
fn first(members: &[u8]) -> Vec<Fault> {
    let lasting = |seconds| Duration::from_secs(seconds);
    vec![
        Fault::Kill {
            node: members[2],
            lasting: lasting(6),
        },
        Fault::Pause {
            node: members[0],
            lasting: lasting(3),
        },
        Fault::Cut {
            links: around(members[1], members),
            lasting: lasting(4),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_and_tries_everything() {
        let rounds = |seed| {
            let mut plan = Plan::new(seed);
            let rounds = (0..40).flat_map(|round| plan.round(round, &[1, 2, 4]));
            rounds.collect::<Vec<_>>()
        };
        let faults = rounds(1);
        assert_eq!(faults, rounds(1));
        assert_ne!(faults, rounds(2));
        for name in ["killed", "paused", "cut", "full", "replaced"] {
            assert!(faults.iter().any(|fault| fault.name() == name), "{name}");
        }
        assert!(faults.iter().all(|fault| !fault.nodes().contains(&3)));
    }

    #[test]
    fn who_is_cut_off_is_in_trouble_and_the_others_are_not() {
        let cut = |links| {
            let lasting = Duration::ZERO;
            Fault::Cut { links, lasting }.nodes()
        };
        assert_eq!(cut(around(2, &[1, 2, 3])), [2]);
        assert_eq!(cut(vec![(3, 1), (1, 3)]), [1, 3]);
        assert_eq!(cut(vec![(3, 1)]), [1, 3]);
    }
}
