//! `system_views.repairs` and `system_views.pending_hints`: what is being repaired, and what other members lack.

use super::rows::Rows;
use super::values::{bigint, boolean, inet, int, text, texts, timestamp, uuid};
use super::view::NodeView;
use crate::repair::facts::{RepairReason, RepairState};
use std::collections::BTreeMap;

const MICROS_PER_MILLI: i64 = 1_000;

/// Repairs that this node drives, and the last that it did.
pub(super) fn repairs(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for fact in view.facts.iter().flat_map(|facts| facts.repairs.iter()) {
        let participants = fact.participants.iter().map(|number| {
            let mut nodes = view.topology.nodes.iter();
            let known = nodes.find(|node| node.id.0 == *number);
            known.map_or_else(
                || format!("removed {number}"),
                |node| node.internode_address.to_string(),
            )
        });
        let at = |millis: i64| timestamp(millis * MICROS_PER_MILLI);
        let is_over = fact.state != RepairState::Running;
        let is_sound = fact.state == RepairState::Completed;
        let updated = at(fact.updated_millis);
        let success = format!(
            "{} parts compared, {} different, {} mutations of {} bytes",
            fact.progress.parts,
            fact.progress.parts_different,
            fact.progress.mutations,
            fact.progress.mutation_bytes
        );
        let status = match fact.state {
            RepairState::Running => "running",
            RepairState::Completed => "success",
            RepairState::Failed => "failure",
            RepairState::Cancelled => "cancelled",
        };
        let kind = match fact.reason {
            RepairReason::Command => "full",
            RepairReason::Owed => "owed",
            RepairReason::Round => "round",
        };
        rows.row()
            .set("id", uuid(fact.id))
            .set("command_id", int(fact.command as i32))
            .set("completed", boolean(is_over))
            .set(
                "duration_millis",
                bigint((fact.updated_millis - fact.started_millis).max(0) as u64),
            )
            .set("failure_cause", fact.failure.as_ref().map(text))
            .set("keyspace_name", fact.keyspace.as_ref().map(text))
            .set("last_updated_at", updated.clone())
            .set(
                "options_preview_kind",
                text(if fact.preview { "ALL" } else { "NONE" }),
            )
            .set("options_primary_range", boolean(fact.primary))
            .set("participants", texts(participants))
            .set("state_start_timestamp", at(fact.started_millis))
            .set(
                "state_failure_timestamp",
                (is_over && !is_sound).then(|| updated.clone()),
            )
            .set("state_success_timestamp", is_sound.then(|| updated.clone()))
            .set("status", text(status))
            .set("success_message", is_over.then(|| text(success)))
            .set("table_names", texts(&fact.tables))
            .set("type", text(kind))
            .add();
    }
}

/// What other members lack of the groups that this node is in.
pub(super) fn pending_hints(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let mut lacks: BTreeMap<u32, u64> = BTreeMap::new();
    let groups = view.facts.iter().flat_map(|facts| &facts.groups);
    for member in groups.flat_map(|group| &group.of) {
        *lacks.entry(member.node.0).or_default() += member.lacks;
    }
    let others = view.topology.nodes.iter();
    for node in others.filter(|node| node.id != view.topology.local) {
        let lacks = lacks.get(&node.id.0).copied().unwrap_or(0);
        if lacks == 0 {
            continue;
        }
        rows.row()
            .set("host_id", uuid(node.host_id))
            .set("address", inet(node.internode_address.ip()))
            .set("port", int(i32::from(node.internode_address.port())))
            .set("dc", text(&node.datacenter))
            .set("rack", text(&node.rack))
            .set("status", text(if node.alive { "UP" } else { "DOWN" }))
            // Of mutations, not of files, which there are none of.
            .set("files", int(i32::try_from(lacks).unwrap_or(i32::MAX)))
            .add();
    }
}
