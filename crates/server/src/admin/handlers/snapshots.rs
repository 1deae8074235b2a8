//! Snapshots: shown, taken, removed.

use super::{Answer, done, names};
use crate::admin::answer::{Done, Snapshot};
use crate::admin::api::{Refused, Shared};
use crate::admin::gather;
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::{Delete, Get, Post};
use crate::admin::routes::{Route, optional, required};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{delete, get, post};
use node::execute::admin::{AdminWork, SnapshotWork};
use serde::Deserialize;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/api/v1/snapshots", about: "Snapshots there are", parameters: &[], access: Guarded, handler: || get(list) },
    Route { method: Post, path: "/api/v1/snapshots", about: "Take a snapshot of tables", parameters: &[required("name", "Its name"), optional("keyspaces", "Of the tables of these keyspaces, with commas"), optional("table", "Of this table alone"), optional("ttl_seconds", "After how many seconds it goes by itself"), optional("skip_flush", "`true` is refused: what is in memory is part of a snapshot")], access: Guarded, handler: || post(take) },
    Route { method: Delete, path: "/api/v1/snapshots", about: "Remove snapshots", parameters: &[optional("name", "Those of this name; else all"), optional("keyspaces", "Those of these keyspaces, with commas")], access: Guarded, handler: || delete(clear) },
];

async fn list(State(admin): State<Shared>) -> Answer<Vec<Snapshot>> {
    Ok(Json(gather::snapshots(&admin.facts().await?)))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    name: String,
    keyspaces: Option<String>,
    table: Option<String>,
    ttl_seconds: Option<u64>,
    skip_flush: Option<bool>,
}

async fn take(state: State<Shared>, Query(wanted): Query<Wanted>) -> Answer<Done> {
    if wanted.skip_flush == Some(true) {
        let text = "snapshots without what is in memory are not supported";
        return Err(Refused::Invalid(text.to_owned()));
    }
    let work = SnapshotWork::Take {
        name: wanted.name,
        keyspaces: names(wanted.keyspaces.as_deref()),
        table: wanted.table,
        ttl_ms: wanted
            .ttl_seconds
            .map(|seconds| seconds.saturating_mul(1000)),
    };
    done(state, AdminWork::Snapshots(work)).await
}

#[derive(Debug, Deserialize)]
struct Unwanted {
    name: Option<String>,
    keyspaces: Option<String>,
}

async fn clear(state: State<Shared>, Query(unwanted): Query<Unwanted>) -> Answer<Done> {
    let work = SnapshotWork::Clear {
        name: unwanted.name,
        keyspaces: names(unwanted.keyspaces.as_deref()),
    };
    done(state, AdminWork::Snapshots(work)).await
}
