//! `netstats`: what passes between nodes.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag};
use crate::nodetool::table::Table;
use crate::nodetool::units::bytes;
use serde_json::json;
use server::admin::answer::{Info, Life, Peer, Peers};
use server::admin::client::Client;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "netstats", about: "Print network information on provided host (connecting node by default)", options: &[flag(&["--human-readable", "-H"], "Display bytes in human readable form, i.e. KiB, MiB, GiB, TiB")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(stats) },
];

fn stats(invocation: &Invocation, client: &Client) -> Outcome {
    let info: Info = client.ask("GET", "/api/v1/info", &[])?;
    let peers: Peers = client.ask("GET", "/api/v1/peers", &[])?;
    let mode = match info.life {
        _ if info.state == "drained" => "DRAINED",
        Life::Joining => "JOINING",
        Life::Normal => "NORMAL",
        Life::Leaving => "LEAVING",
        Life::Moving => "MOVING",
    };
    let human = invocation.has("--human-readable");
    let mut table = Table::new("  ");
    table.row([
        "Peer",
        "Connections",
        "Waiting",
        "Sent",
        "Sent messages",
        "Received",
        "Received messages",
        "Dropped",
    ]);
    for (address, peer) in &peers.peers {
        table.row([
            address.to_string(),
            peer.connections.to_string(),
            bytes(peer.waiting_bytes, human),
            bytes(peer.sent_bytes, human),
            peer.sent_messages.to_string(),
            bytes(peer.received_bytes, human),
            peer.received_messages.to_string(),
            peer.dropped_messages.to_string(),
        ]);
    }
    let sum = |of: fn(&Peer) -> u64| peers.peers.values().map(of).sum::<u64>();
    let line = |cells: [&str; 5]| {
        let [name, active, pending, completed, dropped] = cells;
        format!("{name:<25}{active:>10}{pending:>10}{completed:>15}{dropped:>10}\n")
    };
    let sent = sum(|peer| peer.sent_messages).to_string();
    let dropped = sum(|peer| peer.dropped_messages).to_string();
    let text = format!(
        "Mode: {mode}\nNot sending any streams.\n{}{}\n{}",
        line(["Pool Name", "Active", "Pending", "Completed", "Dropped"]),
        line(["All messages", "n/a", "n/a", &sent, &dropped]),
        table.text()
    );
    Report::new(&json!({ "mode": mode, "peers": peers.peers }), text)
}
