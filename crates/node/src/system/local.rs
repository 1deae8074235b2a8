//! `system.local`, `peers` and `peers_v2`: what drivers read first, to know where they are and who else is there.

use super::rows::Rows;
use super::values::{inet, int, text, texts, uuid};
use super::view::NodeView;
use super::{CQL_VERSION, NATIVE_PROTOCOL_VERSION, PARTITIONER, RELEASE_VERSION};
use cluster::topology::Node;
use uuid::Uuid;

pub(super) fn local(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    let node = view.topology.local();
    let internode = node.internode_address;
    rows.row()
        .set("key", text("local"))
        .set("bootstrapped", text("COMPLETED"))
        .set("broadcast_address", inet(internode.ip()))
        .set("broadcast_port", int(i32::from(internode.port())))
        .set("cluster_name", text(&view.topology.cluster_name))
        .set("cql_version", text(CQL_VERSION))
        .set("data_center", text(&node.datacenter))
        .set("gossip_generation", int(view.generation as i32))
        .set("host_id", uuid(node.host_id))
        .set("listen_address", inet(view.listen_address))
        .set("listen_port", int(i32::from(internode.port())))
        .set("native_protocol_version", text(NATIVE_PROTOCOL_VERSION))
        .set("partitioner", text(PARTITIONER))
        .set("rack", text(&node.rack))
        .set("release_version", text(RELEASE_VERSION))
        .set("rpc_address", inet(node.client_address.ip()))
        .set("rpc_port", int(i32::from(node.client_address.port())))
        .set("schema_version", uuid(view.schema.version()))
        .set("tokens", tokens(node))
        .add();
}

pub(super) fn peers(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for node in others(view) {
        rows.row()
            .set("peer", inet(node.internode_address.ip()))
            .set("data_center", text(&node.datacenter))
            .set("host_id", uuid(node.host_id))
            .set("rack", text(&node.rack))
            .set("release_version", text(RELEASE_VERSION))
            .set("rpc_address", inet(node.client_address.ip()))
            .set("schema_version", schema_of(view, node).map(uuid))
            .set("tokens", tokens(node))
            .add();
    }
}

pub(super) fn peers_v2(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for node in others(view) {
        let internode = node.internode_address;
        rows.row()
            .set("peer", inet(internode.ip()))
            .set("peer_port", int(i32::from(internode.port())))
            .set("data_center", text(&node.datacenter))
            .set("host_id", uuid(node.host_id))
            .set("native_address", inet(node.client_address.ip()))
            .set("native_port", int(i32::from(node.client_address.port())))
            .set("rack", text(&node.rack))
            .set("release_version", text(RELEASE_VERSION))
            .set("schema_version", schema_of(view, node).map(uuid))
            .set("tokens", tokens(node))
            .add();
    }
}

/// The version of the schema that a member said last that it has in force.
fn schema_of(view: &NodeView<'_>, node: &Node) -> Option<Uuid> {
    let said = view.outlook.in_force.get(&node.id);
    said.map(|said| said.schema)
}

/// What this node knows of itself and of others by gossip, as far as it has a counterpart here.
pub(super) fn gossip_info(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for node in &view.topology.nodes {
        let (internode, port) = (node.internode_address.ip(), node.internode_address.port());
        let schema = if node.id == view.topology.local {
            Some(view.schema.version())
        } else {
            schema_of(view, node)
        };
        let state = if node.alive { "NORMAL" } else { "shutdown" };
        let token = node
            .tokens
            .first()
            .map_or_else(String::new, |token| format!(",{}", token.0));
        rows.row()
            .set("address", inet(internode))
            .set("port", int(i32::from(port)))
            .set("dc", text(&node.datacenter))
            .set("generation", int(view.generation as i32))
            .set("host_id", text(node.host_id.to_string()))
            .set("hostname", text(internode.to_string()))
            .set(
                "internal_address_and_port",
                text(format!("{internode}:{port}")),
            )
            .set("internal_ip", text(internode.to_string()))
            .set(
                "native_address_and_port",
                text(node.client_address.to_string()),
            )
            .set("rack", text(&node.rack))
            .set("release_version", text(RELEASE_VERSION))
            .set("rpc_address", text(node.client_address.ip().to_string()))
            .set("rpc_ready", text(node.alive.to_string()))
            .set("schema", schema.map(|version| text(version.to_string())))
            .set("status", text(format!("{state}{token}")))
            .set("status_with_port", text(format!("{state}{token}")))
            .add();
    }
}

/// The other members that clients may turn to: those that have tokens.
fn others<'a>(view: &NodeView<'a>) -> impl Iterator<Item = &'a Node> {
    let local = view.topology.local;
    view.topology
        .nodes
        .iter()
        .filter(move |node| node.id != local && !node.tokens.is_empty())
}

fn tokens(node: &Node) -> Vec<u8> {
    texts(node.tokens.iter().map(|token| token.0.to_string()))
}
