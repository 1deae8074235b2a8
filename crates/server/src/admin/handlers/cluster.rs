//! The cluster as this node sees it: members, ring, replicas.

use super::Answer;
use crate::admin::answer::{Cluster, Peers, StopCheck};
use crate::admin::api::{Refused, Shared};
use crate::admin::gather;
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::Get;
use crate::admin::routes::{Route, optional, required};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use node::execute::admin::{AdminAnswer, AdminWork, RingFacts, RingQuestion};
use serde::Deserialize;
use std::net::SocketAddr;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/api/v1/cluster", about: "The members, what gossip says of them and what the detector thinks of them", parameters: &[], access: Guarded, handler: || get(cluster) },
    Route { method: Get, path: "/api/v1/ring", about: "Who replicates what, and how much each member owns", parameters: &[optional("keyspace", "The keyspace; else the replication that all of the clients' have in common")], access: Guarded, handler: || get(ring) },
    Route { method: Get, path: "/api/v1/endpoints", about: "Where the replicas of a partition are, the primary first", parameters: &[required("keyspace", "Keyspace of the table"), required("table", "The table"), required("key", "The partition key as text; its columns between colons")], access: Guarded, handler: || get(endpoints) },
    Route { method: Get, path: "/api/v1/safe-to-stop", about: "Whether this node can be stopped now without a client noticing, and why not", parameters: &[], access: Guarded, handler: || get(stop_check) },
    Route { method: Get, path: "/api/v1/peers", about: "What was sent to and received from other nodes", parameters: &[], access: Guarded, handler: || get(peers) },
];

async fn cluster(State(admin): State<Shared>) -> Answer<Cluster> {
    let facts = admin.cluster().await?;
    Ok(Json(Cluster {
        snitch: format!("org.apache.cassandra.locator.{}", admin.snitch),
        facts,
    }))
}

#[derive(Debug, Deserialize)]
struct OfKeyspace {
    keyspace: Option<String>,
}

async fn ring(State(admin): State<Shared>, Query(of): Query<OfKeyspace>) -> Answer<RingFacts> {
    let question = RingQuestion {
        keyspace: of.keyspace,
    };
    match admin.work(AdminWork::Ring(question)).await?.pop() {
        Some(AdminAnswer::Ring(facts)) => Ok(Json(*facts)),
        _ => Err(Refused::Ending),
    }
}

#[derive(Debug, Deserialize)]
struct OfPartition {
    keyspace: String,
    table: String,
    key: String,
}

async fn endpoints(
    State(admin): State<Shared>,
    Query(of): Query<OfPartition>,
) -> Answer<Vec<SocketAddr>> {
    let OfPartition {
        keyspace,
        table,
        key,
    } = of;
    let work = AdminWork::Endpoints {
        keyspace,
        table,
        key,
    };
    match admin.work(work).await?.pop() {
        Some(AdminAnswer::Endpoints(endpoints)) => Ok(Json(endpoints)),
        _ => Err(Refused::Ending),
    }
}

async fn stop_check(State(admin): State<Shared>) -> Answer<StopCheck> {
    match admin.work(AdminWork::StopCheck).await?.pop() {
        Some(AdminAnswer::StopCheck(reasons)) => Ok(Json(StopCheck {
            safe: reasons.is_empty(),
            reasons,
        })),
        _ => Err(Refused::Ending),
    }
}

async fn peers(State(admin): State<Shared>) -> Json<Peers> {
    Json(gather::peers(&admin))
}
