//! The row of `system.paxos` in which an acceptor keeps what it knows of a partition.

use crate::random::UUID_EPOCH_STEPS;
use crate::system::row::SystemRow;
use cluster::paxos::{Ballot, Instance, Proposal};
use cluster::topology::NodeId;
use model::read::{ReadEntry, ReadResponse};
use model::row::{CellKind, Row};
use model::schema::Table;
use model::time::Now;

/// The version of the encoding of proposals in `system.paxos`.
const VERSION: i32 = 1;

/// What is known by what was read; nothing if there is no row. `None` if it cannot be read.
pub(super) fn instance(table: &Table, response: &ReadResponse, now: Now) -> Option<Instance> {
    let row = response.entries().find_map(|entry| match entry {
        ReadEntry::Row { row, .. } => Some(row),
        _ => None,
    });
    row.map_or(Some(Instance::default()), |row| {
        Some(instance_of(table, row, now)?.0)
    })
}

/// What a row says, and for how many seconds its commit is kept. `None` if it cannot be read.
pub(super) fn instance_of(table: &Table, row: &[u8], now: Now) -> Option<(Instance, u32)> {
    let row = Row::parse(row)?;
    let seconds = now.wall.seconds();
    let cell = |name: &str| -> Option<Option<&[u8]>> {
        let cell = row.cell(table.column(name)?.id);
        let cell = cell.filter(|cell| cell.is_live(seconds) && !cell.value.is_empty());
        Some(cell.map(|cell| cell.value))
    };
    let commit = row.cell(table.column("most_recent_commit")?.id);
    let kept = commit.map_or(0, |commit| match commit.kind {
        CellKind::Expiring { expires, .. } => {
            u32::try_from(expires.saturating_sub(seconds)).unwrap_or(0)
        }
        _ => 0,
    });
    let proposal = |name: &str| -> Option<Option<Proposal>> {
        match cell(name)? {
            None => Some(None),
            Some(mut bytes) => Proposal::decode(&mut bytes).map(Some),
        }
    };
    let promised = match cell("in_progress_ballot")? {
        None => None,
        Some(bytes) => Some(ballot_of(bytes.try_into().ok()?)),
    };
    let instance = Instance {
        promised,
        accepted: proposal("proposal")?,
        committed: proposal("most_recent_commit")?,
    };
    Some((instance, kept))
}

/// How long parts of the row are kept, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Promises, and what was accepted.
    pub state: u32,
    /// The last commit.
    pub commit: u32,
}

/// What the row is to say beside what it says: what stays as it is is not written again, for it would be kept longer. A commit that
/// outlived the tombstones of its table would bring back what was deleted after it.
pub(super) fn state_row<'a>(
    table: &'a Table,
    (before, after): (&Instance, &Instance),
    kept: Kept,
    timestamp: i64,
    now: Now,
) -> SystemRow<'a> {
    let row = SystemRow::new(table, timestamp).expiring(kept.commit, now);
    let commit = [
        "most_recent_commit",
        "most_recent_commit_at",
        "most_recent_commit_version",
    ];
    let row = put_proposal(row, commit, &before.committed, &after.committed);
    let row = row.expiring(kept.state, now);
    let accepted = ["proposal", "proposal_ballot", "proposal_version"];
    let row = put_proposal(row, accepted, &before.accepted, &after.accepted);
    match after.promised {
        Some(ballot) => row.set("in_progress_ballot", &time_uuid(ballot)),
        None => row,
    }
}

/// Sets what is known now, if it is something else than before.
fn put_proposal<'a>(
    mut row: SystemRow<'a>,
    [name, at, version]: [&str; 3],
    before: &Option<Proposal>,
    after: &Option<Proposal>,
) -> SystemRow<'a> {
    if before == after {
        return row;
    }
    let mut bytes = Vec::new();
    if let Some(proposal) = after {
        proposal.encode(&mut bytes);
        row = row.set(at, &time_uuid(proposal.ballot));
        row = row.set(version, &VERSION.to_be_bytes());
    }
    // Nothing accepted any more is no bytes.
    row.set(name, &bytes)
}

/// A ballot as a time UUID: its time; node and shard stand for the node.
fn time_uuid(ballot: Ballot) -> [u8; 16] {
    let steps = (ballot.micros as u64)
        .wrapping_mul(10)
        .wrapping_add(UUID_EPOCH_STEPS);
    let mut bytes = [0; 16];
    bytes[0..4].copy_from_slice(&(steps as u32).to_be_bytes());
    bytes[4..6].copy_from_slice(&((steps >> 32) as u16).to_be_bytes());
    bytes[6..8].copy_from_slice(&((steps >> 48) as u16 & 0x0fff | 0x1000).to_be_bytes());
    bytes[8] = 0x80;
    bytes[10..14].copy_from_slice(&ballot.node.0.to_be_bytes());
    bytes[14..16].copy_from_slice(&ballot.shard.to_be_bytes());
    bytes
}

/// The ballot of a time UUID.
fn ballot_of(bytes: [u8; 16]) -> Ballot {
    let word = |from: usize| u64::from(u16::from_be_bytes([bytes[from], bytes[from + 1]]));
    let steps = word(0) << 16 | word(2) | word(4) << 32 | (word(6) & 0x0fff) << 48;
    Ballot {
        micros: (steps.wrapping_sub(UUID_EPOCH_STEPS) / 10) as i64,
        node: NodeId((word(10) << 16 | word(12)) as u32),
        shard: word(14) as u16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::key::{self, DecoratedKey};
    use model::time::{BootNanos, WallMicros};

    const NOW: Now = Now {
        wall: WallMicros(1_700_000_000_000_000),
        boot: BootNanos(1),
    };

    #[test]
    fn what_is_known_survives_its_row() {
        let keyspaces = crate::system::keyspaces();
        let table = &keyspaces["system"].tables["paxos"];
        let ballot = Ballot {
            micros: 1_700_000_000_123_456,
            node: NodeId(0x0102_0304),
            shard: 7,
        };
        assert_eq!(ballot_of(time_uuid(ballot)), ballot);
        let proposal = Proposal {
            ballot,
            origin: ballot,
            epoch: 8,
            instance: 3,
            history: vec![ballot],
            update: vec![1, 2],
        };
        for known in [
            Instance::default(),
            Instance {
                promised: Some(ballot),
                accepted: Some(proposal.clone()),
                committed: None,
            },
            Instance {
                promised: Some(ballot),
                accepted: None,
                committed: Some(proposal),
            },
        ] {
            let key = DecoratedKey::new(key::join(&[b"k"]));
            let id = uuid::Uuid::from_u128(5);
            let written = |before: &Instance, after: &Instance| {
                let kept = Kept {
                    state: 100,
                    commit: 50,
                };
                let row = state_row(table, (before, after), kept, 9, NOW);
                let mutation = row.finish(&key, &[id.as_bytes()]);
                let mut response = ReadResponse::default();
                let (_, update) = &mutation.updates()[0];
                let (clustering, row) = &update.rows()[0];
                response.put_row(clustering, row);
                instance(table, &response, NOW)
            };
            assert_eq!(written(&Instance::default(), &known), Some(known.clone()));
            let promised = Instance {
                promised: known.promised,
                ..Instance::default()
            };
            assert_eq!(written(&known, &known), Some(promised), "not kept longer");
        }
        let empty = ReadResponse::default();
        assert_eq!(instance(table, &empty, NOW), Some(Instance::default()));
    }
}
