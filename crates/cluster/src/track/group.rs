//! One member's view of its group.

mod closing;
mod handover;
mod pulling;
mod trust;

use self::handover::Handover;
use super::gate::{Asked, Freshness, Gate, Proof};
use super::log::Log;
use super::{Boot, GroupId, LogSummary, Summary};
use crate::topology::NodeId;
use model::time::BootNanos;
use model::track::{Intervals, LogId};
use std::collections::{BTreeMap, BTreeSet};

/// What a group is made of, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// Its name.
    pub id: GroupId,
    /// This node.
    pub me: NodeId,
    /// This node's disk.
    pub incarnation: u64,
    /// This node's boot.
    pub boot: Boot,
    /// All members, ascending, this node included.
    pub members: Vec<NodeId>,
    /// Those of this node's data centre.
    pub local_members: BTreeSet<NodeId>,
    /// The member looks so often at what it has heard, in milliseconds, and sends summaries.
    pub summary_ms: u64,
    /// G of the read gate, in milliseconds: how stale a fresh member may be. An answer is known to be as of two summaries ago and a way
    /// there and back, which must be less than half of it and a look.
    pub gate_ms: u64,
}

/// A log, as whoever opened it or read of it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBirth {
    /// Which.
    pub log: LogId,
    /// The boot of its origin.
    pub boot: Boot,
}

impl From<LogId> for LogBirth {
    fn from(log: LogId) -> Self {
        Self {
            log,
            boot: log.boot(),
        }
    }
}

/// What the disk holds of a group at a start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// What this node holds.
    pub held: Vec<(LogBirth, Intervals)>,
    /// Boots of the others that this node has said to take nothing in of earlier ones.
    pub boots: BTreeMap<NodeId, Boot>,
    /// Of logs up to these boots this node holds everything there is.
    pub retired: BTreeMap<NodeId, Boot>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask all shards of this node what they have made durable and assigned, and have them take in nothing of boots before
    /// these, durably; then call [`Group::on_asked`] with the round.
    Ask {
        /// Number of the question.
        round: u64,
        /// Boots of the members.
        boots: Vec<(NodeId, Boot)>,
    },
    /// Send a summary.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        summary: Summary,
    },
    /// Fetch mutations from a member that holds them.
    Pull {
        /// From whom.
        from: NodeId,
        /// Of which log.
        log: LogBirth,
        /// Which.
        sequences: Intervals,
    },
    /// Whether this node is fresh has changed.
    Fresh(Freshness),
    /// Everything acknowledged before that moment of this node's clock is held by all members.
    Proved(BootNanos),
}

#[derive(Debug)]
struct Peer {
    incarnation: Option<u64>,
    boot: Boot,
    /// Version of its state that this node has.
    version: u64,
    /// Version of this node's state that it has.
    acknowledged: u64,
    /// Its last nonce, and the last that this node can answer.
    nonce: u64,
    answerable: u64,
    asked: Asked,
    /// Whether it has answered a question in its present boot: then it has said everything that its disk holds.
    answered: bool,
    /// Boots of the members that it takes in nothing before.
    boots: BTreeMap<NodeId, Boot>,
    fresh: Freshness,
    /// What is being pulled from it: log, sequences, since when.
    pull: Option<(LogId, Intervals, BootNanos)>,
}

/// A question to all shards of this node, and what was so when it was asked.
#[derive(Debug)]
struct Question {
    round: u64,
    at: BootNanos,
    /// Nonces of the peers: what is said afterwards answers them.
    nonces: BTreeMap<NodeId, u64>,
    /// Boots that the shards take in nothing before once they have answered.
    boots: BTreeMap<NodeId, Boot>,
}

/// A member's view of its group.
#[derive(Debug)]
pub struct Group {
    config: GroupConfig,
    logs: BTreeMap<LogId, Log>,
    peers: BTreeMap<NodeId, Peer>,
    /// Boots of the members that this node knows of.
    boots: BTreeMap<NodeId, Boot>,
    /// Those that its shards have confirmed to take in nothing before.
    fenced: BTreeMap<NodeId, Boot>,
    retired: BTreeMap<NodeId, Boot>,
    /// Grows with every change of what this node says.
    version: u64,
    nonce: u64,
    round: u64,
    /// The question under way.
    asking: Option<Question>,
    /// When the last question was asked that is answered.
    asked: Option<BootNanos>,
    next_look: BootNanos,
    /// Whether it looks and speaks rarely.
    is_quiet: bool,
    gate: Gate,
    proof: Option<Proof>,
    proved: Option<BootNanos>,
    /// Where it matters who has what of whom: while the ring changes.
    handover: Option<Handover>,
    /// What was retired and nobody was told of.
    newly_retired: Vec<(NodeId, Boot)>,
}

impl Group {
    /// The group as the disk shows it, before anybody was heard.
    pub fn new(config: GroupConfig, restored: Restored, now: BootNanos) -> Self {
        assert!(config.members.contains(&config.me), "a member's own group");
        assert!(
            8 * config.summary_ms < config.gate_ms,
            "in calm every member is heard in time"
        );
        let peers = config.members.iter().filter(|id| **id != config.me);
        let peers = peers.map(|id| (*id, Peer::new())).collect();
        let mut boots = restored.boots;
        boots.insert(config.me, config.boot);
        // A group is made anew within a boot when its members change: its numbers go on from where time is, so that nobody takes what
        // answered the one before for an answer to this one.
        let from = now.0.max(1);
        let mut group = Self {
            fenced: boots.clone(),
            boots,
            retired: restored.retired,
            logs: BTreeMap::new(),
            peers,
            version: from,
            nonce: from,
            round: from,
            asking: None,
            asked: None,
            next_look: now,
            is_quiet: false,
            gate: Gate::default(),
            proof: None,
            proved: None,
            handover: None,
            newly_retired: Vec::new(),
            config,
        };
        for (birth, held) in restored.held {
            let me = group.config.me;
            if let Some(log) = group.log(birth) {
                log.hold(me, &held);
                log.version = from;
            }
        }
        group
    }

    /// What it is made of.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// The group's name.
    pub fn id(&self) -> GroupId {
        self.config.id
    }

    /// For which reads a member may be trusted, as far as is known. A process that was paused looks first.
    pub fn freshness(&self, member: NodeId, now: BootNanos) -> Freshness {
        if self.is_quiet || now > self.next_look.plus_millis(self.config.summary_ms) {
            return Freshness::default();
        }
        if member == self.config.me {
            return self.gate.fresh;
        }
        let peer = self.peers.get(&member);
        let peer = peer.filter(|peer| peer.was_heard(now, self.config.hearing_nanos()));
        peer.map(|peer| peer.fresh).unwrap_or_default()
    }

    /// Whether a member has said in its present boot what it holds.
    pub fn has_answered(&self, member: NodeId) -> bool {
        member == self.config.me || self.peers.get(&member).is_some_and(|peer| peer.answered)
    }

    /// Everything acknowledged before this moment is held by all members.
    pub fn proved(&self) -> Option<BootNanos> {
        self.proved
    }

    /// Whether mutations of a log may be taken in: not if its origin has started anew since, because somebody may have been told
    /// already that this node lacks them.
    pub fn admits(&self, birth: LogBirth) -> bool {
        let origin = NodeId(birth.log.node());
        self.boots
            .get(&origin)
            .is_none_or(|boot| birth.boot >= *boot)
    }

    /// What all members hold of each log, or nobody ever will.
    pub fn reconciled(&self) -> impl Iterator<Item = (LogId, Intervals)> + '_ {
        let logs = self.logs.iter();
        logs.map(|(id, log)| (*id, log.reconciled(&self.config.members)))
    }

    /// What of these a member does not lack: it holds it or nobody does, or it is a member no more.
    pub fn paid(&self, member: NodeId, id: LogId, sequences: &Intervals) -> Intervals {
        let is_member = self.config.members.contains(&member);
        match self.logs.get(&id) {
            Some(log) if is_member => {
                let mut accounted = log.held(member);
                accounted.union(&log.void);
                sequences.both(&accounted)
            }
            // It is settled for good.
            _ => sequences.clone(),
        }
    }

    /// The members that lack some of these, as far as is known, and what each does. A journal that is about to give the payload
    /// away owes it to them.
    pub fn lacking(&self, id: LogId, sequences: &Intervals) -> Vec<(NodeId, Intervals)> {
        let Some(log) = self.logs.get(&id) else {
            return Vec::new();
        };
        let lacking = self.config.members.iter().map(|member| {
            let mut accounted = log.held(*member);
            accounted.union(&log.void);
            (*member, sequences.minus(&accounted))
        });
        lacking.filter(|(_, left)| !left.is_empty()).collect()
    }

    /// A holder has sent as much as it sends at once of what it was asked for: the rest is asked for anew.
    pub fn on_cut(&mut self, from: NodeId) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.pull = None;
        }
    }

    /// What the disk must hold for this group when earlier evidence of it is dropped.
    pub fn to_restore(&self) -> Restored {
        let logs = self.logs.iter();
        let held = logs.map(|(id, log)| {
            let birth = LogBirth {
                log: *id,
                boot: log.boot,
            };
            (birth, log.held(self.config.me))
        });
        Restored {
            held: held.collect(),
            boots: self.fenced.clone(),
            retired: self.retired.clone(),
        }
    }

    /// Whether all members hold everything, as far as is known.
    pub fn is_all_settled(&self) -> bool {
        self.logs.values().all(|log| self.is_settled(log))
    }

    /// How many logs are not settled for good.
    pub fn logs(&self) -> usize {
        self.logs.len()
    }

    /// Ids this node misses, and ids each other member does, as far as is known: what `nodetool statshints` counts.
    pub fn debts(&self) -> Vec<(NodeId, u64)> {
        let count = |member: &NodeId| {
            let missing = self.logs.values().map(|log| {
                let mut accounted = log.held(*member);
                accounted.union(&log.void);
                log.known().minus(&accounted).count()
            });
            (*member, missing.fold(0, u64::saturating_add))
        };
        self.config.members.iter().map(count).collect()
    }

    /// The log, unless everything of it was settled long ago.
    fn log(&mut self, birth: LogBirth) -> Option<&mut Log> {
        let origin = NodeId(birth.log.node());
        let retired = self.retired.get(&origin);
        if retired.is_some_and(|boot| birth.boot <= *boot) {
            return None;
        }
        let log = self.logs.entry(birth.log);
        Some(log.or_insert_with(|| Log::new(birth.log, birth.boot)))
    }

    /// This node, the origin, has assigned sequences up to `end`.
    pub fn on_assigned(&mut self, birth: LogBirth, end: u64) {
        self.version += 1;
        let version = self.version;
        if let Some(log) = self.log(birth)
            && log.end < end
        {
            log.end = end;
            log.version = version;
        }
    }

    /// A shard of this node has made these durable, or repair has brought what they did.
    pub fn on_durable(&mut self, birth: LogBirth, sequences: &Intervals) {
        self.version += 1;
        let (me, version) = (self.config.me, self.version);
        if let Some(log) = self.log(birth)
            && log.hold(me, sequences)
        {
            log.version = version;
        }
    }

    /// A holder has no payload of these any more.
    pub fn on_gone(&mut self, from: NodeId, birth: LogBirth, sequences: &Intervals) {
        if let Some(log) = self.log(birth) {
            log.gone.entry(from).or_default().union(sequences);
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.pull = None;
        }
    }

    /// All shards have answered a question: what they had made durable and assigned by then was told.
    pub fn on_asked(&mut self, round: u64) {
        let Some(question) = self.asking.take_if(|question| question.round == round) else {
            return;
        };
        for (id, nonce) in question.nonces {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.answerable = peer.answerable.max(nonce);
            }
        }
        self.fenced = question.boots;
        self.asked = Some(question.at);
    }

    /// Another member says what it holds.
    pub fn on_summary(
        &mut self,
        from: NodeId,
        summary: Summary,
        now: BootNanos,
        out: &mut Vec<Effect>,
    ) {
        self.merge(from, summary);
        self.listen(from, now);
        self.ask(now, out);
    }

    fn merge(&mut self, from: NodeId, summary: Summary) {
        let me = self.config.me;
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if summary.boot < peer.boot {
            return;
        }
        if peer.incarnation != Some(summary.incarnation) {
            // Another disk: what the earlier one held is not there.
            if peer.incarnation.is_some() {
                (self.proof, self.proved) = (None, None);
                self.logs.values_mut().for_each(|log| {
                    log.held.remove(&from);
                    // What it alone held may be nobody's now.
                    log.closed = false;
                });
            }
            *peer = Peer::new();
            peer.incarnation = Some(summary.incarnation);
        }
        if summary.boot > peer.boot {
            peer.boot = summary.boot;
            (peer.version, peer.acknowledged) = (0, 0);
            (peer.nonce, peer.answerable) = (0, 0);
            peer.answered = false;
        }
        peer.nonce = peer.nonce.max(summary.nonce);
        if summary.seen.0 == self.config.boot {
            // Less than before, too: a member whose group was made anew within its boot has forgotten what it saw. A summary that
            // comes late only makes the next one longer.
            peer.acknowledged = summary.seen.1;
        }
        // One that starts from a version this node never had says less than it seems to.
        let whole = summary.since <= peer.version;
        if whole {
            peer.version = peer.version.max(summary.version);
            peer.asked.answered(summary.echo);
            peer.answered |= summary.echo > 0;
            peer.fresh = summary.fresh;
            for (node, boot) in &summary.boots {
                let told = peer.boots.entry(*node).or_default();
                *told = (*told).max(*boot);
            }
        }
        for (node, boot) in summary.boots.into_iter().chain([(from, summary.boot)]) {
            if node != me && self.config.members.contains(&node) {
                let known = self.boots.entry(node).or_default();
                *known = (*known).max(boot);
            }
        }
        for log in summary.logs {
            self.take_in(from, log);
        }
        for (origin, boot) in summary.retired {
            let logs = self.logs.values_mut();
            for log in logs.filter(|log| log.origin == origin && log.boot <= boot) {
                let everything = log.known();
                log.hold(from, &everything);
            }
        }
    }

    fn take_in(&mut self, from: NodeId, summary: LogSummary) {
        let birth = LogBirth {
            log: summary.log,
            boot: summary.boot,
        };
        if let Some(log) = self.log(birth) {
            log.end = log.end.max(summary.end);
            log.hold(from, &summary.held);
        }
    }

    /// When [`Self::tick`] is due.
    pub fn next_deadline(&self) -> BootNanos {
        self.next_look
    }

    /// Time passed: looks at everything, and sends what is due.
    pub fn tick(&mut self, now: BootNanos, out: &mut Vec<Effect>) {
        if now < self.next_look {
            return;
        }
        self.close_logs();
        self.retire_logs();
        self.look_at_gate(now, out);
        self.pull(now, out);
        self.look_at_proof(now, out);
        self.look_at_handover(now);
        self.send_summaries(now, out);
        self.ask(now, out);
        self.look_again(now);
    }

    fn is_settled(&self, log: &Log) -> bool {
        let mut members = self.config.members.iter();
        members.all(|member| log.is_complete(*member, log.end))
    }

    fn send_summaries(&mut self, now: BootNanos, out: &mut Vec<Effect>) {
        let me = self.config.me;
        self.nonce += 1;
        let boots: Vec<(NodeId, Boot)> =
            self.fenced.iter().map(|(id, boot)| (*id, *boot)).collect();
        let retired: Vec<(NodeId, Boot)> =
            self.retired.iter().map(|(id, boot)| (*id, *boot)).collect();
        for (id, peer) in &mut self.peers {
            peer.asked.ask(self.nonce, now);
            let changed = self
                .logs
                .iter()
                .filter(|(_, log)| log.version > peer.acknowledged);
            let logs = changed.map(|(id, log)| LogSummary {
                log: *id,
                boot: log.boot,
                end: log.end,
                held: log.held(me),
            });
            let summary = Summary {
                group: self.config.id,
                incarnation: self.config.incarnation,
                boot: self.config.boot,
                version: self.version,
                since: peer.acknowledged,
                seen: (peer.boot, peer.version),
                nonce: self.nonce,
                echo: peer.answerable,
                boots: boots.clone(),
                retired: retired.clone(),
                fresh: self.gate.fresh,
                logs: logs.collect(),
            };
            out.push(Effect::Send { to: *id, summary });
        }
    }

    /// Has the shards asked, if anybody waits for it, so that the next summary answers what peers have asked by now.
    fn ask(&mut self, now: BootNanos, out: &mut Vec<Effect>) {
        let open = self.peers.values().any(|peer| peer.nonce > peer.answerable);
        let proving = self
            .proof
            .as_ref()
            .is_some_and(|proof| proof.waiting.contains(&self.config.me));
        if self.asking.is_some() || !(open || proving || self.boots != self.fenced) {
            return;
        }
        self.round += 1;
        let nonces = self.peers.iter().map(|(id, peer)| (*id, peer.nonce));
        self.asking = Some(Question {
            round: self.round,
            at: now,
            nonces: nonces.collect(),
            boots: self.boots.clone(),
        });
        out.push(Effect::Ask {
            round: self.round,
            boots: self.boots.iter().map(|(id, boot)| (*id, *boot)).collect(),
        });
    }
}

impl GroupConfig {
    /// L of the read gate, in nanoseconds: half of the bound is for hearing of a write, half for getting it; each may be noticed a
    /// look late.
    fn hearing_nanos(&self) -> u64 {
        (self.gate_ms / 2 - self.summary_ms) * 1_000_000
    }
}

impl Peer {
    /// Whether it has answered what it was asked so long ago at most.
    fn was_heard(&self, now: BootNanos, limit: u64) -> bool {
        let heard = self.asked.heard;
        heard.is_some_and(|heard| now.since(heard) <= limit)
    }

    fn new() -> Self {
        Self {
            incarnation: None,
            boot: 0,
            version: 0,
            acknowledged: 0,
            nonce: 0,
            answerable: 0,
            asked: Asked::default(),
            answered: false,
            boots: BTreeMap::new(),
            fresh: Freshness::default(),
            pull: None,
        }
    }
}
