//! A change of the ring in mid-fault: a node joins, leaves, dies for ever and is removed, or is replaced.
//!
//! It begins when all replicas are proved equal: what a new replica takes over is then all that was acknowledged, whichever replica it
//! has it from (docs/clusters.md says what is open there). Then faults happen while it is under way. Whoever dies in the middle starts
//! again, and operators ask again until it is done.

use super::{Cluster, address};
use crate::disk::SimDisk;
use crate::random::Rng;
use ::node::execute::admin::{AdminWork, RingWork};
use uuid::Uuid;

/// Fewest members that a node may leave: one more than replicas.
const FEWEST: usize = 4;
/// How often an operator asks again, in milliseconds.
const AGAIN_MS: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Join,
    Leave,
    Remove(Uuid),
    Replace,
}

/// A change that was begun.
#[derive(Debug)]
pub(super) struct RingChange {
    kind: Kind,
    /// Who joins or replaces.
    new: Option<usize>,
    /// Who leaves, or is dead.
    old: Option<usize>,
    next_ask: u64,
}

impl RingChange {
    /// Begins one, of a kind that the number of members allows.
    pub(super) fn begin(cluster: &mut Cluster, rng: &mut Rng) -> Self {
        let members = cluster.members();
        let spare = cluster.out.first().copied();
        let old = *rng.pick(&members);
        let host_id = cluster.nodes[old].host_id();
        let kinds = [Kind::Join, Kind::Replace, Kind::Leave];
        let kind = match host_id {
            Some(host_id) if members.len() >= FEWEST => *rng.pick(&[
                Kind::Join,
                Kind::Replace,
                Kind::Leave,
                Kind::Remove(host_id),
            ]),
            _ => *rng.pick(&kinds[..2]),
        };
        let new = spare.filter(|_| matches!(kind, Kind::Join | Kind::Replace));
        let old = Some(old).filter(|_| kind != Kind::Join);
        if let (Some(old), Kind::Remove(_) | Kind::Replace) = (old, kind) {
            cluster.crash(old);
            leave(old, cluster, rng);
        }
        if let Some(new) = new {
            let replaced = old.map(|old| address(old).ip());
            cluster.nodes[new].config.replaces = replaced;
            cluster.out.remove(&new);
            cluster.start(new, 1 + rng.below(2) as u16);
        }
        Self {
            kind,
            new,
            old,
            next_ask: 0,
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> String {
        let name = |node: Option<usize>| node.map_or(0, |node| node + 1);
        match self.kind {
            Kind::Join => format!("node {} joins", name(self.new)),
            Kind::Leave => format!("node {} leaves", name(self.old)),
            Kind::Remove(_) => format!("node {} is lost and removed", name(self.old)),
            Kind::Replace => {
                let (old, new) = (name(self.old), name(self.new));
                format!("node {old} is lost and replaced by node {new}")
            }
        }
    }

    /// Has operators ask, if they have to; whether it is done, as all members that serve see it.
    pub(super) fn go_on(&mut self, cluster: &mut Cluster, rng: &mut Rng) -> Result<bool, String> {
        let mut seen = Vec::new();
        for node in cluster.members() {
            if Some(node) != self.old && cluster.serves(node)? && !cluster.is_paused(node) {
                seen.push(node);
            }
        }
        let (new, old) = (self.new, self.old);
        let is_done = !seen.is_empty()
            && seen.iter().all(|node| {
                let ring = cluster.nodes[*node].ring();
                let has_tokens = |wanted: usize| {
                    let found = ring.iter().find(|(at, _)| *at == address(wanted));
                    found.map(|(_, tokens)| *tokens > 0)
                };
                new.is_none_or(|new| has_tokens(new) == Some(true))
                    && old.is_none_or(|old| has_tokens(old).is_none())
            });
        let serves = match new {
            Some(new) => cluster.serves(new)?,
            None => true,
        };
        if is_done && serves {
            if let Some(old) = old.filter(|old| !cluster.out.contains(old)) {
                cluster.kill(old);
                leave(old, cluster, rng);
            }
            return Ok(true);
        }
        self.ask(&seen, cluster, rng)?;
        Ok(false)
    }

    fn ask(&mut self, seen: &[usize], cluster: &mut Cluster, rng: &mut Rng) -> Result<(), String> {
        let now = cluster.nanos();
        if now < self.next_ask {
            return Ok(());
        }
        self.next_ask = now + AGAIN_MS * 1_000_000;
        match (self.kind, self.old) {
            (Kind::Remove(host_id), _) if !seen.is_empty() => {
                let by = *rng.pick(seen);
                let work = AdminWork::ChangeRing(RingWork::Remove(host_id));
                cluster.nodes[by].administer(&work);
            }
            (Kind::Leave, Some(old)) if cluster.serves(old)? && !cluster.is_paused(old) => {
                let work = RingWork::Decommission { force: false };
                cluster.nodes[old].administer(&AdminWork::ChangeRing(work));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A machine is no member any more: its disk is empty.
fn leave(node: usize, cluster: &mut Cluster, rng: &mut Rng) {
    let planted = cluster.nodes[node].disk.planted;
    cluster.nodes[node].disk = SimDisk::new(rng.fork());
    cluster.nodes[node].disk.planted = planted;
    cluster.out.insert(node);
}
