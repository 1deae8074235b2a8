//! What an operator asks of repairs: begin one, end one, show them.

use super::{AdminAnswer, AdminError, AdminResult};
use crate::effects::Effects;
use crate::repair::drive::Begun;
use crate::repair::facts::RepairReason;
use crate::shard::Shard;
use cluster::repair::plan::{self, Scope};
use cluster::repair::session::Pace;
use cluster::ring::Strategy;
use cluster::topology::NodeId;
use model::key::Token;
use model::schema::Replication;
use model::time::Now;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairWork {
    /// Compare replicas, and end their differences; answered when that is over.
    Begin(RepairOptions),
    /// End the one with this identity or number, or all that operators began.
    Cancel(Option<String>),
    /// Show those under way and those that were.
    Show,
}

/// Which replicas of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Of the tables of this keyspace.
    pub keyspace: String,
    /// These tables of it, or all if none is named.
    pub tables: Vec<String>,
    /// Stretches alone of which this node is the first replica.
    pub primary: bool,
    /// Whether differences are counted and not ended.
    pub preview: bool,
    /// Tokens after the first, up to the second.
    pub tokens: Option<(i64, i64)>,
    /// Replicas of these data centres alone.
    pub datacenters: Vec<String>,
    /// These replicas alone, by the addresses other nodes reach them at.
    pub hosts: Vec<String>,
}

impl Shard {
    /// Does it; the answer, if there is nothing to wait for.
    pub(super) fn begin_repair_work(
        &mut self,
        id: u64,
        work: &RepairWork,
        now: Now,
        out: &mut Effects,
    ) -> Option<AdminResult> {
        match work {
            RepairWork::Show => Some(Ok(self.repair_facts())),
            RepairWork::Cancel(which) => {
                let ended = self.cancel_repairs(which.as_deref(), now, out);
                Some(match which {
                    Some(which) if ended == 0 => Err(AdminError::Invalid(format!(
                        "no repair {which} is under way"
                    ))),
                    _ => Ok(AdminAnswer::Done),
                })
            }
            RepairWork::Begin(options) => self.begin_asked_repair(id, options, now).err().map(Err),
        }
    }

    fn begin_asked_repair(
        &mut self,
        id: u64,
        options: &RepairOptions,
        now: Now,
    ) -> Result<(), AdminError> {
        let tables = self.tables_named(Some(&options.keyspace), &options.tables)?;
        let scope = self.repair_scope(options)?;
        let units = plan::units(&self.topology, &tables, &scope);
        let replication = &self.keyspace_named(&options.keyspace)?.replication;
        if units.is_empty() && !tables.is_empty() && has_several_replicas(replication) {
            return Err(AdminError::Failed(nothing_to_repair(options)));
        }
        let names = tables.iter().map(|table| table.name.clone());
        let begun = Begun {
            units,
            pace: Pace::Full,
            reason: RepairReason::Command,
            keyspace: Some(options.keyspace.clone()),
            tables: names.collect(),
            primary: options.primary,
            preview: options.preview,
            waits: Some(id),
        };
        let begun = self.begin_repair(begun, now);
        begun.map(|_| ()).map_err(AdminError::Failed)
    }

    fn repair_scope(&self, options: &RepairOptions) -> Result<Scope, AdminError> {
        let own = self.topology.local();
        let restricted = !options.datacenters.is_empty() || !options.hosts.is_empty();
        let local_alone =
            options.hosts.is_empty() && options.datacenters == [own.datacenter.clone()];
        if options.primary && restricted && !local_alone {
            let text = "You need to run primary range repair on all nodes in the cluster.";
            return Err(AdminError::Invalid(text.to_owned()));
        }
        for name in &options.datacenters {
            if !self.topology.datacenters().contains(name) {
                let known = self.topology.datacenters().join(", ");
                return Err(AdminError::Invalid(format!(
                    "unknown data center {name}: there are [{known}]"
                )));
            }
        }
        if !options.datacenters.is_empty() && !options.datacenters.contains(&own.datacenter) {
            return Err(AdminError::Invalid(format!(
                "the local data center must be part of the repair; requested [{}], but DC is {}",
                options.datacenters.join(", "),
                own.datacenter
            )));
        }
        let nodes = options.hosts.iter().map(|host| self.host_named(host));
        let nodes = nodes.collect::<Result<Vec<NodeId>, AdminError>>()?;
        if !nodes.is_empty() && !nodes.contains(&own.id) {
            let text = "The current host must be part of the repair";
            return Err(AdminError::Invalid(text.to_owned()));
        }
        Ok(Scope {
            primary: options.primary,
            tokens: options
                .tokens
                .map(|(after, through)| (Token(after), Token(through))),
            datacenters: options.datacenters.clone(),
            nodes,
        })
    }

    fn host_named(&self, host: &str) -> Result<NodeId, AdminError> {
        let mut nodes = self.topology.nodes.iter();
        let found = nodes.find(|node| {
            let address = node.internode_address;
            address.to_string() == host || address.ip().to_string() == host
        });
        let unknown = || AdminError::Invalid(format!("Unknown host specified {host}"));
        found.map(|node| node.id).ok_or_else(unknown)
    }
}

/// Whether a keyspace is to have more than one replica of anything, however many nodes there are.
fn has_several_replicas(replication: &Replication) -> bool {
    match Strategy::of(replication) {
        Strategy::Local => false,
        Strategy::Simple(factor) => factor > 1,
        Strategy::NetworkTopology(factors) => factors.values().sum::<u32>() > 1,
    }
}

/// Why a repair compares nobody, in the words that Cassandra's tool has for it.
fn nothing_to_repair(options: &RepairOptions) -> String {
    let keyspace = &options.keyspace;
    let of = match options.tokens {
        Some((after, through)) => format!("({after},{through}]"),
        None if options.primary => "the primary ranges of this node".to_owned(),
        None => "the ranges of this node".to_owned(),
    };
    format!("Nothing to repair for {of} in {keyspace} - aborting: no other replica is meant")
}
