//! Before a keyspace's replication is changed: whoever it would gain has to answer, because writes wait for those that are gained
//! until they have everything (`cluster/src/metadata/replicate.rs`).

use crate::shard::Shard;
use cluster::metadata::{Command, Metadata, Proposal, ProposalId};
use cluster::stream::plan;
use cluster::topology::NodeId;
use model::error::RequestError;
use model::schema::SchemaEdit;
use std::collections::BTreeSet;

impl Shard {
    /// Why a change of the schema cannot begin now; Cassandra refuses it likewise while nodes come and go. Shard 0.
    pub(crate) fn check_gained(&self, command: &Command) -> Result<(), RequestError> {
        let Command::Edit { edits, .. } = command else {
            return Ok(());
        };
        let Some(metadata) = self.metadata() else {
            return Ok(());
        };
        let changes = |edit: &SchemaEdit| match edit {
            SchemaEdit::PutKeyspace {
                name, replication, ..
            } => {
                let known = metadata.schema.keyspaces.get(name);
                known.is_some_and(|known| known.replication != *replication)
            }
            _ => false,
        };
        if !edits.iter().any(changes) {
            return Ok(());
        }
        let gained = gained(&metadata, self.topology.local, command).into_iter();
        let away: Vec<String> = gained
            .filter(|id| self.is_away(*id))
            .filter_map(|id| metadata.members.get(&id))
            .map(|member| format!("/{}", member.internode_address))
            .collect();
        if away.is_empty() {
            return Ok(());
        }
        Err(RequestError::Config(format!(
            "Cannot alter RF while some endpoints are not in normal state (no range movements): [{}]",
            away.join(", ")
        )))
    }
}

/// Who would gain something by a change of the schema.
fn gained(metadata: &Metadata, local: NodeId, command: &Command) -> BTreeSet<NodeId> {
    let proposal = Proposal {
        id: ProposalId {
            node: local,
            number: u64::MAX,
        },
        command: command.clone(),
    };
    let (after, _) = metadata.apply(metadata.epoch + 1, &proposal);
    let begun = after.transitions.iter();
    let begun = begun.filter(|(number, _)| !metadata.transitions.contains_key(number));
    begun
        .flat_map(|(number, _)| plan::gainers(&after, *number))
        .collect()
}
