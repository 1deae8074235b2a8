//! `describecluster`, `describering`: what the cluster is, and who has which range.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run};
use serde_json::json;
use server::admin::answer::{Cluster, Life, MemberFact, RingFacts};
use server::admin::client::{AskError, Client};
use std::collections::BTreeMap;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "describecluster", about: "Print the name, snitch, partitioner and schema version of a cluster", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(describe_cluster) },
    Command { name: "describering", about: "Shows the token ranges info of a given keyspace", options: &[], arguments: "<keyspace>", at_least: 1, at_most: 1, run: Run::Do(describe_ring) },
];

fn describe_cluster(invocation: &Invocation, client: &Client) -> Outcome {
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    Report::new(&cluster, cluster_text(&cluster, invocation))
}

fn cluster_text(cluster: &Cluster, invocation: &Invocation) -> String {
    let facts = &cluster.facts;
    let mut text = String::from("Cluster Information:\n");
    let _ = writeln!(text, "\tName: {}", facts.name);
    let _ = writeln!(text, "\tSnitch: {}", cluster.snitch);
    let _ = writeln!(text, "\tDynamicEndPointSnitch: disabled");
    let _ = writeln!(text, "\tPartitioner: {}", facts.partitioner);
    let _ = writeln!(text, "\tSchema versions:");
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for member in &facts.members {
        let version = match member.schema_version {
            Some(version) if member.up => version.to_string(),
            _ => "UNREACHABLE".to_owned(),
        };
        let address = invocation.shown(member.internode_address);
        versions.entry(version).or_default().push(address);
    }
    for (version, addresses) in versions {
        let _ = writeln!(text, "\t\t{version}: [{}]\n", addresses.join(", "));
    }
    put_counts(&mut text, &facts.members);
    let mut datacenters: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for member in &facts.members {
        let (nodes, down) = datacenters.entry(&member.datacenter).or_default();
        *nodes += 1;
        *down += usize::from(!member.up);
    }
    let _ = writeln!(text, "\nData Centers: ");
    for (name, (nodes, down)) in datacenters {
        let _ = writeln!(text, "\t{name} #Nodes: {nodes} #Down: {down}");
    }
    let mut releases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for member in &facts.members {
        let address = member.internode_address.to_string();
        releases
            .entry(&member.release_version)
            .or_default()
            .push(address);
    }
    let _ = writeln!(text, "\nDatabase versions:");
    for (release, addresses) in releases {
        let _ = writeln!(text, "\t{release}: [{}]\n", addresses.join(", "));
    }
    let _ = writeln!(text, "Keyspaces:");
    for keyspace in &facts.keyspaces {
        let options = keyspace.options.iter();
        let options: Vec<String> = options
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let _ = writeln!(
            text,
            "\t{} -> Replication class: {} {{{}}}",
            keyspace.name,
            keyspace.class,
            options.join(", ")
        );
    }
    text
}

/// How many members there are of which kind.
fn put_counts(text: &mut String, members: &[MemberFact]) {
    let count =
        |is: &dyn Fn(&MemberFact) -> bool| members.iter().filter(|member| is(member)).count();
    let _ = writeln!(text, "Stats for all nodes:");
    let _ = writeln!(text, "\tLive: {}", count(&|member| member.up));
    let _ = writeln!(
        text,
        "\tJoining: {}",
        count(&|member| member.life == Life::Joining)
    );
    let _ = writeln!(
        text,
        "\tMoving: {}",
        count(&|member| member.life == Life::Moving)
    );
    let _ = writeln!(
        text,
        "\tLeaving: {}",
        count(&|member| member.life == Life::Leaving)
    );
    let _ = writeln!(text, "\tUnreachable: {}", count(&|member| !member.up));
}

fn describe_ring(invocation: &Invocation, client: &Client) -> Outcome {
    let keyspace = invocation.argument(0).unwrap_or_default();
    let cluster: Cluster = client.ask("GET", "/api/v1/cluster", &[])?;
    let asked = client.ask("GET", "/api/v1/ring", &[("keyspace", keyspace)]);
    let ring: RingFacts = asked.map_err(|error| match error {
        AskError::Refused { status: 400, .. } => Failure {
            text: format!("error: No such keyspace: {keyspace}"),
            code: 2,
        },
        error => error.into(),
    })?;
    let text = ring_text(&cluster, &ring, invocation);
    Report::new(
        &json!({ "members": cluster.facts.members, "ring": ring }),
        text,
    )
}

fn ring_text(cluster: &Cluster, ring: &RingFacts, invocation: &Invocation) -> String {
    let facts = &cluster.facts;
    let mut text = format!("Schema Version:{}\nTokenRange: \n", facts.schema_version);
    for arc in &ring.arcs {
        let found = |number: &u32| facts.members.iter().find(|member| member.number == *number);
        let replicas: Vec<&MemberFact> = arc.replicas.iter().filter_map(found).collect();
        let list = |shown: &dyn Fn(&MemberFact) -> String| {
            let parts: Vec<String> = replicas.iter().map(|member| shown(member)).collect();
            parts.join(", ")
        };
        let details = list(&|member| {
            format!(
                "EndpointDetails(host:{}, datacenter:{}, rack:{})",
                invocation.shown(member.internode_address),
                member.datacenter,
                member.rack
            )
        });
        let _ = writeln!(
            text,
            "\tTokenRange(start_token:{}, end_token:{}, endpoints:[{}], rpc_endpoints:[{}], endpoint_details:[{details}])",
            arc.after,
            arc.through,
            list(&|member| invocation.shown(member.internode_address)),
            list(&|member| invocation.shown(member.client_address)),
        );
    }
    text
}
