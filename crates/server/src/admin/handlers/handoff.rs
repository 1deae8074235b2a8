//! What members lack, and what operators of hints say about it.

use super::{Answer, done};
use crate::admin::answer::{Debt, Done, Handoff};
use crate::admin::api::{Refused, Shared};
use crate::admin::gather;
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::{Get, Post, Put};
use crate::admin::routes::{Route, optional};
use ::node::execute::admin::{AdminWork, HandoffChange};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{get, post, put};
use cluster::topology::NodeId;
use serde::Deserialize;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/api/v1/debts", about: "What each member lacks, as far as this node knows", parameters: &[], access: Guarded, handler: || get(debts) },
    Route { method: Get, path: "/api/v1/handoff", about: "For whom what they lack is kept, and how fast it is sent", parameters: &[], access: Guarded, handler: || get(show) },
    Route { method: Put, path: "/api/v1/handoff", about: "Change that, until the next start", parameters: &[optional("enabled", "`false`: nothing is kept, what members lack is owed and comes by repair"), optional("paused", "`true`: nothing is sent nor fetched"), optional("throttle_kib", "Kibibytes a second that each shard sends; 0 without limit"), optional("window_ms", "Milliseconds after which nothing is kept for a member that is away"), optional("enable_dc", "Keep for members of this data centre"), optional("disable_dc", "Keep nothing for members of this data centre")], access: Guarded, handler: || put(change) },
    Route { method: Post, path: "/api/v1/handoff/truncate", about: "What members lack is not kept for them any more: it is owed, and comes by repair", parameters: &[optional("hosts", "These members, by address, with commas; else all")], access: Guarded, handler: || post(truncate) },
];

async fn debts(State(admin): State<Shared>) -> Answer<Vec<Debt>> {
    let (facts, cluster) = (admin.facts().await?, admin.cluster().await?);
    Ok(Json(gather::debts(&facts, &cluster)))
}

async fn show(State(admin): State<Shared>) -> Answer<Handoff> {
    let facts = admin.facts().await?;
    let settings = facts.first().map(|shard| shard.handoff.clone());
    let settings = settings.ok_or(Refused::Ending)?;
    Ok(Json(Handoff {
        enabled: settings.enabled,
        paused: settings.paused,
        throttle_kib: settings.throttle_bytes >> 10,
        window_ms: settings.window_ms,
        disabled_datacenters: settings.disabled_datacenters.into_iter().collect(),
    }))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    enabled: Option<bool>,
    paused: Option<bool>,
    throttle_kib: Option<u64>,
    window_ms: Option<u64>,
    enable_dc: Option<String>,
    disable_dc: Option<String>,
}

async fn change(state: State<Shared>, Query(wanted): Query<Wanted>) -> Answer<Handoff> {
    let changes = [
        wanted.enabled.map(HandoffChange::Enable),
        wanted.paused.map(HandoffChange::Pause),
        wanted
            .throttle_kib
            .map(|kib| HandoffChange::Throttle(kib.saturating_mul(1024))),
        wanted.window_ms.map(HandoffChange::Window),
        wanted
            .enable_dc
            .map(|name| HandoffChange::Datacenter(name, true)),
        wanted
            .disable_dc
            .map(|name| HandoffChange::Datacenter(name, false)),
    ];
    for change in changes.into_iter().flatten() {
        state.work(AdminWork::Handoff(change)).await?;
    }
    show(state).await
}

#[derive(Debug, Deserialize)]
struct Whose {
    hosts: Option<String>,
}

async fn truncate(state: State<Shared>, Query(whose): Query<Whose>) -> Answer<Done> {
    let cluster = state.cluster().await?;
    let named = super::names(whose.hosts.as_deref());
    let mut nodes = Vec::new();
    for host in &named {
        let mut members = cluster.members.iter();
        let found = members.find(|member| {
            let address = member.internode_address;
            address.to_string() == *host || address.ip().to_string() == *host
        });
        let found = found.ok_or_else(|| {
            Refused::Invalid(format!("Can't delete hints for unknown address {host}"))
        })?;
        nodes.push(NodeId(found.number));
    }
    done(state, AdminWork::Handoff(HandoffChange::Truncate(nodes))).await
}
