//! Tables: figures, and what is done with them.

use super::{Answer, done, names};
use crate::admin::answer::{Compactions, Done, HotPartition, TableReport};
use crate::admin::api::Shared;
use crate::admin::gather;
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::{Get, Post};
use crate::admin::routes::{Parameter, Route, optional};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use node::execute::admin::{AdminWork, TableAction, TableWork};
use serde::Deserialize;

/// Which tables; all that are not ruled out.
const WHICH: &[Parameter] = &[
    optional("keyspace", "Tables of this keyspace"),
    optional("table", "These tables of it, with commas"),
];

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/api/v1/tables", about: "Figures of tables on this node", parameters: WHICH, access: Guarded, handler: || get(tables) },
    Route { method: Get, path: "/api/v1/compactions", about: "Compactions that are due and under way", parameters: &[], access: Guarded, handler: || get(compactions) },
    Route { method: Get, path: "/api/v1/hot-partitions", about: "Partitions that take more than a hundredth of their table's requests", parameters: &[], access: Guarded, handler: || get(hot) },
    Route { method: Post, path: "/api/v1/flush", about: "Write what is in memory to SSTables", parameters: WHICH, access: Guarded, handler: || post(flush) },
    Route { method: Post, path: "/api/v1/compact", about: "Merge all SSTables of each table into one", parameters: WHICH, access: Guarded, handler: || post(compact) },
    Route { method: Post, path: "/api/v1/rewrite", about: "Rewrite every SSTable by itself: what may be forgotten is", parameters: WHICH, access: Guarded, handler: || post(rewrite) },
    Route { method: Post, path: "/api/v1/cleanup", about: "Leave out of SSTables what other nodes replicate alone", parameters: WHICH, access: Guarded, handler: || post(cleanup) },
];

#[derive(Debug, Deserialize)]
struct Which {
    keyspace: Option<String>,
    table: Option<String>,
}

async fn tables(
    State(admin): State<Shared>,
    Query(which): Query<Which>,
) -> Answer<Vec<TableReport>> {
    let tables = names(which.table.as_deref());
    let facts = admin.facts().await?;
    let reports = gather::tables(&facts, which.keyspace.as_deref(), &tables)?;
    Ok(Json(reports))
}

async fn compactions(State(admin): State<Shared>) -> Answer<Compactions> {
    Ok(Json(gather::compactions(&admin.facts().await?)))
}

async fn hot(State(admin): State<Shared>) -> Answer<Vec<HotPartition>> {
    Ok(Json(gather::hot(&admin.facts().await?)))
}

async fn flush(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Flush).await
}

async fn compact(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Compact).await
}

async fn cleanup(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Cleanup).await
}

async fn rewrite(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Rewrite).await
}

async fn act(
    state: State<Shared>,
    Query(which): Query<Which>,
    action: TableAction,
) -> Answer<Done> {
    let work = TableWork {
        action,
        tables: names(which.table.as_deref()),
        keyspace: which.keyspace,
    };
    done(state, AdminWork::Tables(work)).await
}
