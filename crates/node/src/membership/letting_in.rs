//! Nodes that ask to be members: each becomes one by the metadata log, without tokens, and is told its number and what is in force.
//!
//! A node that is to take the place of a dead member at that one's address gets the address first; the dead keeps its tokens until it is
//! replaced. Whoever asks again is answered as before.

use crate::effects::Effects;
use crate::metadata_log::{Decision, OWN_TICKET};
use crate::peers::message::{JoinRequest, PeerMessage};
use crate::shard::Shard;
use cluster::metadata::Command;
use model::time::Now;
use std::net::SocketAddr;

/// How long a node that asks to be let in is waited for, in milliseconds.
const JOIN_MS: u64 = 10_000;

impl Shard {
    /// A node with an empty data directory asks to be a member.
    pub(super) fn let_in(&mut self, address: SocketAddr, request: JoinRequest, now: Now) {
        let (Some(membership), Some(log)) = (&mut self.membership, self.schema_changes.log_mut())
        else {
            return;
        };
        // It asks again until it is answered.
        if membership
            .joining
            .values()
            .any(|(known, _)| *known == address)
        {
            return;
        }
        membership.next_join += 1;
        let ticket = membership.next_join;
        let JoinRequest { member, replaces } = request;
        membership.joining.insert(ticket, (address, member.host_id));
        let deadline = now.boot.plus_millis(JOIN_MS);
        let address = member.internode_address;
        let mut members = log.metadata().members.iter();
        let holder = members.find(|(_, other)| {
            other.internode_address == address && other.host_id != member.host_id
        });
        if let Some((&node, other)) = holder
            && replaces
            && !other.tokens.is_empty()
            && membership.is_away(node)
        {
            let command = Command::Displace { node, address };
            log.propose(command, OWN_TICKET, deadline, now.boot);
        }
        let command = Command::Register(Box::new(member));
        log.propose(command, ticket, deadline, now.boot);
    }

    /// A proposal to let a node in ended; returns whether it was one.
    pub(crate) fn on_join_end(
        &mut self,
        ticket: u64,
        decision: &Decision,
        out: &mut Effects,
    ) -> bool {
        let Some(membership) = &mut self.membership else {
            return false;
        };
        let Some((address, host_id)) = membership.joining.remove(&ticket) else {
            return false;
        };
        let log = self.schema_changes.log_mut().expect("it has decided");
        let answer = match (decision, log.metadata().member_of(host_id)) {
            (Decision::Done, Some((node, _))) => PeerMessage::Joined {
                node,
                snapshot: log.snapshot(),
            },
            (Decision::Refused(refused), _) => PeerMessage::NotJoined(refused.to_string()),
            _ => PeerMessage::NotJoined("the metadata log has not decided".to_owned()),
        };
        let class = answer.class();
        out.peers
            .send(address, class, |buffer| answer.encode(buffer));
        true
    }
}
