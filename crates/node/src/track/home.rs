//! The home shard of a group: what is known of it is kept here, told by all shards and by the other members.

use super::facts::{GroupFact, MemberFact, Standing};
use super::owed::NotedGone;
use super::{Incarnation, Tracking, group_of};
use crate::effects::Effects;
use crate::peers::message::PeerMessage;
use crate::shard::Shard;
use crate::track::message::TrackMessage;
use crate::track::shards::TrackNote;
use cluster::topology::{NodeId, Topology};
use cluster::track::{
    Boot, Effect, Freshness, Group, GroupConfig, GroupId, LogBirth, Restored, Summary,
};
use model::policy::{Defect, Policy};
use model::time::{BootNanos, Now};
use model::track::{IdSet, Intervals, LogId};
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::held::Members;

/// How often a member looks at what it has heard, and sends summaries, in milliseconds.
const SUMMARY_MS: u64 = 100;
/// How stale a fresh member may be, in milliseconds (docs/tracking.md, section 8).
pub(super) const GATE_MS: u64 = 1_000;
/// What who trusts silence takes for fresh, in milliseconds.
const SILENT_MS: u64 = 3_600_000;
/// How long after a group has ceased to replicate anything it is heard at the earliest, in milliseconds: by then all coordinators are
/// to know, and what is heard is as of a moment since.
const LAST_WRITES_MS: u64 = 500;
/// How often shards are told what all members hold, in milliseconds.
const RECONCILED_MS: u64 = 500;

/// A group at its home.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) members: Members,
    pub(super) group: Group,
    /// Answers to the question under way that are outstanding, and the question.
    asked: Option<(u64, u16)>,
    /// What shards were told that all members hold.
    reconciled: IdSet,
    next_reconciled: BootNanos,
    /// Whether it replicates something.
    is_placed: bool,
    /// Where it has ceased to: when its members are to be heard once more. What this node missed of it may be what it replicates now, in
    /// another group, whose members may know nothing of that.
    hear_from: Option<BootNanos>,
    /// What a repair under way is to bring.
    pub(super) noted: Option<NotedGone>,
}

/// The bound of the read gate.
pub(super) fn gate_ms(policy: Policy) -> u64 {
    if policy.has(Defect::SilenceTrusted) {
        SILENT_MS
    } else {
        GATE_MS
    }
}

impl Home {
    fn new(
        members: Members,
        (own, gate_ms, topology): (Incarnation, u64, &Topology),
        restored: Restored,
        now: Now,
    ) -> Self {
        let config = config(&members, (own, gate_ms), topology);
        let mut group = Group::new(config, restored, now.boot);
        end_removed(&mut group, &members);
        Self {
            members,
            group,
            asked: None,
            reconciled: IdSet::default(),
            next_reconciled: now.boot,
            is_placed: false,
            hear_from: None,
            noted: None,
        }
    }

    /// What all shards are to know of it.
    fn standing(&self, now: BootNanos) -> Standing {
        let nodes = self.members.iter().map(|node| NodeId(*node));
        let fresh = nodes.map(|node| (node, self.group.freshness(node, now)));
        let fresh: Vec<(NodeId, Freshness)> = fresh.collect();
        // What it replicated before may be another group's by now: who is behind here may be so there.
        let is_settled = self.group.is_all_settled();
        let is_open = !self.is_placed && !self.is_over();
        let is_doubted = |fresh: &Freshness| fresh.behind || is_open && !fresh.all && !fresh.local;
        let doubted = fresh.iter().filter(|(_, fresh)| is_doubted(fresh));
        // Of what is over there is nothing more to come.
        let over = self.is_over().then_some(BootNanos(u64::MAX));
        Standing {
            doubted: doubted.map(|(node, _)| *node).collect(),
            proved: self.group.proved(),
            at: now,
            is_settled,
            caught_up: self.group.caught_up().max(over),
            given: self.group.given().max(over),
            is_gone: self.group.gone().next().is_some(),
            fresh,
        }
    }

    pub(super) fn next_deadline(&self) -> BootNanos {
        self.group.next_deadline()
    }

    /// What replicates nothing and has settled everything costs next to nothing until it has news.
    fn quieten(&mut self, now: BootNanos) {
        self.group.set_quiet(self.is_over(), now);
    }

    /// Whether it replicates nothing any more, and settled all there was.
    fn is_over(&self) -> bool {
        !self.is_placed && self.hear_from.is_none() && self.group.is_all_settled()
    }

    /// It replicates something, or does not.
    fn set_placed(&mut self, is_placed: bool, now: BootNanos) {
        if is_placed {
            self.hear_from = None;
        } else if self.is_placed && self.members.len() > 2 {
            // Of two no quorum was without this one.
            self.hear_from = Some(now.plus_millis(LAST_WRITES_MS));
        }
        self.is_placed = is_placed;
    }

    /// Gives it its turn.
    fn tick(&mut self, now: BootNanos, effects: &mut Vec<Effect>) {
        self.quieten(now);
        self.group.tick(now, effects);
        let is_heard = |from: BootNanos| now >= from && self.group.hears_majority();
        if self.hear_from.is_some_and(is_heard) {
            self.hear_from = None;
        }
    }

    /// What all members hold and no shard was told of.
    fn newly_reconciled(&mut self) -> IdSet {
        let mut all = IdSet::default();
        for (log, sequences) in self.group.reconciled() {
            all.insert_all(log, &sequences);
        }
        let new = all.minus(&self.reconciled);
        self.reconciled = all;
        new
    }
}

/// What a group is made of: those of the members it was named by that are still members of the cluster.
fn config(
    members: &Members,
    (own, gate_ms): (Incarnation, u64),
    topology: &Topology,
) -> GroupConfig {
    let known = |id: &NodeId| topology.nodes.iter().any(|node| node.id == *id);
    let nodes = members.iter().map(|node| NodeId(*node));
    let live: Vec<NodeId> = nodes.filter(known).collect();
    let datacenter = &topology.local().datacenter;
    let here = topology.of_datacenter(datacenter);
    GroupConfig {
        id: group_of(members),
        me: own.node,
        incarnation: own.incarnation,
        boot: own.boot,
        local_members: here.filter(|id| live.contains(id)).collect(),
        members: live,
        summary_ms: SUMMARY_MS,
        gate_ms,
    }
}

/// Nothing of members that were removed from the cluster is taken in any more: their logs end.
fn end_removed(group: &mut Group, members: &Members) {
    for node in members.iter().map(|node| NodeId(*node)) {
        if !group.config().members.contains(&node) {
            group.on_removed(node);
        }
    }
}

impl Tracking {
    /// The group of these members, whose home this shard is.
    fn home(&mut self, members: &Members, topology: &Topology, now: Now) -> &mut Home {
        let (own, gate_ms) = (self.own, self.gate_ms);
        let home = self.homes.entry(group_of(members));
        let retired = self.retired.get(members);
        home.or_insert_with(|| {
            let members = members.clone();
            let restored = Restored {
                retired: retired.cloned().unwrap_or_default(),
                ..Restored::default()
            };
            Home::new(members, (own, gate_ms, topology), restored, now)
        })
    }
}

impl Shard {
    /// The groups there are, by who replicates what now: they are kept from the start, so that a member that has heard nothing
    /// asks. Those that are nothing any more but settle something are kept until they have.
    pub(super) fn place_homes(&mut self, now: Now, out: &mut Effects) {
        let local = self.topology.local;
        let topology = self.topology.clone();
        let mut placed: Vec<GroupId> = Vec::new();
        self.tracking.ring_changes = topology.groups().any(|group| !group.pending.is_empty());
        for replicas in topology.groups() {
            let mut members: Vec<u32> = replicas.all().map(|id| id.0).collect();
            members.sort_unstable();
            let is_tracked = members.len() > 1 && self.config.policy.tracks();
            if !is_tracked || !members.contains(&local.0) {
                continue;
            }
            let members: Members = members.into();
            let id = group_of(&members);
            if self.home_of(id) == self.number {
                self.tracking.home(&members, &topology, now);
                placed.push(id);
            }
        }
        let own = (self.tracking.own, self.tracking.gate_ms);
        for home in self.tracking.homes.values_mut() {
            let config = config(&home.members, own, &topology);
            if config != *home.group.config() {
                let restored = home.group.to_restore();
                home.group = Group::new(config, restored, now.boot);
                home.asked = None;
            }
            end_removed(&mut home.group, &home.members);
        }
        let mut dropped = Vec::new();
        self.tracking.homes.retain(|id, home| {
            home.set_placed(placed.contains(id), now.boot);
            home.quieten(now.boot);
            let is_kept = home.is_placed || home.hear_from.is_some() || home.group.logs() > 0;
            if !is_kept {
                dropped.push(home.members.clone());
            }
            is_kept
        });
        for members in dropped {
            self.tell_all(|| TrackNote::Dropped(members.clone()), now, out);
        }
    }

    /// A shard of this node has made these durable.
    pub(super) fn on_held(&mut self, held: Vec<(LogId, Members, Intervals)>, now: Now) {
        let topology = self.topology.clone();
        for (log, members, sequences) in held {
            let home = self.tracking.home(&members, &topology, now);
            home.group.on_durable(LogBirth::from(log), &sequences);
        }
    }

    /// Another member says what it holds.
    pub(super) fn on_summary(
        &mut self,
        from: NodeId,
        members: &Members,
        summary: Summary,
        now: Now,
        out: &mut Effects,
    ) {
        let topology = self.topology.clone();
        let home = self.tracking.home(members, &topology, now);
        if summary.group != home.group.id() {
            return;
        }
        let mut effects = Vec::new();
        home.group.on_summary(from, summary, now.boot, &mut effects);
        home.quieten(now.boot);
        let members = members.clone();
        self.carry_out_tracking(&members, effects, now, out);
    }

    /// A shard of this node has answered a question: up to where its own logs of the group are assigned.
    pub(super) fn on_asked(&mut self, members: &Members, round: u64, end: Option<(LogId, u64)>) {
        let Some(home) = self.tracking.homes.get_mut(&group_of(members)) else {
            return;
        };
        if let Some((log, end)) = end {
            home.group.on_assigned(LogBirth::from(log), end);
        }
        if let Some((asked, left)) = &mut home.asked
            && *asked == round
        {
            *left -= 1;
            if *left == 0 {
                home.asked = None;
                home.group.on_asked(round);
            }
        }
    }

    /// A holder has no payload of these, or has sent a part of what it was asked for.
    pub(super) fn on_pull_answered(
        &mut self,
        from: NodeId,
        members: &Members,
        gone: &IdSet,
        cut: bool,
    ) {
        if let Some(home) = self.tracking.homes.get_mut(&group_of(members)) {
            for (log, sequences) in gone.logs() {
                home.group.on_gone(from, LogBirth::from(log), sequences);
            }
            if cut {
                home.group.on_cut(from);
            }
        }
    }

    /// Gives the groups at home here their turn.
    pub(super) fn tend_homes(&mut self, now: Now, out: &mut Effects) {
        let due: Vec<GroupId> = self
            .tracking
            .homes
            .iter()
            .filter(|(_, home)| now.boot >= home.next_deadline())
            .map(|(id, _)| *id)
            .collect();
        // Who gives data away is to have all of it first.
        let living = self.tracking.ring_changes.then(|| {
            let nodes = self.topology.nodes.iter().filter(|node| node.alive);
            nodes.map(|node| node.id).collect::<BTreeSet<NodeId>>()
        });
        for id in due {
            let Some(home) = self.tracking.homes.get_mut(&id) else {
                continue;
            };
            let mut effects = Vec::new();
            home.group.set_living(living.clone());
            home.tick(now.boot, &mut effects);
            let members = home.members.clone();
            if now.boot >= home.next_reconciled {
                home.next_reconciled = now.boot.plus_millis(RECONCILED_MS);
                let new = Arc::new(home.newly_reconciled());
                if !new.is_empty() {
                    self.tell_all(|| TrackNote::Reconciled(new.clone()), now, out);
                }
            }
            self.carry_out_tracking(&members, effects, now, out);
            self.tell_retired(id, now, out);
            self.tell_standing(id, now, out);
        }
    }

    fn carry_out_tracking(
        &mut self,
        members: &Members,
        effects: Vec<Effect>,
        now: Now,
        out: &mut Effects,
    ) {
        for effect in effects {
            match effect {
                Effect::Ask { round, boots } => self.ask_shards(members, round, &boots, now, out),
                Effect::Send { to, summary } => {
                    let members = members.clone();
                    let message = TrackMessage::Summary { members, summary };
                    self.say(to, &PeerMessage::Tracked(message), out);
                }
                Effect::Pull {
                    from,
                    log,
                    sequences,
                } => {
                    // It is asked for again, and again, until it is resumed.
                    if self.handoff_settings().paused {
                        continue;
                    }
                    let message = TrackMessage::Pull {
                        members: members.clone(),
                        log: log.log,
                        sequences,
                    };
                    self.say(from, &PeerMessage::Tracked(message), out);
                }
                // Both are told when they are asked for, or with the next look.
                Effect::Fresh(_) | Effect::Proved(_) => {}
            }
        }
    }

    fn ask_shards(
        &mut self,
        members: &Members,
        round: u64,
        boots: &[(NodeId, Boot)],
        now: Now,
        out: &mut Effects,
    ) {
        let shards = self.config.shards;
        if let Some(home) = self.tracking.homes.get_mut(&group_of(members)) {
            home.asked = Some((round, shards));
        }
        let boots: Arc<[(NodeId, Boot)]> = boots.into();
        let ask = || TrackNote::Ask {
            members: members.clone(),
            round,
            boots: boots.clone(),
        };
        self.tell_all(ask, now, out);
    }

    /// Tells all shards what a group is good for.
    fn tell_standing(&mut self, id: GroupId, now: Now, out: &mut Effects) {
        let Some(home) = self.tracking.homes.get(&id) else {
            return;
        };
        let standing = Arc::new(home.standing(now.boot));
        let members = home.members.clone();
        let note = || TrackNote::Standing(members.clone(), standing.clone());
        self.tell_all(note, now, out);
    }

    /// A shard's journal has no room for these any more: says who of the group lacks what of them.
    pub(super) fn find_lacking(
        &mut self,
        shard: u16,
        members: &Members,
        (ids, waits): (&[(LogId, Intervals)], bool),
        now: Now,
        out: &mut Effects,
    ) {
        let Some(home) = self.tracking.homes.get(&group_of(members)) else {
            return;
        };
        // Who has not spoken since this node started may hold all of it. Of who is away it is not known, and it may take long; who
        // lives and does not speak is not waited for any longer than that: what it is owed and has is settled when it speaks.
        let mut living = self.topology.nodes.iter().filter(|node| node.alive);
        let heard =
            living.all(|node| !members.contains(&node.id.0) || home.group.has_answered(node.id));
        if waits && !heard {
            return;
        }
        let (mut all, mut lacking) = (IdSet::default(), Vec::new());
        for (log, sequences) in ids {
            all.insert_all(*log, sequences);
            let nodes = home.group.lacking(*log, sequences).into_iter();
            lacking.extend(nodes.map(|(node, left)| (node, *log, left)));
        }
        let ids = Arc::new(all);
        self.note_to(shard, TrackNote::Owe { ids, lacking }, now, out);
    }

    /// For some members nothing is kept: says which of these they lack, but for what another lacks, too.
    pub(super) fn find_unkept(
        &mut self,
        shard: u16,
        (members, nodes): (&Members, &BTreeSet<NodeId>),
        ids: &[(LogId, Intervals)],
        now: Now,
        out: &mut Effects,
    ) {
        let Some(home) = self.tracking.homes.get(&group_of(members)) else {
            return;
        };
        let mut living = self.topology.nodes.iter().filter(|node| node.alive);
        if !living.all(|node| !members.contains(&node.id.0) || home.group.has_answered(node.id)) {
            return;
        }
        let (mut all, mut unkept) = (IdSet::default(), Vec::new());
        for (log, sequences) in ids {
            let (of_them, of_others): (Vec<_>, Vec<_>) = home
                .group
                .lacking(*log, sequences)
                .into_iter()
                .partition(|(node, _)| nodes.contains(node));
            let mut kept = Intervals::default();
            of_others.iter().for_each(|(_, left)| kept.union(left));
            let left = of_them.into_iter();
            let left = left.map(|(node, left)| (node, *log, left.minus(&kept)));
            unkept.extend(left.filter(|(.., left)| !left.is_empty()));
            all.insert_all(*log, &sequences.minus(&kept));
        }
        if !unkept.is_empty() {
            let (ids, lacking) = (Arc::new(all), unkept);
            self.note_to(shard, TrackNote::Owe { ids, lacking }, now, out);
        }
    }

    /// A shard owes members of a group these: tells it what they do not lack any more.
    pub(super) fn find_paid(
        &mut self,
        shard: u16,
        members: &Members,
        mut debts: Vec<(NodeId, LogId, Intervals)>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(home) = self.tracking.homes.get(&group_of(members)) else {
            return;
        };
        for (node, log, owed) in &mut debts {
            *owed = home.group.paid(*node, *log, owed);
        }
        debts.retain(|(.., paid)| !paid.is_empty());
        if !debts.is_empty() {
            self.note_to(shard, TrackNote::Paid(debts), now, out);
        }
    }

    /// What the groups at home here know.
    pub(crate) fn group_facts(&self, now: BootNanos) -> Vec<GroupFact> {
        let homes = self.tracking.homes.values();
        // Of what replicates nothing and has settled everything there is nothing to tell.
        let homes = homes.filter(|home| !home.is_over());
        let facts = homes.map(|home| {
            let debts = home.group.debts().into_iter();
            GroupFact {
                members: home.members.clone(),
                proved: home.group.proved(),
                of: debts
                    .map(|(node, lacks)| MemberFact {
                        node,
                        lacks,
                        fresh: home.group.freshness(node, now).all,
                    })
                    .collect(),
                gone: home.group.gone().map(|(_, gone)| gone.count()).sum(),
            }
        });
        facts.collect()
    }
}

#[cfg(test)]
mod tests;
