//! Whether replicas are proved equal, range by range: what this node's homes know, and what the other members' do of the ranges that
//! this node does not replicate.

use super::{AdminAnswer, AdminError};
use crate::effects::Effects;
use crate::execute::operation::Operation;
use crate::peers::message::PeerMessage;
use crate::repair::RepairOperation;
use crate::repair::message::RepairMessage;
use crate::shard::Shard;
use crate::track::facts::GroupReport;
use cluster::topology::NodeId;
use model::time::{BootNanos, Now};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long members have to say what they know, in milliseconds.
const ANSWER_MS: u64 = 2_000;

/// What is known of a set of replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeFact {
    /// Numbers of the replicas.
    pub replicas: Vec<u32>,
    /// Keyspaces that have ranges there.
    pub keyspaces: Vec<String>,
    /// How many ranges.
    pub ranges: u64,
    /// How long before the question everything acknowledged was held by all of them, in milliseconds; none if that was not proved.
    pub proved_age_ms: Option<u64>,
    /// What each lacks.
    pub of: Vec<ReplicaFact>,
}

/// What a replica lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFact {
    /// Its number.
    pub node: u32,
    /// Mutations that it does not hold.
    pub lacks: u64,
    /// Those of them that no journal has any more: repair brings them.
    pub owed: u64,
    /// Whether reads of one replica may rest on it.
    pub fresh: bool,
}

/// Members being asked what they know.
#[derive(Debug)]
pub struct ConvergenceQuestion {
    /// The number of the admin work.
    id: u64,
    keyspace: Option<String>,
    /// Who has not answered.
    waiting: BTreeSet<NodeId>,
    reports: BTreeMap<NodeId, Vec<GroupReport>>,
    /// What has come by then has to do.
    pub deadline: BootNanos,
}

impl Shard {
    /// Asks all members that answer what is proved.
    pub(super) fn ask_convergence(
        &mut self,
        id: u64,
        keyspace: Option<&str>,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), AdminError> {
        if let Some(name) = keyspace {
            self.keyspace_named(name)?;
        }
        let own = self.topology.local;
        let nodes = self.topology.nodes.iter();
        let others = nodes.filter(|node| node.alive && node.id != own);
        let waiting: BTreeSet<NodeId> = others.map(|node| node.id).collect();
        let question = ConvergenceQuestion {
            id,
            keyspace: keyspace.map(str::to_owned),
            waiting: waiting.clone(),
            reports: [(own, self.group_reports(now.boot))].into(),
            deadline: now.boot.plus_millis(ANSWER_MS),
        };
        if waiting.is_empty() {
            self.tell_convergence(question, out);
            return Ok(());
        }
        let asked = RepairOperation::Convergence(Box::new(question));
        let number = self.operations.insert(Operation::Repair(asked));
        let message = PeerMessage::Repair(RepairMessage::AskGroups { number });
        for node in waiting {
            self.say(node, &message, out);
        }
        Ok(())
    }

    /// What the homes of this node know, as its shards last said.
    pub(crate) fn group_reports(&self, now: BootNanos) -> Vec<GroupReport> {
        let own = self.group_facts(now);
        let others = self.facts.iter().enumerate();
        let others = others.filter(|(shard, _)| *shard != usize::from(self.number));
        let others = others.flat_map(|(_, facts)| facts.iter().flat_map(|facts| &facts.groups));
        let all = own.iter().chain(others);
        all.map(|fact| fact.report(now)).collect()
    }

    /// A member says what its homes know.
    pub(crate) fn convergence_told(
        &mut self,
        number: u64,
        node: NodeId,
        reports: Vec<GroupReport>,
        out: &mut Effects,
    ) {
        let Some(Operation::Repair(RepairOperation::Convergence(question))) =
            self.operations.get_mut(number)
        else {
            return;
        };
        question.waiting.remove(&node);
        question.reports.insert(node, reports);
        if !question.waiting.is_empty() {
            return;
        }
        if let Some(Operation::Repair(RepairOperation::Convergence(question))) =
            self.operations.remove(number)
        {
            self.tell_convergence(*question, out);
        }
    }

    /// Tells the operator what has come.
    pub(crate) fn tell_convergence(&self, question: ConvergenceQuestion, out: &mut Effects) {
        let mut ranges: BTreeMap<Vec<u32>, RangeFact> = BTreeMap::new();
        for name in self.schema.keyspaces.keys() {
            if question
                .keyspace
                .as_ref()
                .is_some_and(|wanted| wanted != name)
            {
                continue;
            }
            let keyspace = self.topology.keyspace(name);
            let placement = keyspace.and_then(|keyspace| keyspace.placement.as_ref());
            for arc in placement.into_iter().flat_map(|placement| placement.arcs()) {
                let mut members: Vec<u32> = arc.replicas.all().map(|id| id.0).collect();
                members.sort_unstable();
                // One replica is equal to itself.
                if members.len() < 2 {
                    continue;
                }
                let fact = ranges.entry(members.clone()).or_insert_with(|| RangeFact {
                    replicas: members,
                    keyspaces: Vec::new(),
                    ranges: 0,
                    proved_age_ms: None,
                    of: Vec::new(),
                });
                fact.ranges += 1;
                if fact.keyspaces.last() != Some(name) {
                    fact.keyspaces.push(name.clone());
                }
            }
        }
        // What replicates nothing any more and has something to settle counts, too.
        let all = question.reports.values().flatten();
        for report in all.filter(|report| report.of.iter().any(|member| member.lacks > 0)) {
            let members = report.members.clone();
            ranges.entry(members.clone()).or_insert_with(|| RangeFact {
                replicas: members,
                keyspaces: Vec::new(),
                ranges: 0,
                proved_age_ms: None,
                of: Vec::new(),
            });
        }
        let mut facts: Vec<RangeFact> = ranges.into_values().collect();
        facts.iter_mut().for_each(|fact| fill(fact, &question));
        let answer = AdminAnswer::Convergence(facts);
        out.admin.push((question.id, Ok(answer)));
    }
}

/// What members say of a set of replicas: any one's proof is one.
fn fill(fact: &mut RangeFact, question: &ConvergenceQuestion) {
    let reports = question.reports.iter();
    let reports = reports.filter_map(|(node, reports)| {
        let mut own = reports.iter();
        Some((*node, own.find(|report| report.members == fact.replicas)?))
    });
    let reports: Vec<(NodeId, &GroupReport)> = reports.collect();
    let ages = reports
        .iter()
        .filter_map(|(_, report)| report.proved_age_ms);
    fact.proved_age_ms = ages.min();
    fact.of = fact
        .replicas
        .iter()
        .map(|node| {
            let of = |report: &GroupReport| {
                let mut members = report.of.iter();
                members.find(|member| member.node == *node).copied()
            };
            // Each knows best of itself.
            let own = reports.iter().find(|(from, _)| from.0 == *node);
            let told = own.and_then(|(_, report)| of(report));
            let told = told.or_else(|| reports.iter().find_map(|(_, report)| of(report)));
            ReplicaFact {
                node: *node,
                lacks: told.map_or(0, |told| told.lacks),
                owed: own.map_or(0, |(_, report)| report.gone),
                fresh: told.is_some_and(|told| told.fresh),
            }
        })
        .collect();
}
