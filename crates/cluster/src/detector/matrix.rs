//! The reachability matrix: from what each node says it cannot reach to what is wrong.
//!
//! A row is a node's list of members it cannot reach, spread by gossip. A row counts while its owner's heart is seen to
//! beat: it comes from a node that is alive and reaches this one through somebody. That also proves life where answers
//! are missing: a node that lists those it cannot reach, and is listed by them, is cut off and not dead.
//!
//! [`verdicts`] is a pure function. It claims no more than the rows prove: where a death and a cut look alike for the
//! first seconds, it says so ([`Verdict::Unanswered`]).

use crate::gossip::state::Unreachable;
use crate::topology::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A heart that was not seen to beat for so long does not prove life any more, and its owner's row does not count.
pub const BEAT_MS: u64 = 5_000;

/// A member, as this node sees it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its number.
    pub node: NodeId,
    /// Data centre and rack, as they are to be shown: what fails together.
    pub place: &'a str,
    /// How long ago its heart was seen to beat, through whomever. Of no meaning for this node itself.
    pub heard_ms_ago: u64,
    /// Whom it cannot reach, by its own word; this node's own list for itself.
    pub unreachable: &'a [Unreachable],
}

/// Something that is wrong between members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody reaches it.
    Dead {
        /// Which.
        node: NodeId,
        /// Who gets no answer from it.
        by: Vec<NodeId>,
    },
    /// Nobody reaches any of the members of a rack or data centre.
    PlaceAway {
        /// Which.
        place: String,
        /// Its members.
        nodes: Vec<NodeId>,
    },
    /// This node reaches fewer than half of the members, directly or through others.
    ThisSideCutOff {
        /// Who is on this side.
        here: Vec<NodeId>,
        /// Who is not heard of.
        away: Vec<NodeId>,
    },
    /// Only this node and one other do not reach each other.
    CutOffFromHere {
        /// The other.
        node: NodeId,
        /// Who reaches both.
        between: Vec<NodeId>,
    },
    /// Two groups do not reach each other; the members of each see each other, or do not say otherwise.
    PartialPartition {
        /// One group, the one with the least number.
        one: Vec<NodeId>,
        /// The other.
        other: Vec<NodeId>,
        /// Who reaches both.
        between: Vec<NodeId>,
    },
    /// One does not reach the other, whose own pings arrive.
    OneWay {
        /// Who gets no answers.
        from: NodeId,
        /// Whose pings arrive.
        to: NodeId,
    },
    /// Some get no answer from a node that was heard of a moment ago: it went down since, or is cut off from them.
    Unanswered {
        /// Which.
        node: NodeId,
        /// From whom.
        by: Vec<NodeId>,
    },
}

/// What is wrong, from the worst to the least.
pub fn verdicts(here: NodeId, members: &[Member<'_>]) -> Vec<Verdict> {
    let matrix = Matrix::new(here, members);
    let mut verdicts = Vec::new();
    let dead = matrix.dead();
    if matrix.alive.len() * 2 < members.len() && !dead.is_empty() {
        let away = |member: &&Member<'_>| !matrix.alive.contains(&member.node);
        verdicts.push(Verdict::ThisSideCutOff {
            here: matrix.alive.iter().copied().collect(),
            away: members
                .iter()
                .filter(away)
                .map(|member| member.node)
                .collect(),
        });
    } else {
        matrix.tell_dead(members, &dead, &mut verdicts);
    }
    matrix.tell_cuts(&dead, &mut verdicts);
    matrix.tell_one_sided(&dead, &mut verdicts);
    verdicts
}

struct Matrix {
    here: NodeId,
    /// Whose rows count: this node, and those whose hearts beat.
    alive: BTreeSet<NodeId>,
    /// Who (second) is listed by whom (first), and whether the listed one's pings arrive.
    listed: BTreeMap<(NodeId, NodeId), bool>,
}

impl Matrix {
    fn new(here: NodeId, members: &[Member<'_>]) -> Self {
        let known: BTreeSet<NodeId> = members.iter().map(|member| member.node).collect();
        let alive = members
            .iter()
            .filter(|member| member.node == here || member.heard_ms_ago < BEAT_MS);
        let mut listed = BTreeMap::new();
        for member in alive.clone() {
            for entry in member.unreachable {
                // A row may still list who is a member no more.
                if known.contains(&entry.node) && entry.node != member.node {
                    listed.insert((member.node, entry.node), entry.heard);
                }
            }
        }
        Self {
            here,
            alive: alive.map(|member| member.node).collect(),
            listed,
        }
    }

    fn lists(&self, from: NodeId, to: NodeId) -> bool {
        self.listed.contains_key(&(from, to))
    }

    /// Who lists a node.
    fn accusers(&self, of: NodeId) -> Vec<NodeId> {
        let accuses = |&(from, to): &(NodeId, NodeId)| (to == of).then_some(from);
        self.listed.keys().filter_map(accuses).collect()
    }

    /// Nodes that somebody gets no answer from and whose heart stands still, or that nobody at all gets an answer from.
    fn dead(&self) -> BTreeSet<NodeId> {
        let listed: BTreeSet<NodeId> = self.listed.keys().map(|(_, to)| *to).collect();
        let is_dead = |node: &NodeId| {
            let mut others = self.alive.iter().filter(|other| *other != node);
            let by_all = others.all(|other| self.lists(*other, *node));
            *node != self.here && (!self.alive.contains(node) || by_all)
        };
        listed.into_iter().filter(is_dead).collect()
    }

    /// Whole racks and data centres together, the rest one by one.
    fn tell_dead(
        &self,
        members: &[Member<'_>],
        dead: &BTreeSet<NodeId>,
        verdicts: &mut Vec<Verdict>,
    ) {
        let mut places: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        for member in members {
            places.entry(member.place).or_default().push(member.node);
        }
        let mut together = BTreeSet::new();
        for (place, nodes) in places {
            if nodes.len() > 1 && nodes.iter().all(|node| dead.contains(node)) {
                together.extend(nodes.iter().copied());
                let place = place.to_owned();
                verdicts.push(Verdict::PlaceAway { place, nodes });
            }
        }
        for &node in dead.difference(&together) {
            let by = self.accusers(node);
            verdicts.push(Verdict::Dead { node, by });
        }
    }

    /// Whether two that list each other differ in whether they hear the other: messages pass one way.
    fn is_one_way(&self, a: NodeId, b: NodeId) -> bool {
        self.listed.get(&(a, b)) != self.listed.get(&(b, a))
    }

    /// Pairs that list each other, so both are alive, gathered to groups that are cut off from the same nodes.
    fn tell_cuts(&self, dead: &BTreeSet<NodeId>, verdicts: &mut Vec<Verdict>) {
        let mut cut_from: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
        for &(from, to) in self.listed.keys() {
            let cut = self.lists(to, from) && !self.is_one_way(from, to);
            if cut && !dead.contains(&from) && !dead.contains(&to) {
                cut_from.entry(from).or_default().insert(to);
            }
        }
        let mut groups: BTreeMap<&BTreeSet<NodeId>, Vec<NodeId>> = BTreeMap::new();
        for (node, cut) in &cut_from {
            groups.entry(cut).or_default().push(*node);
        }
        let mut sides: Vec<&Vec<NodeId>> = groups.values().collect();
        sides.sort();
        for (index, one) in sides.iter().enumerate() {
            for other in &sides[index + 1..] {
                // All of a group are cut off from the same nodes, so one of each speaks for all.
                if cut_from[&one[0]].contains(&other[0]) {
                    verdicts.push(self.cut(one, other, dead));
                }
            }
        }
    }

    fn cut(&self, one: &[NodeId], other: &[NodeId], dead: &BTreeSet<NodeId>) -> Verdict {
        let apart = |a: NodeId, b: NodeId| self.lists(a, b) || self.lists(b, a);
        let ends = || one.iter().chain(other);
        let between = self.alive.iter().copied().filter(|node| {
            !dead.contains(node) && ends().all(|end| end != node && !apart(*end, *node))
        });
        let between = between.collect();
        match (one, other) {
            ([a], [b]) if *a == self.here || *b == self.here => Verdict::CutOffFromHere {
                node: if *a == self.here { *b } else { *a },
                between,
            },
            _ => Verdict::PartialPartition {
                one: one.to_vec(),
                other: other.to_vec(),
                between,
            },
        }
    }

    /// Where one lists the other and is not listed, or hears it and is not heard.
    fn tell_one_sided(&self, dead: &BTreeSet<NodeId>, verdicts: &mut Vec<Verdict>) {
        let mut unanswered: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for (&(from, to), &heard) in &self.listed {
            if dead.contains(&to) || dead.contains(&from) {
                continue;
            }
            if heard && self.is_one_way(from, to) {
                verdicts.push(Verdict::OneWay { from, to });
            } else if !self.lists(to, from) {
                unanswered.entry(to).or_default().push(from);
            }
        }
        let told = unanswered.into_iter();
        verdicts.extend(told.map(|(node, by)| Verdict::Unanswered { node, by }));
    }
}

/// "node 4", "nodes 1, 2 and 3".
struct Nodes<'a>(&'a [NodeId]);

impl fmt::Display for Nodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => write!(f, "no node"),
            [one] => write!(f, "node {}", one.0),
            [first, rest @ .., last] => {
                write!(f, "nodes {}", first.0)?;
                for node in rest {
                    write!(f, ", {}", node.0)?;
                }
                write!(f, " and {}", last.0)
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead { node, by } => write!(
                f,
                "node {} is down, or cut off from all: nobody reaches it ({} tried)",
                node.0,
                Nodes(by)
            ),
            Self::PlaceAway { place, nodes } => write!(
                f,
                "all of {place} ({}) is down or cut off: nobody reaches any of it",
                Nodes(nodes)
            ),
            Self::ThisSideCutOff { here, away } => write!(
                f,
                "this side is cut off: only {} of {} members are heard of here, none of {}",
                here.len(),
                here.len() + away.len(),
                Nodes(away)
            ),
            Self::CutOffFromHere { node, between } => write!(
                f,
                "node {} is alive, but it and this node do not reach each other; {} reach{} both",
                node.0,
                Nodes(between),
                if between.len() > 1 { "" } else { "es" }
            ),
            Self::PartialPartition {
                one,
                other,
                between,
            } => write!(
                f,
                "a partial partition: {} and {} do not reach each other; {} reach{} both",
                Nodes(one),
                Nodes(other),
                Nodes(between),
                if between.len() > 1 { "" } else { "es" }
            ),
            Self::OneWay { from, to } => write!(
                f,
                "one way only: node {} gets no answers from node {}, whose own pings arrive",
                from.0, to.0
            ),
            Self::Unanswered { node, by } => write!(
                f,
                "node {} does not answer {}: it went down a moment ago, or is cut off from there",
                node.0,
                Nodes(by)
            ),
        }
    }
}

#[cfg(test)]
mod tests;
