//! What this node lacks and no journal has any more is held once repair has brought its rows (docs/tracking.md, section 7).
//!
//! What must stay true: what counts as held by a repair was noted before the repair read anything, so that its rows were read; and
//! whoever else lacks it is told that it is owed, for this node has its rows and no mutation to give away.

use super::Shard;
use super::shards::TrackNote;
use crate::effects::Effects;
use crate::replica::Caller;
use cluster::topology::NodeId;
use model::time::Now;
use model::track::{Intervals, LogId};
use storage::held::{Members, Statement};

/// What a home noted for a repair.
#[derive(Debug, Clone)]
pub(super) struct NotedGone {
    /// The repair's ticket.
    ticket: u64,
    /// What no holder has a mutation of, and this node lacks.
    ids: Vec<(LogId, Intervals)>,
}

impl Shard {
    /// Notes what the groups at home here lack for good, before a repair reads anything.
    pub(super) fn note_gone(&mut self, shard: u16, ticket: u64, now: Now, out: &mut Effects) {
        for home in self.tracking.homes.values_mut() {
            let gone = home.group.gone().map(|(birth, left)| (birth.log, left));
            let ids = gone.collect();
            home.noted = Some(NotedGone { ticket, ids });
        }
        self.note_to(shard, TrackNote::GoneNoted(ticket), now, out);
    }

    /// A repair has brought the rows of everything that was noted for it.
    pub(super) fn hold_repaired(&mut self, ticket: u64) {
        let own = self.topology.local;
        let mut held: Vec<Vec<Statement>> = Vec::new();
        for home in self.tracking.homes.values_mut() {
            let noted = home.noted.take_if(|noted| noted.ticket == ticket);
            for (log, ids) in noted.into_iter().flat_map(|noted| noted.ids) {
                // What was settled meanwhile is not begun again.
                let lacking = home.group.lacking(log, &ids);
                let own_part = lacking.iter().find(|(node, _)| *node == own);
                let Some((_, mine)) = own_part else {
                    continue;
                };
                held.push(statements(log, (&home.members, mine), &lacking, own));
            }
        }
        for statements in held {
            // If the log does not take it, the next repair brings it again.
            let _ = self.replica.state(&statements, Caller::Nobody);
        }
    }
}

/// That this node holds these, and owes them to the others that lack them.
fn statements(
    log: LogId,
    (members, mine): (&Members, &Intervals),
    lacking: &[(NodeId, Intervals)],
    own: NodeId,
) -> Vec<Statement> {
    let mut statements = vec![
        Statement::Log(log, members.clone()),
        Statement::Held(log, mine.clone()),
    ];
    let others = lacking.iter().filter(|(node, _)| *node != own);
    let owed = others.map(|(node, left)| (node, left.both(mine)));
    let owed = owed.filter(|(_, left)| !left.is_empty());
    statements.extend(owed.map(|(node, left)| Statement::Owed(node.0, log, left)));
    statements
}
