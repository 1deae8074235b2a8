//! Repair without anybody asking for it: what this node lacks and no journal has any more at once, and everything that it is the first
//! replica of now and then, gently.
//!
//! What it lacks is noted by the homes of its groups before a row is read (docs/tracking.md, section 7, R5), and counts as held
//! once all stretches that this node replicates were made equal with all of their replicas. So nothing is begun while one of those is
//! away, stretches of one that goes away meanwhile wait for it, and nothing counts if who replicates what has changed meanwhile, or is
//! changing. An operator who ends it has it wait until a repair is asked for, or a start.

use super::drive::Begun;
use super::facts::{RepairReason, RepairState};
use crate::effects::Effects;
use crate::shard::Shard;
use crate::track::TrackNote;
use cluster::repair::plan::{self, Scope, Unit};
use cluster::repair::session::Pace;
use cluster::topology::NodeId;
use model::env::Random;
use model::schema::{Table, TableKind};
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// How often it is looked whether there is something to be repaired, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// After a repair of what is owed that failed, so long passes before the next, in milliseconds.
const PAUSE_MS: u64 = 10_000;

/// What goes on by itself.
#[derive(Debug, Default)]
pub(super) struct BySelf {
    next_look: BootNanos,
    /// When the next round over everything begins; none until the first look.
    next_round: Option<BootNanos>,
    /// Nothing that is owed is repaired before.
    owed_from: BootNanos,
    owed: Owed,
    /// Whether an operator has ended a repair of what is owed, and asked for none since.
    held_off: bool,
    /// The round under way.
    round: Option<u64>,
}

/// What this node lacks and no journal has.
#[derive(Debug, Default)]
enum Owed {
    /// Nothing is done about it.
    #[default]
    Idle,
    /// Homes are asked to note it; so many have to say that they have.
    Noting { ticket: u64, left: u16, placed: u64 },
    /// It is noted, and this repair brings it.
    Repairing {
        ticket: u64,
        repair: u64,
        placed: u64,
    },
}

impl BySelf {
    /// What is owed is not repaired until [`Self::go_on`].
    pub(super) fn hold_off(&mut self) {
        self.held_off = true;
    }

    /// What is owed is repaired as soon as it can be.
    pub(super) fn go_on(&mut self) {
        self.held_off = false;
    }

    pub(super) fn next_deadline(&self) -> BootNanos {
        self.next_look
    }
}

impl Shard {
    /// Looks whether there is something to be repaired.
    pub(super) fn repair_by_self(&mut self, now: Now, out: &mut Effects) {
        if now.boot < self.repairs.by_self.next_look {
            return;
        }
        self.repairs.by_self.next_look = now.boot.plus_millis(LOOK_MS);
        self.repair_what_is_owed(now, out);
        self.go_round(now);
    }

    /// All stored tables of all keyspaces.
    fn all_tables(&self) -> Vec<Arc<Table>> {
        let tables = self.schema.tables();
        let stored = tables.filter(|table| table.kind == TableKind::Stored);
        stored.cloned().collect()
    }

    fn repair_what_is_owed(&mut self, now: Now, out: &mut Effects) {
        match self.repairs.by_self.owed {
            Owed::Idle => {
                if now.boot >= self.repairs.by_self.owed_from
                    && !self.repairs.by_self.held_off
                    && self.tracking.freshness.lacks_for_good()
                    && self.are_replicas_there()
                    && let Some(placed) = self.placement()
                {
                    let ticket = self.random.next_u64();
                    let left = self.config.shards;
                    self.repairs.by_self.owed = Owed::Noting {
                        ticket,
                        left,
                        placed,
                    };
                    self.tell_all(|| TrackNote::NoteGone(ticket), now, out);
                }
            }
            Owed::Noting { .. } => {}
            Owed::Repairing {
                ticket,
                repair,
                placed,
            } => match self.repair_state(repair) {
                // What it compares counts for nothing any more.
                Some(RepairState::Running) if self.placement() != Some(placed) => {
                    self.end_repair(repair, RepairState::Cancelled, now, out);
                    self.pause_owed(now);
                }
                Some(RepairState::Running) => {}
                Some(RepairState::Completed) if self.placement() == Some(placed) => {
                    self.repairs.by_self.owed = Owed::Idle;
                    // What was marked is told by the time of the next look but one.
                    self.repairs.by_self.owed_from = now.boot.plus_millis(5 * LOOK_MS);
                    self.tell_all(|| TrackNote::GoneRepaired(ticket), now, out);
                }
                _ => self.pause_owed(now),
            },
        }
    }

    /// The epoch that says who replicates what; `None` while that changes: what is to be replicated here soon may not be here.
    fn placement(&self) -> Option<u64> {
        let changes = self
            .topology
            .groups()
            .any(|replicas| !replicas.pending.is_empty());
        let metadata = self.metadata().filter(|_| !changes)?;
        Some(metadata.placement_epoch)
    }

    /// Whether all who replicate something with this node are alive: without one of them nothing of it could be finished.
    fn are_replicas_there(&self) -> bool {
        let (topology, local) = (&self.topology, self.topology.local);
        let groups = topology.groups();
        let mut own = groups.filter(|replicas| replicas.natural.contains(&local));
        let is_alive = |id: &NodeId| {
            topology
                .nodes
                .iter()
                .any(|node| node.id == *id && node.alive)
        };
        own.all(|replicas| replicas.natural.iter().all(is_alive))
    }

    fn pause_owed(&mut self, now: Now) {
        self.repairs.by_self.owed = Owed::Idle;
        self.repairs.by_self.owed_from = now.boot.plus_millis(PAUSE_MS);
    }

    /// A home has noted what of its groups no journal has.
    pub(crate) fn gone_noted(&mut self, ticket: u64, now: Now) {
        let Owed::Noting {
            ticket: awaited,
            left,
            placed,
        } = &mut self.repairs.by_self.owed
        else {
            return;
        };
        if *awaited != ticket {
            return;
        }
        *left -= 1;
        if *left > 0 {
            return;
        }
        let placed = *placed;
        let tables = self.all_tables();
        let units = plan::units(&self.topology, &tables, &Scope::default());
        let begun = by_self(units, RepairReason::Owed, Pace::Steady);
        match self.begin_repair(begun, now) {
            Ok(repair) => {
                self.repairs.by_self.owed = Owed::Repairing {
                    ticket,
                    repair,
                    placed,
                };
            }
            Err(_) => self.pause_owed(now),
        }
    }

    /// Begins the next round over everything, or sees that one is over.
    fn go_round(&mut self, now: Now) {
        let interval = self.config.repair_interval_ms;
        if interval == 0 {
            return;
        }
        if let Some(round) = self.repairs.by_self.round {
            if self.repair_state(round) == Some(RepairState::Running) {
                return;
            }
            self.repairs.by_self.round = None;
            self.repairs.by_self.next_round = Some(now.boot.plus_millis(interval));
        }
        // Nodes that were started together do not begin together.
        let spread = self.random.next_u64() % (interval / 4).max(1);
        let first = now.boot.plus_millis(interval / 4 + spread);
        let next = *self.repairs.by_self.next_round.get_or_insert(first);
        if now.boot < next {
            return;
        }
        let scope = Scope {
            primary: true,
            ..Scope::default()
        };
        let tables = self.all_tables();
        let units = plan::units(&self.topology, &tables, &scope);
        if units.is_empty() {
            self.repairs.by_self.next_round = Some(now.boot.plus_millis(interval));
            return;
        }
        let begun = by_self(units, RepairReason::Round, Pace::Gentle);
        self.repairs.by_self.round = self.begin_repair(begun, now).ok();
    }
}

fn by_self(units: Vec<Unit>, reason: RepairReason, pace: Pace) -> Begun {
    Begun {
        units,
        pace,
        reason,
        keyspace: None,
        tables: Vec::new(),
        primary: reason == RepairReason::Round,
        preview: false,
        waits: None,
    }
}
