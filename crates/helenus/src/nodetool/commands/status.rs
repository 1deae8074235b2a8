//! `status`: the members, by data centre.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag, value};
use crate::nodetool::table::Table;
use crate::nodetool::units::size;
use serde_json::json;
use server::admin::answer::{Cluster, Life, MemberFact, RingFacts};
use server::admin::client::Client;
use std::collections::BTreeMap;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command {
        name: "status",
        about: "Print cluster information (state, load, IDs, ...)",
        options: &[
            flag(&["--resolve-ip", "-r"], "Show node domain names instead of IPs"),
            value(&["--sort", "-s"], "<sort>", "Sort by one of ip, host, load, owns, id, rack, state, token"),
            value(&["--order", "-o"], "<order>", "Sorting order: asc or desc"),
        ],
        arguments: "[<keyspace>]", at_least: 0, at_most: 1, run: Run::Do(status),
    },
];

fn status(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let keyspace = invocation.argument(0).map(|name| ("keyspace", name));
    let query: Vec<(&str, &str)> = keyspace.into_iter().collect();
    let ring: RingFacts = client
        .ask("GET", "/api/v1/ring", &query)
        .map_err(|error| Failure::unknown_keyspace(error, invocation.argument(0)))?;
    let order = Order::of(invocation)?;
    let text = text(&cluster, &ring, invocation, &order);
    Report::new(
        &json!({ "cluster": cluster, "owns": ring.owns, "note": ring.note }),
        text,
    )
}

/// What nodes are sorted by.
struct Order {
    by: String,
    descending: bool,
}

impl Order {
    fn of(invocation: &Invocation) -> Result<Self, Failure> {
        const KEYS: [&str; 8] = ["ip", "host", "load", "owns", "id", "rack", "state", "token"];
        let by = invocation.option("--sort").unwrap_or("token");
        if !KEYS.contains(&by) {
            return Err(Failure::usage(&format!(
                "--sort takes one of {}",
                KEYS.join(", ")
            )));
        }
        let descending = match invocation.option("--order") {
            // What is large is looked for first.
            None => matches!(by, "load" | "owns"),
            Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Failure::usage("--order takes asc or desc")),
        };
        Ok(Self {
            by: by.to_owned(),
            descending,
        })
    }

    fn sort(&self, members: &mut [&MemberFact], ring: &RingFacts) {
        let owns = |member: &MemberFact| ring.owns.get(&member.number).copied().unwrap_or(0.0);
        members.sort_by(|a, b| match self.by.as_str() {
            "ip" | "host" => a.internode_address.cmp(&b.internode_address),
            "load" => a.load_bytes.cmp(&b.load_bytes),
            "owns" => owns(a).total_cmp(&owns(b)),
            "id" => a.host_id.cmp(&b.host_id),
            "rack" => a.rack.cmp(&b.rack),
            "state" => letters(a).cmp(&letters(b)),
            _ => a.tokens.first().cmp(&b.tokens.first()),
        });
        if self.descending {
            members.reverse();
        }
    }
}

fn text(cluster: &Cluster, ring: &RingFacts, invocation: &Invocation, order: &Order) -> String {
    let mut datacenters: BTreeMap<&str, Vec<&MemberFact>> = BTreeMap::new();
    for member in &cluster.facts.members {
        datacenters
            .entry(&member.datacenter)
            .or_default()
            .push(member);
    }
    let effective = ring.note.is_none();
    let mut table = Table::new("  ");
    let mut sizes = Vec::new();
    for members in datacenters.values_mut() {
        order.sort(members, ring);
        let owns = if effective {
            "Owns (effective)"
        } else {
            "Owns"
        };
        table.row(["--", "Address", "Load", "Tokens", owns, "Host ID", "Rack"]);
        for member in members.iter() {
            table.row(row(member, ring, effective, invocation));
        }
        sizes.push(members.len() + 1);
    }
    // All data centres are aligned alike, so the rows are laid out together and then shared out.
    let laid_out = table.text();
    let mut lines = laid_out.lines();
    let mut text = String::new();
    for (datacenter, size) in datacenters.keys().zip(sizes) {
        let title = format!("Datacenter: {datacenter}");
        let _ = writeln!(text, "{title}\n{}", "=".repeat(title.len()));
        text.push_str("Status=Up/Down\n|/ State=Normal/Leaving/Joining/Moving\n");
        for line in lines.by_ref().take(size) {
            let _ = writeln!(text, "{line}");
        }
        text.push('\n');
    }
    if let Some(note) = &ring.note {
        let _ = writeln!(text, "Note: {note}");
    }
    text
}

fn row(
    member: &MemberFact,
    ring: &RingFacts,
    effective: bool,
    invocation: &Invocation,
) -> [String; 7] {
    let owns = ring.owns.get(&member.number).copied();
    [
        letters(member),
        invocation.shown(member.internode_address),
        member.load_bytes.map_or_else(|| "?".to_owned(), size),
        member.tokens.len().to_string(),
        match owns {
            Some(owns) if effective => format!("{:.1}%", owns * 100.0),
            _ => "?".to_owned(),
        },
        member.host_id.to_string(),
        member.rack.clone(),
    ]
}

/// Whether it answers, and where it stands.
fn letters(member: &MemberFact) -> String {
    let up = if member.up { 'U' } else { 'D' };
    let life = match member.life {
        Life::Joining => 'J',
        Life::Normal => 'N',
        Life::Leaving => 'L',
        Life::Moving => 'M',
    };
    format!("{up}{life}")
}
